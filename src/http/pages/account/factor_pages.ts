/**
 * The person's own pages about their second factors, below `/account/second-factor`. Looking needs a session; whatever changes how
 * somebody gets in needs one that is minutes old and in which the second factor was proven, also between the page and its form.
 */
import type Router from '@koa/router';
import { z } from 'zod';
import { backupCodeSet } from '#src/flows/factors/backup_codes.ts';
import type { FactorOwner } from '#src/flows/factors/factor_owner.ts';
import { forgetDevices, type OwnFactors, readOwnFactors } from '#src/flows/factors/own_factors.ts';
import {
  beginTotp,
  confirmTotp,
  type FactorToRemove,
  type RemoveFactorOutcome,
  removeFactor,
  renewBackupCodes,
} from '#src/flows/factors/set_up_factors.ts';
import { deviceHashOf } from '#src/flows/sign_in/authentication_steps.ts';
import { addPasskey, passkeyCreationOptions, passkeysOf, renamePasskey } from '#src/flows/sign_in/passkeys.ts';
import { totpAddress } from '#src/foundation/totp.ts';
import { PASSKEY_ANSWER_CHARACTERS } from '#src/foundation/webauthn.ts';
import type { PasskeyRow } from '#src/storage/tables/passkeys.ts';
import { ProblemRaised, problems } from '../../problems.ts';
import {
  field,
  goTo,
  type InteractionPagesOptions,
  type PageState,
  parseForm,
} from '../interaction/interaction_step.ts';
import { readDeviceToken } from '../kit/device_cookie.ts';
import { showPage } from '../kit/page_kit.ts';
import type {
  FactorDeedModel,
  FactorNotice,
  NewPasskeyModel,
  OwnPasskeysModel,
  PasskeyItem,
  SetUpTotpModel,
} from './factor_models.ts';
import { FRESH_SECONDS, type OwnPagesKit, type OwnPath, type OwnVisit } from './own_pages.ts';

const paths = {
  overview: '/account/second-factor',
  app: '/account/second-factor/app',
  removeApp: '/account/second-factor/app/remove',
  backupCodes: '/account/second-factor/backup-codes',
  passkeys: '/account/second-factor/passkeys',
  newPasskey: '/account/second-factor/passkeys/new',
  devices: '/account/second-factor/devices',
} as const satisfies Readonly<Record<string, OwnPath>>;

const notices = [
  'app_added',
  'app_removed',
  'passkey_added',
  'passkey_renamed',
  'passkey_removed',
  'codes_saved',
  'device_forgotten',
] as const satisfies readonly FactorNotice[];

const codeForm = z.strictObject({ csrf: field, code: field.default('') });
const deedForm = z.strictObject({ csrf: field });
/** Backup codes that the page before has shown are put away. */
const putAwayForm = z.strictObject({ csrf: field, saved: z.literal('yes').optional(), set: field.optional() });
const newPasskeyForm = z.strictObject({
  csrf: field,
  name: field.default(''),
  passkey: z.string().max(PASSKEY_ANSWER_CHARACTERS).default(''),
});
const passkeyForm = z.strictObject({
  csrf: field,
  id: field,
  name: field.default(''),
  deed: z.enum(['rename', 'remove']),
});
const deviceForm = z.strictObject({ csrf: field, device: z.union([z.uuid(), z.literal('all')]) });

export function mountFactorPages(
  router: Router<PageState>,
  kit: OwnPagesKit,
  { signInServices: services }: InteractionPagesOptions,
): void {
  const fresh = (path: OwnPath) => ({ path, freshSeconds: FRESH_SECONDS });

  router.get(`/t/:slug${paths.overview}`, async (ctx) => {
    const visit = await kit.requireOwnSession(ctx, ctx.state, { path: paths.overview });
    if (visit !== undefined) await showOverview(visit);
  });

  // Nothing changes by it: the codes count since they were shown.
  router.post(`/t/:slug${paths.overview}`, async (ctx) => {
    const sent = await kit.readOwnForm(ctx, ctx.state, { path: paths.overview });
    if (sent === undefined) return;
    parseForm(putAwayForm, sent.fields);
    toOverview(sent.visit, 'codes_saved');
  });

  router.get(`/t/:slug${paths.app}`, async (ctx) => {
    if (isOff(ctx.state)) return;
    const visit = await kit.requireOwnSession(ctx, ctx.state, fresh(paths.app));
    if (visit !== undefined) await showApp(visit, {});
  });

  router.post(`/t/:slug${paths.app}`, async (ctx) => {
    if (isOff(ctx.state)) return;
    const sent = await kit.readOwnForm(ctx, ctx.state, fresh(paths.app));
    if (sent === undefined) return;
    const { visit } = sent;
    const { code } = parseForm(codeForm, sent.fields);
    if (code.trim() === '') return showApp(visit, { error: 'missing', status: 400 });
    const confirmed = await confirmTotp(services, ownerOf(visit), { code, onlyAsFirst: false });
    switch (confirmed.outcome) {
      case 'enrolled':
        return confirmed.backupCodes === undefined
          ? toOverview(visit, 'app_added')
          : showCodes(visit, confirmed.backupCodes);
      case 'refused':
        return showApp(visit, { error: 'code', status: 400 });
      case 'expired':
        return showApp(visit, { error: 'stale_form', status: 400 });
      default: {
        const never: never = confirmed;
        return never;
      }
    }
  });

  router.get(`/t/:slug${paths.removeApp}`, async (ctx) => {
    const visit = await kit.requireOwnSession(ctx, ctx.state, fresh(paths.removeApp));
    if (visit !== undefined) showDeed(visit, 'remove_app', {});
  });

  router.post(`/t/:slug${paths.removeApp}`, async (ctx) => {
    const sent = await kit.readOwnForm(ctx, ctx.state, fresh(paths.removeApp));
    if (sent === undefined) return;
    parseForm(deedForm, sent.fields);
    const removed = await remove(sent.visit, { method: 'totp' });
    if (removed.outcome === 'removed') return toOverview(sent.visit, 'app_removed');
    showDeed(sent.visit, 'remove_app', { error: removed.outcome, status: 400 });
  });

  router.get(`/t/:slug${paths.backupCodes}`, async (ctx) => {
    const visit = await kit.requireOwnSession(ctx, ctx.state, fresh(paths.backupCodes));
    if (visit !== undefined) showDeed(visit, 'renew_codes', {});
  });

  router.post(`/t/:slug${paths.backupCodes}`, async (ctx) => {
    const sent = await kit.readOwnForm(ctx, ctx.state, fresh(paths.backupCodes));
    if (sent === undefined) return;
    parseForm(deedForm, sent.fields);
    const codes = await renewBackupCodes(services, ownerOf(sent.visit));
    if (codes === undefined) return toOverview(sent.visit, undefined);
    showCodes(sent.visit, codes);
  });

  router.get(`/t/:slug${paths.newPasskey}`, async (ctx) => {
    if (isOff(ctx.state)) return;
    const visit = await kit.requireOwnSession(ctx, ctx.state, fresh(paths.newPasskey));
    if (visit !== undefined) await showNewPasskey(visit, {});
  });

  router.post(`/t/:slug${paths.newPasskey}`, async (ctx) => {
    if (isOff(ctx.state)) return;
    const sent = await kit.readOwnForm(ctx, ctx.state, fresh(paths.newPasskey));
    if (sent === undefined) return;
    const { visit } = sent;
    const { name, passkey: answer } = parseForm(newPasskeyForm, sent.fields);
    const added = await addPasskey(services, ownerOf(visit), { name, answer });
    if (added.outcome !== 'added') return showNewPasskey(visit, { error: added.outcome, status: 400, name });
    if (added.backupCodes === undefined) return toOverview(visit, 'passkey_added');
    showCodes(visit, added.backupCodes);
  });

  router.get(`/t/:slug${paths.passkeys}`, async (ctx) => {
    const visit = await kit.requireOwnSession(ctx, ctx.state, fresh(paths.passkeys));
    if (visit !== undefined) await showPasskeys(visit, {});
  });

  router.post(`/t/:slug${paths.passkeys}`, async (ctx) => {
    const sent = await kit.readOwnForm(ctx, ctx.state, fresh(paths.passkeys));
    if (sent === undefined) return;
    const { visit } = sent;
    const { id, name, deed } = parseForm(passkeyForm, sent.fields);
    const credentialId = Buffer.from(id, 'base64url');
    if (deed === 'rename') {
      const { outcome } = await renamePasskey(services, ownerOf(visit), { credentialId, name });
      if (outcome === 'renamed') return toOverview(visit, 'passkey_renamed');
      return showPasskeys(visit, { error: outcome, status: 400 });
    }
    const removed = await remove(visit, { method: 'passkey', credentialId });
    if (removed.outcome === 'removed') return toOverview(visit, 'passkey_removed');
    await showPasskeys(visit, { error: removed.outcome, status: 400 });
  });

  // What forgets protects: it needs no proof that is fresh.
  router.post(`/t/:slug${paths.devices}`, async (ctx) => {
    const sent = await kit.readOwnForm(ctx, ctx.state, { path: paths.devices });
    if (sent === undefined) return;
    const { device } = parseForm(deviceForm, sent.fields);
    if ((await forgetDevices(services, ownerOf(sent.visit), device)) === 0)
      throw new ProblemRaised(problems.staleForm());
    toOverview(sent.visit, 'device_forgotten');
  });

  function isOff({ engine }: PageState): boolean {
    return engine.people['second_factor.policy'] === 'off';
  }

  function ownerOf({ state, session, person }: OwnVisit): FactorOwner {
    return {
      tenantId: state.engine.tenant.id,
      userId: person.id,
      key: `session:${session.uid}`,
      origin: state.exchange.origin,
      sessionId: session.uid,
      amr: session.amr,
    };
  }

  function remove(visit: OwnVisit, factor: FactorToRemove): Promise<RemoveFactorOutcome> {
    const { person, state } = visit;
    return removeFactor(services, ownerOf(visit), {
      factor,
      policy: state.engine.people,
      roles: person.roles,
      hasPassword: person.password_hash !== null,
    });
  }

  function address({ state }: OwnVisit, path: OwnPath): string {
    return kit.addressOf(state, path);
  }

  function baseOf({ state }: OwnVisit): string {
    return `/t/${state.engine.tenant.slug}`;
  }

  function toOverview(visit: OwnVisit, notice: FactorNotice | undefined): void {
    const query = notice === undefined ? '' : `?done=${notice}`;
    goTo(visit.ctx, address(visit, paths.overview) + query);
  }

  function commonOf({ state, locale, path, ctx }: OwnVisit, status = 200) {
    const { tenant } = state.engine;
    const requestId = state.exchange.requestId;
    // A page that answers a form cannot be asked for again in another language.
    const isShownAgain = ctx.method === 'GET';
    const languageSwitch = { kind: 'link', address: new URL(kit.addressOf(state, path)).pathname } as const;
    return { status, locale, tenant, requestId, ...(isShownAgain ? { languageSwitch } : {}) };
  }

  async function showOverview(visit: OwnVisit): Promise<void> {
    const { ctx, state, person } = visit;
    const { tenant } = state.engine;
    const own: OwnFactors = await readOwnFactors(services, { tenantId: tenant.id, userId: person.id });
    const { done } = ctx.query;
    const token = readDeviceToken(ctx);
    const deviceHash = token === undefined ? undefined : deviceHashOf(token);
    showPage(ctx, {
      name: 'own_second_factor',
      model: {
        base: baseOf(visit),
        notice: notices.find((notice) => notice === done),
        isOn: !isOff(state),
        appSince: own.appSince,
        backupCodesLeft: own.backupCodesLeft,
        passkeys: own.passkeys.map(itemOf),
        devices: own.devices.map((device) => ({
          id: device.id,
          userAgent: device.user_agent ?? undefined,
          address: device.ip ?? undefined,
          lastUsedAt: device.last_used_at,
          sparedUntil: device.second_factor_spared_until ?? undefined,
          isThis: deviceHash !== undefined && device.token_hash.equals(deviceHash),
        })),
        addresses: {
          app: address(visit, paths.app),
          removeApp: address(visit, paths.removeApp),
          backupCodes: address(visit, paths.backupCodes),
          passkeys: address(visit, paths.passkeys),
          newPasskey: address(visit, paths.newPasskey),
          account: address(visit, '/account'),
        },
        forget: {
          action: address(visit, paths.devices),
          csrf: kit.formToken({ ...visit, path: paths.devices }),
        },
      },
      ...commonOf(visit),
    });
  }

  async function showApp(
    visit: OwnVisit,
    { error, status }: { readonly error?: SetUpTotpModel['error']; readonly status?: number },
  ): Promise<void> {
    const { ctx, state, person } = visit;
    const secret = await beginTotp(services, ownerOf(visit));
    showPage(ctx, {
      name: 'set_up_totp',
      model: {
        base: baseOf(visit),
        action: address(visit, paths.app),
        csrf: kit.formToken(visit),
        account: person.email,
        secret,
        appAddress: totpAddress({ secret, issuer: state.engine.tenant.name, account: person.email }),
        required: false,
        error,
        cancelAddress: address(visit, paths.overview),
      },
      ...commonOf(visit, status),
    });
  }

  function showCodes(visit: OwnVisit, codes: readonly string[]): void {
    const { ctx, person } = visit;
    showPage(ctx, {
      name: 'backup_codes',
      model: {
        base: baseOf(visit),
        action: address(visit, paths.overview),
        csrf: kit.formToken({ ...visit, path: paths.overview }),
        account: person.email,
        codes,
        set: backupCodeSet(person.id, codes),
      },
      ...commonOf(visit),
    });
  }

  function showDeed(
    visit: OwnVisit,
    deed: FactorDeedModel['deed'],
    { error, status }: { readonly error?: FactorDeedModel['error']; readonly status?: number },
  ): void {
    const model: FactorDeedModel = {
      base: baseOf(visit),
      deed,
      action: address(visit, visit.path),
      csrf: kit.formToken(visit),
      cancelAddress: address(visit, paths.overview),
      error,
    };
    showPage(visit.ctx, { name: 'factor_deed', model, ...commonOf(visit, status) });
  }

  async function showNewPasskey(
    visit: OwnVisit,
    { error, status, name }: { error?: NewPasskeyModel['error']; status?: number; name?: string },
  ): Promise<void> {
    const { ctx, state, person } = visit;
    const { given_name: given, family_name: family, email } = person;
    const model: NewPasskeyModel = {
      base: baseOf(visit),
      action: address(visit, paths.newPasskey),
      csrf: kit.formToken(visit),
      passkey: await passkeyCreationOptions(services, ownerOf(visit), {
        tenantName: state.engine.tenant.name,
        email,
        name: [given, family].filter((part) => part !== null).join(' ') || email,
      }),
      name,
      error,
      cancelAddress: address(visit, paths.overview),
    };
    showPage(ctx, { name: 'new_passkey', model, ...commonOf(visit, status) });
  }

  async function showPasskeys(
    visit: OwnVisit,
    { error, status }: { readonly error?: OwnPasskeysModel['error']; readonly status?: number },
  ): Promise<void> {
    const tenantId = visit.state.engine.tenant.id;
    const passkeys = await passkeysOf(services, { tenantId, userId: visit.person.id });
    const model: OwnPasskeysModel = {
      base: baseOf(visit),
      action: address(visit, paths.passkeys),
      csrf: kit.formToken(visit),
      passkeys: passkeys.map(itemOf),
      error,
      backAddress: address(visit, paths.overview),
    };
    showPage(visit.ctx, { name: 'own_passkeys', model, ...commonOf(visit, status) });
  }
}

function itemOf(passkey: PasskeyRow): PasskeyItem {
  return {
    id: passkey.credential_id.toString('base64url'),
    name: passkey.name,
    synced: passkey.backed_up,
    addedAt: passkey.created_at,
    lastUsedAt: passkey.last_used_at ?? undefined,
  };
}
