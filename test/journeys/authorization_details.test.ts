/** Rich authorization requests (RFC 9396): a person reads what is asked for, and the token holds that and nothing else. */
import * as jose from 'jose';
import { addDetailsType } from '#src/flows/access/manage_authorization_details.ts';
import { updateClient } from '#src/flows/clients/manage_clients.ts';
import { configureTenant } from '#src/flows/tenants/manage_tenants.ts';
import { readEvents } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import {
  authorizationRequest,
  authorize,
  callEndpoint,
  createUserAgent,
  type EndpointAnswer,
  exchangeCode,
  introspect,
  type Page,
  refresh,
} from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

const payment = { type: 'payment', amount: 45, currency: 'EUR', creditor: 'Bakery <b>Ada</b> & Sons' };
const other = { ...payment, amount: 4500 };

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
  for (const [type, audience] of [
    ['payment', acme.jwtApi],
    ['archive_payment', acme.opaqueApi],
  ] as const) {
    const sentence = 'Pay {amount} {currency} to {creditor}';
    expect(await addDetailsType(server.context, { tenantId: acme.id, type: { type, audience, sentence } })).toEqual({
      outcome: 'added',
    });
  }
  await configureTenant(server.context, { id: acme.id, changes: [{ name: 'protocol.rar', value: true }] });
  const protocol = { ...server.config.protocol, rar: true };
  for (const { clientId } of [acme.clients.web, acme.clients.third]) {
    const changes = { settings: { authorization_details_types: ['payment', 'archive_payment'] } };
    const updated = await updateClient(server.context, { tenantId: acme.id, clientId, changes, protocol });
    expect(updated.outcome).toBe('updated');
  }
  while (!('authorization_details_types_supported' in (await metadata()))) await new Promise(setImmediate);
});

afterAll(() => server.close());

const metadata = async (tenant = acme): Promise<Record<string, unknown>> =>
  (await (await fetch(`${tenant.issuer}/.well-known/openid-configuration`)).json()) as Record<string, unknown>;

const extraOf = (details: unknown, resource = acme.jwtApi) => ({
  resource,
  scope: 'openid readings:read',
  authorization_details: JSON.stringify(details),
});

async function tokensFor(details: unknown, resource?: string, client = acme.clients.web): Promise<EndpointAnswer> {
  const authorized = await authorize(createUserAgent(server.origin), {
    tenant: acme,
    client,
    extra: extraOf(details, resource),
  });
  return exchangeCode(acme, client, authorized);
}

/** The page on which a person decides. */
async function consentPage(details: unknown, client = acme.clients.web): Promise<Page> {
  const agent = createUserAgent(server.origin);
  const page = await agent.follow(authorizationRequest(acme, client, extraOf(details)).url);
  return agent.submit(page, { email: acme.person.email, password: acme.person.password });
}

async function errorOf(details: unknown, extra: Readonly<Record<string, string>> = {}): Promise<string | null> {
  const agent = createUserAgent(server.origin);
  const { url } = authorizationRequest(acme, acme.clients.web, { ...extraOf(details), ...extra });
  return new URL((await agent.follow(url)).url).searchParams.get('error');
}

describe('a rich authorization request', () => {
  it('is shown in plain words, also for an application of the house, and nothing in it is markup', async () => {
    for (const client of [acme.clients.web, acme.clients.third]) {
      const page = await consentPage([payment, other], client);
      expect(page.body).toContain('Pay 45 EUR to Bakery &lt;b&gt;Ada&lt;/b&gt; &amp; Sons');
      expect(page.body).toContain('Pay 4500 EUR to');
      expect(page.body).not.toContain('<b>Ada');
      expect(page.body).toContain('name="decision"');
    }
  });

  it('ends in a token, an answer and an introspection that hold exactly what was agreed to', async () => {
    const answer = await tokensFor([payment]);
    expect(answer.json['authorization_details']).toEqual([payment]);
    const token = String(answer.json['access_token']);
    expect(jose.decodeJwt(token)['authorization_details']).toEqual([payment]);
    expect((await introspect(acme, acme.clients.resource_server, token)).json['authorization_details']).toEqual([
      payment,
    ]);
    const opaque = await tokensFor([{ ...payment, type: 'archive_payment' }], acme.opaqueApi);
    const described = await introspect(acme, acme.clients.resource_server, String(opaque.json['access_token']));
    expect(described.json['authorization_details']).toEqual([{ ...payment, type: 'archive_payment' }]);
  });

  it('is kept by a refresh, which can narrow and never widen', async () => {
    const { web } = acme.clients;
    const first = await tokensFor([payment, other]);
    const next = await refresh(acme, web, String(first.json['refresh_token']), {
      authorization_details: JSON.stringify([other]),
      resource: acme.jwtApi,
    });
    expect(next.json['authorization_details']).toEqual([other]);
    const wide = await refresh(acme, web, String(next.json['refresh_token']), {
      authorization_details: JSON.stringify([{ ...payment, amount: 1 }]),
      resource: acme.jwtApi,
    });
    expect(wide).toMatchObject({ status: 400, json: { error: 'invalid_authorization_details' } });
  });

  it('is not agreed to again by itself: a silent request has none of it, and asks for a person', async () => {
    const agent = createUserAgent(server.origin);
    const { web } = acme.clients;
    await authorize(agent, { tenant: acme, client: web, extra: extraOf([payment]) });
    const silent = authorizationRequest(acme, web, { ...extraOf([payment]), prompt: 'none' });
    expect(new URL((await agent.follow(silent.url)).url).searchParams.get('error')).toMatch(
      /consent_required|interaction_required/,
    );
    const plain = await authorize(agent, {
      tenant: acme,
      client: web,
      extra: { resource: acme.jwtApi, scope: 'openid readings:read' },
    });
    const answer = await exchangeCode(acme, web, plain);
    expect(answer.status).toBe(200);
    expect(answer.json['authorization_details']).toBeUndefined();
    expect(jose.decodeJwt(String(answer.json['access_token']))['authorization_details']).toBeUndefined();
  });

  it('that the person denies gives nothing', async () => {
    const agent = createUserAgent(server.origin);
    const page = await agent.follow(authorizationRequest(acme, acme.clients.web, extraOf([payment])).url);
    const consent = await agent.submit(page, { email: acme.person.email, password: acme.person.password });
    const denied = await agent.submit(consent, { decision: 'deny' });
    expect(new URL(denied.url).searchParams.get('error')).toBe('access_denied');
  });

  it.each<[string, unknown]>([
    ['a type nobody defined', [{ ...payment, type: 'transfer' }]],
    ['a type of another tenant’s making', [{ ...payment, type: '__proto__' }]],
    ['a field that would not be shown', [{ ...payment, purpose: 'secret' }]],
    ['a field too few', [{ type: 'payment', amount: 45, currency: 'EUR' }]],
    ['a value that hides', [{ ...payment, creditor: 'Ada\u202e' }]],
    ['a value that has no end', [{ ...payment, creditor: 'a'.repeat(201) }]],
    ['an object for a text', [{ ...payment, creditor: { name: 'Ada' } }]],
    ['another place', [{ ...payment, locations: ['https://elsewhere.test'] }]],
    ['more than a person reads', [1, 2, 3, 4, 5, 6].map((amount) => ({ ...payment, amount }))],
    ['a type of an API that is not asked for', [{ ...payment, type: 'archive_payment' }]],
    ['what is no list', payment],
  ])('with %s is refused', async (_name, details) => {
    expect(await errorOf(details)).toBe('invalid_authorization_details');
  });

  it('of a client that is not registered for it is refused', async () => {
    const agent = createUserAgent(server.origin);
    const { url } = authorizationRequest(acme, acme.clients.spa, extraOf([payment]));
    expect(new URL((await agent.follow(url)).url).searchParams.get('error')).toBe('invalid_authorization_details');
  });

  it('of a program for itself is refused: nobody agreed', async () => {
    const answer = await callEndpoint(acme.issuer, '/token', {
      client: acme.clients.machine,
      form: {
        grant_type: 'client_credentials',
        resource: acme.jwtApi,
        authorization_details: JSON.stringify([payment]),
      },
    });
    expect(answer).toMatchObject({ status: 400, json: { error: 'invalid_authorization_details' } });
  });
});

describe('a tenant that has it off', () => {
  it('has no line in its metadata and no effect of the parameter', async () => {
    expect(await metadata()).toMatchObject({ authorization_details_types_supported: ['archive_payment', 'payment'] });
    expect(await metadata(globex)).not.toHaveProperty('authorization_details_types_supported');
    const { web } = globex.clients;
    const authorized = await authorize(createUserAgent(server.origin), {
      tenant: globex,
      client: web,
      extra: extraOf([payment], globex.jwtApi),
    });
    const answer = await exchangeCode(globex, web, authorized);
    expect(answer.json['authorization_details']).toBeUndefined();
    expect(jose.decodeJwt(String(answer.json['access_token']))['authorization_details']).toBeUndefined();
  });

  it('cannot define a type for another tenant’s API', async () => {
    const type = { type: 'payment', audience: acme.jwtApi, sentence: 'Pay {amount}' };
    expect(await addDetailsType(server.context, { tenantId: globex.id, type })).toEqual({ outcome: 'unknown_api' });
    expect(await addDetailsType(server.context, { tenantId: acme.id, type })).toEqual({ outcome: 'taken' });
    const events = await readEvents(server.database, { tenantId: acme.id, types: ['api.authorization_details_added'] });
    expect(events).toHaveLength(2);
  });
});
