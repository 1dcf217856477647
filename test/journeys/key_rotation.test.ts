/** Keys change while applications and people go on, at two servers of one installation behind a balancer. */
import { createRemoteJWKSet, jwtVerify } from 'jose';
import type { Config } from '#config/config.ts';
import { judgeMasterKeys } from '#src/cli/master_keys.ts';
import { findKeyProblems } from '#src/flows/keys/check_keys.ts';
import { resealAll } from '#src/flows/keys/reseal.ts';
import { retireKey, rotateKeys, signingKeyRules } from '#src/flows/keys/rotate_keys.ts';
import { startJobs } from '#src/server.ts';
import { readMasterKeyInUse } from '#src/storage/installation.ts';
import { type Balancer, startBalancer } from '#test/support/balancer.ts';
import { testMasterKey } from '#test/support/cluster.ts';
import { startLoad } from '#test/support/load.ts';
import { describeWithPostgres15, type ScratchCluster, startPostgres15 } from '#test/support/postgres_15.ts';
import { queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import { createMovableClock, startTestServer, type TestServer } from '#test/support/test_server.ts';
import { callEndpoint } from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

/** Short enough that codes and tokens under way outlive a step of the clock. */
const quickKeys = (config: Config): Config => ({
  ...config,
  keys: { ...config.keys, jwksCacheSeconds: 1, rotateAfterSeconds: 20 },
});
const rounds = 8;

describe('two servers under load', () => {
  const time = createMovableClock();
  let balancer: Balancer;
  let one: TestServer;
  let other: TestServer;
  let acme: TestTenant;
  let tenants = 0;

  beforeAll(async () => {
    balancer = await startBalancer();
    const options = {
      clock: time.clock,
      change: quickKeys,
      environment: { POORT_PUBLIC_URL: balancer.origin },
    };
    one = await startTestServer(options);
    other = await startTestServer({ ...options, beside: one });
    balancer.useServers([one.config.http.port, other.config.http.port]);
  });

  beforeEach(async () => {
    tenants += 1;
    acme = await createTestTenant(one, `acme-${tenants}`);
  });

  afterAll(async () => {
    await other.close();
    await one.close();
    await balancer.close();
  });

  const activeKids = async (): Promise<readonly string[]> => {
    const rows = await queryAsSuperuser<{ kid: string }>(
      one.database,
      "select kid from signing_keys where tenant_id = $1 and status = 'active' order by alg",
      [acme.id],
    );
    return rows.map(({ kid }) => kid);
  };
  const machineToken = async (): Promise<string> => {
    const form = { grant_type: 'client_credentials', resource: acme.jwtApi, scope: 'readings:read' };
    const { json } = await callEndpoint(acme.issuer, '/token', { client: acme.clients.machine, form });
    return String(json['access_token']);
  };

  it('fail nobody in a rotation by the clock, which both do at once, nor in one by hand', async () => {
    const load = await startLoad(acme, balancer.origin);
    await load.rounds(rounds);
    const before = await activeKids();
    const jobs = [one, other].map(({ server }) => startJobs(server.house));

    time.advance(21);
    await Promise.all(jobs.map((each) => each.runAll()));
    const rotated = await activeKids();
    expect(rotated).not.toEqual(before);
    await load.rounds(rounds);

    // By now resource servers have fetched the keys again: a key that is ripe has been published for as long as they keep them.
    load.fetchKeysAnew();
    time.advance(4);
    const byHand = await rotateKeys(other.context, { tenantId: acme.id, rules: signingKeyRules(other.config) });
    expect(byHand).toMatchObject({ algorithms: [{ outcome: 'rotates' }, { outcome: 'rotates' }] });
    await load.rounds(rounds);
    await load.stop();
    await Promise.all(jobs.map((each) => each.stop()));

    expect(load.failures).toEqual([]);
    expect([...load.kids].sort()).toEqual([...before, ...rotated, ...(await activeKids())].sort());
    const events = await readEvents(one.database, { tenantId: acme.id, types: ['key.rotated'] });
    expect(events).toHaveLength(4);
    expect([...one.log, ...other.log]).toEqual([]);
  });

  it('fail nobody in an emergency, after which nobody who fetches the keys believes the stolen one', async () => {
    const load = await startLoad(acme, balancer.origin);
    await load.rounds(rounds);
    const [stolen = ''] = await activeKids();
    const token = await machineToken();
    await retireKey(one.context, { tenantId: acme.id, kid: stolen });
    await load.rounds(rounds);
    await load.stop();
    expect(load.failures).toEqual([]);

    const [replacement] = await activeKids();
    expect(replacement).not.toBe(stolen);
    const keys = createRemoteJWKSet(new URL(`${acme.issuer}/jwks`));
    await expect(jwtVerify(token, keys)).rejects.toMatchObject({ code: 'ERR_JWKS_NO_MATCHING_KEY' });
    for (let times = 0; times < 4; times += 1) {
      expect((await jwtVerify(await machineToken(), keys)).protectedHeader.kid).toBe(replacement);
    }
    expect([...one.log, ...other.log]).toEqual([]);
  });
});

describeWithPostgres15('a master key that is changed server by server', () => {
  // The roles belong to the cluster, and get other passwords: nobody else may be in it.
  let cluster: ScratchCluster;
  let balancer: Balancer;

  beforeAll(async () => {
    cluster = await startPostgres15();
    balancer = await startBalancer();
  }, 60_000);

  afterAll(async () => {
    await balancer.close();
    await cluster.stop();
  });

  it('fails nobody, and the old one can be dropped in the end', async () => {
    const { ownerUrl, superuserUrl } = await cluster.createDatabase('rekeyed');
    const young = Buffer.alloc(32, 9).toString('base64');
    const start = (keys: readonly string[]): Promise<TestServer> =>
      startTestServer({
        environment: {
          POORT_DATABASE_URL: ownerUrl,
          POORT_MASTER_KEY: keys.join(','),
          POORT_PUBLIC_URL: balancer.origin,
        },
      });
    let servers = [await start([testMasterKey]), await start([testMasterKey])];
    const direct = (): void => balancer.useServers(servers.map(({ config }) => config.http.port));
    direct();
    const [arranging] = servers;
    if (arranging === undefined) throw new Error('no server');
    const acme = await createTestTenant(arranging, 'acme');
    const load = await startLoad(acme, balancer.origin);
    await load.rounds(rounds);

    const sealedWith = async (): Promise<number> =>
      (
        await queryAsSuperuser<{ keys: number }>(
          { ownerUrl, superuserUrl, drop: async () => undefined },
          'select count(distinct substring(private_sealed from 2 for 4))::int as keys from signing_keys',
        )
      )[0]?.keys ?? 0;
    const problems: (readonly string[])[] = [];
    for (const keys of [[testMasterKey, young], [young, testMasterKey], [young]]) {
      for (const place of [0, 1]) {
        const fresh = await start(keys);
        const gone = servers[place];
        servers = servers.with(place, fresh);
        direct();
        await load.rounds(3);
        await gone?.close();
        // What was written meanwhile, by whichever of the two, is readable for both.
        for (const each of servers) problems.push((await findKeyProblems(each.server.house)).problems);
      }
      const [first] = servers;
      if (first === undefined || keys[0] !== young || keys.length === 1) continue;
      expect((await findKeyProblems(first.server.house)).sealedOtherwise).toBe(4);
      expect(await resealAll(first.context, ownerUrl)).toBe(1);
      expect(await resealAll(first.context, ownerUrl)).toBe(0);
      expect(await findKeyProblems(first.server.house)).toEqual({ keys: 4, problems: [], sealedOtherwise: 0 });
      expect(await sealedWith()).toBe(1);
      const inUse = await readMasterKeyInUse(ownerUrl, first.context.sealer);
      const { config } = first;
      const judgedIn = (days: number) =>
        judgeMasterKeys(
          { config, clock: () => new Date(Date.now() + days * 86_400_000) },
          { sealedOtherwise: 0, inUse },
        );
      // Sessions that began before it was in front live for two weeks at most.
      expect([judgedIn(13).canBeDropped, judgedIn(14).canBeDropped]).toEqual([false, true]);
      await load.rounds(rounds);
    }
    await load.stop();
    expect(load.failures).toEqual([]);
    expect(problems.flat()).toEqual([]);
    for (const each of servers) await each.close();
    // Eight starts of a server.
  }, 120_000);
});
