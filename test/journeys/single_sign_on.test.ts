import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorizationRequest, authorize, createUserAgent } from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

describe('one session', () => {
  let server: TestServer;
  let acme: TestTenant;

  beforeAll(async () => {
    server = await startTestServer();
    acme = await createTestTenant(server, 'acme');
  });

  afterAll(() => server.close());

  // Every request saves the session: `insert … on conflict` deadlocked at its second unique index, once in some thousand requests.
  it('serves many authorization requests at the same moment', async () => {
    const agent = createUserAgent(server.origin);
    await authorize(agent, { tenant: acme, client: acme.clients.web });
    const tab = async (): Promise<readonly number[]> => {
      const statuses: number[] = [];
      for (let request = 0; request < 60; request += 1) {
        const page = await agent.follow(authorizationRequest(acme, acme.clients.web).url);
        statuses.push(new URL(page.url).searchParams.has('code') ? 303 : page.status);
      }
      return statuses;
    };
    const statuses = (await Promise.all(Array.from({ length: 16 }, tab))).flat();
    expect(new Set(statuses)).toEqual(new Set([303]));
    expect(server.log.filter((line) => line['level'] === 'error')).toEqual([]);
  }, 60_000);
});
