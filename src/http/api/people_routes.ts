/**
 * A tenant's people, for whoever administers it: finding them, making, changing and removing memberships, and what hangs on one. The person
 * behind a membership is theirs; what follows from that is in flows/people/administer_members.ts.
 */
import { z } from 'zod';
import { userId } from '#src/domain/user.ts';
import { listOwnApiKeys } from '#src/flows/access/manage_api_keys.ts';
import type { FlowContext } from '#src/flows/flow_context.ts';
import {
  changeMember,
  type DeedRefusal,
  judgeDeed,
  type MemberDeed,
  removeMember,
  resetMemberFactors,
  signMemberOut,
  unlockMember,
} from '#src/flows/people/administer_members.ts';
import { type CreateMemberOutcome, createMember } from '#src/flows/people/create_member.ts';
import { searchMembers, showMemberById } from '#src/flows/people/find_members.ts';
import { listPersonConsents, revokeConsent } from '#src/flows/people/manage_consents.ts';
import { mailReset } from '#src/flows/proofs/recover.ts';
import type { VisitedTenant, VisitorServices } from '#src/flows/proofs/visitor_context.ts';
import { findTenantSessions } from '#src/flows/sessions/manage_sessions.ts';
import { isUuid } from '#src/foundation/identifiers.ts';
import type { TenantEngine } from '#src/oidc/tenant_engine.ts';
import { MEMBER_ORDERS } from '#src/storage/tables/members.ts';
import type { MemberRow } from '#src/storage/tables/people.ts';
import { type FieldFault, type Problem, ProblemRaised, problems } from '../problems.ts';
import { type ManagementCaller, permitted } from './chains.ts';
import { unchanged } from './entity_tags.ts';
import { instant, line } from './input.ts';
import { type ManagementServices, managementContext, openPlace, placeOfRow } from './management.ts';
import { answerList, listOf, listQuery } from './pages_of_lists.ts';
import { beyondFaults } from './role_routes.ts';
import { type ApiRequest, type ApiRoute, route } from './routes.ts';
import { presentSession, shownSession } from './session_routes.ts';

export interface PeopleRoutesOptions {
  readonly apiServices: ManagementServices;
  /** What a mail to somebody is written with. */
  readonly visitorServices: VisitorServices;
}

const path = '/api/v1/admin/users';
const one = `${path}/{id}` as const;
const time = z.iso.datetime();
const personName = line(100);
const locale = z.enum(['nl', 'en']);
const status = z.enum(['active', 'disabled']);

const shownUser = z
  .object({
    id: z.uuid().describe('The `sub` of their tokens'),
    email: z.string(),
    email_verified: z.boolean(),
    given_name: z.string().nullable(),
    family_name: z.string().nullable(),
    locale: locale.nullable(),
    username: z.string().nullable().describe('To sign in with at this tenant'),
    status: status.describe('Of the membership'),
    roles: z.array(z.string()).describe('Given to them; what they inherit is not among these'),
    created_at: time.describe('When they became a member'),
    last_sign_in_at: time.nullable(),
    deletion_due_at: time.nullable().describe('When they will be forgotten, because they wish to be'),
  })
  .meta({ id: 'User' });

const userQuery = listQuery.extend({
  q: line(100)
    .optional()
    .describe('The beginning of an address, a user name, a whole name, a family name or its last word'),
  email: line(254).optional().describe('The whole address'),
  status: status.optional(),
  role: line(63).optional().describe('The name of a role that they were given'),
  created_after: instant.optional(),
  created_before: instant.optional(),
  sort: z.enum(MEMBER_ORDERS).default('-created_at'),
});

const newUser = z.strictObject({
  email: line(254),
  password: z
    .string()
    .max(1024)
    .optional()
    .describe('Without one they choose it themselves, with a link that is mailed to them'),
  given_name: personName.optional(),
  family_name: personName.optional(),
  locale: locale.optional(),
  username: line(64).optional(),
  roles: z.array(line(63)).max(20).default([]).describe('Names of roles'),
});

const userChange = z.strictObject({
  status: status.optional(),
  username: line(64).nullable().optional(),
  given_name: personName.nullable().optional(),
  family_name: personName.nullable().optional(),
  locale: locale.nullable().optional(),
});

const shownConsent = z
  .object({
    client: z.object({ id: z.string(), name: z.string() }),
    rights: z.array(z.object({ name: z.string(), description: z.string().nullable() })),
    granted_at: time,
    updated_at: time,
  })
  .meta({ id: 'Consent' });

const shownKey = z
  .object({
    id: z.uuid(),
    name: z.string(),
    prefix: z.string(),
    scopes: z.array(z.string()),
    created_at: time,
    expires_at: time,
    last_used_at: time.nullable(),
  })
  .meta({ id: 'UserApiKey' });

export function peopleRoutes({ apiServices, visitorServices }: PeopleRoutesOptions): readonly ApiRoute[] {
  return [
    route({
      summary: 'Find people of the tenant',
      method: 'GET',
      path,
      chain: permitted('users:read'),
      query: userQuery,
      answers: listOf(shownUser),
      async handle({ engine, query }) {
        const rows = await searchMembers(apiServices, {
          tenantId: engine.tenant.id,
          text: query.q,
          email: query.email,
          status: query.status,
          role: query.role,
          createdAfter: query.created_after,
          createdBefore: query.created_before,
          order: query.sort,
          after: openPlace(query.cursor),
          limit: query.limit,
        });
        return { status: 200, body: answerList(rows, query, presentMember, placeOfRow) };
      },
    }),
    route({
      summary: 'Make somebody new a member; who has an account already is invited instead',
      method: 'POST',
      path,
      chain: permitted('users:write'),
      body: newUser,
      statuses: [201],
      answers: shownUser,
      async handle(request) {
        const { engine, caller, body } = request;
        const created = await createMember(mailing(request), {
          tenant: tenantOf(engine),
          email: body.email,
          password: body.password,
          givenName: body.given_name,
          familyName: body.family_name,
          locale: body.locale,
          username: body.username,
          roles: body.roles,
          by: caller.permissions,
        });
        if (created.outcome !== 'created') throw new ProblemRaised(notCreated(created));
        return { status: 201, body: presentMember(created.member) };
      },
    }),
    route({
      summary: 'One of the people of the tenant',
      method: 'GET',
      path: one,
      chain: permitted('users:read'),
      answers: shownUser,
      handle: async (request) => ({ status: 200, body: presentMember(await memberOf(request)) }),
    }),
    route({
      summary: 'Change a membership, and the person behind it as long as they are nobody else’s',
      method: 'PATCH',
      path: one,
      chain: permitted('users:write'),
      body: userChange,
      answers: shownUser,
      async handle(request) {
        const { body, engine } = request;
        if (typeof body.username === 'string' && !engine.people['people.usernames'])
          throw new ProblemRaised(problems.invalidFields([fieldFault('username', 'unacceptable')]));
        const changed = await changeMember(managementContext(apiServices, request), {
          ...deedOf(request),
          unchanged: unchanged(request, presentMember),
          change: {
            status: body.status,
            username: body.username,
            givenName: body.given_name,
            familyName: body.family_name,
            locale: body.locale,
          },
        });
        if (changed.outcome === 'refused')
          throw new ProblemRaised(
            problems.invalidFields(changed.faults.map(({ field, reason }) => fieldFault(field, reason))),
          );
        return { status: 200, body: presentMember(done(changed, 'changed').member) };
      },
    }),
    route({
      summary: 'Remove somebody from the tenant; the person goes with their last membership',
      method: 'DELETE',
      path: one,
      chain: permitted('users:write'),
      async handle(request) {
        const deed = { ...deedOf(request), unchanged: unchanged(request, presentMember) };
        done(await removeMember(managementContext(apiServices, request), deed), 'removed');
        return { status: 204 };
      },
    }),
    route({
      summary: 'Let somebody try their password again who was locked out',
      method: 'POST',
      path: `${one}/unlock`,
      chain: permitted('users:write'),
      async handle(request) {
        done(await unlockMember(managementContext(apiServices, request), deedOf(request)), 'unlocked');
        return { status: 204 };
      },
    }),
    route({
      summary: 'Mail somebody a link with which they choose another password',
      method: 'POST',
      path: `${one}/password-reset`,
      chain: permitted('users:write'),
      statuses: [202],
      answers: z.object({ mailed: z.boolean().describe('Not when they may not come in or were written to too often') }),
      async handle(request) {
        const context = mailing(request);
        done(await judgeDeed(context, deedOf(request)), 'allowed');
        const mailed = await mailReset(context, { tenant: tenantOf(request.engine), userId: idOf(request) });
        return { status: 202, body: { mailed } };
      },
    }),
    route({
      summary: 'Take every second factor away from somebody who has lost them, and tell them why',
      method: 'POST',
      path: `${one}/second-factor-reset`,
      chain: permitted('users:write'),
      body: z.strictObject({ reason: line(200) }),
      answers: z.object({ had: z.boolean().describe('Whether there was a second factor') }),
      async handle(request) {
        const deed = { ...deedOf(request), reason: request.body.reason };
        const { had } = done(await resetMemberFactors(managementContext(apiServices, request), deed), 'reset');
        return { status: 200, body: { had } };
      },
    }),
    route({
      summary: 'Where somebody is signed in',
      method: 'GET',
      path: `${one}/sessions`,
      chain: permitted('sessions:read'),
      query: listQuery,
      answers: listOf(shownSession),
      async handle(request) {
        const { query, engine } = request;
        const { id } = await memberOf(request);
        const search = {
          tenantId: engine.tenant.id,
          userId: id,
          before: openPlace(query.cursor),
          limit: query.limit + 1,
        };
        const sessions = await findTenantSessions(apiServices, search);
        return { status: 200, body: answerList(sessions, query, presentSession, placeOfRow) };
      },
    }),
    route({
      summary: 'Sign somebody out everywhere at this tenant',
      method: 'DELETE',
      path: `${one}/sessions`,
      chain: permitted('sessions:write'),
      async handle(request) {
        done(await signMemberOut(managementContext(apiServices, request), deedOf(request)), 'signed_out');
        return { status: 204 };
      },
    }),
    route({
      summary: 'What somebody has allowed applications to do',
      method: 'GET',
      path: `${one}/consents`,
      chain: permitted('users:read'),
      answers: listOf(shownConsent),
      async handle(request) {
        const { id } = await memberOf(request);
        const person = { tenantId: request.engine.tenant.id, userId: id };
        const consents = await listPersonConsents(managementContext(apiServices, request), person);
        const data = consents.map(({ clientId, name, rights, grantedAt, updatedAt }) => ({
          client: { id: clientId, name },
          rights: rights.map((right) => ({ name: right.name, description: right.description ?? null })),
          granted_at: grantedAt.toISOString(),
          updated_at: updatedAt.toISOString(),
        }));
        return { status: 200, body: { data, next_cursor: null } };
      },
    }),
    route({
      summary: 'Take back what somebody has allowed an application, and end what it holds of theirs',
      method: 'DELETE',
      path: `${one}/consents/{client_id}`,
      chain: permitted('users:write'),
      async handle(request) {
        const context = managementContext(apiServices, request);
        done(await judgeDeed(context, deedOf(request)), 'allowed');
        const clientId = request.parameters['client_id'] ?? '';
        const consent = { tenantId: request.engine.tenant.id, userId: idOf(request), clientId };
        if ((await revokeConsent(context, consent)).outcome === 'unknown') throw notThere();
        return { status: 204 };
      },
    }),
    route({
      summary: 'The API keys of somebody that are not revoked',
      method: 'GET',
      path: `${one}/api-keys`,
      chain: permitted('api-keys:read'),
      query: listQuery,
      answers: listOf(shownKey),
      async handle(request) {
        const { limit, cursor } = request.query;
        const { id } = await memberOf(request);
        const owner = { tenantId: request.engine.tenant.id, userId: id };
        const keys = await listOwnApiKeys(apiServices, { ...owner, limit, after: cursor });
        const present = (key: (typeof keys)[number]) => ({
          id: key.id,
          name: key.name,
          prefix: key.beginning,
          scopes: key.scopes,
          created_at: key.createdAt.toISOString(),
          expires_at: key.expiresAt.toISOString(),
          last_used_at: key.lastUsedAt?.toISOString() ?? null,
        });
        return { status: 200, body: answerList(keys, request.query, present) };
      },
    }),
  ];

  async function memberOf(request: AnyRequest): Promise<MemberRow> {
    const member = await showMemberById(apiServices, { tenantId: request.engine.tenant.id, userId: idOf(request) });
    if (member === undefined) throw notThere();
    return member;
  }

  function mailing(request: AnyRequest): FlowContext & VisitorServices {
    return { ...visitorServices, ...managementContext(apiServices, request) };
  }
}

type AnyRequest = Pick<ApiRequest<ManagementCaller, unknown, unknown>, 'caller' | 'engine' | 'exchange' | 'parameters'>;

/** What is no identifier is nobody's. */
function idOf({ parameters }: Pick<AnyRequest, 'parameters'>) {
  const id = parameters['id'] ?? '';
  if (!isUuid(id)) throw notThere();
  return userId(id);
}

function deedOf(request: AnyRequest): MemberDeed {
  return { tenantId: request.engine.tenant.id, userId: idOf(request), by: request.caller.permissions };
}

function tenantOf({ tenant, people }: TenantEngine): VisitedTenant {
  return { id: tenant.id, slug: tenant.slug, name: tenant.name, policy: people, locale: tenant.locale };
}

/** The outcome that was hoped for; throws the problem of any other. */
function done<Outcome extends { readonly outcome: string }, Word extends Outcome['outcome']>(
  outcome: Outcome | DeedRefusal,
  word: Word,
): Extract<Outcome, { readonly outcome: Word }> {
  if (outcome.outcome === word) return outcome as Extract<Outcome, { readonly outcome: Word }>; // just looked at
  throw new ProblemRaised(notDone(outcome as DeedRefusal)); // every flow here has one outcome beside these
}

function notDone(refusal: DeedRefusal): Problem {
  switch (refusal.outcome) {
    case 'unknown':
      return problems.notFound();
    case 'beyond_your_own':
      return problems.beyondYourOwn(beyondFaults(undefined, refusal.permissions));
    case 'member_elsewhere':
      return problems.identityNotYours();
    case 'last_administrator':
      return problems.lastAdministrator();
    default: {
      const never: never = refusal;
      return never;
    }
  }
}

function notCreated(outcome: Exclude<CreateMemberOutcome, { readonly outcome: 'created' }>): Problem {
  switch (outcome.outcome) {
    case 'invalid':
      return problems.invalidFields(outcome.faults.map(({ field, reason }) => fieldFault(field, reason)));
    case 'already_a_member':
      return problems.taken('Somebody with this address is a member already.');
    case 'invitation_needed':
      return problems.invitationNeeded();
    case 'beyond_your_own':
      return problems.beyondYourOwn(beyondFaults('#/roles', outcome.permissions));
    case 'busy':
      return problems.unavailable(outcome.retryAfterSeconds);
    default: {
      const never: never = outcome;
      return never;
    }
  }
}

const faultWords: Readonly<Record<string, string>> = {
  unknown: 'names something that the tenant does not have',
  taken: 'is somebody else’s at this tenant',
  unacceptable: 'is not as it has to be here',
  too_short: 'is shorter than this tenant wants passwords to be',
  too_long: 'is longer than a password may be',
  forbidden_character: 'has a character that cannot be typed',
  composition: 'lacks a kind of character that this tenant wants in passwords',
  own_name: 'is mostly what anybody knows about the person',
  breached: 'is known from a breach',
  too_weak: 'is too easy to guess',
};

function fieldFault(field: string, reason: string): FieldFault {
  return { pointer: `#/${field}`, code: reason, detail: faultWords[reason] ?? 'is not as it has to be here' };
}

export function presentMember(member: MemberRow) {
  return {
    id: member.id,
    email: member.email,
    email_verified: member.email_verified,
    given_name: member.given_name,
    family_name: member.family_name,
    locale: member.locale,
    username: member.username,
    status: member.membership_status,
    roles: member.roles,
    created_at: member.created_at.toISOString(),
    last_sign_in_at: member.last_sign_in_at?.toISOString() ?? null,
    deletion_due_at: member.deletion_due_at?.toISOString() ?? null,
  };
}

function notThere(): ProblemRaised {
  return new ProblemRaised(problems.notFound());
}
