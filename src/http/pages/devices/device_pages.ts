/**
 * `/device` and below: where a person pairs a device (RFC 8628 §3.3). The code first, then signing in, then comparing: nothing is shown
 * of a device before somebody has typed its code, and nothing is agreed to before they have seen whose it is. A code belongs to the
 * browser that typed it, by a cookie that only these pages get; it also keeps the code through the sign-in.
 */
import type Router from '@koa/router';
import type { Context } from 'koa';
import { z } from 'zod';
import { deviceText, shortenedDeviceText } from '#src/domain/device_grant.ts';
import { canonicalAddress } from '#src/domain/sign_in_throttle.ts';
import { userId } from '#src/domain/user.ts';
import { parseUserCode } from '#src/domain/user_code.ts';
import { countUserCode, forgiveUserCode } from '#src/flows/devices/count_user_codes.ts';
import type { MailContext } from '#src/flows/mail/send_mail.ts';
import { notifyMember } from '#src/flows/people/notify_person.ts';
import { randomValue } from '#src/foundation/identifiers.ts';
import type { PairingDemand, PairingKey, PairingRequest } from '#src/oidc/pairings.ts';
import { accountPath, devicePath, signedInPaths } from '#src/oidc/provider.ts';
import { ProblemRaised, problems } from '../../problems.ts';
import { field, goTo, localeField, type PageState, parseForm } from '../interaction/interaction_step.ts';
import { readFormBody } from '../kit/form_body.ts';
import { createFormTokens, isCrossSite, localeOf, rememberLocale, showPage } from '../kit/page_kit.ts';
import type { Locale } from '../kit/translations.ts';
import {
  createVisitorPages,
  type Visit,
  type VisitorPagesKit,
  type VisitorPagesOptions,
  waitingFor,
} from '../visitors/visitor_pages.ts';
import type { DeviceConfirmModel, DeviceModel, DeviceResult, NetworkSeen } from './device_models.ts';

const codeForm = z.strictObject({ csrf: field.default(''), user_code: field.default(''), ui_locales: localeField });

const answerForm = z.strictObject({
  csrf: field.default(''),
  device_name: field.default(''),
  decision: z.enum(['allow', 'deny']).optional(),
  ui_locales: localeField,
});

const confirmPath = `${devicePath}/confirm`;
const pairingCookie = 'poort_pairing';
/** What only this browser has, and the code that was typed in it last. */
const kept = /^([A-Za-z0-9_-]{43})(?:\.([A-Z]{8}))?$/;

/** Somebody at the page that compares. */
interface Comparing {
  readonly ctx: Context;
  readonly state: PageState;
  readonly key: PairingKey;
  readonly request: PairingRequest;
  readonly locale: Locale;
}

export function mountDevicePages(router: Router<PageState>, options: VisitorPagesOptions): void {
  const kit = createVisitorPages(options);
  const { publicUrl, bodyLimitBytes } = options.config.http;
  const secure = publicUrl.startsWith('https:');
  const formTokens = createFormTokens(options.sealer.deriveAll('form-tokens'));
  const addressOf = ({ engine }: PageState, path: string): string => `${publicUrl}/t/${engine.tenant.slug}${path}`;

  router.get(`/t/:slug${devicePath}`, (ctx) => {
    if (!ctx.state.engine.protocol.device_grant) return;
    const visit = kit.open(ctx, ctx.state, 'device');
    const { user_code: given } = ctx.query;
    showDevice(kit, visit, { userCode: typeof given === 'string' ? parseUserCode(given) : undefined });
  });

  router.post(`/t/:slug${devicePath}`, async (ctx) => {
    const { engine, exchange } = ctx.state;
    if (!engine.protocol.device_grant) return;
    const { visit, form, isFresh } = await kit.read(ctx, ctx.state, { page: 'device', schema: codeForm });
    const typed = form.user_code;
    if (form.ui_locales !== undefined) return showDevice(kit, visit, { userCode: typed });
    if (!isFresh) return showDevice(kit, visit, { userCode: typed, error: 'stale_form', status: 403 });
    if (typed.trim() === '') return showDevice(kit, visit, { error: 'missing', status: 400 });

    const browser = pairingOf(ctx).browser ?? randomValue();
    const attempt = { tenantId: visit.tenant.id, browser };
    const counted = await countUserCode(visit.context, attempt);
    if (counted.outcome === 'throttled')
      return showDevice(kit, visit, { userCode: typed, ...waitingFor(visit, counted) });
    const userCode = parseUserCode(typed);
    const claimed = userCode === undefined ? 'unknown' : await engine.claimPairing(exchange, { userCode, browser });
    if (userCode === undefined || claimed === 'unknown') {
      keepPairing(ctx, ctx.state, browser);
      return showDevice(kit, visit, { userCode: typed, error: 'unknown', status: 400 });
    }
    await forgiveUserCode(visit.context, attempt);
    keepPairing(ctx, ctx.state, `${browser}.${userCode}`);
    kit.goOn(visit, { page: 'device/confirm' });
  });

  router.get(`/t/:slug${confirmPath}`, async (ctx) => {
    const { engine, exchange } = ctx.state;
    if (!engine.protocol.device_grant) return;
    const key = keyOf(ctx);
    if (key === undefined) return goTo(ctx, addressOf(ctx.state, devicePath));
    const found = await engine.findPairing(exchange, key);
    switch (found.outcome) {
      case 'pending':
        return showConfirm(comparing(ctx, ctx.state, key, found.request));
      case 'sign_in':
        return askToSignIn(ctx, ctx.state, found.demand);
      case 'refused':
        return showResult(ctx, ctx.state, found.reason);
      case 'answered':
        return showResult(ctx, ctx.state, found.decision === 'allow' ? 'allowed' : 'denied');
      case 'unknown':
        return showUnknown(ctx, ctx.state);
      default: {
        const never: never = found;
        return never;
      }
    }
  });

  router.post(`/t/:slug${confirmPath}`, async (ctx) => {
    const { engine, exchange } = ctx.state;
    if (!engine.protocol.device_grant) return;
    if (isCrossSite(ctx.headers, publicUrl)) throw new ProblemRaised(problems.crossSite());
    const form = parseForm(answerForm, await readFormBody(ctx.req, bodyLimitBytes));
    const key = keyOf(ctx);
    const session = await engine.findOwnSession(exchange);
    // A form of another browser, person or code is nobody's.
    const subject = key && session && subjectOf(ctx.state, { key, accountId: session.accountId });
    if (key === undefined || subject === undefined || !formTokens.accepts(form.csrf, subject))
      throw new ProblemRaised(problems.staleForm());
    const deviceName = deviceText(form.device_name);
    const isAnswer = form.ui_locales === undefined && form.decision !== undefined;
    if (!isAnswer || (form.decision === 'allow' && deviceName === undefined)) {
      const found = await engine.findPairing(exchange, key);
      if (found.outcome !== 'pending') return goTo(ctx, addressOf(ctx.state, confirmPath));
      const visit = comparing(ctx, ctx.state, key, found.request, form.ui_locales);
      const error = isAnswer ? ({ error: 'name', status: 400 } as const) : {};
      return showConfirm(visit, { deviceName: form.device_name, ...error });
    }
    const answered = await engine.answerPairing(exchange, {
      ...key,
      decision: form.decision ?? 'deny',
      deviceName: deviceName ?? '',
      tell: (transaction, accountId) =>
        notifyMember(options.visitorServices satisfies MailContext, transaction, {
          tenantId: engine.tenant.id,
          userId: userId(accountId),
          origin: exchange.origin,
          mail: { kind: 'device_paired', device: deviceName ?? '' },
        }),
    });
    switch (answered.outcome) {
      case 'allowed':
      case 'denied':
        return goTo(ctx, addressOf(ctx.state, confirmPath));
      case 'sign_in':
        return askToSignIn(ctx, ctx.state, answered.demand);
      case 'refused':
        return showResult(ctx, ctx.state, answered.reason);
      case 'unknown':
        return showUnknown(ctx, ctx.state);
      default: {
        const never: never = answered;
        return never;
      }
    }
  });

  // The address sign-in comes back to holds a code: nobody can use it, but it need not stay in sight either.
  router.get(`/t/:slug${signedInPaths.device}`, async (ctx) => {
    const { engine, exchange } = ctx.state;
    if (!engine.protocol.device_grant) return;
    const { error } = ctx.query;
    const signedIn = error === undefined && (await engine.findOwnSession(exchange)) !== undefined;
    if (signedIn) return goTo(ctx, addressOf(ctx.state, confirmPath));
    // To send them to sign-in again would send them in circles.
    showPage(ctx, {
      name: 'problem',
      model: { kind: error === undefined ? 'cookies' : 'refused', at: options.visitorServices.clock() },
      status: 400,
      ...shellOf(ctx, ctx.state),
    });
  });

  function askToSignIn(ctx: Context, { engine }: PageState, demand: PairingDemand): void {
    goTo(ctx, engine.signInAddress({ returnTo: 'device', ...demand }));
  }

  function keepPairing(ctx: Context, { engine }: PageState, value: string): void {
    ctx.cookies.set(pairingCookie, value, {
      path: `/t/${engine.tenant.slug}${devicePath}`,
      httpOnly: true,
      sameSite: 'lax',
      secure,
      signed: false,
      overwrite: true,
    });
  }

  function subjectOf(
    { engine }: PageState,
    { key, accountId }: { readonly key: PairingKey; readonly accountId: string },
  ): string {
    return `${engine.tenant.id}:pairing:${accountId}:${key.browser}:${key.userCode}`;
  }

  function comparing(
    ctx: Context,
    state: PageState,
    key: PairingKey,
    request: PairingRequest,
    chosen?: Locale,
  ): Comparing {
    const { tenant } = state.engine;
    const locale = chosen ?? localeOf(ctx, tenant, { profile: request.account.locale ?? undefined });
    if (chosen !== undefined) rememberLocale(ctx, { locale, path: `/t/${tenant.slug}`, secure });
    return { ctx, state, key, request, locale };
  }

  function showConfirm(
    { ctx, state, key, request, locale }: Comparing,
    { status = 200, ...again }: Pick<Partial<DeviceConfirmModel>, 'deviceName' | 'error'> & { status?: number } = {},
  ): void {
    const yourAddress = state.exchange.origin.ip;
    const { account, applicationName, device, scopes, askedAt, askedFrom } = request;
    showPage(ctx, {
      name: 'device_confirm',
      model: {
        action: addressOf(state, confirmPath),
        csrf: formTokens.issue(subjectOf(state, { key, accountId: account.id })),
        userCode: key.userCode,
        account: account.email,
        deviceName: device.name ?? device.model ?? shortenedDeviceText(applicationName),
        ...{ applicationName, device, scopes, askedAt, askedFrom, yourAddress },
        network: networkSeen(askedFrom, yourAddress),
        ...again,
      },
      status,
      ...shellOf(ctx, state),
      locale,
      applicationName,
      languageSwitch: { kind: 'form' },
    });
  }

  function showResult(ctx: Context, state: PageState, what: DeviceResult): void {
    const isRefused = what === 'role' || what === 'too_many';
    showPage(ctx, {
      name: 'device_result',
      model: { what, devicesAddress: addressOf(state, `${accountPath}/devices`) },
      status: isRefused ? 403 : 200,
      ...shellOf(ctx, state),
      languageSwitch: { kind: 'link', address: new URL(addressOf(state, confirmPath)).pathname },
    });
  }

  /** The code that was claimed here is over: back to where one is typed. */
  function showUnknown(ctx: Context, state: PageState): void {
    showDevice(kit, kit.open(ctx, state, 'device'), { error: 'unknown', status: 400 });
  }
}

function shellOf(ctx: Context, { engine, exchange }: PageState) {
  return { locale: localeOf(ctx, engine.tenant), tenant: engine.tenant, requestId: exchange.requestId };
}

function showDevice(
  kit: VisitorPagesKit,
  visit: Visit,
  { status, ...more }: Pick<DeviceModel, 'userCode' | 'error' | 'retryAfterMinutes'> & { status?: number },
): void {
  const model = { action: visit.address, csrf: visit.csrf, ...more };
  kit.show(visit, { name: 'device', model, status, languageSwitch: { kind: 'form' } });
}

function pairingOf(ctx: Context): { readonly browser: string | undefined; readonly userCode: string | undefined } {
  const [, browser, userCode] = kept.exec(ctx.cookies.get(pairingCookie) ?? '') ?? [];
  return { browser, userCode };
}

function keyOf(ctx: Context): PairingKey | undefined {
  const { browser, userCode } = pairingOf(ctx);
  const code = userCode === undefined ? undefined : parseUserCode(userCode);
  return browser === undefined || code === undefined ? undefined : { browser, userCode: code };
}

/** Nothing but what the addresses say: an IPv6 network is its /64, an IPv4 one the address that a household shares. */
function networkSeen(one: string | undefined, other: string | undefined): NetworkSeen {
  const [first, second] = [canonicalAddress(one), canonicalAddress(other)];
  if (first === 'unknown' || second === 'unknown') return 'unknown';
  return first === second ? 'same' : 'other';
}
