/** A server that counts attempts in Redis, and what it says and does when that is gone. */
import { type RedisServer, startRedisServer } from '#test/support/redis_server.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorizationRequest, createUserAgent, type Page } from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

let redis: RedisServer;
let server: TestServer;
let acme: TestTenant;

beforeEach(async () => {
  redis = await startRedisServer();
  server = await startTestServer({ environment: { POORT_REDIS_URL: redis.url } });
  acme = await createTestTenant(server, 'acme');
});

afterEach(async () => {
  await server.close();
  await redis.stop();
});

async function readiness(): Promise<{ readonly status: number; readonly limiter: unknown }> {
  const answer = await fetch(`${server.origin}/health/ready`);
  const { checks } = (await answer.json()) as { checks: { limiter: unknown } };
  return { status: answer.status, limiter: checks.limiter };
}

async function signIn(password: string): Promise<Page> {
  const agent = createUserAgent(server.origin);
  const page = await agent.follow(authorizationRequest(acme, acme.clients.web).url);
  return agent.submit(page, { email: acme.person.email, password });
}

const lost = () => server.log.filter(({ message }) => String(message).startsWith('Redis does not answer'));

it.each([
  ['hangs', () => redis.hang(), () => redis.goOn()],
  ['is killed', () => redis.kill(), () => undefined],
])('a server whose Redis %s goes on, counts in PostgreSQL, and says so once', async (_name, begin, end) => {
  expect(await readiness()).toEqual({ status: 200, limiter: { status: 'ok', store: 'redis' } });
  expect((await signIn('wrong')).status).toBe(400);
  expect(await redis.admin.dbsize()).toBeGreaterThan(0);

  await begin();
  expect(new URL((await signIn(acme.person.password)).url).searchParams.has('code')).toBe(true);
  const statuses: number[] = [];
  for (let count = 0; count < 6; count += 1) statuses.push((await signIn('wrong')).status);
  expect(statuses).toEqual([400, 400, 400, 400, 400, 429]);
  expect(await readiness()).toEqual({ status: 200, limiter: { status: 'degraded', store: 'postgresql' } });
  expect(lost()).toHaveLength(1);
  await end();
});
