/**
 * Finding members of a tenant, however many people the installation has: by beginnings of what they are called, by status and role, in
 * parts. Every search begins at (tenant_id, …) in `memberships`, which carries what is searched for (migrations/0036); test/storage/
 * member_search_plans.test.ts has the plans of all of them looked at.
 */
import type { TenantId } from '#src/domain/tenant.ts';
import type { Transaction } from '../database.ts';
import { type MemberRow, memberColumns } from './people.ts';

/** What a list can be in the order of; with `-` the other way round. */
export const MEMBER_ORDERS = ['created_at', '-created_at', 'email', '-email', 'name', '-name'] as const;

export type MemberOrder = (typeof MEMBER_ORDERS)[number];

/** What is undefined does not matter. */
export interface MemberFilter {
  /** The beginning of an address, a name to sign in with, a whole name, a family name or its last word. */
  readonly text?: string | undefined;
  /** `text` as addresses and names to sign in with are kept. */
  readonly textCanonical?: string | undefined;
  readonly emailCanonical?: string | undefined;
  readonly status?: 'active' | 'disabled' | undefined;
  /** Given to them as it is; not one that inherits it. */
  readonly roleId?: string | undefined;
  readonly createdAfter?: Date | undefined;
  readonly createdBefore?: Date | undefined;
}

/** Where a list goes on: behind the one with this value and identifier. */
export interface MemberPlace {
  readonly value: string;
  readonly id: string;
}

export interface MemberSearch {
  readonly tenantId: TenantId;
  readonly filter: MemberFilter;
  readonly order: MemberOrder;
  readonly after?: MemberPlace | undefined;
  readonly limit: number;
}

/** `place`: the value that this row has in the order of the list. */
export type FoundMemberRow = MemberRow & { readonly place: string };

/**
 * For the rest of the transaction: a tenant that has most rows of a table would else have it read from end to end, and pay for its
 * neighbours.
 */
export const readIndexesOnly = "select set_config('enable_seqscan', 'off', true)";

export async function searchMemberRows(
  transaction: Transaction,
  search: MemberSearch,
): Promise<readonly FoundMemberRow[]> {
  await transaction.query(readIndexesOnly);
  const { text, values } = memberSearchStatement(search);
  return transaction.query<FoundMemberRow>(text, values);
}

const columnOf = { created_at: 'created_at', email: 'email_canonical', name: 'name_search' } as const;

/** To the microsecond, as it is stored: a place that is rounded would leave somebody out. */
const placeOf = {
  created_at: `to_char(m.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`,
  email: 'm.email_canonical',
  name: 'm.name_search',
} as const;

/** Text is made of the words above and nothing else; whatever somebody sent is a value. */
export function memberSearchStatement({ tenantId, filter, order, after, limit }: MemberSearch): {
  readonly text: string;
  readonly values: readonly unknown[];
} {
  const values: unknown[] = [tenantId];
  const bind = (value: unknown): string => `$${values.push(value)}`;
  const isDescending = order.startsWith('-');
  const word = order.replace('-', '') as keyof typeof columnOf; // of MEMBER_ORDERS, without its sign
  const column = `m.${columnOf[word]}`;
  const direction = isDescending ? 'desc' : 'asc';
  const sorted = `${column} ${direction}, m.user_id ${direction}`;

  const conditions = ['m.tenant_id = $1'];
  if (filter.emailCanonical !== undefined) conditions.push(`m.email_canonical = ${bind(filter.emailCanonical)}`);
  if (filter.status !== undefined) conditions.push(`m.status = ${bind(filter.status)}`);
  if (filter.createdAfter !== undefined) conditions.push(`m.created_at > ${bind(filter.createdAfter)}`);
  if (filter.createdBefore !== undefined) conditions.push(`m.created_at < ${bind(filter.createdBefore)}`);
  if (filter.roleId !== undefined)
    conditions.push(
      `exists (select from membership_roles h where h.tenant_id = $1 and h.user_id = m.user_id and h.role_id = ${bind(filter.roleId)})`,
    );
  if (after !== undefined) {
    const type = word === 'created_at' ? 'timestamptz' : 'text';
    const operator = isDescending ? '<' : '>';
    conditions.push(`(${column}, m.user_id) ${operator} (${bind(after.value)}::${type}, ${bind(after.id)}::uuid)`);
  }
  const beginnings = filter.text === undefined ? undefined : beginningsOf(filter, bind);
  const where = [...conditions, ...(beginnings === undefined ? [] : [`(${beginnings})`])].join(' and ');
  // Materialised: beginnings are looked up each in its index. In the order of the list a search for somebody who is not there would
  // look at everybody.
  const found =
    beginnings === undefined
      ? `(select m.* from memberships m where ${where} order by ${sorted} limit ${bind(limit)})`
      : `(select m.* from found m order by ${sorted} limit ${bind(limit)})`;
  const first =
    beginnings === undefined ? '' : `with found as materialized (select m.* from memberships m where ${where}) `;
  const text = `${first}select ${memberColumns}, ${placeOf[word]} as place from ${found} m join users u on u.id = m.user_id order by ${sorted}`;
  return { text, values };
}

/** A beginning is everything from it up to the last character there is (U+10FFFF, which no text of ours holds) behind it. */
function beginningsOf({ text, textCanonical }: MemberFilter, bind: (value: unknown) => string): string {
  // What is nothing in this form (a lone accent) is the beginning of nobody.
  const form = `nullif(search_form(${bind(text)}), '')`;
  const canonical = `nullif(${bind(textCanonical ?? text)}, '')`;
  const begins = (column: string, beginning: string): string =>
    `m.${column} collate "C" >= ${beginning} and m.${column} collate "C" < ${beginning} || U&'\\+10FFFF'`;
  return [
    begins('email_canonical', canonical),
    begins('username_canonical', canonical),
    begins('name_search', form),
    begins('family_search', form),
    begins('family_word', form),
  ].join(' or ');
}
