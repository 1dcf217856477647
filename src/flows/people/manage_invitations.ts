/**
 * Inviting somebody: an administrator says which roles, a mail brings the link, and whoever reads the mailbox becomes a member. Making
 * an invitation is answered alike for people who are known and people who are not. A person who is known keeps everything that is
 * theirs and gains a membership; everybody else chooses a password, and has proven their address by coming with the link.
 */
import { canonicalIdentifier, parseEmailAddress } from '#src/domain/email_address.ts';
import type { NewEvent } from '#src/domain/event.ts';
import type { MailLocale } from '#src/domain/mail.ts';
import type { PasswordRefusal } from '#src/domain/password_policy.ts';
import type { PeopleSettings } from '#src/domain/people_settings.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import { parsePersonName, type UserId, userId } from '#src/domain/user.ts';
import { parseUsername } from '#src/domain/username.ts';
import { uuidv7 } from '#src/foundation/identifiers.ts';
import { PasswordHashingBusy } from '#src/foundation/password_hashing.ts';
import type { Transaction } from '#src/storage/database.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import {
  assignRoles,
  findActivePerson,
  findAddressOfInstallation,
  insertMembership,
  insertPerson,
  listTenantsOfPerson,
  setUsername,
} from '#src/storage/tables/people.ts';
import {
  consumeProof,
  type InvitationFilter,
  type InvitationRow,
  type InvitationStatus,
  listInvitations,
  revokeInvitationRow,
} from '#src/storage/tables/proofs.ts';
import { findRoleNames } from '#src/storage/tables/roles.ts';
import { type Grantor, rolesBeyond } from '../access/assign_roles.ts';
import { type FlowContext, Refusal } from '../flow_context.ts';
import { queueMail } from '../mail/send_mail.ts';
import { type FoundProof, findProof, keepProof, mintProof } from '../proofs/proofs.ts';
import { claimUnproven } from '../proofs/prove_address.ts';
import {
  asPerson,
  linkTo,
  type VisitedTenant,
  type VisitorContext,
  type VisitorServices,
} from '../proofs/visitor_context.ts';
import { countAttempt } from '../sign_in/attempts.ts';
import { judgePassword } from './judge_password.ts';

export interface NewInvitation {
  readonly tenant: { readonly id: TenantId; readonly slug: string };
  readonly policy: PeopleSettings;
  readonly email: string;
  readonly roles: readonly string[];
  readonly locale: MailLocale;
  /** As the mail names them. */
  readonly invitedBy?: string | undefined;
  /** Whose rights bound the roles; an operator's unless told. */
  readonly by?: Grantor | undefined;
}

export type InviteOutcome =
  /** `mailed`: false when this address has been written to too often; it can be tried again later. */
  | { readonly outcome: 'created'; readonly id: string; readonly expiresAt: Date; readonly mailed: boolean }
  | { readonly outcome: 'refused'; readonly reason: 'email' | 'closed' }
  | { readonly outcome: 'refused'; readonly reason: 'unknown_role'; readonly roles: readonly string[] }
  /** The roles give more than `by` may give. */
  | { readonly outcome: 'refused'; readonly reason: 'beyond_your_own'; readonly permissions: readonly string[] };

export type InviteContext = FlowContext & Pick<VisitorServices, 'publicUrl'>;

/** In place of the invitation that this address may have had. Nobody is looked up: the answer is the same for whoever it is. */
export async function createInvitation(context: InviteContext, invitation: NewInvitation): Promise<InviteOutcome> {
  const { tenant, policy, roles, locale, invitedBy, by = 'operator' } = invitation;
  const email = parseEmailAddress(invitation.email);
  if (email.outcome === 'invalid') return { outcome: 'refused', reason: 'email' };
  if (policy['people.registration'] === 'closed') return { outcome: 'refused', reason: 'closed' };
  const minted = mintProof(context, policy['people.invitation_days'] * 86_400);
  return refusable(
    context.database.tenant(tenant.id).transaction<InviteOutcome>(async (transaction) => {
      const known = await findRoleNames(transaction, { tenantId: tenant.id, names: roles });
      const unknown = roles.filter((name) => !known.includes(name));
      if (unknown.length > 0) return { outcome: 'refused', reason: 'unknown_role', roles: unknown };
      const permissions = await rolesBeyond(transaction, { tenantId: tenant.id, names: roles, by });
      if (permissions.length > 0) return { outcome: 'refused', reason: 'beyond_your_own', permissions };
      const queued = await queueMail(context, transaction, {
        tenantId: tenant.id,
        to: email.address,
        locale,
        mail: {
          kind: 'invitation',
          link: linkTo(context, tenant, { page: 'invite', token: minted.token }),
          invitedBy,
          roles,
        },
        validUntil: minted.expiresAt,
      });
      await keepProof(context, transaction, minted, {
        tenantId: tenant.id,
        purpose: 'invitation',
        address: email.canonical,
        payload: { email: email.address, roles } satisfies InvitationPayload,
        linkOnly: true,
        mailed: queued === 'queued',
      });
      await record(context, transaction, {
        tenantId: tenant.id,
        type: 'invitation.created',
        id: minted.id,
        data: { roles },
      });
      return { outcome: 'created', id: minted.id, expiresAt: minted.expiresAt, mailed: queued === 'queued' };
    }),
  );
}

interface InvitationPayload {
  readonly email: string;
  readonly roles: readonly string[];
}

export interface InvitationSummary {
  readonly id: string;
  readonly email: string;
  readonly roles: readonly string[];
  readonly status: InvitationStatus;
  readonly createdAt: Date;
  readonly expiresAt: Date;
}

/** The latest first; those that are over for a day after they would have ended. */
export async function listTenantInvitations(
  context: Pick<FlowContext, 'database' | 'clock'>,
  { tenantId }: { readonly tenantId: TenantId },
): Promise<readonly InvitationSummary[]> {
  return findInvitations(context, { tenantId, filter: {}, limit: 1_000 });
}

/** The same in parts, of those that are meant. */
export async function findInvitations(
  { database, clock }: Pick<FlowContext, 'database' | 'clock'>,
  {
    tenantId,
    filter: { email, ...filter },
    ...part
  }: {
    readonly tenantId: TenantId;
    readonly filter: Omit<InvitationFilter, 'address'> & { readonly email?: string | undefined };
    /** Those before this one. */
    readonly before?: string | undefined;
    readonly limit: number;
  },
): Promise<readonly InvitationSummary[]> {
  const now = clock();
  const address = email === undefined ? undefined : canonicalIdentifier(email);
  const search = { tenantId, filter: { ...filter, address }, ...part, now };
  const rows = await database.tenant(tenantId).transaction((transaction) => listInvitations(transaction, search));
  return rows.map((row) => summaryOf(row, now));
}

/** Undefined for one that is not there, or another tenant's. */
export async function showInvitation(
  context: Pick<FlowContext, 'database' | 'clock'>,
  { tenantId, id }: { readonly tenantId: TenantId; readonly id: string },
): Promise<InvitationSummary | undefined> {
  return (await findInvitations(context, { tenantId, filter: { id }, limit: 1 }))[0];
}

function summaryOf(row: InvitationRow, now: Date): InvitationSummary {
  return {
    id: row.id,
    ...payloadOf(row),
    status: statusOf(row, now),
    createdAt: row.created_at,
    expiresAt: row.expires_at,
  };
}

function statusOf({ ended, expires_at: expiresAt }: InvitationRow, now: Date): InvitationSummary['status'] {
  if (ended === null) return expiresAt <= now ? 'expired' : 'open';
  return ended === 'used' ? 'accepted' : ended;
}

/** `unknown`: no such invitation at this tenant, or it is over. */
export async function revokeInvitation(
  context: FlowContext,
  { tenantId, id }: { readonly tenantId: TenantId; readonly id: string },
): Promise<{ readonly outcome: 'revoked' | 'unknown' }> {
  return context.database.tenant(tenantId).transaction(async (transaction) => {
    if (!(await revokeInvitationRow(transaction, { tenantId, id, now: context.clock() })))
      return { outcome: 'unknown' };
    await record(context, transaction, { tenantId, type: 'invitation.revoked', id });
    return { outcome: 'revoked' };
  });
}

/** What the page says before anything is used up. */
export interface Invitation {
  readonly email: string;
  /** Somebody who has an account: they need not choose anything. */
  readonly known: boolean;
}

/** Changes nothing, however often it is asked. Undefined for what is over or never was. */
export async function lookAtInvitation(
  context: VisitorContext,
  { tenant, token }: { readonly tenant: VisitedTenant; readonly token: string },
): Promise<Invitation | undefined> {
  const proof = await findProof(context, { tenantId: tenant.id, token });
  if (proof?.purpose !== 'invitation' || tenant.policy['people.registration'] === 'closed') return undefined;
  const holder = await findAddressOfInstallation(context.database, proof.address);
  return { email: payloadOf(proof).email, known: holder?.proven === true };
}

export interface Acceptance {
  readonly tenant: VisitedTenant;
  readonly token: string;
  /** Of whoever is new; not looked at otherwise. */
  readonly password: string;
  readonly givenName: string;
  readonly familyName: string;
  readonly username: string;
}

export type AcceptOutcome =
  | { readonly outcome: 'accepted'; readonly address: string }
  /** Over, used, revoked, or never there; and for somebody whom the tenant has shut out. */
  | { readonly outcome: 'gone' }
  | { readonly outcome: 'invalid'; readonly field: 'password'; readonly reason: 'missing' | PasswordRefusal }
  | {
      readonly outcome: 'invalid';
      readonly field: 'given_name' | 'family_name' | 'username';
      readonly reason: 'invalid';
    }
  | { readonly outcome: 'throttled' | 'busy'; readonly retryAfterSeconds: number };

export async function acceptInvitation(context: VisitorContext, acceptance: Acceptance): Promise<AcceptOutcome> {
  const { tenant, token } = acceptance;
  const attempt = { tenantId: tenant.id, kind: 'invitation', identifier: 'invitation' } as const;
  const proof = await findProof(context, { tenantId: tenant.id, token });
  if (proof?.purpose !== 'invitation' || tenant.policy['people.registration'] === 'closed') return { outcome: 'gone' };
  const subject = { ...attempt, identifier: `invitation:${proof.id}`, address: context.origin.ip };
  const decision = await countAttempt(context, { ...subject, now: context.clock() });
  if (decision.outcome === 'throttled') return { outcome: 'throttled', retryAfterSeconds: decision.retryAfterSeconds };
  const holder = await findAddressOfInstallation(context.database, proof.address);
  const isKnown = holder?.proven === true;
  try {
    const invalid = isKnown ? undefined : await invalidityOf(context, { acceptance, proof });
    if (invalid !== undefined) return invalid;
    const passwordHash = isKnown ? undefined : await context.passwords.hash(acceptance.password);
    const id = holder?.id ?? userId(uuidv7(context.clock()));
    const tenantIds = holder === undefined ? [] : await listTenantsOfPerson(context.database, id);
    const joining = { acceptance, proof, id, isNew: holder === undefined, isKnown, passwordHash, tenantIds };
    const work = context.database.tenant(tenant.id).transaction((transaction) => join(context, transaction, joining));
    return await refusable(work);
  } catch (fault) {
    if (fault instanceof PasswordHashingBusy) return { outcome: 'busy', retryAfterSeconds: fault.retryAfterSeconds };
    throw fault;
  }
}

async function invalidityOf(
  context: VisitorContext,
  { acceptance, proof }: { readonly acceptance: Acceptance; readonly proof: FoundProof },
): Promise<Extract<AcceptOutcome, { outcome: 'invalid' }> | undefined> {
  const { tenant, password, givenName, familyName, username } = acceptance;
  const invalid = (field: 'given_name' | 'family_name' | 'username') =>
    ({ outcome: 'invalid', field, reason: 'invalid' }) as const;
  if (givenName.trim() !== '' && parsePersonName(givenName) === undefined) return invalid('given_name');
  if (familyName.trim() !== '' && parsePersonName(familyName) === undefined) return invalid('family_name');
  const mayBeNamed = tenant.policy['people.usernames'] && parseUsername(username) !== undefined;
  if (username.trim() !== '' && !mayBeNamed) return invalid('username');
  if (password === '') return { outcome: 'invalid', field: 'password', reason: 'missing' };
  const verdict = await judgePassword(context, {
    settings: tenant.policy,
    person: { email: proof.address, givenName, familyName, username },
    tenant,
    password,
    hasSecondFactor: false,
  });
  return verdict.outcome === 'acceptable'
    ? undefined
    : { outcome: 'invalid', field: 'password', reason: verdict.reason };
}

interface Joining {
  readonly acceptance: Acceptance;
  readonly proof: FoundProof;
  readonly id: UserId;
  /** There is no such person at all. */
  readonly isNew: boolean;
  /** There is one, and the address is theirs. */
  readonly isKnown: boolean;
  readonly passwordHash: string | undefined;
  readonly tenantIds: readonly TenantId[];
}

async function join(context: VisitorContext, transaction: Transaction, joining: Joining): Promise<AcceptOutcome> {
  const { acceptance, proof, id, isNew, isKnown, passwordHash, tenantIds } = joining;
  const { id: tenantId } = acceptance.tenant;
  const acting = asPerson(context, id);
  const now = context.clock();
  const over = (): never => {
    throw new Refusal<AcceptOutcome>({ outcome: 'gone' });
  };
  if (!(await consumeProof(transaction, { tenantId, id: proof.id, now }))) over();
  const { email, roles } = payloadOf(proof);
  const names = {
    givenName: parsePersonName(acceptance.givenName),
    familyName: parsePersonName(acceptance.familyName),
  };
  const joins = await insertMembership(transaction, { tenantId, userId: id, now });
  if (isNew) {
    const person = { id, email, emailCanonical: proof.address, emailVerified: true, passwordHash, ...names, now };
    // Taken at this very moment: the invitation stays open, and asking again finds whoever has it.
    if (!(await insertPerson(transaction, person))) over();
    await record(acting, transaction, { tenantId, type: 'user.registered', userId: id });
    await record(acting, transaction, { tenantId, type: 'email.verified', userId: id });
  } else {
    if ((await findActivePerson(transaction, { tenantId, userId: id })) === undefined) over();
    if (joins) await record(acting, transaction, { tenantId, type: 'membership.added', userId: id });
    if (!isKnown) {
      const claim = { address: proof.address, passwordHash, verified: true, ...names };
      const everywhere = [...new Set([...tenantIds, tenantId])];
      await claimUnproven(acting, { tenantId, userId: id, transaction, tenantIds: everywhere, claim });
    }
  }
  // Roles are those that the tenant has now: one that is gone meanwhile is not given.
  const given = await findRoleNames(transaction, { tenantId, names: roles });
  await assignRoles(transaction, { tenantId, userId: id, roles: given });
  const username = isKnown ? undefined : parseUsername(acceptance.username);
  if (username !== undefined) await setUsername(transaction, { tenantId, userId: id, username });
  await record(acting, transaction, { tenantId, type: 'invitation.accepted', id: proof.id, data: { roles: given } });
  if (given.length > 0)
    await record(acting, transaction, { tenantId, type: 'role.assigned', userId: id, data: { roles: given } });
  return { outcome: 'accepted', address: email };
}

async function record(
  { database, origin, clock, actor }: FlowContext,
  transaction: Transaction,
  {
    tenantId,
    type,
    id,
    userId: person,
    data,
  }: {
    readonly tenantId: TenantId;
    readonly type: NewEvent['type'];
    readonly id?: string;
    readonly userId?: UserId;
    readonly data?: NewEvent['data'];
  },
): Promise<void> {
  const target = person === undefined ? { type: 'invitation', id: id ?? '' } : { type: 'user', id: person };
  const event: NewEvent = { type, outcome: 'success', actor, target, data };
  await appendEvent(transaction, { tenant: database.tenant(tenantId), event, origin, now: clock() });
}

async function refusable<Outcome>(work: Promise<Outcome>): Promise<Outcome> {
  try {
    return await work;
  } catch (fault) {
    if (fault instanceof Refusal) return fault.outcome;
    throw fault;
  }
}

/** We wrote it ourselves, in this shape. */
function payloadOf({ payload }: Pick<InvitationRow, 'payload'>): InvitationPayload {
  return payload as InvitationPayload;
}
