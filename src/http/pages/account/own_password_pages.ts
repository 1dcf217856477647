/** Where somebody chooses another password: who is signed in must also know the one they have, and a guess at it is counted. */
import type Router from '@koa/router';
import { z } from 'zod';
import { ownPagesClientId } from '#adapters/artifacts_adapter.ts';
import { minimumCharacters } from '#src/domain/password_policy.ts';
import { hasSecondFactor } from '#src/domain/second_factor.ts';
import { changePassword } from '#src/flows/people/change_password.ts';
import { confirmPassword } from '#src/flows/sign_in/confirm_password.ts';
import { accountPath } from '#src/oidc/provider.ts';
import { field, goTo, type PageState, parseForm } from '../interaction/interaction_step.ts';
import {
  type AccountPagesOptions,
  asOwner,
  formOf,
  inLocale,
  noticeOf,
  ownerOf,
  ownForm,
  showOwnPage,
} from './account_page_kit.ts';
import { FRESH_SECONDS, type OwnPagesKit, type OwnVisit } from './own_pages.ts';
import type { OwnPasswordError } from './own_password_models.ts';

const path = `${accountPath}/password` as const;
const wanted = { path, freshSeconds: FRESH_SECONDS };
const passwordForm = z.strictObject({ ...ownForm, password: field.default(''), new_password: field.default('') });

export function mountOwnPasswordPage(router: Router<PageState>, kit: OwnPagesKit, options: AccountPagesOptions): void {
  const { accountServices: services, signInServices } = options;

  router.get(`/t/:slug${path}`, async (ctx) => {
    const visit = await kit.requireOwnSession(ctx, ctx.state, wanted);
    if (visit !== undefined) show(visit, {});
  });

  router.post(`/t/:slug${path}`, async (ctx) => {
    const sent = await kit.readOwnForm(ctx, ctx.state, wanted);
    if (sent === undefined) return;
    const { visit } = sent;
    const form = parseForm(passwordForm, sent.fields);
    if (form.ui_locales !== undefined) return show(inLocale(options, visit, form.ui_locales), {});
    if (form.password === '') return show(visit, { error: { kind: 'missing_current' }, status: 400 });
    if (form.new_password === '') return show(visit, { error: { kind: 'missing_new' }, status: 400 });
    const refused = await change(visit, form);
    if (refused !== undefined) return show(visit, refused);
    await visit.state.engine.renewOwnSession(visit.state.exchange);
    goTo(ctx, `${kit.addressOf(ctx.state, path)}?done=changed`);
  });

  /** What to say when nothing was changed. */
  async function change(visit: OwnVisit, form: z.infer<typeof passwordForm>): Promise<Shown | undefined> {
    const { tenantId, userId } = ownerOf(visit);
    const { person, session, state } = visit;
    const { origin } = state.exchange;
    const { password } = form;
    const asked = { tenantId, person, password, clientId: ownPagesClientId, origin };
    const confirmed = await confirmPassword(signInServices, asked);
    if (confirmed.outcome === 'wrong') return { error: { kind: 'wrong' }, status: 400 };
    if (confirmed.outcome !== 'confirmed') return later(confirmed);
    const changed = await changePassword(asOwner(services, visit), {
      tenantId,
      userId,
      password: form.new_password,
      settings: state.engine.people,
      hasSecondFactor: hasSecondFactor({ totp: person.totp, passkeys: person.passkeys }),
      event: 'password.changed',
      verifiedHash: confirmed.hash,
      keptSessionId: session.uid,
    });
    switch (changed.outcome) {
      case 'changed':
        return undefined;
      case 'unacceptable':
        return { error: { kind: 'unacceptable', reason: changed.reason }, status: 400 };
      case 'busy':
        return later(changed);
      case 'lost_race':
      case 'not_proven':
      case 'unknown':
        return { error: { kind: 'lost_race' }, status: 409 };
      default: {
        const never: never = changed;
        return never;
      }
    }
  }

  function show(visit: OwnVisit, { error, status, retryAfterSeconds }: Shown): void {
    if (retryAfterSeconds !== undefined) visit.ctx.set('retry-after', String(retryAfterSeconds));
    const { person, state } = visit;
    const held = hasSecondFactor({ totp: person.totp, passkeys: person.passkeys });
    showOwnPage(visit, {
      name: 'account_password',
      status,
      languageSwitch: { kind: 'form' },
      model: {
        ...formOf(kit, visit),
        account: person.email,
        minimumCharacters: minimumCharacters(state.engine.people, held),
        error,
        notice: error === undefined ? noticeOf(visit, ['changed']) : undefined,
      },
    });
  }
}

function later({ outcome, retryAfterSeconds }: Later): Shown {
  if (outcome === 'busy') return { error: { kind: 'busy' }, status: 503, retryAfterSeconds };
  return { error: { kind: 'throttled', retryAfterMinutes: retryAfterSeconds / 60 }, status: 429, retryAfterSeconds };
}

interface Later {
  readonly outcome: 'throttled' | 'busy';
  readonly retryAfterSeconds: number;
}

interface Shown {
  readonly error?: OwnPasswordError;
  readonly status?: number;
  readonly retryAfterSeconds?: number;
}
