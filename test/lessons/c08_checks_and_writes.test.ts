/**
 * Lesson C8, what was checked is no longer so when it is written (CVE-2026-9796): somebody is shut out between the moment a request has
 * judged them and the moment it writes. Forced, not hoped for: the table that requests write to is held until the door is shut, so
 * every request has decided before and commits afterwards. Nothing usable comes out, then or when they are let in again. That attempts
 * are counted exactly while they are made at once is in test/journeys/people.test.ts.
 */
import { changeMembershipStatus } from '#src/flows/people/manage_people.ts';
import { openInteraction } from '#test/support/attack_surface.ts';
import { connect, eventually, type SqlConnection, withConnection } from '#test/support/sql.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import {
  authorizationRequest,
  authorize,
  callEndpoint,
  createUserAgent,
  exchangeCode,
  introspect,
  type Page,
  refresh,
  type UserAgent,
} from '#test/support/user_agent.ts';
import { createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';

/** What a request may have gained, in whatever form. */
interface Loot {
  readonly agent?: UserAgent;
  /** Where the browser was sent. */
  readonly location?: string | undefined;
  readonly verifier?: string;
  readonly tokens?: Readonly<Record<string, unknown>>;
}

/** One request that ends in a write. `send` may be called once. */
interface Prepared {
  readonly client: TestClient;
  send(): Promise<Loot>;
}

type Step = (tenant: TestTenant, server: TestServer) => Promise<Prepared>;

const post = (agent: UserAgent, page: Page, fields: Readonly<Record<string, string>>): Promise<Page> =>
  agent.request(page.url, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams({ csrf: /name="csrf" value="([^"]+)"/.exec(page.body)?.[1] ?? '', ...fields }).toString(),
  });

const locationOf = (page: Page): string | undefined => {
  const location = page.headers.get('location');
  return location === null ? undefined : new URL(location, page.url).href;
};

const credentials = ({ person }: TestTenant) => ({ email: person.email, password: person.password });

const steps: Readonly<Record<string, Step>> = {
  async 'the sign-in form'(tenant, server) {
    const { agent, page } = await openInteraction(server, { tenant });
    const send = async () => ({ agent, location: locationOf(await post(agent, page, credentials(tenant))) });
    return { client: tenant.clients.web, send };
  },
  async 'the way back from signing in'(tenant, server) {
    const agent = createUserAgent(server.origin);
    const { url, verifier } = authorizationRequest(tenant, tenant.clients.web);
    const back = locationOf(await post(agent, await agent.follow(url), credentials(tenant))) ?? '';
    const send = async () => ({ agent, verifier, location: locationOf(await agent.request(back)) });
    return { client: tenant.clients.web, send };
  },
  async 'the consent form'(tenant, server) {
    const client = tenant.clients.third;
    const { agent, page } = await openInteraction(server, { tenant, client });
    const consent = await agent.submit(page, credentials(tenant));
    const send = async () => ({ agent, location: locationOf(await post(agent, consent, { decision: 'allow' })) });
    return { client, send };
  },
  async 'the way back from consent'(tenant, server) {
    const client = tenant.clients.third;
    const agent = createUserAgent(server.origin);
    const { url, verifier } = authorizationRequest(tenant, client);
    const consent = await agent.submit(await agent.follow(url), credentials(tenant));
    const back = locationOf(await post(agent, consent, { decision: 'allow' })) ?? '';
    const send = async () => ({ agent, verifier, location: locationOf(await agent.request(back)) });
    return { client, send };
  },
  async 'a request without pages'(tenant, server) {
    const client = tenant.clients.web;
    const agent = createUserAgent(server.origin);
    await authorize(agent, { tenant, client });
    const { url, verifier } = authorizationRequest(tenant, client, { prompt: 'none' });
    const send = async () => ({ agent, verifier, location: locationOf(await agent.request(url)) });
    return { client, send };
  },
  async 'a code exchange'(tenant, server) {
    const client = tenant.clients.web;
    const agent = createUserAgent(server.origin);
    const authorized = await authorize(agent, { tenant, client });
    const send = async () => ({ agent, tokens: (await exchangeCode(tenant, client, authorized)).json });
    return { client, send };
  },
  async 'a refresh'(tenant, server) {
    const client = tenant.clients.web;
    const agent = createUserAgent(server.origin);
    const { json } = await exchangeCode(tenant, client, await authorize(agent, { tenant, client }));
    const send = async () => ({ agent, tokens: (await refresh(tenant, client, String(json['refresh_token']))).json });
    return { client, send };
  },
  async 'client credentials'(tenant) {
    const client = tenant.clients.machine;
    const form = { grant_type: 'client_credentials', resource: tenant.opaqueApi, scope: 'readings:read' };
    const send = async () => ({ tokens: (await callEndpoint(tenant.issuer, '/token', { client, form })).json });
    return { client, send };
  },
};

type ShutOut = (connection: SqlConnection, tenant: TestTenant, client: TestClient) => Promise<void>;

const subjects: Readonly<Record<string, ShutOut>> = {
  // As the flow does it (manage_people.ts), in this connection's transaction.
  async 'the membership'(connection, { id, person }) {
    const ids = [id, person.id];
    await connection.query(`update memberships set status = 'disabled' where tenant_id = $1 and user_id = $2`, ids);
    await connection.query('select from account_end($1, $2, null)', ids);
  },
  async 'the person'(connection, { person }) {
    await connection.query(`update users set status = 'disabled' where id = $1`, [person.id]);
  },
  async 'the client'(connection, { id }, { clientId }) {
    const sql = `update clients set status = 'disabled' where tenant_id = $1 and client_id = $2`;
    await connection.query(sql, [id, clientId]);
  },
  async 'the tenant'(connection, { id }) {
    await connection.query(`update tenants set status = 'suspended' where id = $1`, [id]);
  },
};

const cases = Object.keys(subjects).flatMap((subject) =>
  Object.keys(steps)
    .filter((step) => step !== 'client credentials' || subject === 'the client' || subject === 'the tenant')
    .map((step) => [subject, step] as const),
);

describe('C8: a request that has judged and not yet written', () => {
  let server: TestServer;
  let count = 0;

  beforeAll(async () => {
    server = await startTestServer();
  });

  afterAll(() => server.close());

  /** Lets the request decide, holds its write until `shutOut` is done, and returns what it got. */
  async function interleave(request: Prepared, shutOut: (connection: SqlConnection) => Promise<void>): Promise<Loot> {
    const { superuserUrl } = server.database;
    const holder = await connect(superuserUrl);
    try {
      await holder.query('begin');
      await holder.query('lock table artifacts in share mode');
      const answer = request.send();
      await withConnection(superuserUrl, (watcher) =>
        eventually('the request waits to write', async () => {
          const { rows } = await watcher.query<{ waiting: number }>(
            `select count(*)::int as waiting from pg_locks
              where relation = 'artifacts'::regclass and not granted and mode = 'RowExclusiveLock'`,
          );
          return (rows[0]?.waiting ?? 0) > 0;
        }),
      );
      await shutOut(holder);
      await holder.query('commit');
      return await answer;
    } finally {
      await holder.end();
    }
  }

  /** Everything that can be made of it: true when something opens anything. */
  async function isUsable(tenant: TestTenant, client: TestClient, loot: Loot): Promise<boolean> {
    const { agent } = loot;
    const held = [loot.tokens ?? {}];
    let { location, verifier = '' } = loot;
    if (agent !== undefined && location?.startsWith(server.origin) === true) {
      const page = await agent.follow(location);
      location = page.url;
      if (page.body.includes('name="decision"')) return true;
    }
    const code = location === undefined ? null : new URL(location).searchParams.get('code');
    if (code !== null && location !== undefined)
      held.push((await exchangeCode(tenant, client, { code, verifier, callback: new URL(location) })).json);
    if (agent !== undefined) {
      const silent = authorizationRequest(tenant, client, { prompt: 'none' });
      verifier = silent.verifier;
      const page = await agent.request(silent.url);
      if (new URL(locationOf(page) ?? server.origin).searchParams.get('code') !== null) return true;
    }
    for (const tokens of held) {
      const [accessToken, refreshToken] = [tokens['access_token'], tokens['refresh_token']];
      if (accessToken !== undefined) {
        const authorization = `Bearer ${accessToken}`;
        if ((await fetch(`${tenant.issuer}/userinfo`, { headers: { authorization } })).status === 200) return true;
        for (const asking of [client, tenant.clients.resource_server])
          if ((await introspect(tenant, asking, String(accessToken))).json['active'] === true) return true;
      }
      if (refreshToken !== undefined && (await refresh(tenant, client, String(refreshToken))).status === 200)
        return true;
    }
    return false;
  }

  it.each(cases)('gains nothing when %s is shut out meanwhile: %s', async (subject, step) => {
    count += 1;
    const tenant = await createTestTenant(server, `house-${count}`);
    const request = await steps[step]?.(tenant, server);
    if (request === undefined) throw new Error(step);
    const { client } = request;
    const loot = await interleave(request, async (connection) => subjects[subject]?.(connection, tenant, client));

    // Other requests hear of a client or a tenant within a second; what was gained must be dead by then, and stay it.
    const shutAt = performance.now();
    let usable = await isUsable(tenant, client, loot);
    while (usable && performance.now() - shutAt < 1_000) usable = await isUsable(tenant, client, loot);
    expect({ subject, step, usable }).toEqual({ subject, step, usable: false });

    if (subject !== 'the membership') return;
    const { id, person } = tenant;
    await changeMembershipStatus(server.context, { tenantId: id, email: person.email, status: 'active' });
    expect({ step, revived: await isUsable(tenant, client, loot) }).toEqual({ step, revived: false });
    // They can come in themselves.
    const { json } = await exchangeCode(
      tenant,
      client,
      await authorize(createUserAgent(server.origin), { tenant, client }),
    );
    expect(json['access_token']).toMatch(/^at_/);
  });

  it('is no hypothesis: without the door being shut, each of them gains what it asked for', async () => {
    for (const [name, step] of Object.entries(steps)) {
      count += 1;
      const tenant = await createTestTenant(server, `house-${count}`);
      const request = await step(tenant, server);
      const loot = await interleave(request, async () => undefined);
      expect({ name, usable: await isUsable(tenant, request.client, loot) }).toEqual({ name, usable: true });
    }
  });
});
