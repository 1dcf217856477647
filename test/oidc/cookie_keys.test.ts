/** The signatures of the engine's cookies: over time, over master keys, and by whom they are believed. */
import { loadConfig } from '#config/config.ts';
import { createSealer } from '#src/foundation/sealing.ts';
import { Secret } from '#src/foundation/secret.ts';
import { type CookieKeys, cookieEpochRules, createCookieKeys } from '#src/oidc/cookie_keys.ts';
import { createMovableClock, startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorizationRequest, authorize, createUserAgent } from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

const day = 86_400;
const masterKey = (filler: number) => new Secret(Buffer.alloc(32, filler).toString('base64'));
const [old, young] = [masterKey(1), masterKey(2)];

describe('the signature of a cookie', () => {
  const time = createMovableClock();
  let rules: Parameters<typeof createCookieKeys>[0]['config'];

  beforeAll(async () => {
    const loaded = await loadConfig({ POORT_ENV: 'test', POORT_MASTER_KEY: old.reveal() }, { workingDirectory: '.' });
    if (loaded.outcome === 'faulty') throw new Error(JSON.stringify(loaded.faults));
    rules = loaded.config;
  });

  const keysOf = (tenantId: string, masterKeys: readonly Secret[] = [old], skewSeconds = 0): CookieKeys =>
    createCookieKeys({
      tenantId,
      config: rules,
      sealer: createSealer(masterKeys),
      clock: () => new Date(time.clock().getTime() + skewSeconds * 1000),
    });

  it('changes with the epoch, without anything being built anew, and is believed as long as a cookie lives', () => {
    const keys = keysOf('acme');
    const { epochSeconds, longestCookieSeconds } = cookieEpochRules(rules);
    const first = keys.sign('_session=a');
    expect(keys.verify('_session=a', first)).toBe(true);
    time.advance(epochSeconds);
    expect(keys.sign('_session=a')).not.toBe(first);
    expect(keys.index('_session=a', first)).toBe(0);
    time.advance(epochSeconds + longestCookieSeconds);
    expect(keys.index('_session=a', first)).toBe(-1);
  });

  it('of a process whose clock is ahead is believed by the others', () => {
    const ahead = keysOf('acme', [old], cookieEpochRules(rules).epochSeconds);
    expect(keysOf('acme').verify('_session=a', ahead.sign('_session=a'))).toBe(true);
  });

  it('of another tenant, of another value or of another master key is not believed', () => {
    const keys = keysOf('acme');
    for (const signature of [
      keysOf('globex').sign('_session=a'),
      keys.sign('_session=b'),
      keysOf('acme', [young]).sign('_session=a'),
      '',
      keys.sign('_session=a').slice(0, -1),
    ])
      expect(keys.index('_session=a', signature)).toBe(-1);
  });

  it('is believed in whatever order the master keys are listed', () => {
    const [before, during, afterwards] = [[old], [old, young], [young, old]].map((list) => keysOf('acme', list));
    const signed = before?.sign('_session=a') ?? '';
    for (const keys of [during, afterwards]) expect(keys?.verify('_session=a', signed)).toBe(true);
    const signedAfterwards = afterwards?.sign('_session=a') ?? '';
    expect(signedAfterwards).not.toBe(signed);
    expect(during?.verify('_session=a', signedAfterwards)).toBe(true);
    expect(before?.verify('_session=a', signedAfterwards)).toBe(false);
  });
});

describe('a person who is signed in', () => {
  const time = createMovableClock();
  let server: TestServer;
  let acme: TestTenant;

  beforeAll(async () => {
    server = await startTestServer({
      clock: time.clock,
      change: (config) => ({ ...config, keys: { ...config.keys, cookieEpochSeconds: day } }),
    });
    acme = await createTestTenant(server, 'acme');
  });

  afterAll(() => server.close());

  it('stays so when the cookie keys change, gets a cookie of the new one, and no cookie outside the tenant', async () => {
    const agent = createUserAgent(server.origin);
    await authorize(agent, { tenant: acme, client: acme.clients.web });
    const signature = () => agent.cookies().find((cookie) => cookie.startsWith('_session.sig='));
    const before = signature();
    time.advance(day);
    const { url } = authorizationRequest(acme, acme.clients.web, { prompt: 'none' });
    const page = await agent.request(url);
    expect(new URL(page.headers.get('location') ?? '').searchParams.get('code')).not.toBeNull();
    expect(signature()).not.toBe(before);
    for (const cookie of page.headers.getSetCookie()) expect(cookie).toMatch(/; path=\/t\/acme/i);
  });
});
