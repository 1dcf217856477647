import {
  type ClientMetadata,
  metadataOf,
  type OperatorsChoice,
  planRegistration,
  planUpdate,
  type RegisteredClient,
} from '#src/domain/client_registration.ts';

const everything = { types: ['web', 'spa', 'native', 'device', 'machine'], scopes: ['readings:read'] } as const;
const callback = 'https://app.test/callback';
const deviceCode = 'urn:ietf:params:oauth:grant-type:device_code';
const key = {
  kty: 'EC',
  crv: 'P-256',
  x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
  y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0',
  kid: 'one',
  alg: 'ES256',
};

describe('client metadata', () => {
  it.each<[string, ClientMetadata, string]>([
    ['nothing but an address', { redirect_uris: [callback] }, 'web'],
    [
      'both grants of a sign-in',
      { redirect_uris: [callback], grant_types: ['authorization_code', 'refresh_token'] },
      'web',
    ],
    ['no authentication', { redirect_uris: [callback], token_endpoint_auth_method: 'none' }, 'spa'],
    [
      'an application that is installed',
      { redirect_uris: ['app.test.me:/callback'], application_type: 'native', token_endpoint_auth_method: 'none' },
      'native',
    ],
    ['the device grant', { grant_types: [deviceCode], token_endpoint_auth_method: 'none' }, 'device'],
    ['client credentials', { grant_types: ['client_credentials'] }, 'machine'],
    [
      'client credentials with keys',
      { grant_types: ['client_credentials'], token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [key] } },
      'machine',
    ],
  ])('with %s are those of one type', (_name, metadata, type) => {
    expect(planRegistration(metadata, everything)).toMatchObject({
      outcome: 'planned',
      client: { type, firstParty: false },
    });
  });

  it.each<[string, ClientMetadata]>([
    ['a grant nobody serves', { redirect_uris: [callback], grant_types: ['password'] }],
    [
      'implicit answers',
      { redirect_uris: [callback], grant_types: ['authorization_code'], response_types: ['code', 'token'] },
    ],
    [
      'a sign-in together with client credentials',
      { redirect_uris: [callback], grant_types: ['authorization_code', 'client_credentials'] },
    ],
    [
      'a sign-in together with the device grant',
      {
        redirect_uris: [callback],
        grant_types: ['authorization_code', deviceCode],
        token_endpoint_auth_method: 'none',
      },
    ],
    [
      'an installed application with a secret',
      { redirect_uris: ['app.test.me:/callback'], application_type: 'native' },
    ],
    ['a device with a secret', { grant_types: [deviceCode] }],
    [
      'client credentials without authentication',
      { grant_types: ['client_credentials'], token_endpoint_auth_method: 'none' },
    ],
    ['a token exchange', { grant_types: ['urn:ietf:params:oauth:grant-type:token-exchange'] }],
    ['no grant at all', { grant_types: [], response_types: [] }],
    ['only refresh tokens', { grant_types: ['refresh_token'], response_types: [] }],
    ['no answer to a sign-in', { redirect_uris: [callback], response_types: [] }],
    ['another kind of application', { redirect_uris: [callback], application_type: 'service' }],
    ['a method nobody serves', { redirect_uris: [callback], token_endpoint_auth_method: 'client_secret_jwt' }],
    [
      'keys that are not used',
      { redirect_uris: [callback], token_endpoint_auth_method: 'none', jwks: { keys: [key] } },
    ],
    ['a method without its keys', { redirect_uris: [callback], token_endpoint_auth_method: 'private_key_jwt' }],
    ['a scope beyond what is allowed', { redirect_uris: [callback], scope: 'openid readings:write' }],
    ['a scope about people for a machine', { grant_types: ['client_credentials'], scope: 'openid' }],
  ])('with %s are refused', (_name, metadata) => {
    expect(planRegistration(metadata, everything)).toMatchObject({ outcome: 'refused' });
  });

  it('of a type that the token is not for are refused', () => {
    expect(planRegistration({ redirect_uris: [callback] }, { types: ['machine'], scopes: [] })).toMatchObject({
      outcome: 'refused',
      error: 'invalid_client_metadata',
    });
  });

  it.each([
    'https://app.test/*',
    'http://app.test/callback',
    'javascript:alert(1)',
    'https://user@app.test/',
    'https://app.test/#x',
    'app.test.me:/callback',
  ])('with the address %s are refused like those of an operator', (uri) => {
    expect(planRegistration({ redirect_uris: [uri] }, everything)).toMatchObject({ outcome: 'refused' });
  });
});

describe('an update', () => {
  const client: RegisteredClient & OperatorsChoice = {
    clientId: 'c1',
    name: 'App',
    type: 'web',
    redirectUris: [callback],
    postLogoutRedirectUris: [],
    backchannelLogoutUri: undefined,
    scopes: ['openid', 'profile', 'email', 'offline_access', 'readings:read'],
    tokenEndpointAuthMethod: 'client_secret_basic',
    jwks: undefined,
    createdAt: new Date(0),
    firstParty: true,
    settings: {},
  };

  it('changes names and addresses, and nothing that an operator decided', () => {
    const metadata = { client_name: 'Renamed', redirect_uris: ['https://app.test/other'] };
    expect(planUpdate(metadata, client)).toMatchObject({
      outcome: 'planned',
      client: {
        name: 'Renamed',
        redirectUris: ['https://app.test/other'],
        type: 'web',
        firstParty: true,
        scopes: client.scopes,
      },
    });
  });

  it('takes back what the client was told it is', () => {
    const {
      client_id: _id,
      client_id_issued_at: _at,
      ...metadata
    } = metadataOf(client) as ClientMetadata & Record<string, unknown>;
    expect(planUpdate(metadata, client)).toMatchObject({ outcome: 'planned' });
  });

  it.each<[string, ClientMetadata]>([
    ['another type', { redirect_uris: [callback], token_endpoint_auth_method: 'none' }],
    ['other grants', { redirect_uris: [callback], grant_types: ['client_credentials'] }],
    ['more scopes', { redirect_uris: [callback], scope: `${client.scopes.join(' ')} readings:write` }],
    ['fewer scopes', { redirect_uris: [callback], scope: 'openid' }],
    ['another scheme', { redirect_uris: ['http://localhost/callback'] }],
    ['another scheme beside the old one', { redirect_uris: [callback, 'http://127.0.0.1/callback'] }],
    ['another scheme after logout', { redirect_uris: [callback], post_logout_redirect_uris: ['http://localhost/'] }],
    ['a dangerous address', { redirect_uris: ['https://app.test/*'] }],
    [
      'another way to authenticate',
      { redirect_uris: [callback], token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [key] } },
    ],
  ])('C37 does not bring %s', (_name, metadata) => {
    expect(planUpdate(metadata, client)).toMatchObject({ outcome: 'refused' });
  });
});
