import { createRemoteJWKSet, jwtVerify } from 'jose';
import type { TenantId } from '#src/domain/tenant.ts';
import { createApi } from '#src/flows/clients/manage_clients.ts';
import { keepAllKeys, keepKeys, retireKey, rotateKeys, signingKeyRules } from '#src/flows/keys/rotate_keys.ts';
import { changeTenantStatus, createTenant } from '#src/flows/tenants/manage_tenants.ts';
import { startJobs } from '#src/server.ts';
import { sendRaw } from '#test/support/raw_http.ts';
import { eventually, terminateProductConnections, withConnection } from '#test/support/sql.ts';
import { queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import { createMovableClock, startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorize, callEndpoint, createUserAgent, exchangeCode } from '#test/support/user_agent.ts';
import { createTestTenant, postLogoutUri, type TestTenant } from '#test/support/world.ts';

const time = createMovableClock();
let server: TestServer;
let other: TestServer;

beforeAll(async () => {
  server = await startTestServer({ clock: time.clock });
  other = await startTestServer({ clock: time.clock, beside: server });
});

afterAll(async () => {
  await other.close();
  await server.close();
});

const rules = () => signingKeyRules(server.config);
const untilRipe = (): number => rules().jwksCacheSeconds + 2;

let made = 0;
async function newTenant(): Promise<{ readonly id: TenantId; readonly issuer: string }> {
  made += 1;
  const slug = `tenant-${made}`;
  const created = await createTenant(server.context, { slug, name: slug });
  if (created.outcome !== 'created') throw new Error(created.reason);
  return { id: created.id, issuer: `${server.origin}/t/${slug}` };
}

interface KeySeen {
  readonly kid: string;
  readonly alg: string;
  readonly status: string;
}

const keysOf = (tenantId: string): Promise<readonly KeySeen[]> =>
  queryAsSuperuser<KeySeen>(
    server.database,
    'select kid, alg, status from signing_keys where tenant_id = $1 order by alg, status, created_at',
    [tenantId],
  );
const kidOf = (keys: readonly KeySeen[], status: string, alg = 'ES256'): string | undefined =>
  keys.find((key) => key.status === status && key.alg === alg)?.kid;
const rotations = (tenantId: string) =>
  readEvents(server.database, { tenantId, types: ['key.rotated', 'key.retired'] });
async function published(issuer: string): Promise<readonly string[]> {
  const { keys } = (await (await fetch(`${issuer}/jwks`)).json()) as { keys: { kid: string }[] };
  return keys.map(({ kid }) => kid);
}

describe('a rotation by hand', () => {
  it('waits until everyone knows the next key, and is finished by the clock', async () => {
    const { id, issuer } = await newTenant();
    const before = await keysOf(id);
    const asked = await rotateKeys(server.context, { tenantId: id, rules: rules() });
    if (asked.outcome !== 'done') throw new Error(asked.outcome);
    expect(asked.algorithms.map(({ alg, outcome, kid }) => [alg, outcome, kid])).toEqual([
      ['ES256', 'waits', kidOf(before, 'next')],
      ['RS256', 'waits', kidOf(before, 'next', 'RS256')],
    ]);
    expect(await keysOf(id)).toEqual(before);
    expect(await keepKeys(server.context, { tenantId: id, rules: rules() })).toBe(false);

    time.advance(untilRipe());
    for (const { at } of asked.algorithms) expect(at.getTime()).toBeLessThanOrEqual(time.clock().getTime());
    expect(await keepKeys(server.context, { tenantId: id, rules: rules() })).toBe(true);
    const after = await keysOf(id);
    expect(kidOf(after, 'active')).toBe(kidOf(before, 'next'));
    expect(kidOf(after, 'retired')).toBe(kidOf(before, 'active'));
    expect(await rotations(id)).toMatchObject([
      {
        type: 'key.rotated',
        target_id: kidOf(after, 'active'),
        data: { alg: 'ES256', replaces: kidOf(after, 'retired') },
      },
      { type: 'key.rotated', target_id: kidOf(after, 'active', 'RS256'), data: { alg: 'RS256' } },
    ]);
    // The signing ones, the ones to come and the ones that signed until now.
    await eventually('all six are published', async () => (await published(issuer)).length === 6, 1_000);
  });

  it('happens at once when everyone knows it, and the old key goes when its last token has ended', async () => {
    const { id } = await newTenant();
    const before = await keysOf(id);
    time.advance(untilRipe());
    const rotated = await rotateKeys(server.context, { tenantId: id, rules: rules() });
    expect(rotated).toMatchObject({ outcome: 'done', algorithms: [{ outcome: 'rotates' }, { outcome: 'rotates' }] });
    expect(kidOf(await keysOf(id), 'retired')).toBe(kidOf(before, 'active'));

    const { longestTokenSeconds, jwksCacheSeconds } = rules();
    time.advance(longestTokenSeconds + jwksCacheSeconds);
    await keepKeys(server.context, { tenantId: id, rules: rules() });
    expect(kidOf(await keysOf(id), 'retired')).toBe(kidOf(before, 'active'));
    time.advance(3);
    await keepKeys(server.context, { tenantId: id, rules: rules() });
    expect(kidOf(await keysOf(id), 'retired')).toBeUndefined();
    expect((await keysOf(id)).map(({ alg, status }) => `${alg} ${status}`)).toEqual([
      'ES256 active',
      'ES256 next',
      'RS256 active',
      'RS256 next',
    ]);
  });

  it('of two processes at the same moment is done by one, and leaves one key that signs', async () => {
    const { id } = await newTenant();
    time.advance(untilRipe());
    const outcomes = await Promise.all(
      [server, other, server, other, server, other].map(({ context }) =>
        rotateKeys(context, { tenantId: id, rules: rules() }),
      ),
    );
    const rotating = outcomes.filter(
      (each) => each.outcome === 'done' && each.algorithms.every(({ outcome }) => outcome === 'rotates'),
    );
    expect(rotating).toHaveLength(1);
    const statuses = (await keysOf(id)).map(({ alg, status }) => `${alg} ${status}`);
    expect(statuses).toEqual([
      'ES256 active',
      'ES256 next',
      'ES256 retired',
      'RS256 active',
      'RS256 next',
      'RS256 retired',
    ]);
    expect((await rotations(id)).map(({ type }) => type)).toEqual(['key.rotated', 'key.rotated']);
  });

  it('that is cut off in the middle has changed nothing, and can be done again', async () => {
    const { id } = await newTenant();
    time.advance(untilRipe());
    const before = await keysOf(id);
    await withConnection(server.database.superuserUrl, async (superuser) => {
      // The rotation has taken the lock of the tenant and made its first changes; the last one waits for us.
      await superuser.query('begin');
      await superuser.query('select from signing_keys where tenant_id = $1 and kid = $2 for update', [
        id,
        kidOf(before, 'next', 'RS256'),
      ]);
      const rotation = rotateKeys(server.context, { tenantId: id, rules: rules() });
      const cutOff = expect(rotation).rejects.toThrow();
      await eventually(
        'it is in the middle',
        async () =>
          (await terminateProductConnections(
            server.database.superuserUrl,
            "wait_event_type = 'Lock' and query like 'update signing_keys%'",
          )) === 1,
      );
      await cutOff;
      await superuser.query('rollback');
    });
    expect(await keysOf(id)).toEqual(before);
    expect(await rotations(id)).toEqual([]);
    expect(await rotateKeys(server.context, { tenantId: id, rules: rules() })).toMatchObject({
      outcome: 'done',
      algorithms: [{ outcome: 'rotates' }, { outcome: 'rotates' }],
    });
  });
});

describe('an API that has its tokens signed with EdDSA', () => {
  it('gets a key for that with the first such API, and gets its tokens at once', async () => {
    const tenant = await createTestTenant(server, 'umbrella');
    const audiences = ['https://api.umbrella.test/one', 'https://api.umbrella.test/two', 'https://api.umbrella.test/3'];
    const made = await Promise.all(
      audiences.map((audience) =>
        createApi(server.context, {
          tenantId: tenant.id,
          api: { audience, tokenFormat: 'jwt', signingAlg: 'EdDSA', scopes: ['readings:read=Read'] },
        }),
      ),
    );
    expect(made.map(({ outcome }) => outcome)).toEqual(['created', 'created', 'created']);
    const keys = (await keysOf(tenant.id)).filter(({ alg }) => alg === 'EdDSA');
    expect(keys.map(({ status }) => status)).toEqual(['active', 'next']);
    const form = { grant_type: 'client_credentials', resource: audiences[1] ?? '', scope: 'readings:read' };
    await eventually(
      'its tokens are signed',
      async () => {
        const issued = await callEndpoint(tenant.issuer, '/token', { client: tenant.clients.machine, form });
        if (issued.status !== 200) return false;
        const jwks = createRemoteJWKSet(new URL(`${tenant.issuer}/jwks`));
        const { protectedHeader } = await jwtVerify(String(issued.json['access_token']), jwks);
        return protectedHeader.alg === 'EdDSA' && protectedHeader.kid === keys[0]?.kid;
      },
      1_000,
    );
  });
});

describe('a person who signed in before a rotation', () => {
  it('is still signed out by their application, for as long as a session lives', async () => {
    const tenant = await createTestTenant(server, 'hooli');
    const stranger = await createTestTenant(server, 'pied');
    const { web } = tenant.clients;
    const agent = createUserAgent(server.origin);
    const { json } = await exchangeCode(tenant, web, await authorize(agent, { tenant, client: web }));
    const signOut = async (hint: unknown): Promise<number> => {
      const parameters = new URLSearchParams({ id_token_hint: String(hint), post_logout_redirect_uri: postLogoutUri });
      return (await agent.request(`${tenant.issuer}/logout?${parameters}`)).status;
    };
    time.advance(untilRipe());
    await rotateKeys(server.context, { tenantId: tenant.id, rules: rules() });
    await eventually('the new keys are published', async () => (await published(tenant.issuer)).length === 6, 1_000);
    expect(await signOut(json['id_token'])).toBe(200);
    // What another tenant signed, or a key that is gone, is no hint.
    const theirs = await exchangeCode(
      stranger,
      stranger.clients.web,
      await authorize(createUserAgent(server.origin), { tenant: stranger, client: stranger.clients.web }),
    );
    expect(await signOut(theirs.json['id_token'])).toBe(400);
    const retired = kidOf(await keysOf(tenant.id), 'retired', 'RS256') ?? '';
    await retireKey(server.context, { tenantId: tenant.id, kid: retired });
    await eventually('its hint is refused', async () => (await signOut(json['id_token'])) === 400, 1_000);
  });
});

describe('an emergency', () => {
  it('takes a key away from every process within a second, and another one signs at once', async () => {
    const acme = await createTestTenant(server, 'acme');
    const stolen = kidOf(await keysOf(acme.id), 'active') ?? '';
    const waiting = kidOf(await keysOf(acme.id), 'next');
    expect(await kidOfToken(acme)).toBe(stolen);
    expect(await publishedAt(other, acme)).toContain(stolen);

    const retired = await retireKey(server.context, { tenantId: acme.id, kid: stolen });
    expect(retired).toEqual({ outcome: 'retired', alg: 'ES256', replacement: waiting });
    await eventually(
      'no process publishes it',
      async () => {
        const sets = await Promise.all([server, other].map((each) => publishedAt(each, acme)));
        return sets.every((kids) => !kids.includes(stolen));
      },
      1_000,
    );
    expect(await kidOfToken(acme)).toBe(waiting);
    expect(await rotations(acme.id)).toMatchObject([
      { type: 'key.retired', target_id: stolen, data: { alg: 'ES256', status: 'active', replaced_by: waiting } },
    ]);
    expect(await retireKey(server.context, { tenantId: acme.id, kid: stolen })).toEqual({
      outcome: 'refused',
      reason: 'unknown_key',
    });
  });

  it('at two processes at once, or in a rotation, still ends with one key that signs', async () => {
    const { id } = await newTenant();
    time.advance(untilRipe());
    const stolen = kidOf(await keysOf(id), 'active') ?? '';
    const outcomes = await Promise.all([
      retireKey(server.context, { tenantId: id, kid: stolen }),
      retireKey(other.context, { tenantId: id, kid: stolen }),
      rotateKeys(other.context, { tenantId: id, rules: rules() }),
    ]);
    expect(outcomes.filter(({ outcome }) => outcome === 'retired')).toHaveLength(1);
    const keys = await keysOf(id);
    expect(keys.map(({ kid }) => kid)).not.toContain(stolen);
    expect(keys.filter(({ alg, status }) => alg === 'ES256' && status === 'active')).toHaveLength(1);
  });

  it('reaches no key of another tenant', async () => {
    const [one, another] = [await newTenant(), await newTenant()];
    const kid = kidOf(await keysOf(another.id), 'active') ?? '';
    expect(await retireKey(server.context, { tenantId: one.id, kid })).toEqual({
      outcome: 'refused',
      reason: 'unknown_key',
    });
    expect(kidOf(await keysOf(another.id), 'active')).toBe(kid);
  });

  it('takes a waiting key away before it ever signed', async () => {
    const { id } = await newTenant();
    const before = await keysOf(id);
    const waiting = kidOf(before, 'next') ?? '';
    expect(await retireKey(server.context, { tenantId: id, kid: waiting })).toMatchObject({ replacement: undefined });
    const after = await keysOf(id);
    expect(kidOf(after, 'active')).toBe(kidOf(before, 'active'));
    expect(kidOf(after, 'next')).not.toBe(waiting);
  });
});

describe('the clock’s work', () => {
  it('gives a tenant of the version before its waiting keys, and touches no suspended one', async () => {
    const [old, suspended] = [await newTenant(), await newTenant()];
    for (const { id } of [old, suspended]) {
      await queryAsSuperuser(server.database, "delete from signing_keys where tenant_id = $1 and status = 'next'", [
        id,
      ]);
      await queryAsSuperuser(server.database, 'update signing_keys set activated_at = null where tenant_id = $1', [id]);
    }
    await changeTenantStatus(server.context, { id: suspended.id, status: 'suspended' });
    const before = await keysOf(old.id);
    const jobs = startJobs(server.server.house);
    await jobs.runAll();
    await jobs.stop();
    const after = await keysOf(old.id);
    expect(after.map(({ alg, status }) => `${alg} ${status}`)).toEqual([
      'ES256 active',
      'ES256 next',
      'RS256 active',
      'RS256 next',
    ]);
    expect(kidOf(after, 'active')).toBe(kidOf(before, 'active'));
    expect(await keysOf(suspended.id)).toHaveLength(2);
  });

  it('rotates what is old enough by itself, and finds nothing the second time', async () => {
    const { id } = await newTenant();
    await keepAllKeys(server.context, rules());
    const before = await keysOf(id);
    time.advance(rules().rotateAfterSeconds);
    expect(await keepAllKeys(server.context, rules())).toBeGreaterThan(0);
    expect(kidOf(await keysOf(id), 'active')).toBe(kidOf(before, 'next'));
    expect(await keepAllKeys(other.context, rules())).toBe(0);
  });

  it('gives an API of the version before the keys that its algorithm needs', async () => {
    const { id } = await newTenant();
    const api = { audience: 'https://api.test/eddsa', tokenFormat: 'jwt', signingAlg: 'EdDSA', scopes: [] } as const;
    expect(await createApi(server.context, { tenantId: id, api })).toMatchObject({ outcome: 'created' });
    await queryAsSuperuser(server.database, "delete from signing_keys where tenant_id = $1 and alg = 'EdDSA'", [id]);
    await keepAllKeys(server.context, rules());
    expect(kidOf(await keysOf(id), 'active', 'EdDSA')).toBeDefined();
  });

  it('stops between two tenants when the process is to end, and is done by the next run', async () => {
    const tenants = [await newTenant(), await newTenant()];
    const forget = `delete from signing_keys where tenant_id = any ($1) and status = 'next'`;
    await queryAsSuperuser(server.database, forget, [tenants.map(({ id }) => id)]);
    expect(await keepAllKeys(server.context, rules(), AbortSignal.abort())).toBe(0);
    expect(await keepAllKeys(server.context, rules())).toBe(2);
  });

  it('is done by one process at a time, and a tenant that fails holds up no other', async () => {
    const [broken, well] = [await newTenant(), await newTenant()];
    await withConnection(server.database.superuserUrl, async (superuser) => {
      const forget = `delete from signing_keys where tenant_id = any ($1) and status = 'next'`;
      await superuser.query(forget, [[broken.id, well.id]]);
      await superuser.query('select pg_advisory_lock(7067680)');
      expect(await keepAllKeys(server.context, rules())).toBe(0);
      expect(await keysOf(well.id)).toHaveLength(2);
      await superuser.query('select pg_advisory_unlock(7067680)');

      await superuser.query(
        `alter table signing_keys add constraint broken check (tenant_id <> '${broken.id}') not valid`,
      );
      await expect(keepAllKeys(server.context, rules())).rejects.toThrow('tenants that failed: 1');
      expect(await keysOf(well.id)).toHaveLength(4);
      await superuser.query('alter table signing_keys drop constraint broken');
    });
    expect(await keepAllKeys(server.context, rules())).toBe(1);
  });
});

describe('somebody who can write to the table of keys', () => {
  let globex: TestTenant;
  let initech: TestTenant;

  beforeAll(async () => {
    globex = await createTestTenant(server, 'globex');
    initech = await createTestTenant(server, 'initech');
  });

  const change = (text: string, values: readonly unknown[]) => queryAsSuperuser(server.database, text, values);

  it('cannot have a key sign that is retired or does not sign yet', async () => {
    const [active] = (await keysOf(globex.id)).filter(({ alg, status }) => alg === 'ES256' && status === 'active');
    await change("update signing_keys set status = 'retired' where tenant_id = $1 and kid = $2", [
      globex.id,
      active?.kid,
    ]);
    await eventually('nothing signs', async () => (await tokenOf(globex)).status === 500, 1_000);
    await change("update signing_keys set status = 'active' where tenant_id = $1 and kid = $2", [
      globex.id,
      active?.kid,
    ]);
    await eventually('it signs again', async () => (await tokenOf(globex)).status === 200, 1_000);
  });

  it.each([
    ['another tenant', () => initech],
    ['another key', () => globex],
  ])('cannot use what was sealed for %s', async (_which, from) => {
    const mine = kidOf(await keysOf(globex.id), 'active') ?? '';
    const theirs = kidOf(await keysOf(from().id), 'next') ?? '';
    const sealed = `select private_sealed from signing_keys where tenant_id = $1 and kid = $2`;
    const [kept] = await queryAsSuperuser<{ private_sealed: Buffer }>(server.database, sealed, [globex.id, mine]);
    const [copied] = await queryAsSuperuser<{ private_sealed: Buffer }>(server.database, sealed, [from().id, theirs]);
    const put = 'update signing_keys set private_sealed = $3 where tenant_id = $1 and kid = $2';
    await change(put, [globex.id, mine, copied?.private_sealed]);
    await eventually('nothing is signed with it', async () => (await tokenOf(globex)).status === 500, 1_000);
    expect((await fetch(`${globex.issuer}/jwks`)).status).toBe(500);
    await change(put, [globex.id, mine, kept?.private_sealed]);
    await eventually('it signs again', async () => (await tokenOf(globex)).status === 200, 1_000);
  });

  it('cannot put a public key of their own among the published ones', async () => {
    const [, next] = (await keysOf(globex.id)).filter(({ alg }) => alg === 'ES256');
    const before = await (await fetch(`${globex.issuer}/jwks`)).json();
    const planted = { kty: 'EC', crv: 'P-256', x: 'planted', y: 'planted', alg: 'ES256', kid: next?.kid, use: 'sig' };
    await change('update signing_keys set public_jwk = $3 where tenant_id = $1 and kid = $2', [
      globex.id,
      next?.kid,
      JSON.stringify(planted),
    ]);
    await changeTenantStatus(server.context, { id: globex.id, status: 'suspended' });
    await changeTenantStatus(server.context, { id: globex.id, status: 'active' });
    await eventually('it serves again', async () => (await tokenOf(globex)).status === 200, 1_000);
    expect(await (await fetch(`${globex.issuer}/jwks`)).json()).toEqual(before);
  });
});

function tokenOf(tenant: TestTenant) {
  const form = { grant_type: 'client_credentials', resource: tenant.jwtApi, scope: 'readings:read' };
  return callEndpoint(tenant.issuer, '/token', { client: tenant.clients.machine, form });
}

async function kidOfToken(tenant: TestTenant): Promise<string> {
  const { json } = await tokenOf(tenant);
  const [header = ''] = String(json['access_token']).split('.');
  return JSON.parse(Buffer.from(header, 'base64url').toString('utf8')).kid;
}

/** Asked at its own port, whatever address the installation has. */
async function publishedAt({ config }: TestServer, tenant: TestTenant): Promise<readonly string[]> {
  const { body } = await sendRaw(config.http.port, {
    target: `/t/${tenant.slug}/jwks`,
    headers: [['Host', new URL(tenant.issuer).host]],
  });
  return (JSON.parse(body) as { keys: { kid: string }[] }).keys.map(({ kid }) => kid);
}
