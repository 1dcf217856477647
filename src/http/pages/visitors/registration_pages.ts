/** `/signup` and `/verify`: how somebody asks for an account, and how a mailed link or code comes back. Neither signs anybody in. */
import type Router from '@koa/router';
import { z } from 'zod';
import { requestRegistration } from '#src/flows/proofs/register.ts';
import { lookAtHandle, lookAtLink, type Verifiable, verifyShown } from '#src/flows/proofs/verify.ts';
import { field, localeField, type PageState } from '../interaction/interaction_step.ts';
import type { EnterCodeModel, Finished, SignUpClosedModel, SignUpModel, VerifyModel } from './visitor_models.ts';
import {
  createVisitorPages,
  interactionIn,
  signInAddressOf,
  type Visit,
  type VisitorPagesKit,
  type VisitorPagesOptions,
  waitingFor,
} from './visitor_pages.ts';

const signUpForm = z.strictObject({
  csrf: field.default(''),
  email: field.default(''),
  password: field.default(''),
  given_name: field.default(''),
  family_name: field.default(''),
  username: field.default(''),
  interaction: field.optional(),
  ui_locales: localeField,
});

const verifyForm = z.strictObject({
  csrf: field.default(''),
  token: field.optional(),
  code: field.default(''),
  password: field.default(''),
  ui_locales: localeField,
});

type SignUpForm = z.infer<typeof signUpForm>;
type VerifyForm = z.infer<typeof verifyForm>;

export function mountRegistrationPages(router: Router<PageState>, options: VisitorPagesOptions): void {
  const kit = createVisitorPages(options);

  router.get('/t/:slug/signup', (ctx) => {
    const visit = kit.open(ctx, ctx.state, 'signup');
    const interaction = interactionIn(ctx.query['interaction']);
    showSignUp(kit, visit, { interaction, form: undefined });
  });

  router.post('/t/:slug/signup', async (ctx) => {
    const { visit, form, isFresh } = await kit.read(ctx, ctx.state, { page: 'signup', schema: signUpForm });
    const interaction = interactionIn(form.interaction);
    const again = (more: SignUpAgain) => showSignUp(kit, visit, { interaction, form, ...more });
    if (form.ui_locales !== undefined) return again({});
    if (!isFresh) return again({ error: 'stale_form', status: 403 });
    const registered = await requestRegistration(visit.context, {
      tenant: visit.tenant,
      email: form.email,
      password: form.password,
      givenName: form.given_name,
      familyName: form.family_name,
      username: form.username,
      interaction,
    });
    switch (registered.outcome) {
      case 'sent':
        kit.keepHandle(visit, { page: 'verify', ...registered });
        return kit.goOn(visit, { page: 'verify' });
      case 'closed':
        return showSignUp(kit, visit, { interaction, form: undefined, status: 403 });
      case 'invalid':
        return again({ problems: registered.problems, status: 400 });
      case 'throttled':
      case 'busy':
        return again(waitingFor(visit, registered));
      default: {
        const never: never = registered;
        return never;
      }
    }
  });

  router.get('/t/:slug/verify', async (ctx) => {
    const visit = kit.open(ctx, ctx.state, 'verify');
    const done = finishedOf(ctx.query['done']);
    if (done !== undefined) return showFinished(kit, visit, { what: done, interaction: ctx.query['interaction'] });
    const { token } = ctx.query;
    if (typeof token === 'string') return showLink(kit, visit, { token });
    return showEnterCode(kit, visit, {});
  });

  router.post('/t/:slug/verify', async (ctx) => {
    const { visit, form, isFresh } = await kit.read(ctx, ctx.state, { page: 'verify', schema: verifyForm });
    return form.token === undefined
      ? answerCode(kit, visit, { form, isFresh })
      : answerLink(kit, visit, { form, isFresh, token: form.token });
  });
}

interface SignUpAgain extends Pick<SignUpModel, 'error' | 'problems' | 'retryAfterMinutes'> {
  readonly status?: number;
}

function showSignUp(
  kit: VisitorPagesKit,
  visit: Visit,
  {
    interaction,
    form,
    status,
    ...again
  }: SignUpAgain & { readonly interaction: string | undefined; readonly form: SignUpForm | undefined },
): void {
  const { policy } = visit.tenant;
  const signInAddress = signInAddressOf(visit, interaction);
  if (policy['people.registration'] !== 'open') {
    showClosed(kit, visit, { policy: policy['people.registration'], signInAddress, status });
    return;
  }
  kit.show(visit, {
    name: 'signup',
    status,
    languageSwitch: { kind: 'form' },
    model: {
      action: visit.address,
      csrf: visit.csrf,
      email: form?.email,
      givenName: form?.given_name,
      familyName: form?.family_name,
      username: policy['people.usernames'] ? (form?.username ?? '') : undefined,
      rules: policy,
      interaction,
      signInAddress,
      terms: policy['links.terms'],
      privacy: policy['links.privacy'],
      ...again,
    },
  });
}

function showClosed(
  kit: VisitorPagesKit,
  visit: Visit,
  { status, ...closed }: Omit<SignUpClosedModel, 'help'> & { readonly status: number | undefined },
): void {
  const model = { ...closed, help: visit.tenant.policy['links.help'] };
  const languageSwitch = { kind: 'link', address: new URL(visit.address).pathname } as const;
  kit.show(visit, { name: 'signup_closed', model, status, languageSwitch });
}

async function showEnterCode(
  kit: VisitorPagesKit,
  visit: Visit,
  { status, ...again }: Pick<EnterCodeModel, 'error' | 'retryAfterMinutes'> & { readonly status?: number },
): Promise<void> {
  const handle = kit.handleOf(visit);
  const waiting = handle && (await lookAtHandle(visit.context, { tenant: visit.tenant, handle }));
  if (waiting === undefined || waiting === '') return showOver(kit, visit);
  const { pathname } = new URL(visit.address);
  const againAddress = `${pathname.slice(0, -visit.page.length)}signup`;
  const model = { action: visit.address, csrf: visit.csrf, address: waiting.address, againAddress, ...again };
  kit.show(visit, { name: 'enter_code', model, status, languageSwitch: { kind: 'link', address: pathname } });
}

async function answerCode(
  kit: VisitorPagesKit,
  visit: Visit,
  { form, isFresh }: { readonly form: VerifyForm; readonly isFresh: boolean },
): Promise<void> {
  if (form.ui_locales !== undefined) return showEnterCode(kit, visit, {});
  if (!isFresh) return showEnterCode(kit, visit, { error: 'stale_form', status: 403 });
  const handle = kit.handleOf(visit);
  if (handle === undefined) return showOver(kit, visit);
  if (form.code.trim() === '') return showEnterCode(kit, visit, { error: 'missing', status: 400 });
  const shown = { kind: 'code', handle, code: form.code } as const;
  const verified = await verifyShown(visit.context, { tenant: visit.tenant, shown });
  switch (verified.outcome) {
    case 'verified':
      return finish(kit, visit, verified);
    case 'wrong_code':
      return showEnterCode(kit, visit, { error: 'wrong_code', status: 400 });
    case 'throttled':
    case 'busy':
      return showEnterCode(kit, visit, waitingFor(visit, verified));
    case 'gone':
    case 'wrong_password':
    case 'elsewhere':
      return showOver(kit, visit);
    default: {
      const never: never = verified;
      return never;
    }
  }
}

async function showLink(
  kit: VisitorPagesKit,
  visit: Visit,
  {
    token,
    status,
    ...again
  }: Pick<VerifyModel, 'error' | 'retryAfterMinutes'> & { readonly token: string; readonly status?: number },
): Promise<void> {
  const handle = kit.handleOf(visit);
  const found = await lookAtLink(visit.context, { tenant: visit.tenant, token, handle });
  if (found === undefined) return showOver(kit, visit);
  const { address, needsPassword } = found;
  const purpose = purposeOf(found);
  const model = { action: visit.address, csrf: visit.csrf, token, purpose, address, needsPassword, ...again };
  kit.show(visit, { name: 'verify', model, status, languageSwitch: { kind: 'form' } });
}

function purposeOf({ purpose, joins }: Verifiable): VerifyModel['purpose'] {
  return joins ? 'join' : purpose;
}

async function answerLink(
  kit: VisitorPagesKit,
  visit: Visit,
  { form, isFresh, token }: { readonly form: VerifyForm; readonly isFresh: boolean; readonly token: string },
): Promise<void> {
  if (form.ui_locales !== undefined) return showLink(kit, visit, { token });
  if (!isFresh) return showLink(kit, visit, { token, error: 'stale_form', status: 403 });
  const handle = kit.handleOf(visit);
  const found = await lookAtLink(visit.context, { tenant: visit.tenant, token, handle });
  if (found === undefined) return showOver(kit, visit);
  if (found.needsPassword && form.password === '')
    return showLink(kit, visit, { token, error: 'missing', status: 400 });
  const shown = { kind: 'link', token, handle } as const;
  const verified = await verifyShown(visit.context, { tenant: visit.tenant, shown, password: form.password });
  switch (verified.outcome) {
    case 'verified':
      return finish(kit, visit, verified);
    case 'wrong_password':
    case 'elsewhere':
      return showLink(kit, visit, { token, error: verified.outcome, status: 400 });
    case 'throttled':
    case 'busy':
      return showLink(kit, visit, { token, ...waitingFor(visit, verified) });
    case 'gone':
    case 'wrong_code':
      return showOver(kit, visit);
    default: {
      const never: never = verified;
      return never;
    }
  }
}

const finishedWords: ReadonlySet<unknown> = new Set<Finished>([
  'registered',
  'joined',
  'member_already',
  'verified',
  'email_changed',
  'unlocked',
]);

function finishedOf(value: unknown): Finished | undefined {
  return finishedWords.has(value) ? (value as Finished) : undefined; // just looked up
}

function finish(
  kit: VisitorPagesKit,
  visit: Visit,
  {
    what,
    interaction,
    address,
  }: { readonly what: Finished; readonly interaction: string | undefined; readonly address: string },
): void {
  const back = interactionIn(interaction);
  kit.keepAddress(visit, address);
  kit.goOn(visit, { page: 'verify', query: { done: what, ...(back === undefined ? {} : { interaction: back }) } });
}

export function showFinished(
  kit: VisitorPagesKit,
  visit: Visit,
  { what, interaction }: { readonly what: Finished; readonly interaction: unknown },
): void {
  const back = interactionIn(interaction);
  const { pathname } = new URL(visit.address);
  const address = `${pathname}?${new URLSearchParams({ done: what, ...(back === undefined ? {} : { interaction: back }) })}`;
  const model = { what, signInAddress: signInAddressOf(visit, back) };
  kit.show(visit, { name: 'finished', model, languageSwitch: { kind: 'link', address } });
}

/** Used, expired, replaced or never there: nobody learns which. */
export function showOver(kit: VisitorPagesKit, visit: Visit): void {
  const { pathname } = new URL(visit.address);
  const below = pathname.slice(0, -visit.page.length);
  const again = visit.page === 'reset' ? `${below}forgot` : undefined;
  const model = { againAddress: again, signInAddress: signInAddressOf(visit, undefined) };
  kit.show(visit, { name: 'link_over', model, status: 400 });
}
