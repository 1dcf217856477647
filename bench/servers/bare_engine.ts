/**
 * Server (b): oidc-provider by itself, everything in memory, with the features Poort switches on and clients as Poort's
 * demo has them. What it reaches is what the protocol engine allows on this machine; the rest of Poort is measured
 * against it. Signs everyone in without asking, listens on loopback only, and prints one line when it is ready.
 */
import { generateKeyPairSync, type JsonWebKey, randomBytes, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';
import { createUnlimitedMemoryAdapter } from './unlimited_memory_adapter.ts';

const port = Number(process.argv[2]);
const issuer = `http://localhost:${port}`;
const redirectUri = 'http://localhost:9/callback';
const jwtAudience = 'https://api.bench.example/jwt';
const opaqueAudience = 'https://api.bench.example/opaque';
const scope = 'readings:read';
const accessTokenSeconds = 900;

const webClient = { clientId: randomUUID(), clientSecret: randomBytes(32).toString('base64url') };
const machineClient = { clientId: randomUUID(), clientSecret: randomBytes(32).toString('base64url') };
const accountId = randomUUID();

const provider = new Provider(issuer, {
  adapter: createUnlimitedMemoryAdapter(),
  jwks: { keys: [privateKey('ES256'), privateKey('RS256')] },
  cookies: { keys: [randomBytes(32).toString('base64url')] },
  clients: [
    {
      client_id: webClient.clientId,
      client_secret: webClient.clientSecret,
      token_endpoint_auth_method: 'client_secret_basic',
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      redirect_uris: [redirectUri],
    },
    {
      client_id: machineClient.clientId,
      client_secret: machineClient.clientSecret,
      token_endpoint_auth_method: 'client_secret_basic',
      grant_types: ['client_credentials'],
      response_types: [],
      redirect_uris: [],
    },
  ],
  scopes: ['openid', 'offline_access', 'profile', 'email'],
  claims: {
    openid: ['sub', 'auth_time', 'amr', 'acr'],
    profile: ['name', 'given_name', 'family_name'],
    email: ['email', 'email_verified'],
  },
  features: {
    devInteractions: { enabled: false },
    introspection: { enabled: true },
    revocation: { enabled: true },
    clientCredentials: { enabled: true },
    userinfo: { enabled: true },
    pushedAuthorizationRequests: { enabled: true },
    dPoP: { enabled: true },
    rpInitiatedLogout: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      getResourceServerInfo: (_context, audience) => ({
        scope,
        audience,
        accessTokenTTL: accessTokenSeconds,
        ...(audience === opaqueAudience
          ? { accessTokenFormat: 'opaque' }
          : { accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } }),
      }),
    },
  },
  pkce: { required: () => true },
  issueRefreshToken: async (_context, client) => client.grantTypeAllowed('refresh_token'),
  rotateRefreshToken: true,
  ttl: {
    AccessToken: accessTokenSeconds,
    AuthorizationCode: 60,
    ClientCredentials: accessTokenSeconds,
    Grant: 86_400,
    IdToken: 900,
    Interaction: 3_600,
    RefreshToken: 86_400,
    Session: 86_400,
  },
  findAccount: (_context, id) => ({
    accountId: id,
    claims: () => ({
      sub: id,
      name: 'Ada Lovelace',
      given_name: 'Ada',
      family_name: 'Lovelace',
      email: 'ada@bench.example',
      email_verified: true,
    }),
  }),
  // First-party clients are not asked for consent, as in Poort.
  loadExistingGrant: async (context) => {
    const { client, session } = context.oidc;
    if (client === undefined || session?.accountId === undefined) return undefined;
    const grantId = session.grantIdFor(client.clientId);
    if (grantId !== undefined) return provider.Grant.find(grantId);
    const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope('openid offline_access profile email');
    await grant.save();
    return grant;
  },
  interactions: { url: (_context, interaction) => `/interaction/${interaction.uid}` },
});

const answer = provider.callback();
const server = createServer((request, response) => {
  if (request.url?.startsWith('/interaction/')) {
    const login = { accountId, amr: ['pwd'], remember: true };
    provider.interactionFinished(request, response, { login }).catch((error: unknown) => {
      response.writeHead(400).end(String(error));
    });
    return;
  }
  void answer(request, response);
});
server.listen(port, '127.0.0.1', () => {
  const announcement = {
    ready: true,
    issuer,
    webClient: { ...webClient, redirectUri },
    machineClient,
    jwtApi: { audience: jwtAudience, scope },
    introspectsJwts: false,
    person: { email: 'ada@bench.example', password: '' },
  };
  process.stdout.write(`${JSON.stringify(announcement)}\n`);
});

for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(0));

function privateKey(algorithm: 'ES256' | 'RS256'): JsonWebKey & { alg: string; use: string; kid: string; kty: string } {
  const pair =
    algorithm === 'ES256'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : generateKeyPairSync('rsa', { modulusLength: 2048 });
  const jwk = pair.privateKey.export({ format: 'jwk' });
  return { ...jwk, kty: jwk.kty ?? '', alg: algorithm, use: 'sig', kid: `bench-${algorithm}` };
}
