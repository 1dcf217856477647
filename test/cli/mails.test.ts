/** `poort mail …` against the database of a running server. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { testMasterKey } from '#test/support/cluster.ts';
import { mailCode, queueAt } from '#test/support/mails.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';
import { callPoort, type Finished, type Installation } from './poort_process.ts';

let server: TestServer;
let acme: TestTenant;
let installation: Installation;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  await createTestTenant(server, 'globex');
  installation = {
    dataDirectory: await mkdtemp(join(tmpdir(), 'poort-mails-')),
    environment: {
      POORT_ENV: 'test',
      POORT_DATABASE_URL: server.database.ownerUrl,
      POORT_MASTER_KEY: testMasterKey,
      POORT_PUBLIC_URL: server.origin,
      POORT_SMTP_URL: 'smtp://127.0.0.1:9',
      POORT_LOG_LEVEL: 'error',
    },
  };
  for (const to of ['dead@acme.test', 'waiting@acme.test', 'delivered@acme.test']) {
    await queueAt(server, { tenant: acme, to, mail: { kind: 'email_code', code: mailCode } });
  }
  await queueAt(server, { tenant: acme, to: 'nobody@acme.test', mail: { kind: 'none' } });
  const settled = (kind: string, offset: number): string =>
    `update mails set ${kind} where id = (select id from mails order by id offset ${offset} limit 1)`;
  await queryAsSuperuser(
    server.database,
    [
      settled(`state = 'dead', attempts = 1, problem = 'RCPT TO: 550 5.1.1', sealed = null, settled_at = now()`, 0),
      settled(
        `attempts = 2, problem = 'RCPT TO: 450', attempted_at = now() - interval '10 minutes', due_at = now() + interval '1 hour'`,
        1,
      ),
      settled(`state = 'delivered', attempts = 1, sealed = null, settled_at = now() - interval '1 hour'`, 2),
    ].join(';'),
  );
});

afterAll(async () => {
  await rm(installation.dataDirectory, { recursive: true, force: true });
  await server.close();
});

const poort = (...commandLine: string[]): Promise<Finished> => callPoort(installation, commandLine);

async function listed(...options: string[]): Promise<readonly Record<string, unknown>[]> {
  const { code, output, errors } = await poort('mail', 'list', '--tenant', 'acme', ...options, '--json');
  expect({ code, errors }).toEqual({ code: 0, errors: '' });
  return JSON.parse(output).mails;
}

describe('poort mail', () => {
  it('lists the dead, the waiting and the delivered, in that order, and never what they say or to whom', async () => {
    const mails = await listed();
    expect(mails.map(({ state }) => state)).toEqual(['dead', 'waiting', 'delivered']);
    expect(mails[0]).toEqual({
      id: expect.any(String),
      kind: 'email_code',
      state: 'dead',
      attempts: 1,
      problem: 'RCPT TO: 550 5.1.1',
      created_at: expect.any(String),
      next_attempt_at: null,
      settled_at: expect.any(String),
    });
    const { code, output } = await poort('mail', 'list', '--tenant', 'acme');
    expect(code).toBe(0);
    expect(output).toMatch(/email_code +dead +1 .*RCPT TO: 550 5\.1\.1/);
    expect(JSON.stringify(mails) + output).not.toMatch(/acme\.test|73555537/);
  });

  it('lists those of one state, and of one tenant', async () => {
    expect((await listed('--state', 'dead')).map(({ state }) => state)).toEqual(['dead']);
    const { code, output } = await poort('mail', 'list', '--tenant', 'globex');
    expect({ code, output: output.trim() }).toEqual({ code: 0, output: 'There is no mail.' });
    expect((await poort('mail', 'list', '--tenant', 'acme', '--state', 'lost')).code).toBe(2);
  });

  it('tells the doctor, who says what to do', async () => {
    const { output } = await poort('doctor');
    expect(output).toMatch(/! mail .*mail does not get through \(waiting: 1\)/);
    expect(output).toContain('poort mail list');
  });

  it('tries at once what waits', async () => {
    const retried = await poort('mail', 'retry', '--tenant', 'acme');
    expect(retried).toEqual({ code: 0, output: '1 mail will be tried at once\n', errors: '' });
    const [{ due } = { due: false }] = await queryAsSuperuser<{ due: boolean }>(
      server.database,
      `select bool_and(due_at <= now()) as due from mails where state = 'waiting'`,
    );
    expect(due).toBe(true);
  });
});
