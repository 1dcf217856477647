/** Second factors that people of a test have, set up behind the pages' back. */
import { randomBytes } from 'node:crypto';
import { generateSync } from 'otplib';
import { formatBackupCode, parseBackupCode } from '#src/domain/backup_code.ts';
import type { UserId } from '#src/domain/user.ts';
import { backupCodeHash } from '#src/flows/factors/backup_codes.ts';
import { addMember } from '#src/flows/people/manage_people.ts';
import { totpSecretContext } from '#src/foundation/sealing_contexts.ts';
import { makeTotpSecret } from '#src/foundation/totp.ts';
import { activateTotp, putPendingTotp, replaceBackupCodes } from '#src/storage/tables/factors.ts';
import { insertPasskey } from '#src/storage/tables/passkeys.ts';
import type { TestServer } from './test_server.ts';
import type { TestTenant } from './world.ts';

/** An authenticator app that has never been used. The secret. */
export async function giveTotp({ context }: TestServer, { id }: TestTenant, userId: UserId): Promise<string> {
  const secret = makeTotpSecret();
  const secretSealed = context.sealer.seal(secret, totpSecretContext(userId));
  await context.database.tenant(id).transaction(async (transaction) => {
    await putPendingTotp(transaction, { userId, secretSealed, placeHash: Buffer.alloc(32), now: context.clock() });
    await activateTotp(transaction, { userId, secretSealed, step: 0 });
  });
  return secret;
}

/** What the app shows at a moment. */
export function totpCode(secret: string, at: Date): string {
  return generateSync({ secret, epoch: Math.floor(at.getTime() / 1000) });
}

/** As they would be shown. */
export async function giveBackupCodes(
  { context }: TestServer,
  { id }: TestTenant,
  userId: UserId,
  count = 10,
): Promise<readonly string[]> {
  const codes = Array.from({ length: count }, (_, index) => formatBackupCode(Buffer.alloc(10, 40 + index)));
  const codeHashes = codes.map((code) => backupCodeHash(userId, parseBackupCode(code) ?? ''));
  await context.database
    .tenant(id)
    .transaction((transaction) => replaceBackupCodes(transaction, { userId, codeHashes, now: context.clock() }));
  return codes;
}

/** A passkey that nobody holds. */
export async function givePasskey({ context, config }: TestServer, { id }: TestTenant, userId: UserId): Promise<void> {
  await context.database.tenant(id).transaction((transaction) =>
    insertPasskey(transaction, {
      userId,
      credentialId: randomBytes(32),
      relyingPartyId: new URL(config.http.publicUrl).hostname,
      publicKey: randomBytes(32),
      signCount: 0,
      transports: [],
      aaguid: '00000000-0000-0000-0000-000000000000',
      backedUp: false,
      name: 'Key',
      now: context.clock(),
    }),
  );
}

let lastPerson = 0;

/** A member of their own who has both a password and an app. */
export async function newPersonWithTotp(
  server: TestServer,
  tenant: TestTenant,
): Promise<{ readonly id: UserId; readonly email: string; readonly password: string; readonly secret: string }> {
  lastPerson += 1;
  const email = `two-steps-${lastPerson}@${tenant.slug}.test`;
  const password = `correct horse ${email}`;
  const added = await addMember(server.context, { tenantId: tenant.id, email, password, roles: [], verified: true });
  if (added.outcome === 'refused') throw new Error(added.reason);
  return { id: added.userId, email, password, secret: await giveTotp(server, tenant, added.userId) };
}
