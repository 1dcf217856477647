import { disableClient } from '#src/flows/clients/manage_clients.ts';
import { changeMembershipStatus } from '#src/flows/people/manage_people.ts';
import { changeTenantStatus } from '#src/flows/tenants/manage_tenants.ts';
import { type HeaderList, type RawAnswer, sendRaw } from '#test/support/raw_http.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorizationRequest, authorize, createUserAgent, exchangeCode } from '#test/support/user_agent.ts';
import { callbackUri, createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';

/** What somebody holds who came in before the door was shut: enough to try every way once at each of two servers. */
interface Holdings {
  readonly tenant: TestTenant;
  readonly cookies: string;
  /** Without an API, for userinfo. */
  readonly accessToken: string;
  readonly apiToken: string;
  readonly refreshTokens: readonly string[];
  readonly codes: readonly { readonly code: string; readonly verifier: string }[];
}

type State = 'alive' | 'dead';
/** A way in: whether it still works at the server on this port. `attempt` picks a value that nobody used yet. */
type Way = (port: number, holdings: Holdings, attempt: number) => Promise<State>;

describe('what is disabled', () => {
  let first: TestServer;
  let second: TestServer;

  beforeAll(async () => {
    first = await startTestServer();
    second = await startTestServer({ beside: first });
  });

  afterAll(async () => {
    await second.close();
    await first.close();
  });

  /** Both servers are one installation: the same host, another port. */
  const ask = (
    port: number,
    target: string,
    { headers = [], form }: { headers?: HeaderList; form?: Readonly<Record<string, string>> } = {},
  ): Promise<RawAnswer> =>
    sendRaw(port, {
      target,
      headers: [
        ['Host', new URL(first.origin).host],
        ...headers,
        ...(form === undefined ? [] : [['Content-Type', 'application/x-www-form-urlencoded'] as const]),
      ],
      ...(form === undefined ? {} : { method: 'POST', body: new URLSearchParams(form).toString() }),
    });
  const basic = ({ clientId, clientSecret }: TestClient) =>
    ['Authorization', `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}`] as const;
  const pathOf = (tenant: TestTenant, path: string): string => `/t/${tenant.slug}${path}`;
  const token = (port: number, tenant: TestTenant, form: Readonly<Record<string, string>>): Promise<RawAnswer> =>
    ask(port, pathOf(tenant, '/token'), { headers: [basic(tenant.clients.web)], form });

  const lastingWays = {
    'introspection by an API': async (port: number, { tenant, apiToken }: Holdings) => {
      const headers = [basic(tenant.clients.resource_server)];
      return activity(await ask(port, pathOf(tenant, '/introspect'), { headers, form: { token: apiToken } }));
    },
    'introspection by the client itself': async (port: number, { tenant, accessToken }: Holdings) => {
      const headers = [basic(tenant.clients.web)];
      return activity(await ask(port, pathOf(tenant, '/introspect'), { headers, form: { token: accessToken } }));
    },
    userinfo: async (port: number, { tenant, accessToken }: Holdings) => {
      const headers = [['Authorization', `Bearer ${accessToken}`]] as const;
      return alive((await ask(port, pathOf(tenant, '/userinfo'), { headers })).status === 200);
    },
    'single sign-on': async (port: number, { tenant, cookies }: Holdings) => {
      const url = new URL(authorizationRequest(tenant, tenant.clients.web, { prompt: 'none' }).url);
      const answer = await ask(port, url.pathname + url.search, { headers: [['Cookie', cookies]] });
      return alive(answer.header('location')?.includes('code=') === true);
    },
  } satisfies Readonly<Record<string, Way>>;
  const consumingWays = {
    'the refresh token': async (port: number, { tenant, refreshTokens }: Holdings, attempt: number) => {
      const form = { grant_type: 'refresh_token', refresh_token: refreshTokens[attempt] ?? '' };
      return alive((await token(port, tenant, form)).status === 200);
    },
    'the code': async (port: number, { tenant, codes }: Holdings, attempt: number) => {
      const { code = '', verifier = '' } = codes[attempt] ?? {};
      const form = { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: callbackUri };
      return alive((await token(port, tenant, form)).status === 200);
    },
  } satisfies Readonly<Record<string, Way>>;

  const comeIn = async (slug: string): Promise<Holdings> => {
    const tenant = await createTestTenant(first, slug);
    const { web } = tenant.clients;
    const agent = createUserAgent(first.origin);
    const authorizeForApi = () =>
      authorize(agent, { tenant, client: web, extra: { scope: 'openid readings:read', resource: tenant.opaqueApi } });
    const general = await exchangeCode(tenant, web, await authorize(agent, { tenant, client: web }));
    const chains = [
      await exchangeCode(tenant, web, await authorizeForApi()),
      await exchangeCode(tenant, web, await authorizeForApi()),
      await exchangeCode(tenant, web, await authorizeForApi()),
    ];
    return {
      tenant,
      cookies: agent.cookies().join('; '),
      accessToken: String(general.json['access_token']),
      apiToken: String(chains[0]?.json['access_token']),
      refreshTokens: chains.map(({ json }) => String(json['refresh_token'])),
      codes: [await authorizeForApi(), await authorizeForApi(), await authorizeForApi()],
    };
  };

  it.each([
    [
      'a membership',
      (tenant: TestTenant) =>
        changeMembershipStatus(first.context, { tenantId: tenant.id, email: tenant.person.email, status: 'disabled' }),
    ],
    [
      'a person',
      (tenant: TestTenant) =>
        queryAsSuperuser(first.database, "update users set status = 'disabled' where id = $1", [tenant.person.id]),
    ],
    [
      'a client',
      (tenant: TestTenant) =>
        disableClient(first.context, { tenantId: tenant.id, clientId: tenant.clients.web.clientId }),
    ],
    ['a tenant', (tenant: TestTenant) => changeTenantStatus(first.context, { id: tenant.id, status: 'suspended' })],
  ])('%s is shut out of every way, at every server, within a second', async (subject, disable) => {
    const holdings = await comeIn(subject.replaceAll(' ', '-'));
    const ports = [first.config.http.port, second.config.http.port];
    for (const port of ports) {
      for (const way of Object.values(lastingWays)) expect(await way(port, holdings)).toBe('alive');
      for (const way of Object.values(consumingWays))
        expect(await way(port, holdings, ports.indexOf(port))).toBe('alive');
    }

    const disabledAt = performance.now();
    await disable(holdings.tenant);
    for (const port of ports) {
      for (const [name, way] of Object.entries(lastingWays)) {
        let state = await way(port, holdings);
        while (state === 'alive' && performance.now() - disabledAt < 1_000) state = await way(port, holdings);
        expect({ name, state }).toEqual({ name, state: 'dead' });
      }
    }
    for (const port of ports)
      for (const [name, way] of Object.entries(consumingWays))
        expect({ name, state: await way(port, holdings, 2) }).toEqual({ name, state: 'dead' });
  });

  it('comes back: a tenant that is resumed goes on where it was', async () => {
    const holdings = await comeIn('resumed');
    const { tenant } = holdings;
    const port = second.config.http.port;
    const { userinfo } = lastingWays;
    const until = async (state: State): Promise<void> => {
      const deadline = performance.now() + 1_000;
      let last = await userinfo(port, holdings);
      while (last !== state && performance.now() < deadline) last = await userinfo(port, holdings);
      expect(last).toBe(state);
    };
    await changeTenantStatus(first.context, { id: tenant.id, status: 'suspended' });
    await until('dead');
    await changeTenantStatus(first.context, { id: tenant.id, status: 'active' });
    await until('alive');
    for (const way of Object.values(consumingWays)) expect(await way(port, holdings, 0)).toBe('alive');
  });
});

function alive(works: boolean): State {
  return works ? 'alive' : 'dead';
}

function activity({ status, body }: RawAnswer): State {
  return alive(status === 200 && JSON.parse(body).active === true);
}
