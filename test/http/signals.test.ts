/** The stream of what ends: heard at once, by its own tenant's resource servers and nobody else. */
import { EventSourceParserStream } from 'eventsource-parser/stream';
import { SIGNAL_TYPES } from '#src/domain/signal.ts';
import type { UserId } from '#src/domain/user.ts';
import { createApiKey, revokeApiKey } from '#src/flows/access/manage_api_keys.ts';
import { createRole } from '#src/flows/access/manage_roles.ts';
import { disableClient } from '#src/flows/clients/manage_clients.ts';
import { changeMembershipStatus } from '#src/flows/people/manage_people.ts';
import { revokePersonSessions } from '#src/flows/sessions/manage_sessions.ts';
import { changeTenantStatus } from '#src/flows/tenants/manage_tenants.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorize, callEndpoint, createUserAgent, exchangeCode, refresh } from '#test/support/user_agent.ts';
import { createTestTenant, newPerson, type TestClient, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
});

afterAll(() => server.close());

interface Told {
  readonly event: string | undefined;
  readonly data: Readonly<Record<string, unknown>>;
}

interface Stream {
  /** The next message; undefined when the stream has ended. */
  next(): Promise<Told | undefined>;
  close(): void;
}

const basic = ({ clientId, clientSecret }: TestClient): string =>
  `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}`;

function ask(tenant: TestTenant, headers: Readonly<Record<string, string>>, signal?: AbortSignal): Promise<Response> {
  return fetch(`${tenant.issuer}/api/v1/events`, { headers, ...(signal === undefined ? {} : { signal }) });
}

async function listen(tenant: TestTenant, headers: Readonly<Record<string, string>> = {}): Promise<Stream> {
  const abort = new AbortController();
  const response = await ask(
    tenant,
    { authorization: basic(tenant.clients.resource_server), ...headers },
    abort.signal,
  );
  expect({ status: response.status, type: response.headers.get('content-type') }).toEqual({
    status: 200,
    type: 'text/event-stream',
  });
  const messages = response.body
    ?.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>)
    .pipeThrough(new EventSourceParserStream())
    .getReader();
  const next = async (): Promise<Told | undefined> => {
    const read = await messages?.read();
    return read?.value === undefined ? undefined : { event: read.value.event, data: JSON.parse(read.value.data) };
  };
  // Whoever comes is told to forget what it knew.
  expect(await next()).toEqual({ event: 'reset', data: { type: 'reset' } });
  return {
    next,
    close: () => abort.abort(),
  };
}

async function signIn(tenant: TestTenant): Promise<Readonly<Record<string, unknown>>> {
  const { web } = tenant.clients;
  return (await exchangeCode(tenant, web, await authorize(createUserAgent(server.origin), { tenant, client: web })))
    .json;
}

describe('the stream of what ends', () => {
  it('tells of exactly the events that the database announces', async () => {
    const [trigger] = await queryAsSuperuser<{ text: string }>(
      server.database,
      "select pg_get_triggerdef(oid) as text from pg_trigger where tgname = 'announce_signal'",
    );
    const announced = /'\{([^}]+)\}'/
      .exec(trigger?.text ?? '')?.[1]
      ?.split(',')
      .map((type) => type.trim());
    expect(announced).toEqual([...SIGNAL_TYPES]);
  });

  it('tells at once that a token was revoked, a session ended and a person was shut out, each with whom it is about', async () => {
    const stream = await listen(acme);
    const { web } = acme.clients;
    const tokens = await signIn(acme);
    await callEndpoint(acme.issuer, '/revoke', { client: web, form: { token: String(tokens['access_token']) } });
    const about = { user_id: acme.person.id, client_id: web.clientId };
    const first = [await stream.next(), await stream.next()];
    expect(first.map((told) => told?.event).sort()).toEqual(['grant.revoked', 'token.revoked']);
    for (const told of first) expect(told?.data).toMatchObject(about);

    await revokePersonSessions(server.context, { tenantId: acme.id, userId: acme.person.id });
    expect(await stream.next()).toMatchObject({ event: 'session.revoked', data: { user_id: acme.person.id } });

    const member = { tenantId: acme.id, email: acme.person.email };
    await changeMembershipStatus(server.context, { ...member, status: 'disabled' });
    expect(await stream.next()).toMatchObject({ event: 'user.disabled', data: { user_id: acme.person.id } });
    await changeMembershipStatus(server.context, { ...member, status: 'active' });
    stream.close();
  });

  it('is heard with an API key that has the scope, until the key or its maker is shut out', async () => {
    const make = async (scopes: readonly string[], userId: UserId | undefined) => {
      const key = { tenantId: acme.id, userId, settings: server.config.people, name: 'listener', scopes };
      const made = await createApiKey(server.context, { ...key, expiresAt: undefined });
      if (made.outcome !== 'created') throw new Error(made.outcome);
      return { id: made.summary.id, key: made.key };
    };
    const hear = ({ key }: { key: string }, at = acme) => ask(at, { 'x-api-key': key });
    const maker = await newPerson(server, acme);
    const granted = await createRole(server.context, {
      tenantId: acme.id,
      role: { name: 'watcher', permissions: ['sessions:read'] },
    });
    expect(granted.outcome).toBe('created');
    await queryAsSuperuser(
      server.database,
      `insert into membership_roles (tenant_id, user_id, role_id)
       select tenant_id, $1, id from roles where tenant_id = $2 and name = 'watcher'`,
      [maker.id, acme.id],
    );
    const [theirs, house, other] = [
      await make(['events'], maker.id),
      await make(['events'], undefined),
      await make(['introspect'], undefined),
    ];
    for (const [answer, status] of [
      [await hear(other), 403],
      [await hear(house, globex), 401],
    ] as const) {
      await answer.body?.cancel();
      expect(answer.status).toBe(status);
    }
    const streams = [await hear(theirs), await hear(house)];
    expect(streams.map(({ status }) => status)).toEqual([200, 200]);
    const [ofMaker, ofHouse] = streams.map((stream) => stream.text());
    await changeMembershipStatus(server.context, { tenantId: acme.id, email: maker.email, status: 'disabled' });
    expect(await ofMaker).toContain('event: user.disabled');
    await revokeApiKey(server.context, { tenantId: acme.id, id: house.id });
    expect(await ofHouse).toContain('event: api_key.revoked');
    const refused = await hear(house);
    await refused.body?.cancel();
    expect(refused.status).toBe(401);
  });

  it('holds identifiers and nothing else, and nothing of what was refused', async () => {
    const stream = await listen(acme);
    const { web } = acme.clients;
    const { refresh_token: value } = await signIn(acme);
    // A token that is used twice ends its grant when a third comes with the first: that is told, the refusal is not.
    await callEndpoint(acme.issuer, '/token', {
      client: web,
      form: { grant_type: 'refresh_token', refresh_token: 'rt_no' },
    });
    expect((await refresh(acme, web, String(value))).status).toBe(200);
    await callEndpoint(acme.issuer, '/revoke', { client: web, form: { token: String(value) } });
    const told = await stream.next();
    const names = ['type', 'user_id', 'client_id', 'session_id', 'device_id'];
    expect(Object.keys(told?.data ?? {}).filter((name) => !names.includes(name))).toEqual([]);
    expect(JSON.stringify(told)).not.toMatch(/rt_|@/);
    stream.close();
  });

  it('tells another tenant nothing', async () => {
    const [ours, theirs] = [await listen(acme), await listen(globex)];
    await revokePersonSessions(server.context, { tenantId: acme.id, userId: acme.person.id });
    await signIn(acme);
    await revokePersonSessions(server.context, { tenantId: acme.id, userId: acme.person.id });
    await signIn(globex);
    await revokePersonSessions(server.context, { tenantId: globex.id, userId: globex.person.id });
    expect((await ours.next())?.data['user_id']).toBe(acme.person.id);
    expect((await theirs.next())?.data['user_id']).toBe(globex.person.id);
    ours.close();
    theirs.close();
  });

  it('names nobody where everything of the tenant is meant, whoever did it', async () => {
    const stream = await listen(acme);
    for (const type of ['devices.quarantined', 'api.disabled'] as const) {
      await queryAsSuperuser(
        server.database,
        `insert into events (tenant_id, id, occurred_at, type, outcome, actor_type, actor_id)
         values ($1, gen_random_uuid(), now(), $2, 'success', 'user', $3)`,
        [acme.id, type, acme.person.id],
      );
      expect(await stream.next()).toEqual({ event: type, data: { type } });
    }
    stream.close();
  });

  it('is cut while the database cannot be heard, and comes back: silence would be believed', async () => {
    const stream = await listen(acme);
    await queryAsSuperuser(
      server.database,
      `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and query in ('select 1', 'listen poort_changes; listen poort_signals')`,
    );
    let told = await stream.next();
    while (told !== undefined) told = await stream.next();
    let again = await ask(acme, { authorization: basic(acme.clients.resource_server) });
    while (again.status !== 200) {
      expect(again.status).toBe(503);
      again = await ask(acme, { authorization: basic(acme.clients.resource_server) });
    }
    await again.body?.cancel();
  });

  it('is open twenty times to one reader, and then for others still', async () => {
    const tenant = await createTestTenant(server, 'cyberdyne');
    const streams = await Promise.all(Array.from({ length: 20 }, () => listen(tenant)));
    expect((await ask(tenant, { authorization: basic(tenant.clients.resource_server) })).status).toBe(503);
    const other = await listen(acme);
    other.close();
    for (const stream of streams) stream.close();
  });

  it.each([
    ['nobody', {}],
    ['a wrong secret', { authorization: `Basic ${Buffer.from('x:y').toString('base64')}` }],
    ['no base64', { authorization: 'Basic %%%' }],
    ['half an escape', { authorization: `Basic ${Buffer.from('a%:b%').toString('base64')}` }],
    ['a token', { authorization: 'Bearer at_something' }],
  ])('is refused to %s', async (_who, headers) => {
    const response = await ask(acme, headers);
    expect({ status: response.status, challenge: response.headers.get('www-authenticate') }).toEqual({
      status: 401,
      challenge: 'Basic realm="acme"',
    });
    expect(response.headers.get('content-type')).toMatch(/^application\/problem\+json/);
  });

  it('is refused to clients that are no resource server, and to those of another tenant', async () => {
    for (const client of [acme.clients.web, acme.clients.machine, globex.clients.resource_server])
      expect((await ask(acme, { authorization: basic(client) })).status).toBe(401);
    expect((await fetch(`${acme.issuer}/api/v1/events`, { method: 'POST' })).status).toBe(405);
  });

  it('ends for a client that was disabled, and for everybody of a suspended tenant', async () => {
    const other = await createTestTenant(server, 'initech');
    const [one, two] = [await listen(other), await listen(other)];
    await disableClient(server.context, { tenantId: other.id, clientId: other.clients.resource_server.clientId });
    for (const stream of [one, two]) {
      expect(await stream.next()).toMatchObject({ event: 'client.disabled' });
      expect(await stream.next()).toBeUndefined();
    }
    const third = await createTestTenant(server, 'hooli');
    const stream = await listen(third);
    await changeTenantStatus(server.context, { id: third.id, status: 'suspended' });
    expect(await stream.next()).toMatchObject({ event: 'tenant.suspended' });
    expect(await stream.next()).toBeUndefined();
  });

  it('does not keep a server from stopping', async () => {
    const own = await startTestServer();
    const tenant = await createTestTenant(own, 'acme');
    const stream = await listen(tenant);
    await own.close();
    expect(await stream.next()).toBeUndefined();
  });
});
