/** A database in which nothing has been migrated, in the cluster of this run. */
import { randomBytes } from 'node:crypto';
import { createTestDatabase, type TestDatabase } from './cluster.ts';
import { withConnection } from './sql.ts';

export async function createEmptyDatabase(): Promise<TestDatabase> {
  // The one that is made with the template tells where the cluster is, and who owns.
  const neighbour = await createTestDatabase();
  const name = `poort_test_empty_${randomBytes(6).toString('hex')}`;
  const inEmpty = (url: string): string => Object.assign(new URL(url), { pathname: `/${name}` }).href;
  await withConnection(neighbour.superuserUrl, (superuser) =>
    superuser.query(`create database ${name} owner poort_owner`),
  );
  return {
    ownerUrl: inEmpty(neighbour.ownerUrl),
    superuserUrl: inEmpty(neighbour.superuserUrl),
    async drop() {
      await withConnection(neighbour.superuserUrl, (superuser) =>
        superuser.query(`drop database ${name} with (force)`),
      );
      await neighbour.drop();
    },
  };
}
