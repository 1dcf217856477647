/** `poort user delete`: at once, and only for who said twice whom they mean. */
import { rm } from 'node:fs/promises';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, newPerson, type TestTenant } from '#test/support/world.ts';
import { besideServer, callPoort, type Finished, type Installation } from './poort_process.ts';

let server: TestServer;
let acme: TestTenant;
let installation: Installation;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  installation = await besideServer(server);
});

afterAll(async () => {
  await rm(installation.dataDirectory, { recursive: true, force: true });
  await server.close();
});

const remove = (...commandLine: string[]): Promise<Finished> =>
  callPoort(installation, ['user', 'delete', '--tenant', 'acme', ...commandLine, '--json']);

async function isThere(email: string): Promise<boolean> {
  const text = 'select from users where email_canonical = $1';
  return (await queryAsSuperuser(server.database, text, [email])).length > 0;
}

describe('poort user delete', () => {
  it.each([[[]], [['--confirm', 'ada@acme.test']]])(
    'does nothing unless the address is repeated: %j',
    async (confirm) => {
      const { email } = await newPerson(server, acme);
      const finished = await remove('--email', email, ...confirm);
      expect([finished.code, JSON.parse(finished.output).error.code]).toEqual([2, 'wrong_usage']);
      expect(await isThere(email)).toBe(true);
    },
  );

  it('deletes the person and says so, by mail too', async () => {
    const { id, email } = await newPerson(server, acme);
    const { code, output } = await remove('--email', email, '--confirm', email);
    expect([code, JSON.parse(output)]).toEqual([0, { tenant: 'acme', id, email, deleted: true }]);
    expect(await isThere(email)).toBe(false);
    const mails = await queryAsSuperuser(server.database, "select from mails where kind = 'account_deleted'");
    expect(mails).toHaveLength(1);
    const again = await remove('--email', email, '--confirm', email);
    expect([again.code, JSON.parse(again.output).error.code]).toEqual([1, 'unknown_user']);
  });
});
