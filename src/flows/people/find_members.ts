/** Looking for members: by identifier, or in parts by what they are called, what they may do, and since when they are here. */
import { canonicalIdentifier } from '#src/domain/email_address.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import {
  type FoundMemberRow,
  type MemberFilter,
  type MemberOrder,
  type MemberPlace,
  searchMemberRows,
} from '#src/storage/tables/members.ts';
import { findMemberById, type MemberRow } from '#src/storage/tables/people.ts';
import { findRoleId } from '#src/storage/tables/roles.ts';
import type { FlowContext } from '../flow_context.ts';

export interface MemberQuestion extends Pick<MemberFilter, 'text' | 'status' | 'createdAfter' | 'createdBefore'> {
  readonly tenantId: TenantId;
  /** The whole address, however it is written. */
  readonly email?: string | undefined;
  /** The name of a role that they were given. */
  readonly role?: string | undefined;
  readonly order: MemberOrder;
  readonly after?: MemberPlace | undefined;
  readonly limit: number;
}

/** One more than the limit where there are more. A role that the tenant does not have nobody was given. */
export async function searchMembers(
  { database }: Pick<FlowContext, 'database'>,
  { tenantId, email, role, text, order, after, limit, ...filter }: MemberQuestion,
): Promise<readonly FoundMemberRow[]> {
  return database.tenant(tenantId).transaction(async (transaction) => {
    // Known before the search is planned: how many have it decides how to look.
    const roleId = role === undefined ? undefined : await findRoleId(transaction, { tenantId, name: role });
    if (role !== undefined && roleId === undefined) return [];
    const textCanonical = text === undefined ? undefined : canonicalIdentifier(text);
    const emailCanonical = email === undefined ? undefined : canonicalIdentifier(email);
    const wanted = { ...filter, text, textCanonical, emailCanonical, roleId };
    return searchMemberRows(transaction, { tenantId, filter: wanted, order, after, limit: limit + 1 });
  });
}

/** Undefined for who is no member of this tenant, whether or not there is such a person. */
export function showMemberById(
  { database }: Pick<FlowContext, 'database'>,
  { tenantId, userId }: { readonly tenantId: TenantId; readonly userId: UserId },
): Promise<MemberRow | undefined> {
  return database.tenant(tenantId).transaction((transaction) => findMemberById(transaction, { tenantId, userId }));
}
