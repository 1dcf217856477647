/** Whether JWT access tokens live, which no table holds: one read over everything that a token's life hangs on. */
import { createReadTogether } from '../read_together.ts';
import type { Payload } from './artifacts.ts';
import type { AccountJson } from './people.ts';

/** What a verified token says about where it comes from. Hashes are SHA-256. */
export interface StructuredTokenKey {
  readonly jtiHash: Buffer;
  /** Of the grant a person gave; undefined for what a client asked for in its own name. */
  readonly grantHash: Buffer | undefined;
  /** The client that a token without a grant speaks for. */
  readonly subject: string;
  readonly clientId: string;
}

export interface StructuredTokenRow {
  /** Of the grant; null for a token without one. */
  readonly grant_payload: Payload | null;
  /** Who gave the grant, with what they may do at this moment; null for a token without one. */
  readonly account: AccountJson | null;
}

const find = {
  name: 'structured_tokens_find',
  text: 'select * from structured_tokens_find($1, $2, $3, $4, $5)',
} as const;

/** Undefined for what was revoked, and when the grant, client, member or person behind it is gone or disabled. */
export const findStructuredToken = createReadTogether<StructuredTokenKey, StructuredTokenRow>(async (tenant, keys) => {
  const rows = await tenant.read<StructuredTokenRow & { ordinal: number }>(find, [
    keys.map(({ jtiHash }) => jtiHash),
    keys.map(({ grantHash }) => grantHash ?? null),
    keys.map(({ subject }) => subject),
    keys.map(({ clientId }) => clientId),
  ]);
  const found: (StructuredTokenRow | undefined)[] = keys.map(() => undefined);
  for (const row of rows) found[row.ordinal - 1] = row;
  return found;
});
