/** `poort user unlock` and `poort doctor`, beside a running server that counts in Redis. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { countAttempt } from '#src/flows/sign_in/attempts.ts';
import { testMasterKey } from '#test/support/cluster.ts';
import { type RedisServer, startRedisServer } from '#test/support/redis_server.ts';
import { readEvents } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';
import { callPoort, type Finished, type Installation } from './poort_process.ts';

let redis: RedisServer;
let server: TestServer;
let acme: TestTenant;
let installation: Installation;
let now = new Date();

beforeAll(async () => {
  redis = await startRedisServer();
  server = await startTestServer({ environment: { POORT_REDIS_URL: redis.url } });
  acme = await createTestTenant(server, 'acme');
  installation = {
    dataDirectory: await mkdtemp(join(tmpdir(), 'poort-locks-')),
    environment: {
      POORT_ENV: 'test',
      POORT_DATABASE_URL: server.database.ownerUrl,
      POORT_REDIS_URL: redis.url,
      POORT_MASTER_KEY: testMasterKey,
      POORT_PUBLIC_URL: server.origin,
      POORT_LOG_LEVEL: 'error',
    },
  };
});

afterAll(async () => {
  await rm(installation.dataDirectory, { recursive: true, force: true });
  await server.close();
  await redis.stop();
});

const poort = (...commandLine: string[]): Promise<Finished> => callPoort(installation, [...commandLine, '--json']);

/** As a server does, which remembers locks for some seconds. */
async function tryPassword(): Promise<string> {
  now = new Date(now.getTime() + 3_000);
  const { context, config } = server;
  const attempt = { tenantId: acme.id, kind: 'password', identifier: acme.person.email, address: '192.0.2.1' } as const;
  return (await countAttempt({ database: context.database, settings: config.signIn }, { ...attempt, now })).outcome;
}

describe('poort user unlock', () => {
  it('lets a person in again whom a running server has locked out', async () => {
    for (let count = 0; count < 8; count += 1) await tryPassword();
    expect(await tryPassword()).toBe('throttled');
    const { code, output, errors } = await poort('user', 'unlock', '--tenant', 'acme', '--email', acme.person.email);
    expect({ code, errors }).toEqual({ code: 0, errors: '' });
    expect(JSON.parse(output)).toMatchObject({ email: acme.person.email, unlocked: true });
    expect(await tryPassword()).toBe('allowed');
    const events = await readEvents(server.database, { tenantId: acme.id, types: ['user.unlocked'] });
    expect(events).toMatchObject([{ target_id: acme.person.id, actor_type: 'operator' }]);
  });

  it('refuses somebody the tenant does not have', async () => {
    const { code, output } = await poort('user', 'unlock', '--tenant', 'acme', 'nobody@people.test');
    expect(code).toBe(1);
    expect(JSON.parse(output)).toMatchObject({ error: { code: 'unknown_user' } });
  });
});

describe('poort doctor', () => {
  const limiter = async (): Promise<unknown> => {
    const { output } = await poort('doctor');
    const { checks } = JSON.parse(output) as { checks: readonly { name: string }[] };
    return checks.find(({ name }) => name === 'limiter');
  };

  it('says whether Redis answers', async () => {
    expect(await limiter()).toMatchObject({ state: 'ok' });
    await redis.kill();
    expect(await limiter()).toMatchObject({ state: 'failed' });
    await redis.startAgain();
  });
});
