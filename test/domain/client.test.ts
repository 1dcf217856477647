import { generateKeyPairSync } from 'node:crypto';
import {
  CLIENT_TYPES,
  type ClientRequest,
  isClientType,
  parseClientId,
  planClient,
  presetFor,
} from '#src/domain/client.ts';
import { egressPermissions } from '#src/domain/egress.ts';

const REDIRECT_URI = 'https://app.example/cb';

/** The smallest request that a type accepts. */
function request(type: string, more: Partial<ClientRequest> = {}): ClientRequest {
  const needsRedirectUri = isClientType(type) && presetFor(type).needsRedirectUri;
  return { name: 'App', type, ...(needsRedirectUri ? { redirectUris: [REDIRECT_URI] } : {}), ...more };
}

function planned(wanted: ClientRequest) {
  const plan = planClient(wanted);
  if (plan.outcome !== 'planned') throw new Error(JSON.stringify(plan.problems));
  return plan.client;
}

function problems(wanted: ClientRequest) {
  const plan = planClient(wanted);
  return plan.outcome === 'refused' ? plan.problems.map(({ field, problem }) => `${field}: ${problem}`) : [];
}

const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const ed = generateKeyPairSync('ed25519');
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const EC = ec.publicKey.export({ format: 'jwk' });
const ED = ed.publicKey.export({ format: 'jwk' });
const RSA = rsa.publicKey.export({ format: 'jwk' });

describe('a preset', () => {
  it.each(CLIENT_TYPES)('of %s keeps what holds for all', (type) => {
    const preset = presetFor(type);
    expect(preset.requirePkce).toBe(true);
    expect(preset.confidential).toBe(preset.tokenEndpointAuthMethod !== 'none');
    expect(preset.needsRedirectUri).toBe(preset.grantTypes.includes('authorization_code'));
    expect(preset.responseTypes.length > 0).toBe(preset.needsRedirectUri);
    expect(preset.grantTypes.includes('refresh_token')).toBe(preset.defaultScopes.includes('offline_access'));
    expect(preset.defaultScopes.length > 0).toBe(preset.defaultScopes.includes('openid'));
  });

  it.each([
    ['web', true, 'client_secret_basic', 'web', ['authorization_code', 'refresh_token']],
    ['spa', false, 'none', 'web', ['authorization_code', 'refresh_token']],
    ['native', false, 'none', 'native', ['authorization_code', 'refresh_token']],
    ['device', false, 'none', 'web', ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token']],
    ['machine', true, 'client_secret_basic', 'web', ['client_credentials']],
    ['resource_server', true, 'client_secret_basic', 'web', []],
  ] as const)('of %s is what the documentation says', (type, confidential, method, applicationType, grantTypes) => {
    expect(presetFor(type)).toMatchObject({
      confidential,
      tokenEndpointAuthMethod: method,
      applicationType,
      grantTypes,
    });
  });

  it('of no type has implicit, hybrid or password grants', () => {
    for (const type of CLIENT_TYPES) {
      expect(presetFor(type).grantTypes).not.toEqual(expect.arrayContaining(['implicit']));
      expect(presetFor(type).grantTypes).not.toEqual(expect.arrayContaining(['password']));
      expect(presetFor(type).responseTypes.every((responseType) => responseType === 'code')).toBe(true);
    }
  });
});

describe('a requested client', () => {
  it.each(CLIENT_TYPES)('of type %s is planned from the least that is needed', (type) => {
    const preset = presetFor(type);
    expect(planned(request(type))).toEqual({
      name: 'App',
      type,
      settings: {},
      firstParty: false,
      redirectUris: preset.needsRedirectUri ? [REDIRECT_URI] : [],
      postLogoutRedirectUris: [],
      backchannelLogoutUri: undefined,
      scopes: preset.defaultScopes,
      audiences: [],
      tokenEndpointAuthMethod: preset.tokenEndpointAuthMethod,
      jwks: undefined,
      needsSecret: preset.confidential,
    });
  });

  it('may be called at a private host, by plain http too, where the operator allows it', () => {
    const permissions = egressPermissions(['10.0.0.0/8', 'localhost', 'app.internal']);
    for (const uri of [
      'http://10.0.0.1/x',
      'http://localhost:3100/x',
      'http://app.internal/x',
      'https://[fd00::1]/x',
    ]) {
      const plan = planClient(request('web', { backchannelLogoutUri: uri }), { permissions });
      expect([uri, plan.outcome]).toEqual([uri, uri.includes('fd00') ? 'refused' : 'planned']);
    }
  });

  it('keeps everything it may have', () => {
    const client = planned(
      request('web', {
        name: '  Kassa № 1 ☕ ',
        redirectUris: [REDIRECT_URI, REDIRECT_URI, 'http://localhost:3000/cb'],
        postLogoutRedirectUris: ['https://app.example/bye'],
        backchannelLogoutUri: 'https://app.example/backchannel',
        scopes: ['invoices:read', 'openid'],
        firstParty: true,
      }),
    );
    expect(client).toMatchObject({
      name: 'Kassa № 1 ☕',
      redirectUris: [REDIRECT_URI, 'http://localhost:3000/cb'],
      postLogoutRedirectUris: ['https://app.example/bye'],
      backchannelLogoutUri: 'https://app.example/backchannel',
      scopes: ['openid', 'profile', 'email', 'offline_access', 'invoices:read'],
      firstParty: true,
    });
  });

  it.each([
    [request('webb'), ['type: unknown']],
    [request('toString'), ['type: unknown']],
    [request('web', { name: '' }), ['name: not_a_name']],
    [request('web', { name: ' \t ' }), ['name: not_a_name']],
    [request('web', { name: 'x'.repeat(101) }), ['name: not_a_name']],
    [request('web', { name: 'a\nb' }), ['name: not_a_name']],
    [request('web', { name: 'a\0b' }), ['name: not_a_name']],
    [request('web', { name: 'Bank\u202egnp' }), ['name: not_a_name']],
    [request('web', { name: '\u200b' }), ['name: not_a_name']],
    [request('web', { redirectUris: [] }), ['redirect_uris: missing']],
    [request('web', { redirectUris: ['http://app.example/cb'] }), ['redirect_uris: insecure_http']],
    [request('web', { redirectUris: ['com.example.app:/cb'] }), ['redirect_uris: scheme_only_for_native']],
    [request('native', { redirectUris: ['myapp:/cb'] }), ['redirect_uris: scheme_not_reverse_domain']],
    [
      request('web', { redirectUris: Array.from({ length: 51 }, (_, n) => `https://a.example/${n}`) }),
      ['redirect_uris: too_many'],
    ],
    [request('machine', { redirectUris: [REDIRECT_URI] }), ['redirect_uris: not_for_this_type']],
    [request('device', { redirectUris: [REDIRECT_URI] }), ['redirect_uris: not_for_this_type']],
    [
      request('web', { postLogoutRedirectUris: ['javascript:alert(1)'] }),
      ['post_logout_redirect_uris: dangerous_scheme'],
    ],
    [request('device', { postLogoutRedirectUris: [REDIRECT_URI] }), ['post_logout_redirect_uris: not_for_this_type']],
    [request('web', { backchannelLogoutUri: 'http://app.example/x' }), ['backchannel_logout_uri: insecure_http']],
    [request('web', { backchannelLogoutUri: 'https://10.0.0.1/x' }), ['backchannel_logout_uri: special_address']],
    [request('web', { backchannelLogoutUri: 'https://[fd00::1]/x' }), ['backchannel_logout_uri: special_address']],
    [request('web', { backchannelLogoutUri: 'http://localhost:3100/x' }), ['backchannel_logout_uri: special_address']],
    [request('machine', { backchannelLogoutUri: REDIRECT_URI }), ['backchannel_logout_uri: not_for_this_type']],
    [request('web', { scopes: ['two words'] }), ['scopes: syntax']],
    [request('web', { scopes: [''] }), ['scopes: syntax']],
    [request('web', { scopes: ['quo"te'] }), ['scopes: syntax']],
    [request('web', { scopes: ['back\\slash'] }), ['scopes: syntax']],
    [request('web', { scopes: ['é'] }), ['scopes: syntax']],
    [request('web', { scopes: ['x'.repeat(101)] }), ['scopes: syntax']],
    [request('machine', { scopes: Array.from({ length: 51 }, (_, n) => `s${n}`) }), ['scopes: too_many']],
    [request('machine', { scopes: ['openid'] }), ['scopes: needs_a_person']],
    [request('resource_server', { scopes: ['offline_access'] }), ['scopes: needs_a_person']],
    [request('web', { audiences: ['https://api.example'] }), ['audiences: not_for_this_type']],
    [request('resource_server', { audiences: ['not a uri'] }), ['audiences: not_an_absolute_uri']],
    [request('spa', { jwks: { keys: [EC] } }), ['jwks: not_for_this_type']],
  ])('%#: is refused with the field that is wrong', (wanted, expected) => {
    expect(problems(wanted)).toEqual(expected);
  });

  it('hears of all its problems at once, and which address it was', () => {
    const plan = planClient(request('web', { name: '', redirectUris: [REDIRECT_URI, 'x', 'y'], scopes: ['a b'] }));
    expect(plan).toEqual({
      outcome: 'refused',
      problems: [
        { field: 'name', problem: 'not_a_name' },
        { field: 'redirect_uris', problem: 'not_absolute', value: 'x' },
        { field: 'redirect_uris', problem: 'not_absolute', value: 'y' },
        { field: 'scopes', problem: 'syntax', value: 'a b' },
      ],
    });
  });
});

describe('a client with keys', () => {
  it.each([
    ['P-256', EC],
    ['Ed25519', ED],
    ['RSA of 2048 bits', RSA],
  ])('(%s) proves itself with them and gets no secret', (_name, key) => {
    const client = planned(request('machine', { jwks: { keys: [{ ...key, kid: 'k1', use: 'sig' }] } }));
    expect(client).toMatchObject({ tokenEndpointAuthMethod: 'private_key_jwt', needsSecret: false });
    expect(client.jwks).toEqual({ keys: [{ ...key, kid: 'k1', use: 'sig' }] });
  });

  it('keeps only keys it can sign with, and only the members we know', () => {
    const jwks = {
      keys: [
        { ...EC, kid: 'sign', x5u: 'https://evil.example/', x5c: ['…'], __proto__: null },
        { ...RSA, kid: 'encrypt', use: 'enc' },
        { ...RSA, kid: 'oaep', alg: 'RSA-OAEP' },
        { kty: 'EC', crv: 'secp256k1', x: EC.x, y: EC.y },
        { kty: 'unknown' },
      ],
    };
    expect(planned(request('machine', { jwks })).jwks).toEqual({ keys: [{ ...EC, kid: 'sign' }] });
  });

  it.each([
    ['a private EC key', { keys: [ec.privateKey.export({ format: 'jwk' })] }, 'private_key'],
    ['a private RSA key', { keys: [EC, rsa.privateKey.export({ format: 'jwk' })] }, 'private_key'],
    ['a private Ed25519 key', { keys: [ed.privateKey.export({ format: 'jwk' })] }, 'private_key'],
    ['a symmetric key', { keys: [EC, { kty: 'oct', k: 'c2VjcmV0' }] }, 'symmetric_key'],
    ['no keys', { keys: [] }, 'no_usable_key'],
    ['a lone key', EC, 'not_a_key_set'],
    ['a text', 'keys', 'not_a_key_set'],
    ['null', null, 'not_a_key_set'],
    ['a list', [EC], 'not_a_key_set'],
    ['a list of texts', { keys: ['x'] }, 'not_a_key_set'],
    ['eleven keys', { keys: Array(11).fill(EC) }, 'too_many_keys'],
    [
      'two keys of one name',
      {
        keys: [
          { ...EC, kid: 'k' },
          { ...ED, kid: 'k' },
        ],
      },
      'repeated_kid',
    ],
    ['an encryption key', { keys: [{ ...EC, use: 'enc' }] }, 'no_usable_key'],
    ['a key for another algorithm', { keys: [{ ...EC, alg: 'HS256' }] }, 'no_usable_key'],
    ['RSA of 1024 bits', { keys: [{ ...RSA, n: Buffer.alloc(128, 255).toString('base64url') }] }, 'no_usable_key'],
    ['RSA of 16384 bits', { keys: [{ ...RSA, n: Buffer.alloc(2048, 255).toString('base64url') }] }, 'no_usable_key'],
    ['the exponent 1', { keys: [{ ...RSA, e: 'AQ' }] }, 'no_usable_key'],
    ['an even exponent', { keys: [{ ...RSA, e: 'Ag' }] }, 'no_usable_key'],
    ['a short coordinate', { keys: [{ ...EC, x: 'AAAA' }] }, 'no_usable_key'],
    ['a coordinate in base64', { keys: [{ ...EC, x: `${'+'.repeat(43)}` }] }, 'no_usable_key'],
    ['a kid that is a number', { keys: [{ ...EC, kid: 1 }] }, 'no_usable_key'],
    ['a kid with a line feed', { keys: [{ ...EC, kid: 'a\nb' }] }, 'no_usable_key'],
  ])('is refused with %s', (_what, jwks, problem) => {
    expect(problems(request('machine', { jwks }))).toEqual([`jwks: ${problem}`]);
  });
});

describe('a client identifier', () => {
  it('is a short word of URL-safe characters', () => {
    for (const good of ['a', 'web_1-X', 'x'.repeat(64)]) expect(parseClientId(good)).toBe(good);
    for (const bad of ['', 'x'.repeat(65), 'a b', 'a\n', 'a/b', 'é', undefined, 7, ['a']]) {
      expect(parseClientId(bad)).toBeUndefined();
    }
  });
});
