/**
 * Row C30: JWT algorithm and key confusion (Keycloak CVE-2026-11800, CVE-2024-7318), for access tokens: the key decides the
 * algorithm, `typ` says what kind of token it is, and a token that is not ours, or not quite, is inactive like any other text.
 */
import { createHmac, generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import * as jose from 'jose';
import { createTestEngines } from '#test/support/engines.ts';
import {
  encodePart,
  importKey,
  openTenantKey,
  signText,
  signWith,
  type TenantKey,
} from '#test/support/signed_tokens.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorize, callEndpoint, createUserAgent, exchangeCode, introspect } from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

describe('C30: a text that looks like a JWT access token', () => {
  let server: TestServer;
  let acme: TestTenant;
  let globex: TestTenant;
  let es256: TenantKey;
  let rs256: TenantKey;
  /** A real token, and what it says. */
  let genuine: string;
  let claims: jose.JWTPayload;

  beforeAll(async () => {
    server = await startTestServer();
    acme = await createTestTenant(server, 'acme');
    globex = await createTestTenant(server, 'globex');
    es256 = await openTenantKey(server, { tenant: acme, alg: 'ES256' });
    rs256 = await openTenantKey(server, { tenant: acme, alg: 'RS256' });
    const extra = { scope: 'openid readings:read', resource: acme.jwtApi };
    const { web } = acme.clients;
    const authorized = await authorize(createUserAgent(server.origin), { tenant: acme, client: web, extra });
    genuine = String((await exchangeCode(acme, web, authorized)).json['access_token']);
    claims = jose.decodeJwt(genuine);
  });

  afterAll(async () => {
    // Whatever was sent, the token is as good as it was, and nobody had to look into the log.
    expect((await introspect(acme, acme.clients.resource_server, genuine)).json['active']).toBe(true);
    expect(server.log).toEqual([]);
    await server.close();
  });

  /** What introspection and revocation say of a text: always the same. */
  const expectNothing = async (token: string): Promise<void> => {
    const asked = await introspect(acme, acme.clients.resource_server, token);
    expect({ status: asked.status, json: asked.json }).toEqual({ status: 200, json: { active: false } });
    const revoked = await callEndpoint(acme.issuer, '/revoke', { client: acme.clients.web, form: { token } });
    expect({ status: revoked.status, json: revoked.json }).toEqual({ status: 200, json: {} });
  };

  it('is good when it is what the tenant would have signed, with either key of it', async () => {
    for (const key of [es256, rs256]) {
      const token = await signWith(key, { ...claims });
      expect((await introspect(acme, acme.clients.resource_server, token)).json['active']).toBe(true);
    }
  });

  describe('is nothing when its header', () => {
    const header = (changed: Readonly<Record<string, unknown>>): string =>
      [encodePart({ ...jose.decodeProtectedHeader(genuine), ...changed }), ...genuine.split('.').slice(1)].join('.');

    it.each([
      ['names no algorithm', { alg: undefined }],
      ['says "none"', { alg: 'none' }],
      ['says "None"', { alg: 'None' }],
      ['names another algorithm', { alg: 'RS256' }],
      ['names an algorithm that is no text', { alg: ['ES256'] }],
      ['names no key', { kid: undefined }],
      ['names a key that is not there', { kid: 'not-there' }],
      ['names a key that is no text', { kid: { toString: 'x' } }],
      ['names a property of every object', { kid: '__proto__' }],
    ])('%s', async (_name, changed) => {
      await expectNothing(header(changed));
    });

    it('says that there is no signature, and there is none', async () => {
      for (const alg of ['none', 'NONE', 'nOnE', '', null]) {
        const unsigned = [encodePart({ ...jose.decodeProtectedHeader(genuine), alg }), encodePart(claims)].join('.');
        for (const end of ['', '.', '.AA', '..', '...']) await expectNothing(unsigned + end);
      }
    });

    it.each(['HS256', 'HS384', 'HS512'])('makes a public key the secret of %s', async (alg) => {
      for (const key of [es256, rs256]) {
        const spki = await jose.exportSPKI(await importKey(key.publicJwk, key.alg));
        for (const secret of [spki, spki.trim(), JSON.stringify(key.publicJwk), key.kid, '']) {
          const signed = `${encodePart({ alg, typ: 'at+jwt', kid: key.kid })}.${encodePart(claims)}`;
          const signature = createHmac(alg.replace('HS', 'sha'), secret).update(signed).digest('base64url');
          await expectNothing(`${signed}.${signature}`);
        }
      }
    });

    it('brings a key of its own', async () => {
      const mine = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const jwk = { ...mine.publicKey.export({ format: 'jwk' }), kid: es256.kid, alg: 'ES256' };
      const privateKey = await importKey(mine.privateKey.export({ format: 'jwk' }) as jose.JWK, 'ES256');
      for (const brought of [
        { jwk },
        { jku: 'http://127.0.0.1:9/jwks' },
        { x5u: 'http://127.0.0.1:9/x' },
        { kid: '../keys' },
      ]) {
        await expectNothing(await signWith({ ...es256, privateKey }, { ...claims }, brought));
      }
    });

    it('pairs one of our keys with the algorithm of another', async () => {
      await expectNothing(await signWith({ ...rs256, kid: es256.kid }, { ...claims }));
      await expectNothing(await signWith({ ...es256, kid: rs256.kid }, { ...claims }));
      const privateKey = await importKey(rs256.privateJwk, 'PS256');
      await expectNothing(await signWith({ ...rs256, alg: 'PS256', privateKey }, { ...claims }));
    });

    it('says that it is another kind of token, although the tenant has signed it', async () => {
      for (const typ of [
        undefined,
        'JWT',
        'at+JWT ',
        'logout+jwt',
        'secevent+jwt',
        'dpop+jwt',
        'token-introspection+jwt',
        ['at+jwt'],
      ])
        await expectNothing(await signWith(es256, { ...claims }, { typ }));
    });

    it('asks for what we do not understand', async () => {
      await expectNothing(await signWith(es256, { ...claims }, { crit: ['exp'], exp: 1 }));
      await expectNothing(await signWith(es256, { ...claims }, { crit: ['b64'], b64: true }));
    });
  });

  it('is nothing when its key was written beside one of ours by who can write to the database', async () => {
    const tenant = await createTestTenant(server, 'overwritten');
    const key = await openTenantKey(server, { tenant, alg: 'ES256' });
    const form = { grant_type: 'client_credentials', resource: tenant.jwtApi, scope: 'readings:read' };
    const { json } = await callEndpoint(tenant.issuer, '/token', { client: tenant.clients.machine, form });
    const claimed = jose.decodeJwt(String(json['access_token']));
    const mine = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const publicJwk = { ...mine.publicKey.export({ format: 'jwk' }), kid: key.kid, alg: 'ES256', use: 'sig' };
    const overwrite = 'update signing_keys set public_jwk = $3 where tenant_id = $1 and kid = $2';
    await queryAsSuperuser(server.database, overwrite, [tenant.id, key.kid, JSON.stringify(publicJwk)]);
    const privateKey = await importKey(mine.privateKey.export({ format: 'jwk' }) as jose.JWK, 'ES256');
    const forged = await signWith({ ...key, privateKey }, { ...claimed, jti: 'forged' });
    const states = async () => {
      const tokens = [String(json['access_token']), await signWith(key, { ...claimed, jti: 'genuine' }), forged];
      const answers = await Promise.all(tokens.map((token) => introspect(tenant, tenant.clients.machine, token)));
      return answers.map((answer) => answer.json['active']);
    };
    // An engine that was built after the change.
    const engines = createTestEngines(server);
    expect(await (await engines.engineOf(tenant.slug)).readStructuredToken(forged)).toBeUndefined();
    await engines.close();
    expect(await states()).toEqual([true, true, false]);
  });

  it('is nothing with one character changed', async () => {
    const positions = [3, 40, genuine.indexOf('.') + 5, genuine.lastIndexOf('.') - 3, genuine.lastIndexOf('.') + 2];
    for (const at of positions)
      await expectNothing(`${genuine.slice(0, at)}${genuine[at] === 'A' ? 'B' : 'A'}${genuine.slice(at + 1)}`);
    for (const end of ['.', '=', ' ', '\n', '.e30', '~', '%00']) await expectNothing(genuine + end);
    for (const start of [' ', '.', 'Bearer ', 'at_']) await expectNothing(start + genuine);
  });

  it('is nothing with the DER form of the signature', async () => {
    const raw = Buffer.from(genuine.split('.')[2] ?? '', 'base64url');
    const integer = (bytes: Buffer): Buffer => {
      const positive = (bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.from([0]), bytes]) : bytes;
      return Buffer.concat([Buffer.from([2, positive.length]), positive]);
    };
    const both = Buffer.concat([integer(raw.subarray(0, 32)), integer(raw.subarray(32))]);
    const der = Buffer.concat([Buffer.from([0x30, both.length]), both]).toString('base64url');
    await expectNothing([...genuine.split('.').slice(0, 2), der].join('.'));
  });

  describe('is nothing when the tenant’s own key has signed', () => {
    it.each<[string, Readonly<Record<string, unknown>>]>([
      ['another issuer', { iss: 'https://elsewhere.test' }],
      ['no issuer', { iss: undefined }],
      ['a list of issuers', { iss: ['x'] }],
      ['an expiry that has passed', { exp: 1 }],
      ['no expiry', { exp: undefined }],
      ['an expiry that is a text', { exp: '99999999999' }],
      ['a beginning that is to come', { nbf: 99_999_999_999 }],
      ['no time of issue', { iat: undefined }],
      ['no audience', { aud: undefined }],
      ['a list of audiences', { aud: ['x', 'y'] }],
      ['an API that is not there', { aud: 'https://api.acme.test/nothing' }],
      ['no client', { client_id: undefined }],
      ['a client that is not there', { client_id: 'nobody' }],
      ['a client that is an object', { client_id: { $ne: '' } }],
      ['no identifier', { jti: undefined }],
      ['an identifier that is a number', { jti: 7 }],
      ['no subject', { sub: undefined }],
      ['another subject than the grant’s', { sub: '00000000-0000-7000-8000-000000000000' }],
      ['a grant that is not there', { gid: 'nothing' }],
      ['a grant that is a list', { gid: ['x'] }],
      ['no grant for a person', { gid: undefined }],
      ['a scope that is a list', { scope: ['readings:read'] }],
      ['a key binding that is a text', { cnf: 'x' }],
    ])('%s', async (_name, changed) => {
      await expectNothing(await signWith(es256, { ...claims, ...changed }));
    });

    it('what is no claims at all', async () => {
      for (const text of [
        '',
        'null',
        '[]',
        '"text"',
        '7',
        '{',
        '{"a":',
        '\u0000',
        `${'['.repeat(2_000)}${']'.repeat(2_000)}`,
      ])
        await expectNothing(await signText(es256, text));
    });

    it('the same claim twice: the last one counts, for everybody', async () => {
      const text = JSON.stringify(claims).replace('{', '{"iss":"https://elsewhere.test",');
      expect((await introspect(acme, acme.clients.resource_server, await signText(es256, text))).json['active']).toBe(
        true,
      );
      const last = JSON.stringify(claims).replace(/}$/, ',"iss":"https://elsewhere.test"}');
      await expectNothing(await signText(es256, last));
    });

    it('for another tenant', async () => {
      const theirs = await openTenantKey(server, { tenant: globex, alg: 'ES256' });
      await expectNothing(await signWith(theirs, { ...claims }));
      await expectNothing(await signWith({ ...theirs, kid: es256.kid }, { ...claims }));
      const asked = await introspect(globex, globex.clients.resource_server, genuine);
      expect(asked).toMatchObject({ status: 200, json: { active: false } });
    });
  });

  it('is nothing however it was made up, and nothing breaks', async () => {
    const part = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 60 }),
      fc.base64String({ maxLength: 80 }),
      fc.json().map(encodePart),
      fc
        .record({
          alg: fc.constantFrom('ES256', 'RS256', 'none', 'HS256', 7, null),
          kid: fc.constantFrom(es256.kid, rs256.kid, 'x', []),
          typ: fc.constantFrom('at+jwt', 'JWT', 1),
        })
        .map(encodePart),
      fc.constantFrom(
        ...genuine.split('.'),
        '',
        '\u0000',
        '\ud800',
        encodePart('x'.repeat(8_192)),
        encodePart('['.repeat(6_000)),
      ),
    );
    // A connection for each: on a busy machine a kept one may be closed by age in the moment it is used again.
    const ask = (token: string) =>
      callEndpoint(acme.issuer, '/introspect', {
        client: acme.clients.resource_server,
        form: { token },
        headers: { connection: 'close' },
      });
    const text = fc.array(part, { minLength: 1, maxLength: 6 }).map((parts) => parts.join('.'));
    await fc.assert(
      fc.asyncProperty(text, async (token) => {
        fc.pre(token !== genuine && token !== '');
        const asked = await ask(token);
        // NUL can be in no parameter of any request: the engine says so before it looks at what it is.
        if (token.includes('\u0000')) expect(asked).toMatchObject({ status: 400, json: { error: 'invalid_request' } });
        else expect({ status: asked.status, json: asked.json }).toEqual({ status: 200, json: { active: false } });
      }),
      { numRuns: 200 },
    );
  }, 60_000);

  it.each([10_000, 20_000, 40_000])('is nothing at %i characters', async (length) => {
    for (const token of ['a.'.repeat(length / 2), `${'a'.repeat(length)}.b.c`, `${genuine}${'A'.repeat(length)}`])
      await expectNothing(token);
  });
});
