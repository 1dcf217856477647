/** Clears away what has been over for a day, in bounded batches, so that a long absence does not become one long statement. */
import type { Database } from '#src/storage/database.ts';

const batchRows = 2_000;
const maximumBatches = 500;

/** How many rows went. Several processes may call it: one works, the others find nothing to do. */
export async function sweep(database: Database): Promise<number> {
  let total = 0;
  for (let batch = 0; batch < maximumBatches; batch += 1) {
    const rows = await database.platform.query<{ swept: number }>('select sweep_expired($1) as swept', [batchRows]);
    const swept = rows[0]?.swept ?? 0;
    total += swept;
    if (swept < batchRows) break;
  }
  return total;
}
