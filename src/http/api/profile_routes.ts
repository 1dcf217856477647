/** A person's own account over REST: names, password, what is known of them, and leaving. Whose it is comes from the token alone. */
import { z } from 'zod';
import type { Config } from '#config/config.ts';
import { hasSecondFactor } from '#src/domain/second_factor.ts';
import { issuerOf } from '#src/domain/tenant.ts';
import { type UserId, userId } from '#src/domain/user.ts';
import type { FlowContext } from '#src/flows/flow_context.ts';
import { changePassword } from '#src/flows/people/change_password.ts';
import { exportPerson } from '#src/flows/people/export_person.ts';
import type { PasswordJudges } from '#src/flows/people/judge_password.ts';
import { requestDeletion } from '#src/flows/people/leave_tenant.ts';
import { readOwnProfile } from '#src/flows/people/own_profile.ts';
import { type ProfileFault, updateProfile } from '#src/flows/people/update_profile.ts';
import type { SignInServices } from '#src/flows/sign_in/authentication_steps.ts';
import { confirmPassword } from '#src/flows/sign_in/confirm_password.ts';
import type { TokenCaller } from '#src/oidc/own_access_tokens.ts';
import { accountPath } from '#src/oidc/provider.ts';
import type { AccountServices } from '../pages/account/account_page_kit.ts';
import { ProblemRaised, problems } from '../problems.ts';
import { bearer } from './chains.ts';
import { ownProof, personOf, requireFresh, secretText, wrongPassword } from './freshness.ts';
import { line, refuseField } from './input.ts';
import { passwordWords, presentProfile, profileShape } from './profiles.ts';
import { type ApiAnswer, type ApiRequest, type ApiRoute, route } from './routes.ts';

export interface ProfileRoutesOptions {
  readonly config: Config;
  readonly accountServices: AccountServices;
  readonly signInServices: SignInServices;
}

export const ownAccount = bearer({ kinds: ['user'], firstParty: true });
const profile = profileShape.meta({ id: 'Profile' });
const profilePath = '/api/v1/user/profile';

/** Null or nothing takes it away; what is not sent stays. */
const name = z.union([line(100), z.literal(''), z.null()]);
const profileChange = z.strictObject({
  given_name: name.optional(),
  first_name: name.optional(),
  family_name: name.optional(),
  last_name: name.optional(),
  full_name: line(200).optional(),
  username: z
    .union([line(64), z.literal(''), z.null()])
    .optional()
    .describe('Where the tenant has them.'),
  locale: z.enum(['nl', 'en']).nullable().optional(),
});

const passwordChange = z
  .strictObject({
    current_password: secretText.optional(),
    old_password: secretText.optional().describe('The same, as an earlier service called it.'),
    new_password: secretText,
  })
  .refine(({ current_password, old_password }) => (current_password === undefined) !== (old_password === undefined), {
    message: 'is missing',
    path: ['current_password'],
  });

const departure = z.strictObject(ownProof);

type AnyRequest<Body = unknown> = ApiRequest<TokenCaller, Body, unknown>;

export function profileRoutes(options: ProfileRoutesOptions): readonly ApiRoute[] {
  const { config, accountServices, signInServices } = options;

  return [
    route({
      summary: 'Your own profile',
      method: 'GET',
      path: profilePath,
      chain: ownAccount,
      answers: profile,
      handle: show,
    }),
    route({
      summary: 'Change your names and your language',
      method: 'PUT',
      path: profilePath,
      chain: ownAccount,
      body: profileChange,
      answers: profile,
      handle: change,
    }),
    route({
      summary: 'Choose another password; every other session ends',
      method: 'POST',
      path: '/api/v1/user/change-password',
      chain: ownAccount,
      body: passwordChange,
      answers: z.object({ status: z.literal('password_changed') }),
      handle: replacePassword,
    }),
    route({
      summary: 'Everything that is known of you here',
      method: 'GET',
      path: '/api/v1/user/export',
      chain: ownAccount,
      answers: z.looseObject({ exported_at: z.iso.datetime(), profile: z.looseObject({ sub: z.uuid() }) }),
      async handle(request) {
        const { caller, engine } = request;
        const person = await personOf(signInServices, request, caller);
        await requireFresh(signInServices, request, { caller, person });
        const issuer = issuerOf(engine.tenant, config.http.publicUrl);
        const owner = { tenantId: engine.tenant.id, userId: person.id };
        const exported = await exportPerson(asOwner(request), { ...owner, tenantName: engine.tenant.name, issuer });
        if (exported === undefined) throw new ProblemRaised(problems.notFound());
        return { status: 200, body: exported };
      },
    }),
    route({
      summary: 'Leave this tenant, after some days in which it can be undone on the hosted pages',
      method: 'DELETE',
      path: '/api/v1/user',
      chain: ownAccount,
      body: departure,
      statuses: [200, 202],
      answers: z.object({ status: z.enum(['deletion_requested', 'deleted']), due_at: z.iso.datetime().nullable() }),
      handle: leave,
    }),
  ];

  async function show(request: AnyRequest): Promise<ApiAnswer> {
    const found = await readOwnProfile(signInServices, ownerOf(request));
    if (found === undefined) throw new ProblemRaised(problems.notFound());
    return { status: 200, body: presentProfile(found) };
  }

  async function change(request: AnyRequest<z.infer<typeof profileChange>>): Promise<ApiAnswer> {
    const owner = ownerOf(request);
    const before = await readOwnProfile(signInServices, owner);
    if (before === undefined) throw new ProblemRaised(problems.notFound());
    const { body: sent, engine } = request;
    const mayBeNamed = engine.people['people.usernames'];
    if (sent.username !== undefined && !mayBeNamed)
      throw new ProblemRaised(refuseField('#/username', { code: 'unknown', detail: 'is not used by this tenant' }));
    const [first = '', ...rest] = sent.full_name?.split(/\s+/) ?? [];
    const wished = {
      givenName: firstSaid(sent.given_name, sent.first_name, sent.full_name && first, before.given_name),
      familyName: firstSaid(sent.family_name, sent.last_name, sent.full_name && rest.join(' '), before.family_name),
      locale: (sent.locale === undefined ? before.locale : sent.locale) ?? '',
      username: mayBeNamed ? firstSaid(sent.username, before.username) : undefined,
    } as const;
    const updated = await updateProfile(asOwner(request), { ...owner, ...wished });
    if (updated.outcome === 'unknown') throw new ProblemRaised(problems.notFound());
    if (updated.outcome === 'refused')
      throw new ProblemRaised(problems.invalidFields(updated.faults.map(presentFault)));
    return show(request);
  }

  async function replacePassword(request: AnyRequest<z.infer<typeof passwordChange>>): Promise<ApiAnswer> {
    const { caller, body, engine, exchange } = request;
    const { current_password: current, old_password: old = '', new_password: password } = body;
    const person = await personOf(signInServices, request, caller);
    const confirmed = await confirmPassword(signInServices, {
      tenantId: engine.tenant.id,
      person,
      password: current ?? old,
      clientId: caller.clientId,
      origin: exchange.origin,
    });
    if (confirmed.outcome === 'wrong')
      throw new ProblemRaised(wrongPassword(current === undefined ? '#/old_password' : '#/current_password'));
    if (confirmed.outcome === 'throttled')
      throw new ProblemRaised(problems.tooManyRequests(confirmed.retryAfterSeconds));
    if (confirmed.outcome !== 'confirmed') throw new ProblemRaised(problems.unavailable(confirmed.retryAfterSeconds));
    const changed = await changePassword(asOwner(request), {
      ...ownerOf(request),
      password,
      settings: engine.people,
      hasSecondFactor: hasSecondFactor({ totp: person.totp, passkeys: person.passkeys }),
      event: 'password.changed',
      verifiedHash: confirmed.hash,
      keptSessionId: caller.session?.id,
    });
    switch (changed.outcome) {
      case 'changed':
        return { status: 200, body: { status: 'password_changed' } };
      case 'unacceptable': {
        const { reason } = changed;
        throw new ProblemRaised(refuseField('#/new_password', { code: reason, detail: passwordWords[reason] }));
      }
      case 'busy':
        throw new ProblemRaised(problems.unavailable(changed.retryAfterSeconds));
      case 'lost_race':
      case 'not_proven':
      case 'unknown':
        throw new ProblemRaised(problems.lostRace());
      default: {
        const never: never = changed;
        return never;
      }
    }
  }

  async function leave(request: AnyRequest<z.infer<typeof departure>>): Promise<ApiAnswer> {
    const { caller, body: proof, engine } = request;
    if (engine.people['people.account_deletion'] !== 'self') throw new ProblemRaised(problems.notYoursToDecide());
    const person = await personOf(signInServices, request, caller);
    await requireFresh(signInServices, request, { caller, person, proof });
    const issuer = issuerOf(engine.tenant, config.http.publicUrl);
    const requested = await requestDeletion(asOwner(request), {
      ...ownerOf(request),
      undoDays: engine.people['people.deletion_undo_days'],
      undoLink: `${issuer}${accountPath}/delete`,
    });
    switch (requested.outcome) {
      case 'requested':
      case 'requested_before':
        return { status: 202, body: { status: 'deletion_requested', due_at: requested.dueAt.toISOString() } };
      case 'deleted':
        return { status: 200, body: { status: 'deleted', due_at: null } };
      case 'last_administrator':
        throw new ProblemRaised(problems.notYoursToDecide());
      case 'unknown':
        throw new ProblemRaised(problems.notFound());
      default: {
        const never: never = requested;
        return never;
      }
    }
  }

  function asOwner({ caller, exchange }: AnyRequest): FlowContext & PasswordJudges {
    return { ...accountServices, actor: { type: 'user', id: caller.userId }, origin: exchange.origin };
  }
}

export function ownerOf({ caller, engine }: AnyRequest): {
  readonly tenantId: AnyRequest['engine']['tenant']['id'];
  readonly userId: UserId;
} {
  return { tenantId: engine.tenant.id, userId: userId(caller.userId ?? '') };
}

/** Of what was sent under several names, and what is there already: the first that says something. */
function firstSaid(...values: readonly (string | null | undefined)[]): string {
  return values.find((value) => value !== undefined) ?? '';
}

function presentFault({ field, reason }: ProfileFault) {
  const detail = reason === 'taken' ? 'is taken' : 'is no such name';
  return { pointer: `#/${field}`, code: reason, detail };
}
