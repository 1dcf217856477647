/** The tables `initial_access_tokens` and `client_registrations`. Tokens are known only as their SHA-256. */
import type { ClientType } from '#src/domain/client.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { Transaction } from '../database.ts';

export interface NewInitialAccessToken {
  readonly tenantId: TenantId;
  readonly id: string;
  readonly tokenHash: Buffer;
  readonly types: readonly ClientType[];
  readonly scopes: readonly string[];
  readonly uses: number;
  readonly expiresAt: Date;
  readonly now: Date;
}

export async function insertInitialAccessToken(transaction: Transaction, token: NewInitialAccessToken): Promise<void> {
  // Nobody asks for what is over; a tenant has few of these, so it is cleared away here.
  await transaction.query('delete from initial_access_tokens where tenant_id = $1 and expires_at < $2', [
    token.tenantId,
    token.now,
  ]);
  await transaction.query(
    `insert into initial_access_tokens (tenant_id, id, token_hash, types, scopes, uses_left, expires_at, created_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8)`,
    [token.tenantId, token.id, token.tokenHash, token.types, token.scopes, token.uses, token.expiresAt, token.now],
  );
}

export interface InitialAccessTokenRow {
  readonly id: string;
  readonly types: readonly ClientType[];
  readonly scopes: readonly string[];
}

/** Takes one of its uses. Undefined when there is none left: one statement decides, whoever else asks at the same moment. */
export async function useInitialAccessToken(
  transaction: Transaction,
  { tenantId, tokenHash, now }: { tenantId: TenantId; tokenHash: Buffer; now: Date },
): Promise<InitialAccessTokenRow | undefined> {
  const rows = await transaction.query<InitialAccessTokenRow>(
    `update initial_access_tokens set uses_left = uses_left - 1
      where tenant_id = $1 and token_hash = $2 and uses_left > 0 and expires_at > $3
      returning id, types, scopes`,
    [tenantId, tokenHash, now],
  );
  return rows[0];
}

export async function insertClientRegistration(
  transaction: Transaction,
  registration: { tenantId: TenantId; clientId: string; tokenHash: Buffer; initialAccessTokenId: string; now: Date },
): Promise<void> {
  await transaction.query(
    `insert into client_registrations (tenant_id, client_id, token_hash, initial_access_token_id, created_at)
     values ($1, $2, $3, $4, $5)`,
    [
      registration.tenantId,
      registration.clientId,
      registration.tokenHash,
      registration.initialAccessTokenId,
      registration.now,
    ],
  );
}

/** Whether this is the token of this client, and the client is enabled. Locks the client until the transaction ends. */
export async function holdsRegistration(
  transaction: Transaction,
  registration: { tenantId: TenantId; clientId: string; tokenHash: Buffer },
): Promise<boolean> {
  const rows = await transaction.query(
    `select c.client_id from client_registrations r
       join clients c on c.tenant_id = r.tenant_id and c.client_id = r.client_id
      where r.tenant_id = $1 and r.client_id = $2 and r.token_hash = $3 and c.status = 'active' for update of c`,
    [registration.tenantId, registration.clientId, registration.tokenHash],
  );
  return rows.length === 1;
}

export async function deleteClientRegistration(
  transaction: Transaction,
  registration: { tenantId: TenantId; clientId: string },
): Promise<void> {
  await transaction.query('delete from client_registrations where tenant_id = $1 and client_id = $2', [
    registration.tenantId,
    registration.clientId,
  ]);
}

/** Whether this is one of the client's live secrets. */
export async function isClientSecret(
  transaction: Transaction,
  secret: { tenantId: TenantId; clientId: string; secretHash: Buffer },
): Promise<boolean> {
  const rows = await transaction.query(
    'select slot from client_secrets where tenant_id = $1 and client_id = $2 and secret_hash = $3',
    [secret.tenantId, secret.clientId, secret.secretHash],
  );
  return rows.length > 0;
}
