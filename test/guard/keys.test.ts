/** The tenant's keys in a guard: read once, read again when they are old or one is missing, and kept when Poort is away. */
import { generateKeyPairSync } from 'node:crypto';
import * as jose from 'jose';
import { type AuthenticateOptions, authenticate } from '#src/guard/guard.js';
import { createStillClock, startGuardedApi, watchFetch } from '#test/support/guarded_apis.ts';
import { importKey, openTenantKey, signWith, type TenantKey } from '#test/support/signed_tokens.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { callEndpoint } from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;
let current: TenantKey;
let token: string;
let claims: jose.JWTPayload;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  current = await openTenantKey(server, { tenant: acme, alg: 'ES256' });
  const form = { grant_type: 'client_credentials', resource: acme.jwtApi, scope: 'readings:read' };
  const { json } = await callEndpoint(acme.issuer, '/token', { client: acme.clients.machine, form });
  token = String(json['access_token']);
  claims = { ...jose.decodeJwt(token), exp: Math.floor(Date.now() / 1_000) + 7 * 86_400 };
});

/** Whatever a test has opened, also one that fails: an open stream would keep the worker. */
const closings: (() => Promise<void>)[] = [];

afterEach(() => Promise.all(closings.splice(0).map((close) => close())));

afterAll(() => server.close());

async function open(changes: Partial<AuthenticateOptions> = {}) {
  const watched = watchFetch();
  const time = createStillClock();
  const guard = authenticate({
    issuer: acme.issuer,
    audience: acme.jwtApi,
    mode: 'jwt',
    clock: time.clock,
    fetch: watched.fetch,
    onFault: () => undefined,
    ...changes,
  });
  const api = await startGuardedApi('koa', [guard]);
  closings.push(() => {
    guard.close();
    return api.close();
  });
  return {
    watched,
    time,
    readings: () => watched.count('/jwks'),
    ask: async (value: string) => (await api.call({ headers: { authorization: `Bearer ${value}` } })).status,
  };
}

/** A key that the tenant will have after its next rotation. */
async function nextKey(kid: string): Promise<TenantKey> {
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const privateJwk = pair.privateKey.export({ format: 'jwk' }) as jose.JWK;
  const publicJwk = { ...pair.publicKey.export({ format: 'jwk' }), kid, alg: 'ES256', use: 'sig' } as jose.JWK;
  return { kid, alg: 'ES256', publicJwk, privateJwk, privateKey: await importKey(privateJwk, 'ES256') };
}

describe('the keys of a guard', () => {
  it('are read once, by the first of many requests, for as long as Poort says', async () => {
    const api = await open();
    const lasting = await signWith(current, { ...claims });
    const statuses = await Promise.all(Array.from({ length: 50 }, () => api.ask(lasting)));
    expect(new Set(statuses)).toEqual(new Set([200]));
    expect(api.readings()).toBe(1);
    const { jwksCacheSeconds } = server.config.keys;
    api.time.advance(jwksCacheSeconds - 2);
    expect(await api.ask(lasting)).toBe(200);
    expect(api.readings()).toBe(1);
    api.time.advance(3);
    expect(await api.ask(lasting)).toBe(200);
    expect(api.readings()).toBe(2);
  });

  it('are read again for a token of a key that was published since', async () => {
    const api = await open();
    expect(await api.ask(token)).toBe(200);
    const next = await nextKey('next');
    api.watched.answer('/jwks', () => Response.json({ keys: [current.publicJwk, next.publicJwk] }));
    api.time.advance(11);
    const signed = await signWith(next, { ...claims });
    expect(await api.ask(signed)).toBe(200);
    expect([await api.ask(token), await api.ask(signed), api.readings()]).toEqual([200, 200, 2]);
  });

  it('are read no oftener than the cool-down lets, whatever a storm of forged tokens names', async () => {
    const api = await open();
    expect(await api.ask(token)).toBe(200);
    const stranger = await nextKey('stranger');
    const storm = async (round: string) => {
      const forged = await Promise.all(
        Array.from({ length: 100 }, (_, index) => signWith(stranger, { ...claims }, { kid: `${round}-${index}` })),
      );
      const statuses = await Promise.all(forged.map(api.ask));
      expect(new Set(statuses)).toEqual(new Set([401]));
    };
    await storm('first');
    expect(api.readings()).toBe(1);
    api.time.advance(10);
    await storm('second');
    expect(api.readings()).toBe(2);
    expect(await api.ask(token)).toBe(200);
    // With an algorithm that is not ours nothing is looked for at all.
    api.time.advance(10);
    expect(await api.ask(token.replace(/^[^.]+/, btoa('{"alg":"HS256","kid":"x"}').replace(/=+$/, '')))).toBe(401);
    expect(api.readings()).toBe(2);
  });

  it('are kept for a day when they cannot be read again, and not longer', async () => {
    const api = await open();
    const lasting = await signWith(current, { ...claims });
    const unknown = await signWith(current, { ...claims }, { kid: 'unknown' });
    expect(await api.ask(lasting)).toBe(200);
    api.watched.cut(true);
    api.time.advance(86_000);
    expect(await api.ask(lasting)).toBe(200);
    const readings = api.readings();
    expect(await api.ask(lasting)).toBe(200);
    expect(api.readings()).toBe(readings);
    // It may be a new key: nobody can tell.
    expect(await api.ask(unknown)).toBe(503);
    api.time.advance(500);
    expect(await api.ask(lasting)).toBe(503);
    api.watched.cut(false);
    api.time.advance(11);
    expect([await api.ask(lasting), await api.ask(unknown)]).toEqual([200, 401]);
  });

  it('are thrown away when one was taken back', async () => {
    let told = (_text: string): void => undefined;
    let heard = (): void => undefined;
    const isHeard = new Promise<void>((resolve) => {
      heard = resolve;
    });
    let listening = (): void => undefined;
    const isListening = new Promise<void>((resolve) => {
      listening = resolve;
    });
    const api = await open({
      ...acme.clients.resource_server,
      onPush: ({ state }) => (state === 'told' ? heard() : listening()),
    });
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        told = (text) => controller.enqueue(new TextEncoder().encode(text));
      },
    });
    api.watched.answer(
      '/api/v1/events',
      () => new Response(body, { headers: { 'content-type': 'text/event-stream' } }),
    );
    expect(await api.ask(token)).toBe(200);
    await isListening;
    const next = await nextKey('next');
    api.watched.answer('/jwks', () => Response.json({ keys: [next.publicJwk] }));
    told('event: key.retired\ndata: {"type":"key.retired"}\n\n');
    await isHeard;
    expect(await api.ask(token)).toBe(401);
    expect(api.readings()).toBe(2);
  });
});
