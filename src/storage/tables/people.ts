/**
 * The tables `users`, `memberships` and `membership_roles`: one global identity, seen by a tenant only through a membership.
 * Look-ups use the canonical address, a plain text column (see migrations/0002).
 */
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import type { Username } from '#src/domain/username.ts';
import type { Database, TenantDatabase, Transaction } from '../database.ts';

/** A living member with everything claims are made of. */
export interface AccountRow {
  readonly id: UserId;
  readonly email: string;
  readonly email_verified: boolean;
  readonly given_name: string | null;
  readonly family_name: string | null;
  readonly locale: 'nl' | 'en' | null;
  readonly updated_at: Date;
  readonly roles: readonly string[];
  readonly permissions: readonly string[];
}

/** The same as it comes inside another row. */
export type AccountJson = Omit<AccountRow, 'updated_at'> & { readonly updated_at: string };

export interface SignInCandidateRow {
  readonly id: UserId;
  readonly password_hash: string | null;
  readonly email_verified: boolean;
  readonly locale: 'nl' | 'en' | null;
  /** The person and the membership are both enabled. */
  readonly active: boolean;
}

export interface MemberRow {
  readonly id: UserId;
  readonly email: string;
  readonly email_verified: boolean;
  readonly given_name: string | null;
  readonly family_name: string | null;
  readonly locale: 'nl' | 'en' | null;
  readonly username: string | null;
  readonly user_status: 'active' | 'disabled';
  readonly membership_status: 'active' | 'disabled';
  readonly roles: readonly string[];
  readonly last_sign_in_at: Date | null;
  /** When they became a member. */
  readonly created_at: Date;
  /** When they will be forgotten, because they wish to be. */
  readonly deletion_due_at: Date | null;
}

const accountRead = { name: 'account_read', text: 'select * from account_read($1, $2)' } as const;
const signInCandidate = { name: 'sign_in_candidate', text: 'select * from sign_in_candidate($1, $2)' } as const;

/** Undefined when the person or the membership is gone or disabled. */
export async function readAccount(tenant: TenantDatabase, userId: string): Promise<AccountRow | undefined> {
  return (await tenant.read<AccountRow>(accountRead, [userId]))[0];
}

export function accountFromJson(account: AccountJson): AccountRow {
  return { ...account, updated_at: new Date(account.updated_at) };
}

export async function readSignInCandidate(
  tenant: TenantDatabase,
  emailCanonical: string,
): Promise<SignInCandidateRow | undefined> {
  return (await tenant.read<SignInCandidateRow>(signInCandidate, [emailCanonical]))[0];
}

/** A person of any tenant, and whether their address was ever proven. Only for adding a membership: never shown to a tenant. */
export async function findAddressOfInstallation(
  database: Database,
  emailCanonical: string,
): Promise<{ readonly id: UserId; readonly proven: boolean } | undefined> {
  const text = 'select id, proven from person_of_address($1)';
  return (await database.platform.query<{ id: UserId; proven: boolean }>(text, [emailCanonical]))[0];
}

/** The same for many, by canonical address. */
export async function findPeopleOfInstallation(
  database: Database,
  emailsCanonical: readonly string[],
): Promise<ReadonlyMap<string, { readonly id: UserId; readonly proven: boolean }>> {
  const rows = await database.platform.query<{ email: string; id: UserId; proven: boolean }>(
    'select e as email, p.id, p.proven from unnest($1::text[]) e cross join lateral person_of_address(e) p',
    [emailsCanonical],
  );
  return new Map(rows.map(({ email, id, proven }) => [email, { id, proven }]));
}

export interface NewPerson {
  readonly id: UserId;
  readonly email: string;
  readonly emailCanonical: string;
  readonly emailVerified: boolean;
  readonly passwordHash: string | undefined;
  readonly givenName?: string | undefined;
  readonly familyName?: string | undefined;
  readonly locale?: 'nl' | 'en' | undefined;
  /** When they came to the product they are imported from; `now` unless told. */
  readonly createdAt?: Date | undefined;
  readonly now: Date;
}

/** The person's membership must be there first, see migrations/0002. False when the address is taken meanwhile. */
export async function insertPerson(transaction: Transaction, person: NewPerson): Promise<boolean> {
  return (await insertPeople(transaction, [person])) === 1;
}

/** The same for many, in one order so that two at once do not wait for each other. How many: fewer when an address is taken meanwhile. */
export async function insertPeople(transaction: Transaction, people: readonly NewPerson[]): Promise<number> {
  const rows = people.map((person) => ({
    id: person.id,
    email: person.email,
    email_canonical: person.emailCanonical,
    email_verified: person.emailVerified,
    password_hash: person.passwordHash,
    given_name: person.givenName,
    family_name: person.familyName,
    locale: person.locale,
    created_at: person.createdAt ?? person.now,
    updated_at: person.now,
  }));
  const inserted = await transaction.query(
    `insert into users (id, email, email_canonical, email_verified, password_hash, password_changed_at, given_name, family_name,
                        locale, created_at, updated_at)
     select p.id, p.email, p.email_canonical, p.email_verified, p.password_hash,
            case when p.password_hash is null then null else p.updated_at end, p.given_name, p.family_name, p.locale, p.created_at,
            p.updated_at
       from json_to_recordset($1) as p (id uuid, email text, email_canonical text, email_verified boolean, password_hash text,
            given_name text, family_name text, locale text, created_at timestamptz, updated_at timestamptz)
      order by p.email_canonical
     on conflict do nothing returning id`,
    [JSON.stringify(rows)],
  );
  return inserted.length;
}

/** False when the person is a member already. */
export async function insertMembership(
  transaction: Transaction,
  membership: { tenantId: TenantId; userId: UserId; now: Date },
): Promise<boolean> {
  const rows = await transaction.query(
    'insert into memberships (tenant_id, user_id, created_at) values ($1, $2, $3) on conflict do nothing returning user_id',
    [membership.tenantId, membership.userId, membership.now],
  );
  return rows.length === 1;
}

/** Whom of these it made members; the others were it already. */
export async function insertMemberships(
  transaction: Transaction,
  { tenantId, userIds, now }: { tenantId: TenantId; userIds: readonly UserId[]; now: Date },
): Promise<readonly UserId[]> {
  const rows = await transaction.query<{ user_id: UserId }>(
    `insert into memberships (tenant_id, user_id, created_at) select $1, u, $3 from unnest($2::uuid[]) u
      order by u
     on conflict do nothing returning user_id`,
    [tenantId, userIds, now],
  );
  return rows.map((row) => row.user_id);
}

/** Gives members names to sign in with. How many did not get theirs, because somebody has it. */
export async function nameMembers(
  transaction: Transaction,
  {
    tenantId,
    names,
  }: { tenantId: TenantId; names: readonly { readonly userId: UserId; readonly username: Username }[] },
): Promise<number> {
  if (names.length === 0) return 0;
  const rows = await transaction.query(
    `update memberships m set username = n.name, username_canonical = n.canonical
       from (select distinct on (canonical) * from json_to_recordset($2) as r (user_id uuid, name text, canonical text)
              order by canonical, user_id) n
      where m.tenant_id = $1 and m.user_id = n.user_id
        and not exists (select from memberships o where o.tenant_id = $1 and o.username_canonical = n.canonical)
     returning m.user_id`,
    [tenantId, JSON.stringify(names.map(({ userId, username }) => ({ user_id: userId, ...username })))],
  );
  return names.length - rows.length;
}

/** Of roles and members that are there. */
export async function assignRolesToMany(
  transaction: Transaction,
  input: { tenantId: TenantId; assignments: readonly { readonly userId: UserId; readonly roleId: string }[] },
): Promise<void> {
  if (input.assignments.length === 0) return;
  await transaction.query(
    `insert into membership_roles (tenant_id, user_id, role_id)
     select $1, a.user_id, a.role_id from unnest($2::uuid[], $3::uuid[]) as a (user_id, role_id) on conflict do nothing`,
    [input.tenantId, input.assignments.map(({ userId }) => userId), input.assignments.map(({ roleId }) => roleId)],
  );
}

/** For good, also one they had until some moment. Returns the names that are no role of this tenant; assigns nothing when there is one. */
export async function assignRoles(
  transaction: Transaction,
  assignment: { tenantId: TenantId; userId: UserId; roles: readonly string[] },
): Promise<readonly string[]> {
  const found = await transaction.query<{ id: string; name: string }>(
    'select id, name from roles where tenant_id = $1 and name = any($2)',
    [assignment.tenantId, assignment.roles],
  );
  const unknown = assignment.roles.filter((name) => !found.some((role) => role.name === name));
  if (unknown.length > 0) return unknown;
  await transaction.query(
    `insert into membership_roles (tenant_id, user_id, role_id) select $1, $2, unnest($3::uuid[])
     on conflict (tenant_id, user_id, role_id) do update set expires_at = null`,
    [assignment.tenantId, assignment.userId, found.map((role) => role.id)],
  );
  return [];
}

/** Replaces an outdated hash, unless the password changed since it was read. */
export async function replacePasswordHash(
  transaction: Transaction,
  change: { userId: UserId; from: string; to: string; now: Date },
): Promise<boolean> {
  const rows = await transaction.query(
    'update users set password_hash = $3, updated_at = $4 where id = $1 and password_hash = $2 returning id',
    [change.userId, change.from, change.to, change.now],
  );
  return rows.length === 1;
}

/** Of whom a password is about to be changed, and where. */
export interface PasswordOwnerRow {
  readonly email: string;
  readonly given_name: string | null;
  readonly family_name: string | null;
  readonly username: string | null;
  readonly locale: 'nl' | 'en' | null;
  readonly password_hash: string | null;
  readonly tenant_name: string;
  readonly tenant_slug: string;
  readonly tenant_locale: 'nl' | 'en';
}

/** Undefined when there is no such member. */
export async function readPasswordOwner(
  transaction: Transaction,
  { tenantId, userId }: { readonly tenantId: TenantId; readonly userId: UserId },
): Promise<PasswordOwnerRow | undefined> {
  const rows = await transaction.query<PasswordOwnerRow>(
    `select u.email::text as email, u.given_name, u.family_name, m.username, u.locale, u.password_hash,
            t.name as tenant_name, t.slug as tenant_slug, t.locale as tenant_locale
       from memberships m join users u on u.id = m.user_id join tenants t on t.id = m.tenant_id
      where m.tenant_id = $1 and m.user_id = $2`,
    [tenantId, userId],
  );
  return rows[0];
}

/** Sets another password. False when the hash in use is not `from` any more: somebody else was faster. */
export async function changePasswordHash(
  transaction: Transaction,
  change: { userId: UserId; from: string | undefined; to: string; now: Date },
): Promise<boolean> {
  const rows = await transaction.query(
    `update users set password_hash = $3, password_changed_at = $4, updated_at = $4
      where id = $1 and password_hash is not distinct from $2 returning id`,
    [change.userId, change.from ?? null, change.to, change.now],
  );
  return rows.length === 1;
}

/** Whom a mail goes to, in their language or else the tenant's. */
export interface RecipientRow {
  readonly email: string;
  readonly locale: 'nl' | 'en';
}

/** Undefined for who is no member. */
export async function readRecipient(
  transaction: Transaction,
  member: { tenantId: TenantId; userId: UserId },
): Promise<RecipientRow | undefined> {
  const rows = await transaction.query<RecipientRow>(
    `select u.email::text as email, coalesce(u.locale, t.locale) as locale from users u, tenants t where u.id = $2 and t.id = $1`,
    [member.tenantId, member.userId],
  );
  return rows[0];
}

/** Undefined for somebody who has been shut out meanwhile. */
export async function touchLastSignIn(
  transaction: Transaction,
  member: { tenantId: TenantId; userId: UserId; now: Date },
): Promise<RecipientRow | undefined> {
  const rows = await transaction.query<RecipientRow>(
    `update memberships m set last_sign_in_at = $3 from users u, tenants t
      where m.tenant_id = $1 and m.user_id = $2 and m.status = 'active' and u.id = m.user_id and u.status = 'active' and t.id = $1
     returning u.email::text as email, coalesce(u.locale, t.locale) as locale`,
    [member.tenantId, member.userId, member.now],
  );
  return rows[0];
}

/** The hash in use, which nobody changes before this transaction is over. */
export async function lockPasswordHash(transaction: Transaction, userId: UserId): Promise<string | null> {
  const text = 'select password_hash from users where id = $1 for share';
  return (await transaction.query<{ password_hash: string | null }>(text, [userId]))[0]?.password_hash ?? null;
}

/** False when the membership had that status already. */
export async function updateMembershipStatus(
  transaction: Transaction,
  change: { tenantId: TenantId; userId: UserId; status: 'active' | 'disabled' },
): Promise<boolean> {
  const rows = await transaction.query(
    'update memberships set status = $3 where tenant_id = $1 and user_id = $2 and status <> $3 returning user_id',
    [change.tenantId, change.userId, change.status],
  );
  return rows.length === 1;
}

/** Of `memberships m join users u`. */
export const memberColumns = `u.id, u.email::text as email, u.email_verified, u.given_name, u.family_name, u.locale, u.status as user_status,
  m.username, m.status as membership_status, m.last_sign_in_at, m.created_at, m.deletion_due_at,
  array(select r.name from membership_roles mr join roles r on r.tenant_id = mr.tenant_id and r.id = mr.role_id
         where mr.tenant_id = m.tenant_id and mr.user_id = m.user_id and (mr.expires_at is null or mr.expires_at > now())
         order by r.name) as roles`;

export async function listMembers(transaction: Transaction, tenantId: TenantId): Promise<readonly MemberRow[]> {
  return transaction.query<MemberRow>(
    `select ${memberColumns} from memberships m join users u on u.id = m.user_id
      where m.tenant_id = $1 order by u.email_canonical limit 10000`,
    [tenantId],
  );
}

export async function findMemberById(
  transaction: Transaction,
  member: { readonly tenantId: TenantId; readonly userId: UserId },
): Promise<MemberRow | undefined> {
  const rows = await transaction.query<MemberRow>(
    `select ${memberColumns} from memberships m join users u on u.id = m.user_id where m.tenant_id = $1 and m.user_id = $2`,
    [member.tenantId, member.userId],
  );
  return rows[0];
}

export async function findMember(
  transaction: Transaction,
  member: { tenantId: TenantId; emailCanonical: string },
): Promise<MemberRow | undefined> {
  const rows = await transaction.query<MemberRow>(
    `select ${memberColumns} from memberships m join users u on u.id = m.user_id
      where m.tenant_id = $1 and u.email_canonical = $2`,
    [member.tenantId, member.emailCanonical],
  );
  return rows[0];
}

/** Every tenant a person is a member of, in order. For what concerns the person and not a tenant: a password, its end everywhere. */
export async function listTenantsOfPerson(database: Database, userId: UserId): Promise<readonly TenantId[]> {
  const rows = await database.platform.query<{ id: TenantId }>('select tenants_of_person($1) as id', [userId]);
  return rows.map(({ id }) => id);
}

/** Nobody makes this person a member, at any tenant, before the transaction is over (migrations/0021, `joins_in_turn`). */
export async function holdMemberships(transaction: Transaction, userId: UserId): Promise<void> {
  await transaction.query('select pg_advisory_xact_lock(7067680, hashtext($1) & 255)', [userId]);
}

/** Nobody else changes the person before the transaction is over. False when the tenant has nobody like that. */
export async function lockPerson(transaction: Transaction, userId: UserId): Promise<boolean> {
  return (await transaction.query('select id from users where id = $1 for update', [userId])).length === 1;
}

export interface PersonClaim {
  readonly userId: UserId;
  /** Canonical: nothing happens when it is not theirs any more. */
  readonly address: string;
  /** `keep` where another statement of the same transaction replaces it. */
  readonly passwordHash: string | undefined | 'keep';
  /** False when somebody vouches for the person and not for the address. */
  readonly verified: boolean;
  readonly givenName: string | undefined;
  readonly familyName: string | undefined;
  readonly now: Date;
}

/** In place of everything that was set before the address was proven. False when it was proven already. */
export async function claimPerson(transaction: Transaction, claim: PersonClaim): Promise<boolean> {
  const keeps = claim.passwordHash === 'keep';
  const rows = await transaction.query(
    `update users
        set email_verified = $8, given_name = $3, family_name = $4, updated_at = $5,
            password_hash = case when $6 then password_hash else $7 end,
            password_changed_at = case when $6 then password_changed_at when $7::text is null then null else $5::timestamptz end
      where id = $1 and email_canonical = $2 and not email_verified and status = 'active' returning id`,
    [
      claim.userId,
      claim.address,
      claim.givenName ?? null,
      claim.familyName ?? null,
      claim.now,
      keeps,
      keeps ? null : (claim.passwordHash ?? null),
      claim.verified,
    ],
  );
  return rows.length === 1;
}

/** False when it was proven already, or is not their address any more. */
export async function markAddressProven(
  transaction: Transaction,
  { userId, address, now }: { readonly userId: UserId; readonly address: string; readonly now: Date },
): Promise<boolean> {
  const rows = await transaction.query(
    `update users set email_verified = true, updated_at = $3
      where id = $1 and email_canonical = $2 and not email_verified returning id`,
    [userId, address, now],
  );
  return rows.length === 1;
}

/** Undefined when the person is gone or disabled, at this tenant or altogether. */
export async function findActivePerson(
  transaction: Transaction,
  { tenantId, userId }: { readonly tenantId: TenantId; readonly userId: UserId },
): Promise<{ readonly email_verified: boolean } | undefined> {
  const rows = await transaction.query<{ email_verified: boolean }>(
    `select u.email_verified from users u join memberships m on m.tenant_id = $1 and m.user_id = u.id
      where u.id = $2 and u.status = 'active' and m.status = 'active'`,
    [tenantId, userId],
  );
  return rows[0];
}

/** In place of the one they had. False when it is somebody else's at this tenant. */
export async function setUsername(
  transaction: Transaction,
  member: {
    readonly tenantId: TenantId;
    readonly userId: UserId;
    readonly username: { readonly name: string; readonly canonical: string };
  },
): Promise<boolean> {
  const { tenantId, userId, username } = member;
  // One at a time for each name: of two who choose it at once the second finds it taken, and nobody meets the unique index.
  await transaction.query('select pg_advisory_xact_lock(hashtext($1), hashtext($2))', [tenantId, username.canonical]);
  const rows = await transaction.query(
    `update memberships set username = $3, username_canonical = $4
      where tenant_id = $1 and user_id = $2
        and not exists (select from memberships o where o.tenant_id = $1 and o.username_canonical = $4 and o.user_id <> $2)
      returning user_id`,
    [tenantId, userId, username.name, username.canonical],
  );
  return rows.length === 1;
}

/** False when the address is somebody else's, or the person's is not the one that was left any more. */
export async function changeAddress(
  transaction: Transaction,
  change: {
    readonly userId: UserId;
    readonly fromCanonical: string;
    readonly email: string;
    readonly emailCanonical: string;
    readonly now: Date;
  },
): Promise<boolean> {
  const rows = await transaction.query(
    `update users set email = $3, email_canonical = $4, email_verified = true, updated_at = $5
      where id = $1 and email_canonical = $2 and status = 'active' returning id`,
    [change.userId, change.fromCanonical, change.email, change.emailCanonical, change.now],
  );
  return rows.length === 1;
}
