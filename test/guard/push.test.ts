/** What a guard keeps, for how long, and how it hears that something ended. */
import { changeMembershipStatus } from '#src/flows/people/manage_people.ts';
import { revokePersonSessions } from '#src/flows/sessions/manage_sessions.ts';
import { type AuthenticateOptions, authenticate, type PushState } from '#src/guard/guard.js';
import { createStillClock, startGuardedApi, type WatchedFetch, watchFetch } from '#test/support/guarded_apis.ts';
import { type MovableClock, startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorize, callEndpoint, createUserAgent, exchangeCode } from '#test/support/user_agent.ts';
import { createTestTenant, newPerson, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
});

/** Whatever a test has opened, also one that fails: an open stream would keep the worker. */
const closings: (() => Promise<void>)[] = [];

afterEach(() => Promise.all(closings.splice(0).map((close) => close())));

afterAll(() => server.close());

interface Listener {
  /** The status for a token. */
  ask(token: string): Promise<number>;
  /** Resolves when the ear has said this once more than was waited for so far. */
  heard(state: string): Promise<void>;
  readonly watched: WatchedFetch;
  readonly time: MovableClock;
}

async function listen(changes: Partial<AuthenticateOptions> = {}): Promise<Listener> {
  const watched = watchFetch();
  const time = createStillClock();
  const said: string[] = [];
  let wake = (): void => undefined;
  const guard = authenticate({
    issuer: acme.issuer,
    audience: acme.jwtApi,
    mode: 'introspection',
    ...acme.clients.resource_server,
    clock: time.clock,
    fetch: watched.fetch,
    onFault: () => undefined,
    onPush: (state: PushState) => {
      said.push(state.state === 'told' ? state.type : state.state);
      wake();
    },
    ...changes,
  });
  const api = await startGuardedApi('node:http', [guard]);
  closings.push(() => {
    guard.close();
    return api.close();
  });
  return {
    watched,
    time,
    ask: async (token) => (await api.call({ headers: { authorization: `Bearer ${token}` } })).status,
    async heard(state) {
      while (!said.includes(state))
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      said.splice(0, said.indexOf(state) + 1);
    },
  };
}

async function personsToken(resource: string, person = acme.person): Promise<string> {
  const { web } = acme.clients;
  const extra = { scope: 'openid readings:read', resource };
  const authorized = await authorize(createUserAgent(server.origin), { tenant: acme, client: web, extra, person });
  return String((await exchangeCode(acme, web, authorized)).json['access_token']);
}

async function machinesToken(client = acme.clients.machine): Promise<string> {
  const form = { grant_type: 'client_credentials', resource: acme.jwtApi, scope: 'readings:read' };
  return String((await callEndpoint(acme.issuer, '/token', { client, form })).json['access_token']);
}

describe('an answer of Poort', () => {
  it('is asked for once by a hundred requests, and believed for five seconds while the stream is heard', async () => {
    const api = await listen();
    const token = await machinesToken();
    expect(await api.ask(token)).toBe(200);
    await api.heard('listening');
    const before = api.watched.count('/introspect');
    const all = await Promise.all(Array.from({ length: 100 }, () => api.ask(token)));
    expect(all.filter((status) => status === 200)).toHaveLength(100);
    expect(api.watched.count('/introspect')).toBe(before + 1);
    api.time.advance(4.9);
    expect(await api.ask(token)).toBe(200);
    expect(api.watched.count('/introspect')).toBe(before + 1);
    api.time.advance(0.2);
    expect(await api.ask(token)).toBe(200);
    expect(api.watched.count('/introspect')).toBe(before + 2);
  });

  it('that is bad is kept as well, and pushes out no good one', async () => {
    const api = await listen({ maximumAnswers: 3 });
    const token = await machinesToken();
    expect(await api.ask(token)).toBe(200);
    await api.heard('listening');
    expect(await api.ask(token)).toBe(200);
    for (let index = 0; index < 20; index += 1) expect(await api.ask(`at_made-up-${index}`)).toBe(401);
    const before = api.watched.count('/introspect');
    expect(await api.ask('at_made-up-19')).toBe(401);
    expect(await api.ask(token)).toBe(200);
    expect(api.watched.count('/introspect')).toBe(before);
  });

  it('is believed for one second while the stream is not heard', async () => {
    const api = await listen({ push: false });
    const token = await machinesToken();
    expect([await api.ask(token), await api.ask(token)]).toEqual([200, 200]);
    expect(api.watched.count('/introspect')).toBe(1);
    api.time.advance(1);
    expect(await api.ask(token)).toBe(200);
    expect(api.watched.count('/introspect')).toBe(2);
  });

  it('is believed for one second when the stream has gone silent', async () => {
    const api = await listen();
    const token = await machinesToken();
    expect(await api.ask(token)).toBe(200);
    await api.heard('listening');
    expect(await api.ask(token)).toBe(200);
    api.time.advance(61);
    expect(await api.ask(token)).toBe(200);
    await api.heard('lost');
    const before = api.watched.count('/introspect');
    api.watched.answer('/api/v1/events', () => new Response('', { status: 503 }));
    api.time.advance(1.1);
    expect(await api.ask(token)).toBe(200);
    expect(api.watched.count('/introspect')).toBe(before + 1);
  });

  it('is not kept when something ended while it was on its way', async () => {
    const api = await listen();
    const token = await machinesToken();
    expect(await api.ask(token)).toBe(200);
    await api.heard('listening');
    const stale = await (
      await fetch(`${acme.issuer}/introspect`, {
        method: 'POST',
        headers: {
          authorization: `Basic ${btoa(`${acme.clients.resource_server.clientId}:${acme.clients.resource_server.clientSecret}`)}`,
        },
        body: new URLSearchParams({ token }),
      })
    ).text();
    // Poort's answer from before the revocation arrives after its message.
    let arrive = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      arrive = resolve;
    });
    let asked = (): void => undefined;
    const isAsked = new Promise<void>((resolve) => {
      asked = resolve;
    });
    api.watched.answer('/introspect', async () => {
      asked();
      await held;
      return new Response(stale);
    });
    const racing = api.ask(token);
    await isAsked;
    await callEndpoint(acme.issuer, '/revoke', { client: acme.clients.machine, form: { token } });
    await api.heard('token.revoked');
    api.watched.answer('/introspect', undefined);
    expect(await api.ask(token)).toBe(401);
    arrive();
    await racing;
    expect(await api.ask(token)).toBe(401);
  });
});

describe.each(['introspection', 'jwt'] as const)('a guard that listens (%s)', (mode) => {
  it('refuses a token as soon as it hears that it was revoked, its session ended or its person was shut out', async () => {
    const api = await listen({ mode });
    const [person, dismissed] = [await newPerson(server, acme), await newPerson(server, acme)];
    const [revoked, signedOut, shutOut, other] = [
      await personsToken(acme.jwtApi),
      await personsToken(acme.jwtApi, person),
      await personsToken(acme.jwtApi, dismissed),
      await machinesToken(),
    ];
    const everyone = [revoked, signedOut, shutOut, other];
    const states = async () => {
      const found = [];
      for (const token of everyone) found.push(await api.ask(token));
      return found;
    };
    expect(await states()).toEqual([200, 200, 200, 200]);
    await api.heard('listening');
    expect(await states()).toEqual([200, 200, 200, 200]);

    await callEndpoint(acme.issuer, '/revoke', { client: acme.clients.web, form: { token: revoked } });
    await api.heard('token.revoked');
    expect(await states()).toEqual([401, 200, 200, 200]);

    await revokePersonSessions(server.context, { tenantId: acme.id, userId: person.id });
    await api.heard('session.revoked');
    expect(await states()).toEqual([401, 401, 200, 200]);

    const member = { tenantId: acme.id, email: dismissed.email };
    await changeMembershipStatus(server.context, { ...member, status: 'disabled' });
    await api.heard('user.disabled');
    expect(await states()).toEqual([401, 401, 401, 200]);
  });
});

describe('a guard that checks signatures and listens', () => {
  it('asks about a token that a message may be about once, and about no other', async () => {
    const api = await listen({ mode: 'jwt' });
    const tenant = acme.clients;
    const [named, again] = [await machinesToken(), await machinesToken()];
    const untouched = await personsToken(acme.jwtApi, await newPerson(server, acme));
    for (const token of [named, again, untouched]) expect(await api.ask(token)).toBe(200);
    await api.heard('listening');
    await callEndpoint(acme.issuer, '/revoke', { client: tenant.machine, form: { token: named } });
    await api.heard('token.revoked');
    expect(await api.ask(untouched)).toBe(200);
    expect(api.watched.count('/introspect')).toBe(0);
    expect([await api.ask(named), await api.ask(again)]).toEqual([401, 200]);
    expect(api.watched.count('/introspect')).toBe(2);
    api.time.advance(20);
    expect(await api.ask(again)).toBe(200);
    expect(api.watched.count('/introspect')).toBe(2);
    expect(await api.ask(named)).toBe(401);
    // What cannot be asked about is not let through.
    api.time.advance(20);
    api.watched.cut(true);
    expect(await api.ask(named)).toBe(503);
    expect(await api.ask(again)).toBe(200);
  });

  it('asks about everything older than a gap in the stream', async () => {
    const api = await listen({ mode: 'jwt' });
    const [token, revoked] = [await machinesToken(), await machinesToken()];
    for (const each of [token, revoked]) expect(await api.ask(each)).toBe(200);
    await api.heard('listening');
    // Silent for a minute: the stream is cut off, and for a while there is no other.
    api.watched.answer('/api/v1/events', () => new Response('', { status: 503 }));
    api.time.advance(61);
    expect(await api.ask(token)).toBe(200);
    await api.heard('lost');
    await callEndpoint(acme.issuer, '/revoke', { client: acme.clients.machine, form: { token: revoked } });
    expect(await api.ask(revoked)).toBe(200);
    api.watched.answer('/api/v1/events', undefined);
    await api.heard('listening');
    expect([await api.ask(token), await api.ask(revoked)]).toEqual([200, 401]);
    expect(api.watched.count('/introspect')).toBe(2);
  });
});

describe('a message', () => {
  /** A stream that the test writes. */
  function stream(): { readonly response: () => Response; send(message: string): void } {
    let writer: ReadableStreamDefaultController<Uint8Array> | undefined;
    const body = () =>
      new ReadableStream<Uint8Array>({
        start(controller) {
          writer = controller;
          // As Poort begins.
          controller.enqueue(new TextEncoder().encode('event: reset\ndata: {"type":"reset"}\n\n'));
        },
      });
    return {
      response: () => new Response(body(), { headers: { 'content-type': 'text/event-stream' } }),
      send: (message) => writer?.enqueue(new TextEncoder().encode(message)),
    };
  }

  const told = (type: string, about: object = {}) =>
    `id: 1\nevent: ${type}\ndata: ${JSON.stringify({ type, ...about })}\n\n`;

  it.each<[string, string, string, boolean]>([
    ['about somebody else', 'user.disabled', told('user.disabled', { user_id: 'bob' }), true],
    ['about another session', 'session.revoked', told('session.revoked', { session_id: 's-2' }), true],
    ['about its device', 'device.quarantined', told('device.quarantined', { device_id: 'd-1' }), false],
    ['about its session', 'session.revoked', told('session.revoked', { session_id: 's-1' }), false],
    [
      'about its client, and another user',
      'grant.revoked',
      told('grant.revoked', { user_id: 'bob', client_id: 'c-1' }),
      false,
    ],
    ['about many devices', 'devices.quarantined', told('devices.quarantined', { user_id: 'bob' }), false],
    ['that names nobody', 'session.revoked', told('session.revoked'), false],
    ['that names what we do not know', 'session.revoked', told('session.revoked', { grant: 'g' }), false],
    ['of a type that we do not know', 'planet.exploded', told('planet.exploded', { user_id: 'bob' }), false],
    ['about an API', 'api.disabled', told('api.disabled', { user_id: 'bob' }), false],
    ['that cannot be read', 'session.revoked', 'event: session.revoked\ndata: {"type\n\n', false],
    ['that says to forget everything', 'reset', 'event: reset\ndata: {"type":"reset"}\n\n', false],
  ])('%s drops an answer only when it may be about it', async (_name, type, message, isKept) => {
    const events = stream();
    const api = await listen();
    api.watched.answer('/api/v1/events', events.response);
    const answer = {
      active: true,
      iss: acme.issuer,
      aud: acme.jwtApi,
      tenant: 'acme',
      sub: 'ada',
      client_id: 'c-1',
      sid: 's-1',
      device_id: 'd-1',
      exp: Math.floor(Date.now() / 1_000) + 600,
    };
    api.watched.answer('/introspect', () => Response.json(answer));
    expect(await api.ask('at_one')).toBe(200);
    await api.heard('listening');
    expect(await api.ask('at_one')).toBe(200);
    const before = api.watched.count('/introspect');
    events.send(message.slice(0, 10));
    events.send(message.slice(10));
    await api.heard(type);
    expect(await api.ask('at_one')).toBe(200);
    expect(api.watched.count('/introspect')).toBe(isKept ? before : before + 1);
  });
});
