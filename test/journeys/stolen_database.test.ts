import { createHash } from 'node:crypto';
import * as jose from 'jose';
import * as client from 'openid-client';
import { createClient, rotateClientSecret, updateClient } from '#src/flows/clients/manage_clients.ts';
import { configureTenant } from '#src/flows/tenants/manage_tenants.ts';
import { signingKeyContext } from '#src/foundation/sealing_contexts.ts';
import { createTestSealer, testMasterKey } from '#test/support/cluster.ts';
import { discoverAs, signInWith } from '#test/support/relying_party.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorizationRequest, callEndpoint, createUserAgent, introspect } from '#test/support/user_agent.ts';
import { tapWire, type WireTap } from '#test/support/wire_tap.ts';
import { createTestTenant, postLogoutUri, type TestTenant } from '#test/support/world.ts';

describe('a stolen copy of the database', () => {
  let server: TestServer;
  let acme: TestTenant;
  let tap: WireTap;
  let dump: string;
  /** Secrets by value, with what they are. */
  const secrets = new Map<string, string>();

  beforeAll(async () => {
    server = await startTestServer({ logLevel: 'trace' });
    acme = await createTestTenant(server, 'acme');
    tap = tapWire();
    try {
      await liveThroughEverything();
    } finally {
      tap.stop();
    }
    for (const [value, name] of tap.secrets) secrets.set(value, name);
    for (const { clientSecret } of Object.values(acme.clients))
      if (clientSecret !== '') secrets.set(clientSecret, 'client_secret');
    secrets.set(acme.person.password, 'password');
    dump = await dumpEverything();
  });

  afterAll(() => server.close());

  /** Every way in that this version has; what can be left half-way is left half-way. */
  async function liveThroughEverything(): Promise<void> {
    const { person, clients } = acme;
    const agent = createUserAgent(server.origin);
    const web = await discoverAs(acme, clients.web);
    const post = await discoverAs(acme, clients.third, client.ClientSecretPost(clients.third.clientSecret));

    // A wrong guess, a sign-in that stops at the password, and one that stops at consent.
    const page = await agent.follow(authorizationRequest(acme, clients.web).url);
    await agent.submit(page, { email: person.email, password: 'a wrong guess, but a telling one' });
    await createUserAgent(server.origin).follow(authorizationRequest(acme, clients.web).url);
    const undecided = createUserAgent(server.origin);
    const form = await undecided.follow(authorizationRequest(acme, clients.third).url);
    await undecided.submit(form, { email: person.email, password: person.password });

    const DPoP = client.getDPoPHandle(web, await client.randomDPoPKeyPair('ES256'));
    const plain = await signInWith(web, { agent, person });
    const bound = await signInWith(web, { agent, person, pushed: true, DPoP });
    const structured = await signInWith(post, {
      agent,
      person,
      pushed: true,
      parameters: { scope: 'openid readings:read', resource: acme.jwtApi },
    });
    await client.refreshTokenGrant(web, plain.tokens.refresh_token ?? '');
    await client.refreshTokenGrant(web, bound.tokens.refresh_token ?? '', {}, { DPoP });
    await client.refreshTokenGrant(post, structured.tokens.refresh_token ?? '');
    await client.fetchUserInfo(web, plain.tokens.access_token, person.id);
    await introspect(acme, clients.resource_server, plain.tokens.access_token);
    // A pushed request and a code that nobody comes back for.
    await callEndpoint(acme.issuer, '/par', {
      client: clients.web,
      form: Object.fromEntries(new URL(authorizationRequest(acme, clients.web).url).searchParams),
    });
    await agent.follow(authorizationRequest(acme, clients.web).url);

    const machine = await discoverAs(acme, clients.machine);
    await client.clientCredentialsGrant(machine, { resource: acme.jwtApi, scope: 'readings:read' });
    const opaque = await client.clientCredentialsGrant(machine, { resource: acme.opaqueApi });
    await client.tokenRevocation(machine, opaque.access_token);
    await client.clientCredentialsGrant(machine);

    const pair = await jose.generateKeyPair('ES256', { extractable: true });
    const jwk = { ...(await jose.exportJWK(pair.publicKey)), kid: 'k', alg: 'ES256', use: 'sig' };
    const keyed = await createClient(server.context, {
      tenantId: acme.id,
      client: { name: 'keyed', type: 'machine', jwks: { keys: [jwk] } },
    });
    if (keyed.outcome !== 'created') throw new Error('the keyed client was refused');
    const signing = await discoverAs(
      acme,
      { clientId: keyed.clientId, clientSecret: '' },
      client.PrivateKeyJwt({ key: pair.privateKey, kid: 'k' }),
    );
    await client.clientCredentialsGrant(signing);
    const rotated = await rotateClientSecret(server.context, { tenantId: acme.id, clientId: clients.web.clientId });
    if (rotated.outcome !== 'rotated') throw new Error(rotated.reason);
    secrets.set(rotated.clientSecret, 'client_secret');

    // Asked at another device: one answered and fetched, one that is still waiting.
    await configureTenant(server.context, { id: acme.id, changes: [{ name: 'protocol.ciba', value: true }] });
    await updateClient(server.context, {
      tenantId: acme.id,
      clientId: clients.third.clientId,
      changes: { settings: { backchannel_token_delivery_mode: 'poll' } },
    });
    const asking = { scope: 'openid', id_token_hint: structured.tokens.id_token ?? '' };
    const ask = () => callEndpoint(acme.issuer, '/bc-authorize', { client: clients.third, form: asking });
    let asked = await ask();
    // The server hears of the change a moment later.
    while (asked.status !== 200) asked = await ask();
    await agent.submit(await agent.follow(`${acme.issuer}/approvals`), { decision: 'allow' });
    const auth_req_id = String(asked.json['auth_req_id']);
    const fetching = { grant_type: 'urn:openid:params:grant-type:ciba', auth_req_id };
    const given = await callEndpoint(acme.issuer, '/token', { client: clients.third, form: fetching });
    expect(given.status).toBe(200);
    const waiting = await ask();
    for (const value of [auth_req_id, String(waiting.json['auth_req_id'])]) secrets.set(value, 'auth_req_id');

    // Signing out once in full, and once only as far as the question.
    const leaving = createUserAgent(server.origin);
    const last = await signInWith(web, { agent: leaving, person });
    const question = await leaving.follow(
      client.buildEndSessionUrl(web, {
        id_token_hint: last.tokens.id_token ?? '',
        post_logout_redirect_uri: postLogoutUri,
      }).href,
    );
    await leaving.submit(question, { logout: 'yes' });
    await agent.follow(`${acme.issuer}/logout`);
  }

  async function dumpEverything(): Promise<string> {
    const tables = await queryAsSuperuser<{ name: string }>(
      server.database,
      `select format('%I.%I', schemaname, tablename) as name from pg_tables
        where schemaname not in ('pg_catalog', 'information_schema') order by 1`,
    );
    const parts: string[] = [];
    for (const { name } of tables) {
      for (const row of await queryAsSuperuser<Record<string, unknown>>(server.database, `select * from ${name}`)) {
        for (const value of Object.values(row)) {
          if (Buffer.isBuffer(value)) parts.push(value.toString('hex'), value.toString('latin1'));
          else if (value !== null) parts.push(typeof value === 'string' ? value : JSON.stringify(value));
        }
      }
    }
    return parts.join('\n');
  }

  /** A value as it is, and as somebody might have stored it thinking that it is no longer the same. */
  const disguises = (value: string): readonly string[] => {
    const bytes = Buffer.from(value, 'utf8');
    return [
      value,
      JSON.stringify(value).slice(1, -1),
      encodeURIComponent(value),
      bytes.toString('hex'),
      bytes.toString('base64').replace(/=+$/, ''),
      bytes.toString('base64url'),
    ];
  };
  const foundIn = (text: string, values: Iterable<readonly [string, string]>): readonly string[] =>
    [...values].flatMap(([value, name]) =>
      disguises(value).some((form) => text.includes(form)) ? [`${name}: ${value}`] : [],
    );

  it('was taken after a journey that has seen every kind of secret', () => {
    const kinds = new Set(secrets.values());
    for (const kind of [
      'access_token',
      'auth_req_id',
      'authorization',
      'client_assertion',
      'client_secret',
      'code',
      'code_verifier',
      'cookie',
      'dpop',
      'id_token',
      'interaction',
      'password',
      'refresh_token',
      'request_uri',
    ])
      expect(kinds).toContain(kind);
    // The search would find them: their hashes are all over the place.
    const codes = [...secrets].filter(([, name]) => name === 'code').map(([value]) => value);
    expect(codes.some((code) => dump.includes(createHash('sha256').update(code).digest('hex')))).toBe(true);
    expect(dump).toContain(acme.person.email);
  });

  it('holds no secret that travelled, in no disguise', () => {
    expect(foundIn(dump, secrets)).toEqual([]);
  });

  it('holds no part of a token that would make it whole', () => {
    const signatures = [...secrets.keys()].flatMap((value) => {
      const parts = value.split('.');
      return parts.length === 3 ? [[parts[2] ?? '', 'signature'] as const] : [];
    });
    expect(signatures.length).toBeGreaterThan(4);
    expect(foundIn(dump, signatures)).toEqual([]);
    const requestIds = [...secrets].flatMap(([value, name]) =>
      name === 'request_uri' ? [[value.slice(value.lastIndexOf(':') + 1), name] as const] : [],
    );
    expect(foundIn(dump, requestIds)).toEqual([]);
  });

  it('holds private signing keys only sealed, and not what opens them', async () => {
    const keys = await queryAsSuperuser<{ kid: string; private_sealed: Buffer }>(
      server.database,
      'select kid, private_sealed from signing_keys where tenant_id = $1',
      [acme.id],
    );
    const { keys: published } = (await (await fetch(`${acme.issuer}/jwks`)).json()) as {
      keys: Record<string, string>[];
    };
    expect(published.map((key) => key['kid']).sort()).toEqual(keys.map(({ kid }) => kid).sort());
    for (const key of published) expect(Object.keys(key)).not.toContain('d');

    const sealer = createTestSealer();
    const privateMembers = keys.flatMap(({ kid, private_sealed }) => {
      const jwk = JSON.parse(sealer.open(private_sealed, signingKeyContext(acme.id, kid)).toString('utf8'));
      return ['d', 'p', 'q', 'dp', 'dq', 'qi'].flatMap((member) =>
        jwk[member] === undefined ? [] : [[String(jwk[member]), `${kid}.${member}`] as const],
      );
    });
    expect(privateMembers.length).toBeGreaterThanOrEqual(7);
    expect(foundIn(dump, privateMembers)).toEqual([]);
    const raw = Buffer.from(testMasterKey, 'base64').toString('latin1');
    expect(
      foundIn(dump, [
        [testMasterKey, 'master key'],
        [raw, 'master key'],
      ]),
    ).toEqual([]);
  });

  it('tells nothing together with the log, which holds no secret either', () => {
    const log = server.log.map((line) => JSON.stringify(line)).join('\n');
    expect(log).toContain('request_id');
    expect(foundIn(log, secrets)).toEqual([]);
    expect(log).not.toContain(acme.person.email);
  });
});
