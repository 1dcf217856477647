/**
 * Setting up an authenticator app and backup codes, and taking factors away. A secret counts once a code of it has come back, at the
 * place where it was shown; until then it is only here, sealed. What a person has is changed by one at a time, and whether they may is
 * judged where it is changed.
 */
import { needsSecondFactor, type PeopleSettings } from '#src/domain/people_settings.ts';
import { hasSecondFactor } from '#src/domain/second_factor.ts';
import type { UserId } from '#src/domain/user.ts';
import { sha256 } from '#src/foundation/identifiers.ts';
import { totpSecretContext } from '#src/foundation/sealing_contexts.ts';
import { makeTotpSecret, totpStepOf } from '#src/foundation/totp.ts';
import type { Transaction } from '#src/storage/database.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import {
  activateTotp,
  countBackupCodes,
  deleteBackupCodes,
  deleteTotp,
  findTotp,
  lockFactorsOf,
  putPendingTotp,
  type TotpRow,
} from '#src/storage/tables/factors.ts';
import { deletePasskey, listPasskeys } from '#src/storage/tables/passkeys.ts';
import { listTenantsOfPerson } from '#src/storage/tables/people.ts';
import { Refusal } from '../flow_context.ts';
import { notifyMember } from '../people/notify_person.ts';
import type { SignInServices } from '../sign_in/authentication_steps.ts';
import { putBackupCodes } from './backup_codes.ts';
import { endWhatFactorOpened, type FactorOwner, factorEvent } from './factor_owner.ts';

/** How long a secret that was shown waits for its first code. */
const SET_UP_SECONDS = 1_800;

function placeHashOf(key: string): Buffer {
  return sha256(`totp\n${key}`);
}

/** The secret to show: the same each time at one place, for a while. What was shown elsewhere is worth nothing from now on. */
export async function beginTotp(services: SignInServices, owner: FactorOwner): Promise<string> {
  const { database, sealer, clock } = services;
  const { tenantId, userId } = owner;
  const now = clock();
  return database.tenant(tenantId).transaction(async (transaction) => {
    await lockFactorsOf(transaction, userId);
    const shown = await findTotp(transaction, { userId, state: 'pending' });
    if (shown !== undefined && isOf(shown, owner, now)) return openSecret(services, shown);
    const secret = makeTotpSecret();
    const secretSealed = sealer.seal(secret, totpSecretContext(userId));
    await putPendingTotp(transaction, { userId, secretSealed, placeHash: placeHashOf(owner.key), now });
    return secret;
  });
}

function isOf({ place_hash, created_at }: TotpRow, { key }: FactorOwner, now: Date): boolean {
  const isHere = place_hash?.equals(placeHashOf(key)) === true;
  return isHere && now.getTime() - created_at.getTime() < SET_UP_SECONDS * 1000;
}

function openSecret({ sealer }: Pick<SignInServices, 'sealer'>, { user_id: userId, secret_sealed: sealed }: TotpRow) {
  return sealer.open(sealed, totpSecretContext(userId)).toString('utf8');
}

export type ConfirmTotpOutcome =
  /** `backupCodes`: new ones, to be shown now and never again; undefined when there are good ones. */
  | { readonly outcome: 'enrolled'; readonly backupCodes: readonly string[] | undefined }
  | { readonly outcome: 'refused' }
  /** Nothing is being set up here (any more), or somebody was faster. */
  | { readonly outcome: 'expired' };

/** The app shows the right code: from now on it counts, and one that was there before does not. */
export async function confirmTotp(
  services: SignInServices,
  owner: FactorOwner,
  input: {
    readonly code: string;
    /** There must be no second factor yet: whoever sets up the first has proven only a password. */
    readonly onlyAsFirst: boolean;
    /** In the same transaction; false takes everything back. */
    readonly also?: (transaction: Transaction) => Promise<boolean>;
  },
): Promise<ConfirmTotpOutcome> {
  const { tenantId, userId, origin } = owner;
  const { database, clock } = services;
  const tenant = database.tenant(tenantId);
  const now = clock();
  const shown = await tenant.transaction((transaction) => findTotp(transaction, { userId, state: 'pending' }));
  if (shown === undefined || !isOf(shown, owner, now)) return { outcome: 'expired' };
  const step = await totpStepOf({ secret: openSecret(services, shown), code: input.code, now, afterStep: 0 });
  if (step === undefined) return { outcome: 'refused' };

  const tenantIds = await listTenantsOfPerson(database, userId);
  const expired: ConfirmTotpOutcome = { outcome: 'expired' };
  try {
    return await tenant.transaction(async (transaction) => {
      const refuse = (): never => {
        throw new Refusal<ConfirmTotpOutcome>(expired);
      };
      if (!(await lockFactorsOf(transaction, userId))) refuse();
      const held = await heldNow(services, transaction, userId);
      if (input.onlyAsFirst && hasSecondFactor(held)) refuse();
      if (!(await activateTotp(transaction, { userId, secretSealed: shown.secret_sealed, step }))) refuse();
      const backupCodes =
        (await countBackupCodes(transaction, userId)) > 0 ? undefined : await putBackupCodes(transaction, userId, now);
      if (input.also !== undefined && !(await input.also(transaction))) refuse();
      if (held.totp)
        await endWhatFactorOpened(services, transaction, { owner, tenantIds, hasOther: true, reason: 'mfa_renewed' });
      const event = factorEvent(owner, { type: 'mfa.enrolled', data: { method: 'totp', renewed: held.totp } });
      await appendEvent(transaction, { tenant, event, origin, now });
      const mail = { kind: 'second_factor_added', factor: 'totp' } as const;
      await notifyMember(services, transaction, { tenantId, userId, origin, mail });
      return { outcome: 'enrolled', backupCodes };
    });
  } catch (fault) {
    if (fault instanceof Refusal) return fault.outcome;
    throw fault;
  }
}

async function heldNow(
  { relyingParty }: Pick<SignInServices, 'relyingParty'>,
  transaction: Transaction,
  userId: UserId,
): Promise<{ readonly totp: boolean; readonly passkeys: number }> {
  const totp = (await findTotp(transaction, { userId, state: 'active' })) !== undefined;
  const passkeys = (await listPasskeys(transaction, { userId, relyingPartyId: relyingParty.id })).length;
  return { totp, passkeys };
}

/** Undefined for who has no second factor that they could stand in for. */
export async function renewBackupCodes(
  services: SignInServices,
  owner: FactorOwner,
): Promise<readonly string[] | undefined> {
  const { tenantId, userId, origin } = owner;
  const tenant = services.database.tenant(tenantId);
  const now = services.clock();
  return tenant.transaction(async (transaction) => {
    await lockFactorsOf(transaction, userId);
    if (!hasSecondFactor(await heldNow(services, transaction, userId))) return undefined;
    const codes = await putBackupCodes(transaction, userId, now);
    const event = factorEvent(owner, { type: 'backup_code.renewed' });
    await appendEvent(transaction, { tenant, event, origin, now });
    await notifyMember(services, transaction, { tenantId, userId, origin, mail: { kind: 'backup_codes_renewed' } });
    return codes;
  });
}

export type RemoveFactorOutcome =
  | { readonly outcome: 'removed'; readonly sessionKept: boolean }
  /** The tenant asks this person for a second factor, and it is their only one. */
  | { readonly outcome: 'required' }
  /** Without a password it is the only way in. */
  | { readonly outcome: 'only_way_in' }
  | { readonly outcome: 'unknown' };

export type FactorToRemove =
  | { readonly method: 'totp' }
  | { readonly method: 'passkey'; readonly credentialId: Buffer };

export async function removeFactor(
  services: SignInServices,
  owner: FactorOwner,
  input: {
    readonly factor: FactorToRemove;
    readonly policy: PeopleSettings;
    readonly roles: readonly string[];
    readonly hasPassword: boolean;
  },
): Promise<RemoveFactorOutcome> {
  const { tenantId, userId, origin } = owner;
  const { factor, policy, roles, hasPassword } = input;
  const tenant = services.database.tenant(tenantId);
  const now = services.clock();
  const tenantIds = await listTenantsOfPerson(services.database, userId);
  try {
    return await tenant.transaction(async (transaction) => {
      const refuse = (outcome: 'required' | 'only_way_in' | 'unknown'): never => {
        throw new Refusal<RemoveFactorOutcome>({ outcome });
      };
      if (!(await lockFactorsOf(transaction, userId))) refuse('unknown');
      const name = await takeAway(transaction, userId, factor);
      if (name === undefined) return refuse('unknown');
      const left = await heldNow(services, transaction, userId);
      if (!hasPassword && left.passkeys === 0) refuse('only_way_in');
      const hasOther = hasSecondFactor(left);
      if (!hasOther && needsSecondFactor(policy, roles)) refuse('required');
      // They stand in for something that is not there any more.
      if (!hasOther) await deleteBackupCodes(transaction, userId);
      const ending = { owner, tenantIds, hasOther, reason: 'mfa_removed' };
      const { sessionKept } = await endWhatFactorOpened(services, transaction, ending);
      const event = factorEvent(owner, { type: 'mfa.removed', data: { method: factor.method } });
      await appendEvent(transaction, { tenant, event, origin, now });
      const mail =
        factor.method === 'totp'
          ? ({ kind: 'second_factor_removed', factor: 'totp' } as const)
          : ({ kind: 'passkey_removed', name } as const);
      await notifyMember(services, transaction, { tenantId, userId, origin, mail });
      return { outcome: 'removed', sessionKept };
    });
  } catch (fault) {
    if (fault instanceof Refusal) return fault.outcome;
    throw fault;
  }
}

/** What it was called; undefined when there is no such factor. */
async function takeAway(transaction: Transaction, userId: UserId, factor: FactorToRemove): Promise<string | undefined> {
  if (factor.method === 'passkey') return deletePasskey(transaction, { userId, credentialId: factor.credentialId });
  return (await deleteTotp(transaction, userId)) ? 'totp' : undefined;
}
