import { createHash } from 'node:crypto';
import { type ServerProcess, startServerProcess } from '#test/support/server_process.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { freePort, startTestServer, type TestServer } from '#test/support/test_server.ts';
import {
  type Authorized,
  authorizationRequest,
  authorize,
  createUserAgent,
  type EndpointAnswer,
  exchangeCode,
  introspect,
  refresh,
  type UserAgent,
} from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

/** What the database knows of one session at one client; everything in it happened in whole steps or not at all. */
interface Chain {
  readonly sid: string;
  readonly codes_consumed: number;
  readonly refresh_tokens_consumed: number;
  readonly access_tokens: number;
  readonly refresh_tokens: number;
  readonly events: number;
}

const chains = `
  with tokens as (
    select kind, payload ->> 'sid' as sid, consumed_at from artifacts
     where kind in ('AuthorizationCode', 'AccessToken', 'RefreshToken') and payload ->> 'sid' is not null)
  select sid,
         count(*) filter (where kind = 'AuthorizationCode' and consumed_at is not null)::int as codes_consumed,
         count(*) filter (where kind = 'RefreshToken' and consumed_at is not null)::int as refresh_tokens_consumed,
         count(*) filter (where kind = 'AccessToken')::int as access_tokens,
         count(*) filter (where kind = 'RefreshToken')::int as refresh_tokens,
         (select count(*) from events e where e.type = 'token.issued' and e.session_id = sid)::int as events
    from tokens group by sid`;

describe('a server that is killed', () => {
  let arranging: TestServer;
  let acme: TestTenant;
  let origin: string;
  let port: number;
  let running: ServerProcess | undefined;

  const start = async (): Promise<void> => {
    running = await startServerProcess({ database: arranging.database, port });
  };
  const killAtOnce = async (): Promise<void> => {
    await running?.killAtOnce();
    running = undefined;
  };

  beforeAll(async () => {
    arranging = await startTestServer();
    port = await freePort();
    origin = `http://localhost:${port}`;
    acme = await createTestTenant({ ...arranging, origin }, 'acme');
    await start();
  });

  afterAll(async () => {
    await killAtOnce();
    await arranging.close();
  });

  const signIn = (agent: UserAgent = createUserAgent(origin)): Promise<Authorized> =>
    authorize(agent, { tenant: acme, client: acme.clients.web });
  /** The same person at the same moment from the same address would be throttled. */
  async function oneByOne<Result>(times: number, act: () => Promise<Result>): Promise<readonly Result[]> {
    const results: Result[] = [];
    while (results.length < times) results.push(await act());
    return results;
  }
  const kids = async (): Promise<readonly string[]> => {
    const { keys } = (await (await fetch(`${acme.issuer}/jwks`)).json()) as { keys: { kid: string }[] };
    return keys.map(({ kid }) => kid);
  };

  it('comes back with its sessions, tokens and keys', async () => {
    const { web } = acme.clients;
    const agent = createUserAgent(origin);
    const tokens = await exchangeCode(acme, web, await signIn(agent));
    const kidsBefore = await kids();

    await killAtOnce();
    await start();

    expect(await kids()).toEqual(kidsBefore);
    expect((await introspect(acme, web, String(tokens.json['access_token']))).json['active']).toBe(true);
    expect((await refresh(acme, web, String(tokens.json['refresh_token']))).status).toBe(200);
    const page = await agent.request(authorizationRequest(acme, web, { prompt: 'none' }).url);
    expect(new URL(page.headers.get('location') ?? '').searchParams.get('code')).toMatch(/^ac_/);
  });

  it.each([2, 7])('leaves nothing half-written when it dies after %i answers of a burst', async (answersBefore) => {
    const { web } = acme.clients;
    const known = await oneByOne(6, async () => (await exchangeCode(acme, web, await signIn())).json);
    const codes = await oneByOne(6, () => signIn());
    const browser = createUserAgent(origin);
    await signIn(browser);

    let answered = 0;
    let dead: Promise<void> | undefined;
    const seen: EndpointAnswer[] = [];
    const count = (): void => {
      answered += 1;
      if (answered === answersBefore) dead = killAtOnce();
    };
    const note = (answer: EndpointAnswer): void => {
      seen.push(answer);
      count();
    };
    await Promise.allSettled([
      ...codes.map((authorized) => exchangeCode(acme, web, authorized).then(note)),
      ...known.map((json) => refresh(acme, web, String(json['refresh_token'])).then(note)),
      ...Array.from({ length: 4 }, () => browser.request(authorizationRequest(acme, web).url).then(count)),
    ]);
    await dead;
    await start();

    const rows = await queryAsSuperuser<Chain>(arranging.database, chains);
    expect(rows.length).toBeGreaterThanOrEqual(12);
    for (const row of rows) {
      const steps = row.codes_consumed + row.refresh_tokens_consumed;
      expect(row).toMatchObject({ access_tokens: steps, refresh_tokens: steps, events: steps });
    }
    const orphans = await queryAsSuperuser(
      arranging.database,
      `select kind from artifacts a where grant_hash is not null and not exists (
         select from artifacts g where g.tenant_id = a.tenant_id and g.kind = 'Grant' and g.id_hash = a.grant_hash)`,
    );
    expect(orphans).toEqual([]);

    // What was answered is there; what was not answered can be asked for again.
    for (const { status, json } of seen) {
      expect(status).toBe(200);
      expect((await introspect(acme, web, String(json['access_token']))).json['active']).toBe(true);
    }
    const unused = await queryAsSuperuser<{ id_hash: Buffer }>(
      arranging.database,
      `select id_hash from artifacts where kind = 'AuthorizationCode' and consumed_at is null`,
    );
    const unusedHashes = new Set(unused.map((row) => row.id_hash.toString('hex')));
    const retriable = codes.filter(({ code }) => unusedHashes.has(createHash('sha256').update(code).digest('hex')));
    for (const authorized of retriable) expect((await exchangeCode(acme, web, authorized)).status).toBe(200);
  });

  it('finishes what it was doing when it is asked to stop, and waits for nobody else', async () => {
    const { web } = acme.clients;
    const codes = await oneByOne(4, () => signIn());
    let stopping: Promise<number | null> | undefined;
    const answers = await Promise.all(
      codes.map(async (authorized, index) => {
        const answer = exchangeCode(acme, web, authorized);
        // The first answer shows that all four requests are on their way.
        if (index === 0) await answer.then(() => (stopping ??= running?.stop()));
        return (await answer).status;
      }),
    );
    expect(answers).toEqual([200, 200, 200, 200]);
    const askedAt = performance.now();
    expect(await stopping).toBe(0);
    // Below the five seconds for which an idle connection of this very client would be kept.
    expect(performance.now() - askedAt).toBeLessThan(4_000);
    running = undefined;
    await start();
  });
});
