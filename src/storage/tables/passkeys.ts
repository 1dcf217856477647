/** Passkeys of a person (WebAuthn credentials), and the challenges they answer. A passkey is found only where its person is a member. */
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import type { TenantDatabase, Transaction } from '../database.ts';

export interface PasskeyRow {
  readonly user_id: UserId;
  readonly credential_id: Buffer;
  readonly public_key: Buffer;
  readonly sign_count: number;
  readonly transports: readonly string[];
  readonly backed_up: boolean;
  readonly name: string;
  readonly created_at: Date;
  readonly last_used_at: Date | null;
}

// A counter has 32 bits and the driver reads a bigint as text.
const columns = `p.user_id, p.credential_id, p.public_key, p.sign_count::float8 as sign_count, p.transports, p.backed_up, p.name,
  p.created_at, p.last_used_at`;

/** Undefined when nobody of this tenant has it. */
export async function findPasskey(
  transaction: Transaction,
  { credentialId, relyingPartyId }: { readonly credentialId: Buffer; readonly relyingPartyId: string },
): Promise<PasskeyRow | undefined> {
  const text = `select ${columns} from passkeys p where p.credential_id = $1 and p.rp_id = $2`;
  return (await transaction.query<PasskeyRow>(text, [credentialId, relyingPartyId]))[0];
}

/** The oldest first; at most a hundred. */
export async function listPasskeys(
  transaction: Transaction,
  { userId, relyingPartyId }: { readonly userId: UserId; readonly relyingPartyId: string },
): Promise<readonly PasskeyRow[]> {
  return transaction.query<PasskeyRow>(
    `select ${columns} from passkeys p where p.user_id = $1 and p.rp_id = $2 order by p.created_at, p.credential_id limit 100`,
    [userId, relyingPartyId],
  );
}

/** False when somebody has it already. */
export async function insertPasskey(
  transaction: Transaction,
  passkey: {
    readonly userId: UserId;
    readonly credentialId: Buffer;
    readonly relyingPartyId: string;
    readonly publicKey: Buffer;
    readonly signCount: number;
    readonly transports: readonly string[];
    readonly aaguid: string;
    readonly backedUp: boolean;
    readonly name: string;
    readonly now: Date;
  },
): Promise<boolean> {
  const rows = await transaction.query(
    `insert into passkeys (user_id, credential_id, rp_id, public_key, sign_count, transports, aaguid, backed_up, name, created_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict do nothing returning credential_id`,
    [
      passkey.userId,
      passkey.credentialId,
      passkey.relyingPartyId,
      passkey.publicKey,
      passkey.signCount,
      passkey.transports,
      passkey.aaguid,
      passkey.backedUp,
      passkey.name,
      passkey.now,
    ],
  );
  return rows.length === 1;
}

/**
 * One statement decides, also between two who bring the same signature. False when the counter went back: there is a copy of the
 * authenticator (WebAuthn §6.1.1). One that always says zero does not count.
 */
export async function acceptPasskeyUse(
  transaction: Transaction,
  use: {
    readonly userId: UserId;
    readonly credentialId: Buffer;
    readonly signCount: number;
    readonly backedUp: boolean;
    readonly now: Date;
  },
): Promise<boolean> {
  const rows = await transaction.query(
    `update passkeys set sign_count = $3, backed_up = $4, last_used_at = $5
      where user_id = $1 and credential_id = $2 and (sign_count < $3 or sign_count = 0 and $3 = 0) returning credential_id`,
    [use.userId, use.credentialId, use.signCount, use.backedUp, use.now],
  );
  return rows.length === 1;
}

/** False when it is none of this person's. */
export async function renamePasskey(
  transaction: Transaction,
  { userId, credentialId, name }: { readonly userId: UserId; readonly credentialId: Buffer; readonly name: string },
): Promise<boolean> {
  const text = 'update passkeys set name = $3 where user_id = $1 and credential_id = $2 returning credential_id';
  return (await transaction.query(text, [userId, credentialId, name])).length === 1;
}

/** Its name; undefined when it is none of this person's. */
export async function deletePasskey(
  transaction: Transaction,
  { userId, credentialId }: { readonly userId: UserId; readonly credentialId: Buffer },
): Promise<string | undefined> {
  const text = 'delete from passkeys where user_id = $1 and credential_id = $2 returning name';
  return (await transaction.query<{ name: string }>(text, [userId, credentialId]))[0]?.name;
}

/** All of them. How many. */
export async function deletePasskeysOf(transaction: Transaction, userId: UserId): Promise<number> {
  return (await transaction.query('delete from passkeys where user_id = $1 returning credential_id', [userId])).length;
}

export type ChallengePurpose = 'sign_in' | 'second_factor' | 'registration';

/** Where a challenge was made and what for; it is good nowhere else. */
export interface ChallengePlace {
  readonly tenantId: TenantId;
  readonly placeHash: Buffer;
  readonly purpose: ChallengePurpose;
  /** Who has to answer it; undefined where nobody is known yet. */
  readonly userId: UserId | undefined;
}

const putStatement = {
  name: 'passkey_challenge_put',
  text: 'select passkey_challenge_put($1, $2, $3, $4, $5, $6)',
} as const;

/** In place of the one that was made there before. */
export async function putChallenge(
  tenant: TenantDatabase,
  challenge: Omit<ChallengePlace, 'tenantId'> & { readonly challengeHash: Buffer; readonly expiresAt: Date },
): Promise<void> {
  const { placeHash, purpose, challengeHash, userId, expiresAt } = challenge;
  await tenant.write(putStatement, [placeHash, purpose, challengeHash, userId ?? null, expiresAt]);
}

/** Uses it up, whatever comes of it. False when it was used before, is over, or was made elsewhere, for somebody or something else. */
export async function takeChallenge(
  transaction: Transaction,
  { tenantId, placeHash, purpose, userId, challengeHash, now }: ChallengePlace & { challengeHash: Buffer; now: Date },
): Promise<boolean> {
  const rows = await transaction.query(
    `delete from passkey_challenges
      where tenant_id = $1 and place_hash = $2 and purpose = $3 and challenge_hash = $4 and user_id is not distinct from $5
        and expires_at > $6 returning purpose`,
    [tenantId, placeHash, purpose, challengeHash, userId ?? null, now],
  );
  return rows.length === 1;
}
