/**
 * Row C12, disabled or deleted and still working on some path (Keycloak CVE-2025-14559, CVE-2026-1609, CVE-2026-2733, authentik
 * CVE-2025-53942, CVE-2025-64521). Every way in × everything that can end, on every server, within a second. What can end is read
 * from the catalogue of the database, the ways to get a token from the product's own metadata: a new one that is not tried here
 * fails the test. Whatever does not stand on what ended must go on, or a refusal would prove nothing.
 */
import { deviceGrantType } from '#src/domain/device_grant.ts';
import { tokenExchangeGrantType } from '#src/domain/token_exchange.ts';
import { createClient } from '#src/flows/clients/manage_clients.ts';
import { retireKey } from '#src/flows/keys/rotate_keys.ts';
import { callServer, type Installation, startInstallation } from '#test/support/installation.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { authorizationRequest, authorize, createUserAgent, type EndpointAnswer } from '#test/support/user_agent.ts';
import { callbackUri, createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';

let installation: Installation;

beforeAll(async () => {
  installation = await startInstallation();
});

afterAll(() => installation.close());

/** What a way in stands on: when one of these ends, so does the way. */
type Foundation = 'user' | 'membership' | 'client' | 'tenant' | 'api' | 'signing key';

interface Ending {
  readonly of: Foundation;
  /** As an operator, a colleague's mistake or another product could do it: on the row itself. */
  readonly sql?: string;
  readonly end?: (tenant: TestTenant) => Promise<void>;
}

/** `$1` is the tenant, `$2` the person, `$3` the client, `$4` the API with JWT access tokens. */
const endings: Readonly<Record<string, Ending>> = {
  'users disabled': { of: 'user', sql: "update users set status = 'disabled' where id = $2" },
  'users deleted': { of: 'user', sql: 'delete from users where id = $2' },
  'memberships disabled': {
    of: 'membership',
    sql: "update memberships set status = 'disabled' where tenant_id = $1 and user_id = $2",
  },
  'memberships deleted': { of: 'membership', sql: 'delete from memberships where tenant_id = $1 and user_id = $2' },
  'clients disabled': {
    of: 'client',
    sql: "update clients set status = 'disabled' where tenant_id = $1 and client_id = $3",
  },
  'clients deleted': { of: 'client', sql: 'delete from clients where tenant_id = $1 and client_id = $3' },
  'tenants suspended': { of: 'tenant', sql: "update tenants set status = 'suspended' where id = $1" },
  'tenants deleted': { of: 'tenant', sql: 'delete from tenants where id = $1' },
  'apis disabled': { of: 'api', sql: "update apis set status = 'disabled' where tenant_id = $1 and audience = $4" },
  'apis deleted': { of: 'api', sql: 'delete from apis where tenant_id = $1 and audience = $4' },
  // A key does not go alone: another one signs in its place.
  'signing_keys deleted': { of: 'signing key', end: retireKeys },
};

/** Statuses that are not endings: what they mean for tokens is tried with keys and their rotation. */
const harmless = ['signing_keys next', 'signing_keys retired'];

interface World {
  readonly tenant: TestTenant;
  readonly cookie: string;
  readonly tokens: Readonly<
    Record<
      | 'opaque'
      | 'jwt'
      | 'refresh'
      | 'unusedRefresh'
      | 'machineOpaque'
      | 'machineJwt'
      | 'exchanged'
      | 'rest'
      | 'restRefresh',
      string
    >
  >;
  /** The API with JWT access tokens, as it calls the other one. */
  readonly caller: TestClient;
}

interface Way {
  readonly standsOn: readonly Foundation[];
  /** The grant type it is about, when it is a way to get a token. */
  readonly grant?: string;
  /** True when it is open. Uses nothing up that a second try would need. */
  readonly open: (port: number, world: World) => Promise<boolean>;
}

const person: readonly Foundation[] = ['user', 'membership', 'tenant'];

function ask(port: number, { tenant }: World, path: string, call: Parameters<typeof callServer>[2]) {
  return callServer(port, tenant.issuer + path, call);
}

const introspected =
  (token: keyof World['tokens'], by: 'web' | 'machine' | 'resource_server') =>
  async (port: number, world: World): Promise<boolean> => {
    const call = { client: world.tenant.clients[by], form: { token: world.tokens[token] } };
    const answer = await ask(port, world, '/introspect', call);
    // Never an error of ours, whoever asks about whatever is gone.
    expect(answer.status).toBeLessThan(500);
    return answer.json['active'] === true;
  };

const issued = ({ status, json }: EndpointAnswer): boolean => {
  expect(status).toBeLessThan(500);
  return status === 200 && typeof json['access_token'] === 'string';
};

function exchange(
  port: number,
  { tenant, caller }: Pick<World, 'tenant' | 'caller'>,
  subjectToken: string,
): Promise<EndpointAnswer> {
  const form = {
    grant_type: tokenExchangeGrantType,
    subject_token: subjectToken,
    subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    resource: tenant.opaqueApi,
  };
  return callServer(port, `${tenant.issuer}/token`, { client: caller, form });
}

async function createCaller(tenant: TestTenant): Promise<TestClient> {
  const created = await createClient(installation.first.context, {
    tenantId: tenant.id,
    client: {
      name: 'Readings',
      type: 'resource_server',
      audiences: [tenant.jwtApi],
      scopes: ['readings:read'],
      settings: { token_exchange_audiences: [tenant.opaqueApi] },
    },
  });
  if (created.outcome !== 'created') throw new Error(JSON.stringify(created.problems));
  return { clientId: created.clientId, clientSecret: created.clientSecret ?? '' };
}

async function newCode(world: World): Promise<Readonly<Record<string, string>> | undefined> {
  const { url, verifier } = authorizationRequest(world.tenant, world.tenant.clients.web, { prompt: 'none' });
  const answer = await fetch(url, { headers: { cookie: world.cookie }, redirect: 'manual' });
  const code = new URL(answer.headers.get('location') ?? 'none:').searchParams.get('code');
  if (code === null) return undefined;
  return { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: callbackUri };
}

/** Codes that were given before it ended, one for each try. */
const codes = new Map<TestTenant, Readonly<Record<string, string>>[]>();

const ways: Readonly<Record<string, Way>> = {
  'an authorization code, given before': {
    standsOn: [...person, 'client'],
    grant: 'authorization_code',
    async open(port, world) {
      const form = codes.get(world.tenant)?.pop();
      if (form === undefined) throw new Error('more tries than codes');
      return issued(await ask(port, world, '/token', { client: world.tenant.clients.web, form }));
    },
  },
  'a refresh token': {
    standsOn: [...person, 'client'],
    grant: 'refresh_token',
    async open(port, world) {
      // Within its grace it can be tried again and again.
      const form = { grant_type: 'refresh_token', refresh_token: world.tokens.refresh };
      return issued(await ask(port, world, '/token', { client: world.tenant.clients.web, form }));
    },
  },
  'a device that asks to be paired': {
    standsOn: ['tenant'],
    grant: deviceGrantType,
    async open(port, world) {
      const call = { client: world.tenant.clients.device, form: { scope: 'openid' } };
      return (await ask(port, world, '/device_authorization', call)).status === 200;
    },
  },
  'client credentials for an API': {
    standsOn: ['tenant', 'api'],
    grant: 'client_credentials',
    async open(port, world) {
      const form = { grant_type: 'client_credentials', resource: world.tenant.jwtApi, scope: 'readings:read' };
      return issued(await ask(port, world, '/token', { client: world.tenant.clients.machine, form }));
    },
  },
  'client credentials of the client itself': {
    standsOn: ['tenant', 'client'],
    async open(port, world) {
      const answer = await ask(port, world, '/introspect', {
        client: world.tenant.clients.web,
        form: { token: 'nothing' },
      });
      return answer.status === 200;
    },
  },
  'a token exchange': {
    standsOn: [...person, 'client', 'api', 'signing key'],
    grant: tokenExchangeGrantType,
    open: async (port, world) => issued(await exchange(port, world, world.tokens.jwt)),
  },
  'an exchanged access token at introspection': {
    standsOn: [...person, 'client'],
    open: introspected('exchanged', 'resource_server'),
  },
  'an opaque access token at introspection, asked by its client': {
    standsOn: [...person, 'client'],
    open: introspected('opaque', 'web'),
  },
  'an opaque access token at userinfo': {
    standsOn: [...person, 'client'],
    async open(port, world) {
      const headers = { authorization: `Bearer ${world.tokens.opaque}` };
      return (await ask(port, world, '/userinfo', { method: 'GET', headers })).status === 200;
    },
  },
  'a JWT access token at introspection, asked by its API': {
    standsOn: [...person, 'client', 'api', 'signing key'],
    open: introspected('jwt', 'resource_server'),
  },
  'a refresh token at introspection, asked by its client': {
    standsOn: [...person, 'client'],
    open: introspected('unusedRefresh', 'web'),
  },
  'a machine’s opaque access token at introspection': {
    standsOn: ['tenant'],
    open: introspected('machineOpaque', 'resource_server'),
  },
  'a machine’s JWT access token at introspection': {
    standsOn: ['tenant', 'api', 'signing key'],
    open: introspected('machineJwt', 'resource_server'),
  },
  'single sign-on with a session': {
    standsOn: [...person, 'client'],
    async open(port, world) {
      const { url } = authorizationRequest(world.tenant, world.tenant.clients.web, { prompt: 'none' });
      const answer = await callServer(port, url, { method: 'GET', headers: { cookie: world.cookie } });
      expect(answer.status).toBeLessThan(500);
      return new URL(answer.headers.get('location') ?? 'none:').searchParams.has('code');
    },
  },
  'signing in on the page': {
    standsOn: [...person, 'client'],
    async open(_port, world) {
      const agent = createUserAgent(installation.first.origin);
      const page = await agent.follow(authorizationRequest(world.tenant, world.tenant.clients.web).url);
      expect(page.status).toBeLessThan(500);
      if (!page.body.includes('name="password"')) return false;
      const { email, password } = world.tenant.person;
      const answered = await agent.submit(page, { email, password });
      expect(answered.status).toBeLessThan(500);
      return new URL(answered.url).searchParams.has('code');
    },
  },
  'signing in over REST': {
    standsOn: [...person, 'client'],
    async open(_port, world) {
      const { web: client } = world.tenant.clients;
      const { email, password } = world.tenant.person;
      // At one of them, like the page: each hashes as it is set to, and two that renew one hash at once refuse one of the sign-ins.
      const answer = await ask(installation.ports[0] ?? 0, world, '/api/v1/auth/login', {
        client,
        json: { email, password },
      });
      expect(answer.status).toBeLessThan(500);
      return answer.status === 200;
    },
  },
  'a refresh over REST': {
    standsOn: [...person, 'client'],
    async open(port, world) {
      // Of the hosted pages and of REST alike; within its grace it can be tried again and again.
      const json = { refresh_token: world.tokens.restRefresh };
      const answer = await ask(port, world, '/api/v1/auth/refresh', { client: world.tenant.clients.web, json });
      expect(answer.status).toBeLessThan(500);
      return answer.status === 200;
    },
  },
  'an access token at one’s own account': {
    standsOn: [...person, 'client'],
    async open(port, world) {
      const headers = { authorization: `Bearer ${world.tokens.rest}` };
      const answer = await ask(port, world, '/api/v1/auth/me', { method: 'GET', headers });
      expect(answer.status).toBeLessThan(500);
      return answer.status === 200;
    },
  },
  'pushing an authorization request': {
    standsOn: ['tenant', 'client'],
    async open(port, world) {
      const client = world.tenant.clients.web;
      const form = Object.fromEntries(new URL(authorizationRequest(world.tenant, client).url).searchParams);
      return (await ask(port, world, '/par', { client, form })).status === 201;
    },
  },
};

let worlds = 0;

async function createWorld(): Promise<World> {
  worlds += 1;
  const tenant = await createTestTenant(installation.first, `tenant-${worlds}`);
  const agent = createUserAgent(installation.first.origin);
  const { web } = tenant.clients;
  const tokensOf = async (extra: Readonly<Record<string, string>>): Promise<EndpointAnswer['json']> => {
    const { code, verifier } = await authorize(agent, { tenant, client: web, extra });
    const form = { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: callbackUri };
    return (await callServer(installation.ports[1] ?? 0, `${tenant.issuer}/token`, { client: web, form })).json;
  };
  const machine = async (resource: string): Promise<string> => {
    const form = { grant_type: 'client_credentials', resource, scope: 'readings:read' };
    const client: TestClient = tenant.clients.machine;
    const answer = await callServer(installation.ports[0] ?? 0, `${tenant.issuer}/token`, { client, form });
    return String(answer.json['access_token']);
  };
  const plain = await tokensOf({});
  const forApi = await tokensOf({ resource: tenant.jwtApi, scope: 'openid readings:read' });
  const caller = await createCaller(tenant);
  const { email, password } = tenant.person;
  const login = { client: web, json: { email, password, token_delivery: 'body' } };
  const rest = await callServer(installation.ports[0] ?? 0, `${tenant.issuer}/api/v1/auth/login`, login);
  const restTokens = (rest.json['data'] ?? {}) as Readonly<Record<string, unknown>>;
  const exchanged = await exchange(installation.ports[1] ?? 0, { tenant, caller }, String(forApi['access_token']));
  const world: World = {
    tenant,
    caller,
    cookie: agent.cookies().join('; '),
    tokens: {
      opaque: String(plain['access_token']),
      refresh: String(plain['refresh_token']),
      unusedRefresh: String(forApi['refresh_token']),
      jwt: String(forApi['access_token']),
      machineOpaque: await machine(tenant.opaqueApi),
      machineJwt: await machine(tenant.jwtApi),
      exchanged: String(exchanged.json['access_token']),
      rest: String(restTokens['access_token']),
      restRefresh: String(restTokens['refresh_token']),
    },
  };
  const given: Readonly<Record<string, string>>[] = [];
  for (let count = 0; count < 40; count += 1) {
    const form = await newCode(world);
    if (form !== undefined) given.push(form);
  }
  codes.set(tenant, given);
  return world;
}

/** All ways at all servers, as `way@server`. */
async function openWays(world: World): Promise<readonly string[]> {
  const tried = Object.entries(ways).flatMap(([name, way]) =>
    installation.ports.map(async (port, server) => ((await way.open(port, world)) ? `${name}@${server}` : undefined)),
  );
  return (await Promise.all(tried)).filter((name) => name !== undefined);
}

function waysThat(keep: (way: Way) => boolean): readonly string[] {
  return Object.entries(ways)
    .filter(([, way]) => keep(way))
    .flatMap(([name]) => installation.ports.map((_port, server) => `${name}@${server}`));
}

async function change(sql: string, tenant: TestTenant): Promise<void> {
  const values = [tenant.id, tenant.person.id, tenant.clients.web.clientId, tenant.jwtApi];
  // Those the statement does not name have no type.
  const text = values.reduce((changed, value, index) => changed.replaceAll(`$${index + 1}`, `'${value}'`), sql);
  await queryAsSuperuser(installation.first.database, text);
}

async function retireKeys(tenant: TestTenant): Promise<void> {
  const { context } = installation.first;
  const kids = await queryAsSuperuser<{ kid: string }>(
    installation.first.database,
    "select kid from signing_keys where tenant_id = $1 and alg = 'ES256' and status = 'active'",
    [tenant.id],
  );
  for (const { kid } of kids) await retireKey(context, { tenantId: tenant.id, kid });
}

const withinMilliseconds = 1_000;

describe('what was disabled or deleted', () => {
  it('is everything that the database can end, and every way to a token is tried', async () => {
    const statuses = await queryAsSuperuser<{ name: string }>(
      installation.first.database,
      `select format('%s %s', c.relname, v.value[1]) as name
         from pg_constraint k
         join pg_class c on c.oid = k.conrelid
         join pg_attribute a on a.attrelid = c.oid and a.attname = 'status' and k.conkey = array[a.attnum]
        cross join lateral regexp_matches(pg_get_constraintdef(k.oid), '''([a-z_]+)''::text', 'g') as v (value)
        where k.contype = 'c' and v.value[1] <> 'active'`,
    );
    const tried = [...Object.keys(endings), ...harmless];
    expect(statuses.map(({ name }) => name).filter((name) => !tried.includes(name))).toEqual([]);
    expect(statuses.length).toBeGreaterThan(5);

    const { tenant } = await createWorld();
    const metadata = await fetch(`${tenant.issuer}/.well-known/openid-configuration`);
    const { grant_types_supported: grants } = (await metadata.json()) as { grant_types_supported: string[] };
    const triedGrants = Object.values(ways).flatMap(({ grant }) => grant ?? []);
    expect(grants.filter((grant) => !triedGrants.includes(grant))).toEqual([]);
  });

  it('was open before', async () => {
    const world = await createWorld();
    expect([...(await openWays(world))].sort()).toEqual([...waysThat(() => true)].sort());
  });

  it.each(Object.entries(endings))(
    '%s: closes all that stands on it at every server within a second, and nothing else',
    async (_name, { of, sql, end }) => {
      const world = await createWorld();
      const startedAt = performance.now();
      await (end ?? ((tenant) => change(sql ?? '', tenant)))(world.tenant);
      let open = await openWays(world);
      const closed = waysThat((way) => way.standsOn.includes(of));
      while (open.some((way) => closed.includes(way)) && performance.now() - startedAt < withinMilliseconds)
        open = await openWays(world);
      expect(open.filter((way) => closed.includes(way))).toEqual([]);
      expect([...open].sort()).toEqual([...waysThat((way) => !way.standsOn.includes(of))].sort());
    },
  );
});
