/** Clears away what has been over for a day, in bounded batches, so that a long absence does not become one long statement. */
import type { Clock } from '#src/foundation/clock.ts';
import type { Database } from '#src/storage/database.ts';
import { sweepLogouts } from '#src/storage/tables/backchannel_logouts.ts';
import { sweepMails } from '#src/storage/tables/mails.ts';
import { expireSessions, listTenantsWithExpiredSessions } from '#src/storage/tables/sessions.ts';

const batchRows = 2_000;
const maximumBatches = 500;

/** How many rows went. Several processes may call it: one works, the others find nothing to do. */
export async function sweep(database: Database): Promise<number> {
  let total = 0;
  for (const statement of sweeps) {
    for (let batch = 0; batch < maximumBatches; batch += 1) {
      const rows = await database.platform.query<{ swept: number }>(statement, [batchRows]);
      const swept = rows[0]?.swept ?? 0;
      total += swept;
      if (swept < batchRows) break;
    }
  }
  return total;
}

const sweeps = [
  'select sweep_expired($1) as swept',
  'select sweep_half_done($1) as swept',
  'select sweep_proofs($1) as swept',
  'select sweep_passkey_challenges($1) as swept',
  'select sweep_idempotency_keys($1) as swept',
] as const;

const tenantsTogether = 1_000;

/** Removes sessions that nobody came back to; their applications are told. How many. */
export async function sweepExpiredSessions(database: Database, clock: Clock): Promise<number> {
  let total = 0;
  for (const tenantId of await listTenantsWithExpiredSessions(database, tenantsTogether)) {
    const tenant = database.tenant(tenantId);
    let expired: number;
    do {
      expired = await expireSessions(tenant, { now: clock(), limit: batchRows });
      total += expired;
    } while (expired === batchRows);
  }
  return total;
}

/** Forgets logout tokens that nobody needs to see any more. How many. */
export async function sweepDeliveredLogouts(database: Database): Promise<number> {
  return sweepLogouts(database, batchRows);
}

/** Forgets mails that nobody needs to see or count any more. How many. */
export async function sweepSettledMails(database: Database): Promise<number> {
  return sweepMails(database, batchRows);
}
