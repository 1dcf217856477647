import { type ClientRequest, planClient } from '#src/domain/client.ts';
import {
  CLIENT_SETTING_NAMES,
  type ClientSettingName,
  neededAlgorithms,
  neededFeatures,
  parseClientSettings,
} from '#src/domain/client_settings.ts';
import { NOTHING_SWITCHED_ON, PROTOCOL_FEATURES, type ProtocolFeatures } from '#src/domain/protocol_features.ts';

const everythingOn = Object.fromEntries(PROTOCOL_FEATURES.map((feature) => [feature, true])) as ProtocolFeatures;
const key = {
  kty: 'EC',
  crv: 'P-256',
  x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
  y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0',
};

const good: Readonly<Record<ClientSettingName, readonly unknown[]>> = {
  refresh_grace_seconds: [0, 60],
  refresh_rotation: ['always', 'unless_sender_constrained'],
  allowed_origins: [['https://app.example'], ['http://localhost:5173', 'capacitor://localhost']],
  fapi_profile: ['2.0'],
  require_dpop_nonce: [true, false],
  token_exchange_audiences: [['https://api.example'], ['urn:acme:invoices', 'https://api.example/x']],
  backchannel_token_delivery_mode: ['poll'],
  authorization_details_types: [['payment'], ['payment', 'urn:acme:transfer']],
  jwks_uri: ['https://app.example/jwks.json', 'http://localhost:9/jwks'],
  token_endpoint_auth_signing_alg: ['ES256', 'RS256', 'PS256', 'EdDSA'],
  tls_client_auth_subject_dn: ['CN=client', 'CN=client one,O=Acme\\, Inc.,C=NL', 'CN=Dépt \\+ x,OU=a'],
  tls_client_auth_san_dns: ['client.example', 'a'],
  tls_client_auth_san_uri: ['spiffe://acme.test/client', 'urn:acme:client'],
  tls_client_auth_san_ip: ['192.0.2.7', '2001:db8::1'],
  tls_client_auth_san_email: ['ada@acme.test'],
  tls_client_certificate_bound_access_tokens: [true, false],
  dpop_bound_access_tokens: [true],
  require_pushed_authorization_requests: [true],
  require_signed_request_object: [true],
  request_object_signing_alg: ['ES256'],
  id_token_signed_response_alg: ['RS256', 'ES256', 'EdDSA'],
  userinfo_signed_response_alg: ['ES256'],
  authorization_signed_response_alg: ['ES256'],
  introspection_signed_response_alg: ['EdDSA'],
  default_max_age: [0, 3600],
  client_uri: ['https://app.example/'],
  logo_uri: ['https://app.example/logo.svg'],
  policy_uri: ['https://app.example/privacy?lang=nl'],
  tos_uri: ['https://app.example/terms'],
  initiate_login_uri: ['https://app.example/login'],
};

const bad: Readonly<Record<ClientSettingName, readonly unknown[]>> = {
  refresh_grace_seconds: [-1, 61, 1.5, '10', null],
  refresh_rotation: ['never', true, ''],
  allowed_origins: [
    [],
    'https://app.example',
    ['null'],
    ['*'],
    ['https://*.example'],
    ['https://app.example/'],
    ['https://app.example/path'],
    ['http://app.example'],
    ['https://user@app.example'],
    ['javascript://app.example'],
    ['https://APP.example'],
    ['https://app.example:443'],
    [1],
    Array.from({ length: 21 }, (_, index) => `https://a${index}.example`),
  ],
  fapi_profile: ['1.0 Final', '2', 2, true],
  require_dpop_nonce: ['true', 1],
  backchannel_token_delivery_mode: ['ping', 'push', '', true, ['poll']],
  token_exchange_audiences: [
    [],
    'urn:acme:invoices',
    ['api'],
    ['*'],
    [7],
    Array.from({ length: 21 }, () => 'urn:acme:x'),
  ],
  authorization_details_types: [[], 'payment', ['Pay'], ['a b'], [7]],
  jwks_uri: ['http://app.example/jwks', 'file:///etc/passwd', 'https://user:pw@app.example/', 7],
  token_endpoint_auth_signing_alg: ['HS256', 'none', 'ES384', ''],
  tls_client_auth_subject_dn: [
    '',
    'client',
    'CN=',
    'CN=a,',
    'CN=a;O=b',
    'CN=a\nO=b',
    'CN=#0401',
    `CN=${'a'.repeat(600)}`,
  ],
  tls_client_auth_san_dns: ['*.example', 'Client.example', 'a..b', ''],
  tls_client_auth_san_uri: ['not a uri', ''],
  tls_client_auth_san_ip: ['client.example', '1.2.3', ''],
  tls_client_auth_san_email: ['ada', 'ada@acme.test, eve@evil.test'],
  tls_client_certificate_bound_access_tokens: ['yes'],
  dpop_bound_access_tokens: [1],
  require_pushed_authorization_requests: ['on'],
  require_signed_request_object: [null],
  request_object_signing_alg: ['none', 'HS256'],
  id_token_signed_response_alg: ['none', 'HS256', 'PS256'],
  userinfo_signed_response_alg: ['none', 'HS256'],
  authorization_signed_response_alg: ['none', 'HS256'],
  introspection_signed_response_alg: ['none', 'HS256'],
  default_max_age: [-1, '60', 1e9],
  client_uri: ['javascript:alert(1)'],
  logo_uri: ['data:image/svg+xml,<svg/>', 'http://app.example/logo.svg'],
  policy_uri: ['https://app.example/#x'],
  tos_uri: ['//app.example/terms'],
  initiate_login_uri: ['http://localhost/login', 'com.example.app:/login'],
};

describe('a setting of a client', () => {
  it.each(CLIENT_SETTING_NAMES)('%s takes what it is for and nothing else', (name) => {
    for (const value of good[name]) {
      expect(parseClientSettings({ [name]: value })).toEqual({ outcome: 'valid', settings: { [name]: value } });
    }
    for (const value of bad[name]) {
      const parsed = parseClientSettings({ [name]: value });
      expect({ value, parsed }).toMatchObject({ parsed: { outcome: 'invalid', problems: [{ field: name }] } });
    }
  });

  it('that nobody knows is refused, whatever it is called', () => {
    for (const name of ['client_secret', 'grant_types', 'jwks', '__proto__', 'constructor', 'redirect_uris', '']) {
      const parsed = parseClientSettings(JSON.parse(`{${JSON.stringify(name)}: true}`));
      expect(parsed).toEqual({
        outcome: 'invalid',
        problems: [{ field: 'settings', problem: 'unknown', value: name }],
      });
    }
    for (const input of [null, [], 'x', 1, true]) expect(parseClientSettings(input).outcome).toBe('invalid');
  });
});

const web: ClientRequest = { name: 'App', type: 'web', redirectUris: ['https://app.example/cb'] };

function problemsOf(request: Partial<ClientRequest>, protocol = everythingOn): readonly string[] {
  const plan = planClient({ ...web, ...request }, { protocol });
  return plan.outcome === 'planned' ? [] : plan.problems.map(({ field, problem }) => `${field}: ${problem}`);
}

describe('settings together', () => {
  const jwks = { keys: [key] };
  const spa = { type: 'spa' } as const;
  const machine = { type: 'machine', redirectUris: [] } as const;
  const tls = { tokenEndpointAuthMethod: 'tls_client_auth' };
  const fapi = { fapi_profile: '2.0' };

  it.each([
    // authentication
    [{ tokenEndpointAuthMethod: 'none' }, ['token_endpoint_auth_method: not_for_this_type']],
    [{ ...spa, tokenEndpointAuthMethod: 'client_secret_post' }, ['token_endpoint_auth_method: not_for_this_type']],
    [{ tokenEndpointAuthMethod: 'client_secret_jwt' }, ['token_endpoint_auth_method: unknown']],
    [{ tokenEndpointAuthMethod: 'private_key_jwt' }, ['token_endpoint_auth_method: needs_keys']],
    [{ jwks, settings: { jwks_uri: 'https://app.example/jwks' } }, ['jwks_uri: beside_jwks']],
    [{ ...spa, settings: { jwks_uri: 'https://app.example/jwks' } }, ['jwks_uri: not_for_this_type']],
    [
      { settings: { token_endpoint_auth_signing_alg: 'ES256' } },
      ['token_endpoint_auth_signing_alg: needs_private_key_jwt'],
    ],
    // certificates
    [tls, ['tls_client_auth_subject_dn: exactly_one_subject']],
    [
      { ...tls, settings: { tls_client_auth_san_dns: 'a.example', tls_client_auth_subject_dn: 'CN=a' } },
      ['tls_client_auth_subject_dn: exactly_one_subject'],
    ],
    [{ settings: { tls_client_auth_san_dns: 'a.example' } }, ['tls_client_auth_san_dns: needs_tls_client_auth']],
    [
      { jwks, tokenEndpointAuthMethod: 'self_signed_tls_client_auth' },
      ['token_endpoint_auth_method: needs_certificates'],
    ],
    // tokens
    [
      { settings: { dpop_bound_access_tokens: true, tls_client_certificate_bound_access_tokens: true } },
      ['dpop_bound_access_tokens: one_binding_only'],
    ],
    [{ ...machine, settings: { refresh_grace_seconds: 5 } }, ['refresh_grace_seconds: not_for_this_type']],
    [{ settings: { refresh_rotation: 'unless_sender_constrained' } }, ['refresh_rotation: needs_bound_tokens']],
    [
      { settings: { refresh_rotation: 'unless_sender_constrained', dpop_bound_access_tokens: false } },
      ['refresh_rotation: needs_bound_tokens'],
    ],
    [{ settings: { require_dpop_nonce: true } }, ['require_dpop_nonce: needs_bound_tokens']],
    // requests
    [{ settings: { require_signed_request_object: true } }, ['require_signed_request_object: needs_keys']],
    [{ ...machine, settings: { default_max_age: 5 } }, ['default_max_age: not_for_this_type']],
    [{ settings: { allowed_origins: ['https://app.example'] } }, ['allowed_origins: not_for_this_type']],
    // FAPI 2.0
    [{ settings: fapi }, ['fapi_profile: needs_keys_or_certificates']],
    [{ ...spa, settings: fapi }, ['fapi_profile: not_for_this_type']],
    [
      { jwks, settings: { ...fapi, dpop_bound_access_tokens: false } },
      ['refresh_rotation: needs_bound_tokens', 'fapi_profile: needs_bound_tokens'],
    ],
    [
      { jwks, settings: { ...fapi, require_pushed_authorization_requests: false } },
      ['fapi_profile: needs_pushed_requests'],
    ],
    [{ jwks, settings: { ...fapi, refresh_rotation: 'always' } }, ['fapi_profile: must_not_rotate']],
    [
      { jwks, settings: { ...fapi, id_token_signed_response_alg: 'RS256' } },
      ['id_token_signed_response_alg: not_in_this_profile'],
    ],
    [{ jwks, redirectUris: ['http://localhost/cb'], settings: fapi }, ['fapi_profile: insecure_http']],
  ] as readonly (readonly [Partial<ClientRequest>, readonly string[]])[])(
    '%j is refused as %j',
    (request, expected) => {
      expect(problemsOf(request)).toEqual(expected);
    },
  );

  it('may leave the rotation off where tokens are bound', () => {
    expect(
      problemsOf({ settings: { refresh_rotation: 'unless_sender_constrained', dpop_bound_access_tokens: true } }),
    ).toEqual([]);
  });

  it('bring what the FAPI 2.0 profile asks for, unless the client says so itself', () => {
    const plan = planClient({ ...web, jwks, settings: fapi }, { protocol: everythingOn });
    expect(plan).toMatchObject({
      outcome: 'planned',
      client: {
        tokenEndpointAuthMethod: 'private_key_jwt',
        settings: {
          fapi_profile: '2.0',
          dpop_bound_access_tokens: true,
          require_pushed_authorization_requests: true,
          id_token_signed_response_alg: 'ES256',
          refresh_rotation: 'unless_sender_constrained',
        },
      },
    });
  });

  it('need what is switched on, and are refused where it is not', () => {
    const subject = { tls_client_auth_san_dns: 'a.example' };
    expect(problemsOf({ ...tls, settings: subject }, NOTHING_SWITCHED_ON)).toEqual(['settings: switched_off']);
    expect(problemsOf({ jwks, settings: fapi }, NOTHING_SWITCHED_ON)).toEqual(['settings: switched_off']);
    expect(neededFeatures({ require_signed_request_object: false }, 'none')).toEqual([]);
    expect(neededFeatures({ require_signed_request_object: true }, 'none')).toEqual(['jar']);
    expect(neededFeatures({}, 'self_signed_tls_client_auth')).toEqual(['mtls']);
    expect(neededAlgorithms({ id_token_signed_response_alg: 'EdDSA', userinfo_signed_response_alg: 'EdDSA' })).toEqual([
      'EdDSA',
    ]);
  });
});
