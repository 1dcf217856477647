/** What a person agrees to, over all their browsers: asked once, again only for what is new, and taken back with all that came of it. */
import { disableClient } from '#src/flows/clients/manage_clients.ts';
import { listPersonConsents, revokeConsent } from '#src/flows/people/manage_consents.ts';
import { addMember } from '#src/flows/people/manage_people.ts';
import { registerClient } from '#test/support/relying_parties.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import {
  authorizationRequest,
  authorize,
  createUserAgent,
  exchangeCode,
  introspect,
  type Page,
  refresh,
  type UserAgent,
} from '#test/support/user_agent.ts';
import { callbackUri, createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
});

afterAll(() => server.close());

const both = { scope: 'openid email readings:read readings:write' };

async function foreignClient(tenant: TestTenant = acme): Promise<TestClient> {
  return registerClient(server, tenant, {
    name: 'Energy Saver',
    type: 'web',
    firstParty: false,
    redirectUris: [callbackUri],
  });
}

/** Signs in where asked, and stops at whatever comes then. */
async function arrive(
  client: TestClient,
  extra: Readonly<Record<string, string>> = {},
  { tenant = acme, agent = createUserAgent(server.origin), person = tenant.person }: Partial<Visit> = {},
): Promise<Page> {
  const page = await agent.follow(authorizationRequest(tenant, client, extra).url);
  if (!page.body.includes('name="password"')) return page;
  return agent.submit(page, { email: person.email, password: person.password });
}

interface Visit {
  readonly tenant: TestTenant;
  readonly agent: UserAgent;
  readonly person: { readonly email: string; readonly password: string };
}

const isAsked = (page: Page): boolean => page.body.includes('name="decision"');

/** The rights on the page, without the sentence that explains one. */
function rightsOn({ body }: Page): readonly string[] {
  return [...body.matchAll(/<li class="right">\s*(.*?)<\/li>/gs)].map(([, right = '']) =>
    right
      .replace(/<span class="detail">.*?<\/span>/s, '')
      .replace(/<[^>]*>/g, ' ')
      .replace(/\s+/g, ' ')
      .trim(),
  );
}

function personalConsents(tenant: TestTenant = acme) {
  return listPersonConsents(server.context, { tenantId: tenant.id, userId: tenant.person.id });
}

function takeBack(client: TestClient) {
  return revokeConsent(server.context, { tenantId: acme.id, userId: acme.person.id, clientId: client.clientId });
}

describe('an application of somebody else', () => {
  it('is agreed to once: in another browser nobody is asked again', async () => {
    const client = await foreignClient();
    expect(isAsked(await arrive(client))).toBe(true);
    await authorize(createUserAgent(server.origin), { tenant: acme, client });
    const again = await arrive(client);
    expect(isAsked(again)).toBe(false);
    expect(new URL(again.url).searchParams.get('code')).toMatch(/^ac_/);
  });

  it('gets no more than it asks for this time, whatever was agreed to before', async () => {
    const client = await foreignClient();
    const extra = { ...both, resource: acme.jwtApi };
    await authorize(createUserAgent(server.origin), { tenant: acme, client, extra });
    const less = { scope: 'openid readings:read', resource: acme.jwtApi };
    const authorized = await authorize(createUserAgent(server.origin), { tenant: acme, client, extra: less });
    const tokens = await exchangeCode(acme, client, authorized);
    expect(tokens.json['scope']).toBe('readings:read');
    const wider = await refresh(acme, client, String(tokens.json['refresh_token']), { scope: both.scope });
    expect(wider.json).toMatchObject({ error: 'invalid_scope' });
  });

  it('asks again for what is new alone, says that it is new, and keeps what was there when that is refused', async () => {
    const client = await foreignClient();
    const agent = createUserAgent(server.origin);
    const some = { scope: 'openid email readings:read', resource: acme.jwtApi };
    await authorize(agent, { tenant: acme, client, extra: some });

    const other = createUserAgent(server.origin);
    const asked = await arrive(client, { ...both, resource: acme.jwtApi, ui_locales: 'en' }, { agent: other });
    expect(rightsOn(asked)).toEqual(['May readings:write New readings:write']);
    expect(asked.body).toContain('You have given Energy Saver access before.');
    const refused = await other.submit(asked, { decision: 'deny' });
    expect(new URL(refused.url).searchParams.get('error')).toBe('access_denied');
    expect(isAsked(await arrive(client, some))).toBe(false);
    expect(isAsked(await arrive(client, { ...both, resource: acme.jwtApi }))).toBe(true);
  });

  it('is asked about for another API, although the scopes have the same names', async () => {
    const client = await foreignClient();
    const at = (resource: string) => ({ scope: 'openid readings:read', resource });
    await authorize(createUserAgent(server.origin), { tenant: acme, client, extra: at(acme.jwtApi) });
    expect(isAsked(await arrive(client, at(acme.jwtApi)))).toBe(false);
    expect(isAsked(await arrive(client, at(acme.opaqueApi)))).toBe(true);
  });

  it('that asks for consent (prompt=consent) gets the question always, with all of it', async () => {
    const client = await foreignClient();
    await authorize(createUserAgent(server.origin), { tenant: acme, client });
    const asked = await arrive(client, { prompt: 'consent' });
    expect(isAsked(asked)).toBe(true);
    expect(rightsOn(asked)).toHaveLength(3);
    expect(asked.body).not.toContain('class="tag"');
  });

  it('is refused without a question (prompt=none) until somebody has agreed, and served after', async () => {
    const client = await foreignClient();
    const agent = createUserAgent(server.origin);
    await authorize(agent, { tenant: acme, client: acme.clients.web });
    const silent = () => agent.follow(authorizationRequest(acme, client, { prompt: 'none' }).url);
    expect(new URL((await silent()).url).searchParams.get('error')).toBe('consent_required');
    await authorize(createUserAgent(server.origin), { tenant: acme, client });
    expect(new URL((await silent()).url).searchParams.get('code')).toMatch(/^ac_/);
  });

  it('installed on a device is asked about every time: nobody proves that it is the same one (RFC 8252 §8.6)', async () => {
    const redirectUri = 'com.example.meter:/callback';
    const native = await registerClient(server, acme, {
      name: 'On a phone',
      type: 'native',
      firstParty: false,
      redirectUris: [redirectUri],
    });
    const extra = { redirect_uri: redirectUri };
    await authorize(createUserAgent(server.origin), { tenant: acme, client: native, extra });
    expect(isAsked(await arrive(native, extra))).toBe(true);
  });

  it('that was switched off is forgotten, also when it is on again', async () => {
    const client = await foreignClient();
    await authorize(createUserAgent(server.origin), { tenant: acme, client });
    await disableClient(server.context, { tenantId: acme.id, clientId: client.clientId });
    expect((await personalConsents()).map(({ clientId }) => clientId)).not.toContain(client.clientId);
    const enable = `update clients set status = 'active' where client_id = '${client.clientId}'`;
    await queryAsSuperuser(server.database, enable);
    expect(isAsked(await arrive(client))).toBe(true);
  });

  it('that has become another kind of application is asked about anew, for everything', async () => {
    const client = await foreignClient();
    await authorize(createUserAgent(server.origin), { tenant: acme, client });
    await queryAsSuperuser(
      server.database,
      `update consents set client_type = 'spa' where client_id = '${client.clientId}'`,
    );
    const asked = await arrive(client);
    expect(isAsked(asked)).toBe(true);
    expect(rightsOn(asked)).toHaveLength(4);
  });

  it('was agreed to by one person at one tenant: not by others, nor elsewhere', async () => {
    const client = await foreignClient();
    await authorize(createUserAgent(server.origin), { tenant: acme, client });
    const person = { email: `bob-${client.clientId}@acme.test`, password: 'correct horse of bob' };
    await addMember(server.context, { tenantId: acme.id, ...person, roles: [], verified: true });
    expect(isAsked(await arrive(client, {}, { person }))).toBe(true);
    expect(await personalConsents(globex)).toEqual([]);
  });

  it('of the tenant itself is neither asked about nor remembered', async () => {
    await authorize(createUserAgent(server.origin), { tenant: globex, client: globex.clients.web });
    const extra = { prompt: 'consent' };
    await authorize(createUserAgent(server.origin), { tenant: globex, client: globex.clients.web, extra });
    expect(await personalConsents(globex)).toEqual([]);
  });
});

describe('a consent', () => {
  it('is listed with the application and what it may do, in the words of its API', async () => {
    const client = await foreignClient();
    const extra = { scope: 'openid email readings:read', resource: acme.jwtApi };
    await authorize(createUserAgent(server.origin), { tenant: acme, client, extra });
    const listed = (await personalConsents()).find(({ clientId }) => clientId === client.clientId);
    expect(listed).toMatchObject({ name: 'Energy Saver', grantedAt: expect.any(Date), updatedAt: expect.any(Date) });
    expect(listed?.rights).toEqual([
      { name: 'openid', description: undefined },
      { name: 'email', description: undefined },
      { name: 'readings:read', description: 'May readings:read' },
    ]);
  });

  it('that is taken back ends every token of it at once, in every browser, and is asked for again', async () => {
    const client = await foreignClient();
    const agent = createUserAgent(server.origin);
    const opaque = await exchangeCode(acme, client, await authorize(agent, { tenant: acme, client }));
    const extra = { scope: 'openid readings:read', resource: acme.jwtApi };
    const structured = await exchangeCode(
      acme,
      client,
      await authorize(createUserAgent(server.origin), { tenant: acme, client, extra }),
    );
    const unused = await authorize(createUserAgent(server.origin), { tenant: acme, client });

    expect(await takeBack(client)).toEqual({ outcome: 'revoked', grants: 3 });
    for (const { json } of [opaque, structured]) {
      expect((await introspect(acme, client, String(json['access_token']))).json).toEqual({ active: false });
      const renewed = await refresh(acme, client, String(json['refresh_token']));
      expect(renewed.json).toMatchObject({ error: 'invalid_grant' });
    }
    expect((await exchangeCode(acme, client, unused)).json).toMatchObject({ error: 'invalid_grant' });
    expect(isAsked(await arrive(client, {}, { agent }))).toBe(true);
    expect(await takeBack(client)).toEqual({ outcome: 'unknown' });

    const events = await queryAsSuperuser<{ data: unknown }>(
      server.database,
      `select data from events where type = 'consent.revoked' and client_id = '${client.clientId}'`,
    );
    expect(events).toEqual([{ data: { grants: 3 } }]);
  });

  it('that is taken back leaves the session and every other application alone', async () => {
    const [client, other] = [await foreignClient(), await foreignClient()];
    const agent = createUserAgent(server.origin);
    await authorize(agent, { tenant: acme, client });
    const kept = await exchangeCode(acme, other, await authorize(agent, { tenant: acme, client: other }));
    await takeBack(client);
    expect((await introspect(acme, other, String(kept.json['access_token']))).json['active']).toBe(true);
    const page = await agent.follow(authorizationRequest(acme, other).url);
    expect(new URL(page.url).searchParams.get('code')).toMatch(/^ac_/);
  });

  it('of another person, tenant or nobody at all cannot be taken back, and nothing of it ends', async () => {
    const client = await foreignClient();
    const tokens = await exchangeCode(
      acme,
      client,
      await authorize(createUserAgent(server.origin), { tenant: acme, client }),
    );
    const { clientId } = client;
    for (const wrong of [
      { tenantId: globex.id, userId: acme.person.id, clientId },
      { tenantId: acme.id, userId: globex.person.id, clientId },
      { tenantId: acme.id, userId: acme.person.id, clientId: 'nobody' },
    ])
      expect(await revokeConsent(server.context, wrong)).toEqual({ outcome: 'unknown' });
    expect((await introspect(acme, client, String(tokens.json['access_token']))).json['active']).toBe(true);
  });

  it('given and taken back at the same time is either there with its grants or gone with them', async () => {
    const client = await foreignClient();
    for (let round = 0; round < 8; round += 1) {
      const agent = createUserAgent(server.origin);
      const asked = await arrive(client, { prompt: 'consent' }, { agent });
      const [allowed] = await Promise.all([agent.submit(asked, { decision: 'allow' }), takeBack(client)]);
      const [row] = await queryAsSuperuser<{ consents: number; grants: number }>(
        server.database,
        `select (select count(*)::int from consents where client_id = '${client.clientId}') as consents,
                (select count(*)::int from artifacts where client_id = '${client.clientId}' and kind = 'Grant') as grants`,
      );
      expect({ consents: row?.consents, hasGrants: (row?.grants ?? 0) > 0 }).toEqual(
        row?.consents === 0 ? { consents: 0, hasGrants: false } : { consents: 1, hasGrants: true },
      );
      expect(allowed.status).toBeLessThan(500);
      await takeBack(client);
    }
  });
});

describe('who is asked for consent', () => {
  it('can sign in as somebody else first, for this request', async () => {
    const client = await foreignClient();
    const person = { email: `eve-${client.clientId}@acme.test`, password: 'correct horse of eve' };
    await addMember(server.context, { tenantId: acme.id, ...person, roles: [], verified: true });
    const agent = createUserAgent(server.origin);
    const asked = await arrive(client, {}, { agent });
    expect(asked.body).toContain(acme.person.email);
    const address = /href="([^"]*\?again)"/.exec(asked.body)?.[1];
    const signIn = await agent.follow(new URL(address ?? '', asked.url).href);
    expect(signIn.body).toContain('name="password"');
    let page = await agent.submit(signIn, { email: person.email, password: person.password });
    // The engine ends the session that was there, by a page that posts by itself.
    if (!isAsked(page)) page = await agent.submit(page, {});
    expect(isAsked(page)).toBe(true);
    expect(page.body).toContain(person.email);
    expect(page.body).not.toContain(acme.person.email);
    const allowed = await agent.submit(page, { decision: 'allow' });
    expect(new URL(allowed.url).searchParams.get('code')).toMatch(/^ac_/);
    const userId = acme.person.id;
    const mine = await listPersonConsents(server.context, { tenantId: acme.id, userId });
    expect(mine.map(({ clientId }) => clientId)).not.toContain(client.clientId);
  });
});
