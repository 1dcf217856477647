/** The table `proofs`: what mailed links and codes prove. It knows their hashes; who makes and judges them is flows/proofs/proofs.ts. */
import type { ProofPurpose } from '#src/domain/proof.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import type { TenantDatabase, Transaction } from '../database.ts';

export interface ProofRow {
  readonly id: string;
  readonly purpose: ProofPurpose;
  readonly address: string;
  readonly user_id: UserId | null;
  readonly handle_hash: Buffer | null;
  readonly code_mac: Buffer | null;
  readonly tries: number;
  readonly payload: unknown;
  readonly expires_at: Date;
}

export interface NewProof {
  readonly tenantId: TenantId;
  readonly id: string;
  readonly purpose: ProofPurpose;
  readonly address: string;
  readonly userId: UserId | undefined;
  readonly tokenHash: Buffer;
  readonly handleHash: Buffer | undefined;
  readonly codeMac: Buffer | undefined;
  readonly payload: object;
  readonly now: Date;
  readonly expiresAt: Date;
  /** Those of the same purpose for the same person or address are over. */
  readonly replaces: boolean;
}

export async function putProof(transaction: Transaction, proof: NewProof): Promise<void> {
  await transaction.query('select proof_put($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)', [
    proof.tenantId,
    proof.id,
    proof.purpose,
    proof.address,
    proof.userId ?? null,
    proof.tokenHash,
    proof.handleHash ?? null,
    proof.codeMac ?? null,
    JSON.stringify(proof.payload),
    proof.now,
    proof.expiresAt,
    proof.replaces,
  ]);
}

export interface ProofLook {
  readonly tokenHash?: Buffer | undefined;
  readonly handleHash?: Buffer | undefined;
  readonly now: Date;
}

const read = { name: 'proof_read', text: 'select * from proof_read($1, $2, $3, $4)' } as const;
const attempt = { name: 'proof_try', text: 'select * from proof_try($1, $2, $3, $4, $5)' } as const;

/** Undefined when there is none, or not any more. */
export async function readProof(tenant: TenantDatabase, look: ProofLook): Promise<ProofRow | undefined> {
  return (await tenant.read<ProofRow>(read, [look.tokenHash ?? null, look.handleHash ?? null, look.now]))[0];
}

/** The same, and counts a try: on its own, before anything is looked at. */
export async function tryProof(
  tenant: TenantDatabase,
  look: ProofLook & { readonly maximumTries: number },
): Promise<ProofRow | undefined> {
  const values = [look.tokenHash ?? null, look.handleHash ?? null, look.now, look.maximumTries];
  return (await tenant.write<ProofRow>(attempt, values))[0];
}

/** A try that was right costs nothing. */
export async function returnProofTry(transaction: Transaction, proof: ProofKey): Promise<void> {
  await transaction.query(
    'update proofs set tries = greatest(tries - 1, 0) where tenant_id = $1 and id = $2 and ended is null',
    [proof.tenantId, proof.id],
  );
}

interface ProofKey {
  readonly tenantId: TenantId;
  readonly id: string;
}

/** One statement decides: of two who bring the same proof one is late. */
export async function consumeProof(transaction: Transaction, proof: ProofKey & { now: Date }): Promise<boolean> {
  const rows = await transaction.query(
    `update proofs set ended = 'used', ended_at = $3
      where tenant_id = $1 and id = $2 and ended is null and expires_at > $3 returning id`,
    [proof.tenantId, proof.id, proof.now],
  );
  return rows.length === 1;
}

export interface InvitationRow {
  readonly id: string;
  readonly address: string;
  readonly payload: unknown;
  readonly created_at: Date;
  readonly expires_at: Date;
  readonly ended: 'used' | 'replaced' | 'revoked' | null;
  readonly ended_at: Date | null;
}

/** What has become of it, or has not yet. */
export const INVITATION_STATUSES = ['open', 'accepted', 'revoked', 'replaced', 'expired'] as const;

export type InvitationStatus = (typeof INVITATION_STATUSES)[number];

/** What is undefined does not matter. */
export interface InvitationFilter {
  readonly id?: string | undefined;
  /** Canonical. */
  readonly address?: string | undefined;
  readonly status?: InvitationStatus | undefined;
}

/** As `status` is told of an invitation; `$5` is the present. */
const isOfStatus = {
  open: 'ended is null and expires_at > $5',
  expired: 'ended is null and expires_at <= $5',
  accepted: `ended = 'used'`,
  revoked: `ended = 'revoked'`,
  replaced: `ended = 'replaced'`,
} as const satisfies Readonly<Record<InvitationStatus, string>>;

/** The latest first: their identifiers begin with the time. */
export function listInvitations(
  transaction: Transaction,
  {
    tenantId,
    filter: { id, address, status },
    before,
    limit,
    now,
  }: {
    readonly tenantId: TenantId;
    readonly filter: InvitationFilter;
    readonly before?: string | undefined;
    readonly limit: number;
    readonly now: Date;
  },
): Promise<readonly InvitationRow[]> {
  const condition = status === undefined ? 'true' : isOfStatus[status];
  return transaction.query<InvitationRow>(
    `select id, address, payload, created_at, expires_at, ended, ended_at from proofs
      where tenant_id = $1 and purpose = 'invitation' and ($2::uuid is null or id = $2) and ($3::text is null or address = $3)
        and ($4::uuid is null or id < $4) and $5::timestamptz is not null and ${condition}
      order by id desc limit $6`,
    [tenantId, id ?? null, address ?? null, before ?? null, now, limit],
  );
}

/** False when there is no such invitation, or it is over. */
export async function revokeInvitationRow(transaction: Transaction, proof: ProofKey & { now: Date }): Promise<boolean> {
  const rows = await transaction.query(
    `update proofs set ended = 'revoked', ended_at = $3
      where tenant_id = $1 and id = $2 and purpose = 'invitation' and ended is null and expires_at > $3 returning id`,
    [proof.tenantId, proof.id, proof.now],
  );
  return rows.length === 1;
}

/** What was mailed for this person at that tenant, and the browsers it knows as theirs. The transaction is that tenant's afterwards. */
export async function forgetPerson(
  transaction: Transaction,
  { tenantId, userId, now }: { readonly tenantId: TenantId; readonly userId: UserId; readonly now: Date },
): Promise<void> {
  await transaction.query('select person_forget($1, $2, $3)', [tenantId, userId, now]);
}

/** The same for an account whose owner has come: a wish to leave was somebody else's. */
export async function forgetClaimedPerson(
  transaction: Transaction,
  { tenantId, userId, now }: { readonly tenantId: TenantId; readonly userId: UserId; readonly now: Date },
): Promise<void> {
  await transaction.query('select person_claim($1, $2, $3)', [tenantId, userId, now]);
}

/** Only what was mailed for this person at that tenant. The transaction is that tenant's afterwards. */
export async function forgetMailed(
  transaction: Transaction,
  { tenantId, userId, now }: { readonly tenantId: TenantId; readonly userId: UserId; readonly now: Date },
): Promise<void> {
  await transaction.query('select proofs_end_of_person($1, $2, $3)', [tenantId, userId, now]);
}

/** Of somebody who leaves a tenant: whatever was mailed to them there, or kept of an address that is theirs. */
export async function deleteProofsOf(
  transaction: Transaction,
  { tenantId, userId, address }: { readonly tenantId: TenantId; readonly userId: UserId; readonly address: string },
): Promise<void> {
  await transaction.query('delete from proofs where tenant_id = $1 and (user_id = $2 or address = $3)', [
    tenantId,
    userId,
    address,
  ]);
}
