/** What a person says of themselves: names and language are the person's, the name to sign in with is the membership's. */
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import type { Username } from '#src/domain/username.ts';
import type { Transaction } from '../database.ts';

export interface ProfileRow {
  readonly email: string;
  readonly email_verified: boolean;
  readonly given_name: string | null;
  readonly family_name: string | null;
  readonly locale: 'nl' | 'en' | null;
  readonly username: string | null;
  readonly password_changed_at: Date | null;
  readonly roles: readonly string[];
  readonly known_since: Date;
  readonly member_since: Date;
  readonly last_sign_in_at: Date | null;
  readonly deletion_due_at: Date | null;
}

interface Member {
  readonly tenantId: TenantId;
  readonly userId: UserId;
}

/** Undefined for who is no member. */
export async function readProfile(
  transaction: Transaction,
  { tenantId, userId }: Member,
): Promise<ProfileRow | undefined> {
  const rows = await transaction.query<ProfileRow>(
    `select u.email::text as email, u.email_verified, u.given_name, u.family_name, u.locale, m.username, u.password_changed_at,
            u.created_at as known_since, m.created_at as member_since, m.last_sign_in_at, m.deletion_due_at,
            array(select r.name from membership_roles mr join roles r on r.tenant_id = mr.tenant_id and r.id = mr.role_id
                   where mr.tenant_id = m.tenant_id and mr.user_id = m.user_id and (mr.expires_at is null or mr.expires_at > now())
                   order by r.name) as roles
       from memberships m join users u on u.id = m.user_id
      where m.tenant_id = $1 and m.user_id = $2`,
    [tenantId, userId],
  );
  return rows[0];
}

export async function updateNames(
  transaction: Transaction,
  names: {
    readonly userId: UserId;
    readonly givenName: string | undefined;
    readonly familyName: string | undefined;
    readonly locale: 'nl' | 'en' | undefined;
    readonly now: Date;
  },
): Promise<void> {
  await transaction.query(
    'update users set given_name = $2, family_name = $3, locale = $4, updated_at = $5 where id = $1',
    [names.userId, names.givenName ?? null, names.familyName ?? null, names.locale ?? null, names.now],
  );
}

/** Whether somebody else of this tenant has it. Two who ask at the same moment are told apart by `memberships_username`. */
export async function isUsernameTaken(
  transaction: Transaction,
  { tenantId, userId, canonical }: Member & { readonly canonical: string },
): Promise<boolean> {
  const text = 'select from memberships where tenant_id = $1 and username_canonical = $2 and user_id <> $3';
  return (await transaction.query(text, [tenantId, canonical, userId])).length > 0;
}

export async function updateUsername(
  transaction: Transaction,
  { tenantId, userId, username }: Member & { readonly username: Username | undefined },
): Promise<void> {
  await transaction.query(
    'update memberships set username = $3, username_canonical = $4 where tenant_id = $1 and user_id = $2',
    [tenantId, userId, username?.name ?? null, username?.canonical ?? null],
  );
}
