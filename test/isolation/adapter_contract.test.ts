/**
 * What the engine may rely on, for every model and every method of its storage port; and what the tenants may rely on: asked by
 * the wrong one, nothing is there and nothing changes.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import type { Adapter, AdapterPayload } from 'oidc-provider';
import {
  type ArtifactModel,
  artifactModels,
  createArtifactsAdapter,
  valuePrefixes,
} from '#adapters/artifacts_adapter.ts';
import { hashOf, UnitOfWork } from '#adapters/unit_of_work.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import { type Database, LostRace, openDatabase } from '#src/storage/database.ts';
import { findInteractionTombstone } from '#src/storage/tables/artifacts.ts';
import { createTestDatabase, type TestDatabase } from '#test/support/cluster.ts';
import { connect, roleUrls, type SqlConnection } from '#test/support/sql.ts';

const acme = randomUUID() as TenantId;
const globex = randomUUID() as TenantId;
const startedAt = new Date('2031-05-04T03:02:01.000Z');
const lifetimeSeconds = 60;

let testDatabase: TestDatabase;
let superuser: SqlConnection;
let database: Database;
let now = startedAt;

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  superuser = await connect(testDatabase.superuserUrl);
  const { app, platform } = roleUrls(testDatabase);
  const onFault = (fault: unknown): never => {
    throw fault;
  };
  database = openDatabase({ appUrl: app, platformUrl: platform, onFault });
});

beforeEach(() => {
  now = startedAt;
});

afterAll(async () => {
  await database.close();
  await superuser.end();
  await testDatabase.drop();
});

/** One request of a tenant: what it did is committed at its end. */
async function request<Result>(
  tenantId: TenantId,
  model: ArtifactModel,
  work: (adapter: Adapter, unit: UnitOfWork) => Promise<Result>,
): Promise<Result> {
  const unit = new UnitOfWork({ tenant: database.tenant(tenantId), origin: {}, clock: () => now });
  const result = await unit.run(() => work(createArtifactsAdapter(model), unit));
  await unit.commit();
  return result;
}

function newId(model: ArtifactModel): string {
  return (valuePrefixes[model] ?? '') + randomBytes(32).toString('base64url');
}

interface Sample {
  readonly id: string;
  /** As the engine saves it. */
  readonly saved: AdapterPayload;
  /** As the engine must get it back. */
  readonly found: AdapterPayload;
  /** Values that open something: none of them may be in the table. */
  readonly secrets: readonly string[];
  readonly userCode?: string;
  readonly uid?: string;
}

/** A payload with everything the engine puts into this model that somebody could misuse. */
function sampleOf(model: ArtifactModel, extra: AdapterPayload = {}): Sample {
  const id = newId(model);
  const common = {
    kind: model,
    jti: id,
    iat: 1,
    exp: Math.floor(startedAt.getTime() / 1000) + lifetimeSeconds,
    ...extra,
  };
  switch (model) {
    case 'Session': {
      const saved = { ...common, uid: randomBytes(16).toString('base64url'), loginTs: 1, authorizations: {} };
      return { id, saved, found: saved, secrets: [id], uid: saved.uid };
    }
    case 'Interaction': {
      const [cookie, deviceCode, parJti] = [newId('Session'), newId('DeviceCode'), newId('PushedAuthorizationRequest')];
      const rest = { ...common, params: { scope: 'openid' }, prompt: { name: 'login', reasons: [], details: {} } };
      const returnTo = `https://login.test/t/acme/authorize/${id}`;
      const session = { uid: 'a-session', ...(extra.accountId === undefined ? {} : { accountId: extra.accountId }) };
      const saved = { ...rest, returnTo, session: { ...session, cookie }, deviceCode, parJti } as AdapterPayload;
      const found = {
        ...rest,
        returnTo,
        session,
        deviceCode: referenceTo(deviceCode),
        parJti: referenceTo(parJti),
      } as AdapterPayload;
      return { id, saved, found, secrets: [id, cookie, deviceCode, parJti] };
    }
    case 'DeviceCode': {
      const userCode = randomBytes(6).toString('hex').toUpperCase();
      return { id, saved: { ...common, userCode }, found: common, secrets: [id, userCode], userCode };
    }
    case 'BackchannelAuthenticationRequest': {
      const [idToken, bindingMessage] = [randomBytes(32).toString('base64url'), 'Zonnebloem 4711'];
      const params = { login_hint: idToken, id_token_hint: idToken, client_notification_token: idToken };
      const saved = { ...common, params: { ...params, binding_message: bindingMessage } };
      const found = { ...common, params: { binding_message: bindingMessage } };
      return { id, saved, found, secrets: [id, idToken] };
    }
    default:
      return { id, saved: common, found: common, secrets: [id] };
  }
}

function referenceTo(value: string): string {
  return `~${Buffer.from(hashOf(value), 'hex').toString('base64url')}`;
}

async function store(tenantId: TenantId, model: ArtifactModel, extra: AdapterPayload = {}): Promise<Sample> {
  const sample = sampleOf(model, extra);
  await request(tenantId, model, (adapter) => adapter.upsert(sample.id, { ...sample.saved }, lifetimeSeconds));
  return sample;
}

async function find(tenantId: TenantId, model: ArtifactModel, id: string): Promise<AdapterPayload | undefined> {
  return (await request(tenantId, model, (adapter) => adapter.find(id))) ?? undefined;
}

async function rowsOf(tenantId: TenantId): Promise<string> {
  const { rows } = await superuser.query<{ text: string }>(
    'select a::text as text from artifacts a where tenant_id = $1 order by kind, id_hash',
    [tenantId],
  );
  return rows.map((row) => row.text).join('\n');
}

/** Saved again and again by the engine; the others are written once. */
const rewritten: readonly ArtifactModel[] = ['Session', 'Interaction', 'Grant', 'BackchannelAuthenticationRequest'];
const writtenOnce: readonly ArtifactModel[] = [
  'AccessToken',
  'ClientCredentials',
  'AuthorizationCode',
  'RefreshToken',
  'PushedAuthorizationRequest',
  'DeviceCode',
];
const underGrant: readonly ArtifactModel[] = [
  'AccessToken',
  'AuthorizationCode',
  'RefreshToken',
  'DeviceCode',
  'BackchannelAuthenticationRequest',
];

describe.each(artifactModels.map((model) => ({ model })))('a stored $model', ({ model }) => {
  it('is found as it was saved, by its value only', async () => {
    const { id, found } = await store(acme, model);
    expect(await find(acme, model, id)).toEqual(found);
    expect(await find(acme, model, newId(model))).toBeUndefined();
    expect(await find(acme, model, `${id}x`)).toBeUndefined();
    expect(await find(acme, model, '')).toBeUndefined();
  });

  it('is found by the request that saves it, before anything is written', async () => {
    const { id, saved, found } = sampleOf(model);
    await request(acme, model, async (adapter) => {
      await adapter.upsert(id, { ...saved }, lifetimeSeconds);
      expect(await adapter.find(id)).toEqual(found);
    });
  });

  it('is not changed by what the engine does with a copy of it', async () => {
    const { id, found } = await store(acme, model);
    await request(acme, model, async (adapter) => {
      Object.assign((await adapter.find(id)) ?? {}, { kind: 'Other', scope: 'everything' });
      expect(await adapter.find(id)).toEqual(found);
    });
  });

  it('leaves none of its values in the table', async () => {
    const { secrets } = await store(acme, model);
    const everything = await rowsOf(acme);
    for (const secret of secrets) {
      const bytes = Buffer.from(secret);
      for (const form of [secret, bytes.toString('hex'), bytes.toString('base64'), encodeURIComponent(secret)]) {
        expect(everything).not.toContain(form);
      }
    }
    expect(everything).toContain(hashOf(secrets[0] ?? ''));
  });

  it('is not found by its hash, which a stolen table would give', async () => {
    const { id } = await store(acme, model);
    expect(await find(acme, model, referenceTo(id))).toBeUndefined();
    expect(await find(acme, model, hashOf(id))).toBeUndefined();
  });

  it('is neither found nor changed by another tenant, with any method', async () => {
    const grantId = newId('Grant');
    const sample = await store(acme, model, { grantId });
    const before = await rowsOf(acme);

    expect(await find(globex, model, sample.id)).toBeUndefined();
    expect(await request(globex, model, (adapter) => adapter.findByUid(sample.uid ?? 'none'))).toBeUndefined();
    expect(
      await request(globex, model, (adapter) => adapter.findByUserCode(sample.userCode ?? 'none')),
    ).toBeUndefined();
    await expect(request(globex, model, (adapter) => adapter.consume(sample.id))).rejects.toBeInstanceOf(LostRace);
    await expect(request(globex, model, (adapter) => adapter.consume(referenceTo(sample.id)))).rejects.toBeInstanceOf(
      LostRace,
    );
    await request(globex, model, (adapter) => adapter.destroy(sample.id));
    await request(globex, model, (adapter) => adapter.destroy(referenceTo(sample.id)));
    await request(globex, model, (adapter) => adapter.revokeByGrantId(grantId));
    await request(globex, model, async (_adapter, unit) => {
      unit.revokeGrant(grantId);
      unit.destroyGrant(grantId);
    });
    // The same value there is another artifact.
    await request(globex, model, (adapter) => adapter.upsert(sample.id, { ...sample.saved, scope: 'theirs' }, 60));

    expect(await rowsOf(acme)).toBe(before);
    expect(await find(acme, model, sample.id)).toEqual(sample.found);
    expect(await find(globex, model, sample.id)).toEqual({ ...sample.found, scope: 'theirs' });
    await request(globex, model, (adapter) => adapter.destroy(sample.id));
    expect(await find(acme, model, sample.id)).toEqual(sample.found);
  });

  it('is consumed once, whoever else tries at the same time', async () => {
    const { id, found } = await store(acme, model);
    const attempts = Array.from({ length: 8 }, () => request(acme, model, (adapter) => adapter.consume(id)));
    const outcomes = await Promise.allSettled(attempts);
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') expect(outcome.reason).toBeInstanceOf(LostRace);
    }
    // The engine never consumes an interaction: used means over.
    const consumed = model === 'Interaction' ? undefined : { ...found, consumed: expect.any(Number) };
    expect(await find(acme, model, id)).toEqual(consumed);
  });

  it('that is past its time is not consumed any more', async () => {
    const { id } = await store(acme, model);
    now = new Date(startedAt.getTime() + lifetimeSeconds * 1000);
    await expect(request(acme, model, (adapter) => adapter.consume(id))).rejects.toBeInstanceOf(LostRace);
    // The engine judges by `exp`, which must come with it.
    expect(await find(acme, model, id)).toMatchObject({ exp: now.getTime() / 1000 });
  });

  it('takes the rest of its request with it when the race for it is lost', async () => {
    const used = await store(acme, model);
    await request(acme, model, (adapter) => adapter.consume(used.id));
    const other = sampleOf('AccessToken');
    const second = request(acme, model, async (adapter) => {
      await createArtifactsAdapter('AccessToken').upsert(other.id, { ...other.saved }, lifetimeSeconds);
      await adapter.consume(used.id);
    });
    await expect(second).rejects.toBeInstanceOf(LostRace);
    expect(await find(acme, 'AccessToken', other.id)).toBeUndefined();
  });

  it('is gone once destroyed, for the same request at once', async () => {
    const { id } = await store(acme, model);
    await request(acme, model, async (adapter) => {
      await adapter.destroy(id);
      expect(await adapter.find(id)).toBeUndefined();
    });
    expect(await find(acme, model, id)).toBeUndefined();
    await request(acme, model, (adapter) => adapter.destroy(id));
  });

  it('of an account or a client that is not alive is not found', async () => {
    for (const dead of [{ accountId: randomUUID() }, { clientId: 'nobody' }]) {
      const { id } = await store(acme, model, dead);
      expect({ dead, found: await find(acme, model, id) }).toEqual({ dead, found: undefined });
    }
  });
});

describe.each(rewritten.map((model) => ({ model })))('a $model', ({ model }) => {
  it('is found as it was saved last', async () => {
    const { id, saved, found } = await store(acme, model);
    await request(acme, model, (adapter) => adapter.upsert(id, { ...saved, scope: 'changed' }, lifetimeSeconds));
    expect(await find(acme, model, id)).toEqual({ ...found, scope: 'changed' });
    await request(acme, model, async (adapter) => {
      await adapter.upsert(id, { ...saved, scope: 'first' }, lifetimeSeconds);
      await adapter.upsert(id, { ...saved, scope: 'last' }, lifetimeSeconds);
    });
    expect(await find(acme, model, id)).toEqual({ ...found, scope: 'last' });
  });
});

describe.each(writtenOnce.map((model) => ({ model })))('a $model', ({ model }) => {
  it('is never overwritten by another with its value', async () => {
    const { id, saved, found } = await store(acme, model);
    const again = request(acme, model, (adapter) => adapter.upsert(id, { ...saved, scope: 'other' }, lifetimeSeconds));
    await expect(again).rejects.toMatchObject({ code: '23505' });
    expect(await find(acme, model, id)).toEqual(found);
  });
});

describe.each(underGrant.map((model) => ({ model })))('a $model issued under a grant', ({ model }) => {
  it('ends when its kind is revoked for the grant, and only it', async () => {
    const [grantId, otherGrantId] = [newId('Grant'), newId('Grant')];
    const revoked = await store(acme, model, { grantId });
    const otherGrant = await store(acme, model, { grantId: otherGrantId });
    const neighbour: ArtifactModel = model === 'RefreshToken' ? 'AccessToken' : 'RefreshToken';
    const otherKind = await store(acme, neighbour, { grantId });
    await request(acme, model, (adapter) => adapter.revokeByGrantId(grantId));
    expect(await find(acme, model, revoked.id)).toBeUndefined();
    expect(await find(acme, model, otherGrant.id)).toEqual(otherGrant.found);
    expect(await find(acme, neighbour, otherKind.id)).toEqual(otherKind.found);
  });

  it('ends when everything under the grant does', async () => {
    const grantId = newId('Grant');
    const { id } = await store(acme, model, { grantId });
    await request(acme, model, async (_adapter, unit) => unit.revokeGrant(grantId));
    expect(await find(acme, model, id)).toBeUndefined();
  });
});

describe('a value', () => {
  const prefixed = Object.entries(valuePrefixes) as [ArtifactModel, string][];

  it.each(prefixed)('of another kind is no %s, and the database is not asked', async (model, prefix) => {
    const others = [...new Set(Object.values(valuePrefixes))].filter((other) => other !== prefix);
    const before = database.roundTrips();
    for (const other of [...others, '', '~']) {
      expect(await find(acme, model, other + randomBytes(32).toString('base64url'))).toBeUndefined();
    }
    expect(database.roundTrips()).toBe(before);
  });

  it('that is asked for twice in a request is read once', async () => {
    const { id } = await store(acme, 'AccessToken');
    const before = database.roundTrips();
    await request(acme, 'AccessToken', async (adapter) => {
      await Promise.all([adapter.find(id), adapter.find(id)]);
      await adapter.find(id);
      await createArtifactsAdapter('ClientCredentials').find(id);
    });
    expect(database.roundTrips() - before).toBe(1);
  });

  it('is not remembered from one request to the next', async () => {
    const { id } = await store(acme, 'AccessToken');
    await find(acme, 'AccessToken', id);
    await request(acme, 'AccessToken', (adapter) => adapter.destroy(id));
    expect(await find(acme, 'AccessToken', id)).toBeUndefined();
  });

  it('is found by its own tenant when many ask at the same moment', async () => {
    const [mine, theirs] = [await store(acme, 'AccessToken'), await store(globex, 'AccessToken')];
    const questions = Array.from({ length: 40 }, (_, turn) => ({
      tenantId: turn % 2 === 0 ? acme : globex,
      sample: turn % 4 < 2 ? mine : theirs,
    }));
    const answers = await Promise.all(
      questions.map(({ tenantId, sample }) => find(tenantId, 'AccessToken', sample.id)),
    );
    const expected = questions.map(({ tenantId, sample }) =>
      (tenantId === acme) === (sample === mine) ? sample.found : undefined,
    );
    expect(answers).toEqual(expected);
  });

  it('is stored for its own tenant when many save at the same moment', async () => {
    const samples = await Promise.all(
      Array.from({ length: 40 }, async (_, turn) => {
        const tenantId = turn % 2 === 0 ? acme : globex;
        return { tenantId, sample: await store(tenantId, 'AccessToken') };
      }),
    );
    for (const { tenantId, sample } of samples) {
      expect(await find(tenantId, 'AccessToken', sample.id)).toEqual(sample.found);
      expect(await find(tenantId === acme ? globex : acme, 'AccessToken', sample.id)).toBeUndefined();
    }
  });
});

describe('a session', () => {
  it('is found by its uid, under a name that opens nothing', async () => {
    const { id, uid, found } = await store(acme, 'Session');
    const byUid = await request(acme, 'Session', (adapter) => adapter.findByUid(uid ?? ''));
    expect(byUid).toEqual({ ...found, jti: referenceTo(id) });
    expect(await find(acme, 'Session', referenceTo(id))).toBeUndefined();
    expect(await request(acme, 'Session', (adapter) => adapter.findByUid('unknown'))).toBeUndefined();
  });

  it('is saved under a new value without the old one staying good', async () => {
    const old = await store(acme, 'Session');
    const renewed = { ...old.saved, jti: newId('Session') };
    await request(acme, 'Session', async (adapter) => {
      await adapter.destroy(old.id);
      await adapter.upsert(String(renewed.jti), renewed, lifetimeSeconds);
    });
    expect(await find(acme, 'Session', old.id)).toBeUndefined();
    expect(await find(acme, 'Session', String(renewed.jti))).toEqual(renewed);
  });
});

describe('a device code', () => {
  it('is found by its user code, saved and consumed under a name that opens nothing', async () => {
    const { id, userCode = '', found } = await store(acme, 'DeviceCode');
    const byUserCode = await request(acme, 'DeviceCode', (adapter) => adapter.findByUserCode(userCode));
    expect(byUserCode).toEqual({ ...found, userCode, jti: referenceTo(id) });

    const approved = { ...byUserCode, scope: 'approved' };
    await request(acme, 'DeviceCode', (adapter) => adapter.upsert(referenceTo(id), approved, lifetimeSeconds));
    // The device, which knows the value, sees it.
    expect(await find(acme, 'DeviceCode', id)).toEqual({ ...found, scope: 'approved' });
    await request(acme, 'DeviceCode', (adapter) => adapter.consume(referenceTo(id)));
    expect(await find(acme, 'DeviceCode', id)).toMatchObject({ consumed: expect.any(Number) });
    await expect(request(acme, 'DeviceCode', (adapter) => adapter.consume(id))).rejects.toBeInstanceOf(LostRace);
  });
});

describe('a session that goes on under a new identifier', () => {
  it('may be saved twice in one request', async () => {
    const old = await store(acme, 'Session');
    const next = newId('Session');
    await request(acme, 'Session', async (adapter) => {
      await adapter.find(old.id);
      for (const acr of ['first', 'second']) {
        await adapter.destroy(old.id);
        await adapter.upsert(next, { ...old.saved, jti: next, acr }, lifetimeSeconds);
      }
    });
    expect(await find(acme, 'Session', old.id)).toBeUndefined();
    expect(await find(acme, 'Session', next)).toMatchObject({ acr: 'second' });
  });

  it('does not go on once somebody else has ended it, nor is it saved again', async () => {
    const { id, saved } = await store(acme, 'Session');
    const next = newId('Session');
    const endedMeanwhile = (work: (adapter: Adapter) => Promise<unknown>): Promise<unknown> =>
      request(acme, 'Session', async (adapter) => {
        await adapter.find(id);
        await superuser.query('delete from artifacts where id_hash = $1', [Buffer.from(hashOf(id), 'hex')]);
        await work(adapter);
      });
    await expect(
      endedMeanwhile(async (adapter) => {
        await adapter.destroy(id);
        await adapter.upsert(next, { ...saved, jti: next }, lifetimeSeconds);
      }),
    ).rejects.toBeInstanceOf(LostRace);
    expect(await find(acme, 'Session', next)).toBeUndefined();

    const again = await store(acme, 'Session');
    await expect(
      request(acme, 'Session', async (adapter) => {
        await adapter.find(again.id);
        await superuser.query('delete from artifacts where id_hash = $1', [Buffer.from(hashOf(again.id), 'hex')]);
        await adapter.upsert(again.id, again.saved, lifetimeSeconds);
      }),
    ).rejects.toBeInstanceOf(LostRace);
    expect(await find(acme, 'Session', again.id)).toBeUndefined();
  });
});

describe('an interaction that is over', () => {
  it('leaves for a day which client it was for, and nothing else', async () => {
    const clientId = 'an-application';
    await superuser.query(
      `insert into tenants (id, slug, name, created_at, updated_at) values ($1, 'acme', 'Acme', now(), now())`,
      [acme],
    );
    await superuser.query(
      `insert into clients (tenant_id, client_id, name, type, token_endpoint_auth_method, created_at, updated_at)
       values ($1, $2, 'Application', 'web', 'none', now(), now())`,
      [acme, clientId],
    );
    const { id } = await store(acme, 'Interaction', { params: { client_id: clientId }, clientId });
    await request(acme, 'Interaction', (adapter) => adapter.destroy(id));
    expect(await find(acme, 'Interaction', id)).toBeUndefined();

    const idHash = Buffer.from(hashOf(id), 'hex');
    expect(await findInteractionTombstone(database.tenant(acme), idHash)).toBe(clientId);
    expect(await findInteractionTombstone(database.tenant(globex), idHash)).toBeUndefined();
    const { rows } = await superuser.query(
      `select payload::text, account_id, session_uid, grant_hash, expires_at from artifacts where id_hash = $1`,
      [idHash],
    );
    const aDayLater = new Date(startedAt.getTime() + 24 * 60 * 60 * 1000);
    const nothing = { payload: '{}', account_id: null, session_uid: null, grant_hash: null };
    expect(rows).toEqual([{ ...nothing, expires_at: aDayLater }]);
  });
});
