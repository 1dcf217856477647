/**
 * Making, looking at and using up what a mailed link or code proves. A proof that nobody was sent is made as well, for addresses that
 * get another mail or none: the same rows, the same work, and nothing that could be guessed better. What follows from a proof is
 * for the flows that know its purpose.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import {
  isProofToken,
  MAXIMUM_PROOF_TRIES,
  PROOF_CODE_DIGITS,
  type ProofPurpose,
  parseProofCode,
} from '#src/domain/proof.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import { randomDigits, randomValue, sha256, uuidv7 } from '#src/foundation/identifiers.ts';
import type { Sealer } from '#src/foundation/sealing.ts';
import type { Transaction } from '#src/storage/database.ts';
import {
  type ProofLook,
  type ProofRow,
  putProof,
  readProof,
  returnProofTry,
  tryProof,
} from '#src/storage/tables/proofs.ts';
import type { FlowContext } from '../flow_context.ts';
import { countAttempt, forgiveAttempt } from '../sign_in/attempts.ts';
import type { VisitorContext } from './visitor_context.ts';

type ProofContext = Pick<FlowContext, 'sealer' | 'clock'>;

/** What is mailed, and what the browser keeps. None of it is stored as it is. */
export interface MintedProof {
  readonly id: string;
  /** For the link. */
  readonly token: string;
  /** For typing. */
  readonly code: string;
  /** For the browser that asked. */
  readonly handle: string;
  readonly expiresAt: Date;
}

export function mintProof({ clock }: Pick<FlowContext, 'clock'>, lifetimeSeconds: number): MintedProof {
  const now = clock();
  return {
    id: uuidv7(now),
    token: randomValue(),
    code: randomDigits(PROOF_CODE_DIGITS),
    handle: randomValue(),
    expiresAt: new Date(now.getTime() + lifetimeSeconds * 1000),
  };
}

export interface ProofToKeep {
  readonly tenantId: TenantId;
  readonly purpose: ProofPurpose;
  /** Canonical. */
  readonly address: string;
  readonly userId?: UserId | undefined;
  readonly payload?: object | undefined;
  /** Good by its link alone. */
  readonly linkOnly?: boolean | undefined;
  /** It was really mailed: earlier ones of its purpose are over. What never left the house must not end one that did. */
  readonly mailed: boolean;
}

export async function keepProof(
  { sealer, clock }: ProofContext,
  transaction: Transaction,
  minted: MintedProof,
  proof: ProofToKeep,
): Promise<void> {
  const { tenantId, linkOnly } = proof;
  const [codeMac] = codeMacs(sealer, { tenantId, id: minted.id, code: minted.code });
  await putProof(transaction, {
    tenantId,
    id: minted.id,
    purpose: proof.purpose,
    address: proof.address,
    userId: proof.userId,
    tokenHash: tokenHashOf(minted.token),
    handleHash: linkOnly === true ? undefined : handleHashOf(minted.handle),
    codeMac: linkOnly === true ? undefined : codeMac,
    payload: proof.payload ?? {},
    now: clock(),
    expiresAt: minted.expiresAt,
    // Whoever registers a stranger's address must not be able to end what its owner has begun: those live side by side.
    replaces: proof.mailed && proof.purpose !== 'registration',
  });
}

/** How somebody proves it: with the link, or with the code in the browser that asked. */
export type Shown =
  | {
      readonly kind: 'link';
      readonly token: string /** Of this browser, if it has one. */;
      readonly handle?: string | undefined;
    }
  | { readonly kind: 'code'; readonly handle: string; readonly code: string };

/** A proof that was found, and whether the browser is the one in which it was asked for. */
export interface FoundProof extends ProofRow {
  readonly tenantId: TenantId;
  readonly fromHere: boolean;
}

/** Looks and changes nothing: mail scanners follow links too. Undefined for what is over, used, or never was. */
export async function findProof(
  context: Pick<FlowContext, 'database' | 'clock'>,
  {
    tenantId,
    token,
    handle,
  }: { readonly tenantId: TenantId; readonly token?: string | undefined; readonly handle?: string | undefined },
): Promise<FoundProof | undefined> {
  const look = token === undefined ? lookByHandle(handle, context.clock()) : lookByToken(token, context.clock());
  if (look === undefined) return undefined;
  const row = await readProof(context.database.tenant(tenantId), look);
  return row && { ...row, tenantId, fromHere: isFromHere(row, handle) };
}

export type TryOutcome =
  | { readonly outcome: 'proven'; readonly proof: FoundProof }
  | { readonly outcome: 'wrong' }
  | { readonly outcome: 'gone' }
  | { readonly outcome: 'throttled'; readonly retryAfterSeconds: number };

/**
 * A try, counted twice before anything is looked at: at the proof, and for the address it comes from. `proven` says that the link or the
 * code is right; it is used up by `consumeProof` in the transaction of what follows.
 */
export async function tryShownProof(
  context: VisitorContext,
  { tenantId, shown }: { readonly tenantId: TenantId; readonly shown: Shown },
): Promise<TryOutcome> {
  const now = context.clock();
  const look = shown.kind === 'link' ? lookByToken(shown.token, now) : lookByHandle(shown.handle, now);
  if (look === undefined) return { outcome: 'gone' };
  const subject = (look.tokenHash ?? look.handleHash ?? Buffer.alloc(0)).toString('hex');
  const attempt = { tenantId, kind: 'proof', identifier: `proof:${subject}`, address: context.origin.ip } as const;
  const decision = await countAttempt(context, { ...attempt, now });
  if (decision.outcome === 'throttled') return { outcome: 'throttled', retryAfterSeconds: decision.retryAfterSeconds };
  const row = await tryProof(context.database.tenant(tenantId), { ...look, maximumTries: MAXIMUM_PROOF_TRIES });
  if (row === undefined) return { outcome: 'gone' };
  if (shown.kind === 'code' && !isCodeOf(context.sealer, { tenantId, row, typed: shown.code }))
    return { outcome: 'wrong' };
  await forgiveAttempt(context, attempt);
  const fromHere = shown.kind === 'code' || isFromHere(row, shown.handle);
  return { outcome: 'proven', proof: { ...row, tenantId, fromHere } };
}

/** What was shown was right, but it is not used yet: the try is given back. */
export async function giveTryBack(context: Pick<FlowContext, 'database'>, { tenantId, id }: FoundProof): Promise<void> {
  await context.database.tenant(tenantId).transaction((transaction) => returnProofTry(transaction, { tenantId, id }));
}

function lookByToken(token: string, now: Date): ProofLook | undefined {
  return isProofToken(token) ? { tokenHash: tokenHashOf(token), now } : undefined;
}

function lookByHandle(handle: string | undefined, now: Date): ProofLook | undefined {
  return handle !== undefined && isProofToken(handle) ? { handleHash: handleHashOf(handle), now } : undefined;
}

function isFromHere(row: ProofRow, handle: string | undefined): boolean {
  return handle !== undefined && row.handle_hash !== null && handleHashOf(handle).equals(row.handle_hash);
}

/** Apart, so that a token is no handle and a handle no token. */
function tokenHashOf(token: string): Buffer {
  return sha256(`proof_token\n${token}`);
}

function handleHashOf(handle: string): Buffer {
  return sha256(`proof_handle\n${handle}`);
}

/** With every master key there is, the first one first. */
function codeMacs(
  sealer: Sealer,
  { tenantId, id, code }: { readonly tenantId: TenantId; readonly id: string; readonly code: string },
): readonly Buffer[] {
  return sealer
    .deriveAll('proof codes')
    .map((key) => createHmac('sha256', key).update(`${tenantId}\n${id}\n${code}`).digest());
}

function isCodeOf(
  sealer: Sealer,
  { tenantId, row, typed }: { readonly tenantId: TenantId; readonly row: ProofRow; readonly typed: string },
): boolean {
  const code = parseProofCode(typed);
  const kept = row.code_mac;
  if (code === undefined || kept === null) return false;
  return codeMacs(sealer, { tenantId, id: row.id, code }).some((mac) => timingSafeEqual(mac, kept));
}
