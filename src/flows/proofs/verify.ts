/**
 * What follows when a mailed link or code has come back: an account comes into being, a member joins, an address is proven or changed,
 * a lock ends. Never a sign-in.
 *
 * A link proves that somebody reads the mailbox, not that they asked for it: an attacker can have a link mailed to a stranger and wait
 * for the click. So whatever carries a password counts only in the browser in which it was begun, or together with that password;
 * the stranger has neither, and no click of theirs makes the attacker's account a proven one.
 */
import type { NewEvent } from '#src/domain/event.ts';
import type { ProofPurpose } from '#src/domain/proof.ts';
import { type UserId, userId } from '#src/domain/user.ts';
import { uuidv7 } from '#src/foundation/identifiers.ts';
import { PasswordHashingBusy } from '#src/foundation/password_hashing.ts';
import type { Transaction } from '#src/storage/database.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import { readSignInPersonById } from '#src/storage/tables/factors.ts';
import {
  findActivePerson,
  findAddressOfInstallation,
  insertMembership,
  listTenantsOfPerson,
} from '#src/storage/tables/people.ts';
import { consumeProof } from '#src/storage/tables/proofs.ts';
import { Refusal } from '../flow_context.ts';
import { completeEmailChange } from '../people/change_email.ts';
import { unlockByProof } from '../sign_in/unlock.ts';
import { type FoundProof, findProof, giveTryBack, type Shown, tryShownProof } from './proofs.ts';
import { claimUnproven, confirmAddress } from './prove_address.ts';
import { beMember, createPerson, orTaken, type PendingRegistration } from './register.ts';
import { asPerson, type VisitedTenant, type VisitorContext } from './visitor_context.ts';

export type VerifiablePurpose = Exclude<ProofPurpose, 'password_reset' | 'invitation'>;

const verifiable: ReadonlySet<ProofPurpose> = new Set(['registration', 'verification', 'email_change', 'unlock']);

/** What a page says before anything is used up. */
export interface Verifiable {
  readonly purpose: VerifiablePurpose;
  readonly address: string;
  /** The browser is not the one in which it was begun: the password shows that it is the same person. */
  readonly needsPassword: boolean;
  /** Somebody with an account elsewhere becomes a member here. */
  readonly joins: boolean;
}

/** Changes nothing, however often it is asked. Undefined for what is over or never was. */
export async function lookAtLink(
  context: VisitorContext,
  {
    tenant,
    token,
    handle,
  }: { readonly tenant: VisitedTenant; readonly token: string; readonly handle?: string | undefined },
): Promise<Verifiable | undefined> {
  const proof = await findProof(context, { tenantId: tenant.id, token, handle });
  if (proof === undefined || !verifiable.has(proof.purpose)) return undefined;
  const purpose = proof.purpose as VerifiablePurpose; // just looked up
  const keeper = await keeperOf(context, proof);
  return {
    purpose,
    address: pendingOf(proof)?.email ?? proof.address,
    needsPassword: !proof.fromHere && keeper.kind === 'password',
    joins: purpose === 'registration' && keeper.kind === 'mailbox',
  };
}

/** What the browser that asked is waiting for. */
export async function lookAtHandle(
  context: VisitorContext,
  { tenant, handle }: { readonly tenant: VisitedTenant; readonly handle: string },
): Promise<{ readonly address: string } | undefined> {
  const proof = await findProof(context, { tenantId: tenant.id, handle });
  if (proof === undefined || !verifiable.has(proof.purpose)) return undefined;
  return { address: pendingOf(proof)?.email ?? proof.address };
}

export type VerifyOutcome =
  | {
      readonly outcome: 'verified';
      readonly what: 'registered' | 'joined' | 'member_already' | 'verified' | 'email_changed' | 'unlocked';
      /** Where it was begun, in this browser. Trust it as an address that a stranger wrote. */
      readonly interaction: string | undefined;
      /** What they sign in with from now on. */
      readonly address: string;
    }
  /** Over, used, or never there. */
  | { readonly outcome: 'gone' }
  | { readonly outcome: 'wrong_code' | 'wrong_password' }
  /** It can only be finished where it was begun. */
  | { readonly outcome: 'elsewhere' }
  | { readonly outcome: 'throttled' | 'busy'; readonly retryAfterSeconds: number };

export type What = Extract<VerifyOutcome, { outcome: 'verified' }>['what'];

/** `password`: for a link in another browser than the one in which it was begun. */
export async function verifyShown(
  context: VisitorContext,
  {
    tenant,
    shown,
    password,
  }: { readonly tenant: VisitedTenant; readonly shown: Shown; readonly password?: string | undefined },
): Promise<VerifyOutcome> {
  const tried = await tryShownProof(context, { tenantId: tenant.id, shown });
  if (tried.outcome === 'wrong') return { outcome: 'wrong_code' };
  if (tried.outcome !== 'proven') return tried;
  const { proof } = tried;
  if (!verifiable.has(proof.purpose)) return { outcome: 'gone' };
  try {
    const keeper = await keeperOf(context, proof);
    if (!proof.fromHere && keeper.kind === 'nothing') return { outcome: 'elsewhere' };
    if (!proof.fromHere && keeper.kind === 'password') {
      const { matches } = await context.passwords.verify(keeper.hash, password ?? '');
      if (!matches) return { outcome: 'wrong_password' };
    }
    const what = (await settle(context, tenant, proof)) ?? (await settle(context, tenant, proof));
    if (what === undefined) return { outcome: 'gone' };
    const interaction = proof.fromHere ? pendingOf(proof)?.interaction : undefined;
    return { outcome: 'verified', what, interaction, address: pendingOf(proof)?.email ?? proof.address };
  } catch (fault) {
    if (fault instanceof Refusal) return { outcome: 'gone' };
    if (!(fault instanceof PasswordHashingBusy)) throw fault;
    await giveTryBack(context, proof);
    return { outcome: 'busy', retryAfterSeconds: fault.retryAfterSeconds };
  }
}

/** What has to be shown beside the link, outside the browser in which it was begun. */
type Keeper =
  | { readonly kind: 'password'; readonly hash: string }
  /** There is no password to show, and without one the link is not enough. */
  | { readonly kind: 'nothing' }
  /** The mailbox is enough: nothing comes of it that somebody else could have prepared. */
  | { readonly kind: 'mailbox' };

async function keeperOf(context: VisitorContext, proof: FoundProof): Promise<Keeper> {
  const { database } = context;
  switch (proof.purpose) {
    case 'registration': {
      const known = await findAddressOfInstallation(database, proof.address);
      const pending = pendingOf(proof);
      if (known?.proven === true || pending === undefined) return { kind: 'mailbox' };
      return { kind: 'password', hash: pending.password_hash };
    }
    case 'verification':
    case 'email_change': {
      const person = proof.user_id && (await readSignInPersonById(database.tenant(proof.tenantId), proof.user_id));
      const hash = person?.password_hash ?? undefined;
      if (hash !== undefined) return { kind: 'password', hash };
      return { kind: proof.purpose === 'verification' ? 'mailbox' : 'nothing' };
    }
    default:
      return { kind: 'mailbox' };
  }
}

/** Undefined when somebody took the address at this very moment: asking again finds them. Throws `Refusal` for what is over. */
function settle(context: VisitorContext, tenant: VisitedTenant, proof: FoundProof): Promise<What | undefined> {
  switch (proof.purpose) {
    case 'registration':
      return settleRegistration(context, tenant, proof);
    case 'verification':
      return settleVerification(context, proof);
    case 'email_change':
      return completeEmailChange(context, tenant, proof);
    default:
      return unlockByProof(context, proof);
  }
}

function over(): never {
  throw new Refusal('gone');
}

async function settleRegistration(
  context: VisitorContext,
  tenant: VisitedTenant,
  proof: FoundProof,
): Promise<What | undefined> {
  const pending = pendingOf(proof) ?? over();
  // The tenant may have closed its door since.
  if (tenant.policy['people.registration'] !== 'open') over();
  const { database } = context;
  const known = await findAddressOfInstallation(database, proof.address);
  const id = known?.id ?? userId(uuidv7(context.clock()));
  const acting = asPerson(context, id);
  const tenantIds = known === undefined ? [] : await listTenantsOfPerson(database, id);
  const work = async (transaction: Transaction): Promise<What> => {
    await use(context, transaction, proof);
    if (known === undefined) {
      await createPerson(acting, transaction, { tenant, id, pending, canonical: proof.address, verified: true });
      await confirmNew(acting, transaction, { proof, id });
      return 'registered';
    }
    const joins = await insertMembership(transaction, { tenantId: tenant.id, userId: id, now: context.clock() });
    const person = (await findActivePerson(transaction, { tenantId: tenant.id, userId: id })) ?? over();
    if (joins) await beMember(acting, transaction, { tenant, id, pending, type: 'membership.added' });
    if (!person.email_verified)
      await claimUnproven(acting, {
        tenantId: tenant.id,
        userId: id,
        transaction,
        tenantIds: [...new Set([...tenantIds, tenant.id])],
        claim: {
          address: proof.address,
          passwordHash: pending.password_hash,
          verified: true,
          givenName: pending.given_name,
          familyName: pending.family_name,
        },
      });
    if (!person.email_verified) return 'registered';
    return joins ? 'joined' : 'member_already';
  };
  return orTaken(database.tenant(tenant.id).transaction(work));
}

/** Only the event: the row was made with a proven address. */
async function confirmNew(
  context: ReturnType<typeof asPerson>,
  transaction: Transaction,
  { proof, id }: { readonly proof: FoundProof; readonly id: UserId },
): Promise<void> {
  const event: NewEvent = {
    type: 'email.verified',
    outcome: 'success',
    actor: context.actor,
    target: { type: 'user', id },
  };
  const tenant = context.database.tenant(proof.tenantId);
  await appendEvent(transaction, { tenant, event, origin: context.origin, now: context.clock() });
}

async function settleVerification(context: VisitorContext, proof: FoundProof): Promise<What> {
  const { tenantId, user_id: id, address } = proof;
  if (id === null) return over();
  const acting = asPerson(context, id);
  return context.database.tenant(tenantId).transaction<What>(async (transaction) => {
    await use(context, transaction, proof);
    if ((await findActivePerson(transaction, { tenantId, userId: id })) === undefined) over();
    await confirmAddress(acting, { tenantId, userId: id, transaction, address });
    return 'verified';
  });
}

/** Throws `Refusal` when somebody else was first. */
async function use(context: VisitorContext, transaction: Transaction, { tenantId, id }: FoundProof): Promise<void> {
  if (!(await consumeProof(transaction, { tenantId, id, now: context.clock() }))) over();
}

/** Undefined for a purpose that keeps nothing of the kind. We wrote it ourselves, in this shape. */
export function pendingOf({ payload }: Pick<FoundProof, 'payload'>): PendingRegistration | undefined {
  const isPending = typeof payload === 'object' && payload !== null && 'password_hash' in payload;
  return isPending ? (payload as PendingRegistration) : undefined;
}
