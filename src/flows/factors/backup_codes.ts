/** Backup codes as a set: made together, shown once, known afterwards by their hashes alone. */
import { randomBytes } from 'node:crypto';
import { BACKUP_CODE_BYTES, BACKUP_CODES, formatBackupCode, parseBackupCode } from '#src/domain/backup_code.ts';
import type { UserId } from '#src/domain/user.ts';
import { sha256 } from '#src/foundation/identifiers.ts';
import type { Transaction } from '#src/storage/database.ts';
import { listBackupCodeHashes, replaceBackupCodes } from '#src/storage/tables/factors.ts';

export function backupCodeHash(userId: UserId, code: string): Buffer {
  return sha256(`backup_code\n${userId}\n${code}`);
}

/** Ten new codes in place of all old ones, as they are to be shown: once. */
export async function putBackupCodes(transaction: Transaction, userId: UserId, now: Date): Promise<readonly string[]> {
  const codes = Array.from({ length: BACKUP_CODES }, () => formatBackupCode(randomBytes(BACKUP_CODE_BYTES)));
  const codeHashes = codes.map((code) => backupCodeHash(userId, parseBackupCode(code) ?? code));
  await replaceBackupCodes(transaction, { userId, codeHashes, now });
  return codes;
}

/** What a set of codes is known by; it opens nothing. */
export function backupCodeSet(userId: UserId, codes: readonly string[]): string {
  return setOf(codes.map((code) => backupCodeHash(userId, parseBackupCode(code) ?? code)));
}

function setOf(hashes: readonly Buffer[]): string {
  const ordered = hashes.map((hash) => hash.toString('hex')).sort();
  return sha256(`backup_code_set\n${ordered.join('\n')}`).toString('base64url');
}

/** Whether these are still the codes that count: somebody who puts others away has none. */
export async function isCurrentSet(transaction: Transaction, userId: UserId, set: string): Promise<boolean> {
  return setOf(await listBackupCodeHashes(transaction, userId)) === set;
}
