/** What a person is told of themselves: who they are, by which names, and what they may do in this tenant. */
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import { type AccountRow, readAccount } from '#src/storage/tables/people.ts';
import { type ProfileRow, readProfile } from '#src/storage/tables/profiles.ts';
import type { FlowContext } from '../flow_context.ts';

export interface OwnProfile extends Pick<AccountRow, 'id' | 'email' | 'email_verified' | 'roles' | 'permissions'> {
  readonly given_name: string | null;
  readonly family_name: string | null;
  readonly locale: 'nl' | 'en' | null;
  readonly username: string | null;
  readonly member_since: Date;
  readonly deletion_due_at: Date | null;
}

/** With the roles that count, inherited ones too. Undefined for who is no living member. */
export async function readOwnProfile(
  { database }: Pick<FlowContext, 'database'>,
  { tenantId, userId }: { readonly tenantId: TenantId; readonly userId: UserId },
): Promise<OwnProfile | undefined> {
  const tenant = database.tenant(tenantId);
  const account = await readAccount(tenant, userId);
  const profile: ProfileRow | undefined = await tenant.transaction((transaction) =>
    readProfile(transaction, { tenantId, userId }),
  );
  if (account === undefined || profile === undefined) return undefined;
  const { given_name, family_name, locale, username, member_since, deletion_due_at } = profile;
  const { id, email, email_verified, roles, permissions } = account;
  return {
    ...{ id, email, email_verified, given_name, family_name, locale, username },
    ...{ roles, permissions, member_since, deletion_due_at },
  };
}
