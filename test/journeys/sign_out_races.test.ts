import { changeMembershipStatus } from '#src/flows/people/manage_people.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import {
  authorizationRequest,
  authorize,
  createUserAgent,
  exchangeCode,
  readForm,
  refresh,
  type UserAgent,
} from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

describe('what has ended', () => {
  let server: TestServer;
  let acme: TestTenant;

  beforeAll(async () => {
    server = await startTestServer();
    acme = await createTestTenant(server, 'acme');
  });

  afterAll(() => server.close());

  const isSignedIn = async (agent: UserAgent): Promise<boolean> => {
    const page = await agent.follow(authorizationRequest(acme, acme.clients.web, { prompt: 'none' }).url);
    return new URL(page.url).searchParams.has('code');
  };

  it('is not brought back by an authorization request that was under way when the person signed out', async () => {
    for (let round = 0; round < 15; round += 1) {
      const agent = createUserAgent(server.origin);
      await authorize(agent, { tenant: acme, client: acme.clients.web });
      // Somebody else with the same cookies: their answers change nothing of ours.
      const cookie = agent.cookies().join('; ');
      const asks = (): Promise<Response> =>
        fetch(authorizationRequest(acme, acme.clients.web).url, { headers: { cookie }, redirect: 'manual' });
      const confirmation = await agent.request(`${acme.issuer}/logout`);
      const { action, hidden } = readForm(confirmation);
      const signOut = agent.request(action, {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded', origin: server.origin },
        body: new URLSearchParams({ ...hidden, logout: 'yes' }).toString(),
      });
      await Promise.all([asks(), asks(), signOut, asks(), asks()]);
      const thief = await fetch(authorizationRequest(acme, acme.clients.web, { prompt: 'none' }).url, {
        headers: { cookie },
        redirect: 'manual',
      });
      expect(new URL(thief.headers.get('location') ?? '').searchParams.get('error')).toBe('login_required');
    }
  }, 60_000);

  it('is one sign-in, however many parallel requests come back from it', async () => {
    const agent = createUserAgent(server.origin);
    const page = await agent.follow(authorizationRequest(acme, acme.clients.web).url);
    const { action, hidden } = readForm(page);
    const answered = await agent.request(new URL(action, page.url).href, {
      method: 'POST',
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        origin: server.origin,
        'sec-fetch-site': 'same-origin',
      },
      body: new URLSearchParams({ ...hidden, email: acme.person.email, password: acme.person.password }).toString(),
    });
    const resume = answered.headers.get('location') ?? '';
    const cookie = agent.cookies().join('; ');
    const answers = await Promise.all(
      Array.from({ length: 12 }, () => fetch(resume, { headers: { cookie, accept: 'text/html' }, redirect: 'manual' })),
    );
    expect(answers.filter((answer) => answer.status === 303)).toHaveLength(1);
    expect(answers.filter((answer) => answer.status >= 500)).toEqual([]);
    expect(answers.filter((answer) => answer.status === 400)).toHaveLength(11);
  });

  it('stays ended for a person who was disabled, also when they are let in again', async () => {
    const agent = createUserAgent(server.origin);
    const { web } = acme.clients;
    const tokens = await exchangeCode(acme, web, await authorize(agent, { tenant: acme, client: web }));
    const change = { tenantId: acme.id, email: acme.person.email };
    await changeMembershipStatus(server.context, { ...change, status: 'disabled' });
    await changeMembershipStatus(server.context, { ...change, status: 'active' });
    expect((await refresh(acme, web, String(tokens.json['refresh_token']))).status).toBe(400);
    expect(await isSignedIn(agent)).toBe(false);
  });
});
