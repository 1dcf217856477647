/**
 * The only `new Provider`: one tenant's engine, configured and never forked. What it decides differently from the engine's
 * defaults is in this file or named by it; `test/oidc/feature_set.test.ts` holds the exact list of what is switched on.
 */
import { timingSafeEqual } from 'node:crypto';
import Provider, { type Client, type Configuration, errors, type JWK, type KoaContextWithOIDC } from 'oidc-provider';
import { createAdapter } from '#adapters/adapter_factory.ts';
import { isFirstUse, valuePrefixes } from '#adapters/artifacts_adapter.ts';
import { type ClientsCache, extraClientMetadata } from '#adapters/clients_adapter.ts';
import { withOwnPages } from '#adapters/own_pages_client.ts';
import { createRefreshChain, type RefreshChain } from '#adapters/refresh_chain.ts';
import { type RotationRules, successorValue } from '#adapters/refresh_tokens_adapter.ts';
import type { FindLivingToken } from '#adapters/structured_tokens_adapter.ts';
import type { Config } from '#config/config.ts';
import { AUTHENTICATION_CONTEXTS } from '#src/domain/authentication.ts';
import type { AuthorizationDetailsType } from '#src/domain/authorization_details.ts';
import { CLIENT_SIGNING_ALGORITHMS, SIGNING_ALGORITHMS } from '#src/domain/client_settings.ts';
import { DEVICE_CODE_SECONDS } from '#src/domain/device_grant.ts';
import { absoluteSecondsFor, refreshTokenTtlSeconds } from '#src/domain/lifetimes.ts';
import { ownScopesBeside } from '#src/domain/own_scope.ts';
import { protocolFeaturesOf } from '#src/domain/protocol_features.ts';
import { graceFor, mustRotate } from '#src/domain/rotation.ts';
import { publicationOrder } from '#src/domain/signing_key.ts';
import { issuerOf } from '#src/domain/tenant.ts';
import { readTenantSettings } from '#src/domain/tenant_settings.ts';
import type { Clock } from '#src/foundation/clock.ts';
import { sha256 } from '#src/foundation/identifiers.ts';
import type { Sealer } from '#src/foundation/sealing.ts';
import { signingKeyContext } from '#src/foundation/sealing_contexts.ts';
import type { Egress } from '#src/gateways/egress.ts';
import type { Database } from '#src/storage/database.ts';
import type { DeviceNotes } from '#src/storage/device_notes.ts';
import type { ApiRow } from '#src/storage/tables/apis.ts';
import type { SigningKeyRow } from '#src/storage/tables/signing_keys.ts';
import type { TenantMaterial } from '#src/storage/tables/tenant_material.ts';
import type { TenantRow } from '#src/storage/tables/tenants.ts';
import { claimsByScope, extraTokenClaims, personScopes } from './accounts.ts';
import { richAuthorizationRequests } from './authorization_details.ts';
import { accountOrNobody, backchannelRequestSeconds, slowDownEagerPolls } from './backchannel_authentication.ts';
import { certificateHooks } from './client_certificates.ts';
import { assertIsClientAssertion, assertIsRequestObject } from './client_statements.ts';
import { createCookieKeys } from './cookie_keys.ts';
import { mayCallFrom, restrictCrossOrigin } from './cross_origin.ts';
import { sayCurrentRights } from './current_rights.ts';
import { completeDeviceAnswers, grantsNameDevices, limitDeviceCodes } from './device_grant.ts';
import type { ApplicationLink, EnginePages } from './engine_pages.ts';
import {
  assertMayAskForClaims,
  createInteractionPolicy,
  createPrompt,
  factsOf,
  loadExistingGrant,
  mayIntrospect,
  resourceServerInfo,
} from './policies.ts';
import { clientAuthMethodsOf, grantTypesOf, protocolFeatureConfiguration } from './protocol_configuration.ts';
import { limitRequests } from './request_limits.ts';
import { claimsOfRestToken } from './rest_sessions.ts';
import { addTokenExchange, claimsOfExchange, structuredClaimsOfExchange } from './token_exchange.ts';
import { keepOrigins } from './token_origins.ts';

export interface EngineDependencies {
  readonly config: Pick<Config, 'deviceCodes' | 'http' | 'keys' | 'lifetimes' | 'people' | 'protocol'>;
  readonly database: Database;
  readonly clients: ClientsCache;
  readonly sealer: Sealer;
  readonly clock: Clock;
  readonly pages: EnginePages;
  readonly deviceNotes: Pick<DeviceNotes, 'note'>;
  /** For whatever the engine itself has to ask of others. */
  readonly egress: Pick<Egress, 'fetch'>;
}

/** Where the endpoints are, below the issuer. */
export const endpointPaths = {
  authorization: '/authorize',
  token: '/token',
  introspection: '/introspect',
  revocation: '/revoke',
  userinfo: '/userinfo',
  jwks: '/jwks',
  pushed_authorization_request: '/par',
  backchannel_authentication: '/bc-authorize',
  device_authorization: '/device_authorization',
  // A page of ours answers there (http/pages); the engine prints the address.
  code_verification: '/device',
  end_session: '/logout',
} as const;

/** Where who is signed in answers what was asked of them at another device (CIBA). */
export const approvalsPath = '/approvals';

/** Where a person types the code that a device shows (RFC 8628 §3.3), and below it where they answer. */
export const devicePath = '/device';

/** The person's own pages. */
export const accountPath = '/account';

/** Where sign-in leads back to, for each of our own pages. */
export const signedInPaths = {
  approvals: `${approvalsPath}/signed-in`,
  account: `${accountPath}/signed-in`,
  device: `${devicePath}/signed-in`,
} as const;

/** How the session is kept in a browser: by this tenant's pages and endpoints alone. */
export function sessionCookie({ slug }: Pick<TenantRow, 'slug'>, { http }: Pick<Config, 'http'>) {
  const secure = http.publicUrl.startsWith('https:');
  return { path: `/t/${slug}`, httpOnly: true, sameSite: 'lax', secure, signed: true } as const;
}

const prefixedModels = [
  'AccessToken',
  'ClientCredentials',
  'RefreshToken',
  'AuthorizationCode',
  'BackchannelAuthenticationRequest',
  'DeviceCode',
] as const;

const clockToleranceSeconds = 10;

/** Where clients register themselves (RFC 7591), served by a door of its own: the engine would let them be anything. */
export const registrationPath = '/register';

export function createProvider(
  tenant: TenantRow,
  material: TenantMaterial,
  dependencies: EngineDependencies & {
    readonly findLiving: FindLivingToken;
    readonly detailsTypes: readonly AuthorizationDetailsType[];
  },
): Provider {
  const { config, sealer, pages, findLiving, detailsTypes } = dependencies;
  const { lifetimes } = config;
  const apis: ReadonlyMap<string, ApiRow> = new Map(material.apis.map((api) => [api.audience, api]));
  const secure = config.http.publicUrl.startsWith('https:');
  const path = `/t/${tenant.slug}`;
  const chain = createRefreshChain({
    keys: sealer.deriveAll(`refresh-rotation:${tenant.id}`),
    prefix: valuePrefixes.RefreshToken ?? '',
  });
  const rotation: RotationRules = {
    chain,
    graceOf(client) {
      const { type, refreshGraceSeconds } = factsOf(client);
      return graceFor({ clientType: type, graceSeconds: refreshGraceSeconds, lifetimes: lifetimes.refreshToken });
    },
  };
  const protocol = protocolFeaturesOf(config.protocol, readTenantSettings(tenant.settings).protocol);
  const issuer = issuerOf(tenant, config.http.publicUrl);
  const redirectUris = Object.values(signedInPaths).map((signedIn) => issuer + signedIn);
  const clients = withOwnPages(dependencies.clients, { tenant, redirectUris });
  const scopes = [...personScopes, ...ownScopesBeside(material.apis)];
  const nowSeconds = (): number => Math.floor(dependencies.clock().getTime() / 1000);

  const configuration: Configuration = {
    adapter: (model: string) =>
      createAdapter(model, {
        tenantId: tenant.id,
        clients,
        enabled: {
          protocol,
          grantTypes: grantTypesOf(protocol),
          scopes,
          detailsTypes: detailsTypes.map(({ type }) => type),
        },
        rotation,
        findLiving,
      }),
    jwks: { keys: publicationOrder(material.keys).map((key) => openKey(key, tenant, sealer)) },
    routes: endpointPaths,
    fetch: dependencies.egress.fetch,
    // The outbox tells applications, again and again until they know (flows/sessions/deliver_backchannel_logouts.ts); the engine's own
    // feature would tell them once, while the person waits, and stays off.
    discovery: {
      backchannel_logout_supported: true,
      backchannel_logout_session_supported: true,
      prompt_values_supported: ['none', 'login', 'consent', createPrompt],
      // A door of our own, see http/registration.ts.
      ...(protocol.dynamic_registration ? { registration_endpoint: issuer + registrationPath } : {}),
    },

    // One browser, several tenants on one host: the path keeps their sessions apart.
    cookies: {
      keys: createCookieKeys({ tenantId: tenant.id, config, sealer, clock: dependencies.clock }),
      long: sessionCookie(tenant, config),
      short: { httpOnly: true, sameSite: 'lax', secure, signed: true },
    },

    responseTypes: ['code'],
    scopes,
    claims: Object.fromEntries(Object.entries(claimsByScope).map(([scope, claims]) => [scope, [...claims]])),
    acrValues: Object.values(AUTHENTICATION_CONTEXTS),
    subjectTypes: ['public'],
    clientAuthMethods: [...clientAuthMethodsOf(protocol)],
    enabledJWA: {
      // Nothing symmetric: what we keep of a client's secret is a hash, and would become the key.
      idTokenSigningAlgValues: [...SIGNING_ALGORITHMS],
      userinfoSigningAlgValues: [...SIGNING_ALGORITHMS],
      introspectionSigningAlgValues: [...SIGNING_ALGORITHMS],
      authorizationSigningAlgValues: [...SIGNING_ALGORITHMS],
      clientAuthSigningAlgValues: [...CLIENT_SIGNING_ALGORITHMS],
      requestObjectSigningAlgValues: [...CLIENT_SIGNING_ALGORITHMS],
      dPoPSigningAlgValues: ['ES256', 'EdDSA'],
    },
    assertJwtClientAuthClaimsAndHeader: (ctx, claims, header) =>
      assertIsClientAssertion(ctx, { claims, header }, nowSeconds()),
    // FAPI 2.0 §5.3.2.1: what a client says it signed up to ten seconds from now was signed now, by another clock.
    clockTolerance: clockToleranceSeconds,
    extraClientMetadata: { properties: [...extraClientMetadata] },
    pkce: { required: () => true },
    clientBasedCORS: ({ oidc }, origin, client) => mayCallFrom(client, { origin, route: oidc.route }),
    conformIdTokenClaims: false,
    allowOmittingSingleRegisteredRedirectUri: false,

    features: {
      ...protocolFeatureConfiguration(protocol, {
        ...certificateHooks({ enabled: protocol.mtls, clock: dependencies.clock }),
        assertIsRequestObject: (ctx, claims, header) => assertIsRequestObject(ctx, { claims, header }, nowSeconds()),
      }),
      richAuthorizationRequests: richAuthorizationRequests(detailsTypes, { enabled: protocol.rar }),
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      claimsParameter: {
        enabled: true,
        assertClaimsParameter: (_ctx, claims, client) => assertMayAskForClaims(client, claims),
      },
      dPoP: {
        enabled: true,
        // From the master key: a nonce of one process is good at every other.
        nonceSecret: sealer.derive(`dpop-nonce:${tenant.id}`),
        requireNonce: ({ oidc }) => oidc.client !== undefined && factsOf(oidc.client).requireDpopNonce,
      },
      jwtUserinfo: { enabled: true },
      introspection: {
        enabled: true,
        allowedPolicy: async (_ctx, client, token) => {
          if (!mayIntrospect(client, token, apis)) return false;
          await sayCurrentRights(token, apis);
          return true;
        },
      },
      // RFC 9701, for who asks by `Accept`; RS256 unless the client registered another.
      jwtIntrospection: { enabled: true },
      pushedAuthorizationRequests: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: (_ctx, _client, oneOf) => oneOf ?? [],
        getResourceServerInfo: (_ctx, audience, client) =>
          resourceServerInfo(apis.get(audience), { client, accessTokenSeconds: lifetimes.accessTokenSeconds }),
        // What the person agreed to at the start stays the audience without being repeated.
        useGrantedResource: () => true,
      },
      revocation: {
        enabled: true,
        // RFC 7009 §2.1. Answered as an unknown value is: a refusal would tell a stranger that the token is alive.
        allowedPolicy: (_ctx, client, token) => token.clientId === client.clientId,
      },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: (ctx) => showLogout(ctx, tenant, pages),
        postLogoutSuccessSource: (ctx) => showLoggedOut(ctx, tenant, pages),
      },
      userinfo: { enabled: true },
    },

    findAccount: accountOrNobody,
    extraTokenClaims: (ctx, token) =>
      claimsOfExchange(token) ??
      claimsOfRestToken(token) ??
      extraTokenClaims(ctx, token, { tenant, api: apis.get([token.aud ?? ''].flat()[0] ?? '') }),
    loadExistingGrant,
    // Tokens outlive the browser's session; an explicit sign-out ends them all (see provider_events.ts).
    expiresWithSession: () => false,
    // An access token ends what it was issued under, of either form: its JWT siblings live by the grant alone.
    revokeGrantPolicy: () => true,
    issueRefreshToken: (_ctx, client) => client.grantTypeAllowed('refresh_token'),
    rotateRefreshToken: (ctx) => {
      const { RefreshToken, Client: client } = ctx.oidc.entities;
      return mustRotate({
        rotation: client === undefined ? 'always' : factsOf(client).refreshRotation,
        senderConstrained: RefreshToken?.isSenderConstrained() === true || provesKey(client),
      });
    },
    interactions: {
      url: (_ctx, interaction) => `${path}/interaction/${interaction.uid}`,
      policy: createInteractionPolicy(),
    },
    renderError: (ctx, out, error) => {
      const { status, statusCode } = error as { status?: number; statusCode?: number };
      if (error instanceof errors.SessionNotFound) return showExpired(ctx, tenant, pages);
      pages.problem(ctx, tenant, { code: out.error, status: statusCode ?? status ?? 500 });
    },

    formats: {
      bitsOfOpaqueRandomness: 256,
      customizers: {
        // What a JWT lives by. An opaque token has it beside it in its row.
        jwt: (_ctx, token, jwt) => {
          if (token instanceof provider.AccessToken) jwt.payload['gid'] = token.grantId;
          Object.assign(jwt.payload, structuredClaimsOfExchange(token));
        },
      },
    },
    ttl: {
      AccessToken: lifetimes.accessTokenSeconds,
      ClientCredentials: lifetimes.accessTokenSeconds,
      IdToken: lifetimes.idTokenSeconds,
      AuthorizationCode: lifetimes.authorizationCodeSeconds,
      PushedAuthorizationRequest: lifetimes.parSeconds,
      BackchannelAuthenticationRequest: backchannelRequestSeconds,
      DeviceCode: DEVICE_CODE_SECONDS,
      Interaction: lifetimes.interactionSeconds,
      // A grant is never extended by the engine, so it must live as long as any chain that begins under it: the last one can begin
      // when the session ends.
      Grant: (_ctx, grant) => {
        const { client } = grant as { client?: Client }; // see newGrant in policies.ts
        const { session, refreshToken } = lifetimes;
        return session.absoluteSeconds + absoluteSecondsFor(client && factsOf(client).type, refreshToken);
      },
      Session: (_ctx, session) => {
        const age = session.loginTs === undefined ? 0 : nowSeconds() - session.loginTs;
        return Math.max(1, Math.min(lifetimes.session.idleSeconds, lifetimes.session.absoluteSeconds - age));
      },
      RefreshToken: (_ctx, token, client) =>
        refreshTokenTtlSeconds({
          clientType: factsOf(client).type,
          lifetimes: lifetimes.refreshToken,
          chainAgeSeconds: token.iiat === undefined ? 0 : token.totalLifetime(),
        }),
    },
  };

  const provider = new Provider(issuer, configuration);
  // The gates have decided what a proxy may say; from here on the scheme is that of the public URL.
  provider.proxy = true;
  // Endpoint addresses come from the issuer and never from a Host header.
  provider.OIDCContext.prototype.urlFor = function urlFor(name: string, options?: Record<string, unknown>) {
    return provider.urlFor(name, options);
  };
  // rfc7523bis §4: the token endpoint's address is no audience for a client assertion, only the issuer is.
  provider.OIDCContext.prototype.clientJwtAuthExpectedAudience = function clientJwtAuthExpectedAudience() {
    return new Set([provider.issuer]);
  };
  limitRequests(provider);
  restrictCrossOrigin(provider, (origin) => clients.isRegisteredOrigin(tenant.id, origin));
  keepClientInstances(provider, (clientId) => clients.find(tenant.id, clientId));
  provider.Client.prototype.compareClientSecret = async function compareClientSecret(this: Client, actual: string) {
    return matchesAny(actual, factsOf(this).secretHashes);
  };
  // `sid` is a claim of every token of a person, not only where a back-channel logout address is registered.
  provider.Client.prototype.includeSid = () => true;
  provider.ReplayDetection.unique = (issuer: string, jti: string, expiresAtSeconds: number) =>
    isFirstUse({ issuer, jti, expiresAt: new Date(expiresAtSeconds * 1000) });
  keepOrigins(provider);
  if (protocol.token_exchange)
    addTokenExchange(provider, { tenant, apis, accessTokenSeconds: lifetimes.accessTokenSeconds, findLiving });
  if (protocol.ciba) slowDownEagerPolls(provider);
  grantsNameDevices(provider);
  completeDeviceAnswers(provider, config.http.publicUrl);
  limitDeviceCodes(provider, config.deviceCodes);
  for (const model of prefixedModels) {
    prefixValues(provider[model].prototype, valuePrefixes[model] ?? '');
  }
  deriveSuccessors(provider, chain);
  return provider;
}

/**
 * The engine hashes a client's metadata at every look-up to see whether they changed. The cache hands out one object until they do,
 * so the client made from it can be kept with it.
 */
function keepClientInstances(provider: Provider, findRow: (clientId: string) => Promise<object | undefined>): void {
  const instances = new WeakMap<object, Client>();
  const find = provider.Client.find.bind(provider.Client);
  provider.Client.find = async (clientId: string) => {
    const row = await findRow(clientId);
    if (row === undefined) return undefined;
    const known = instances.get(row);
    if (known !== undefined) return known;
    const client = await find(clientId);
    if (client !== undefined) instances.set(row, client);
    return client;
  };
}

/** Opaque values tell their kind; the `jti` of a structured token opens nothing and stays as it is. */
function prefixValues(prototype: object, prefix: string): void {
  // Every model that is saved has it; the types only say so for the base model.
  const model = prototype as { generateTokenId(): string; readonly format?: string };
  const { generateTokenId } = model;
  model.generateTokenId = function generatePrefixedTokenId() {
    const value = generateTokenId.call(this);
    return this.format === 'jwt' ? value : prefix + value;
  };
}

/** A refresh token that replaces another, or that a device code is redeemed for, is derived from it: see adapters/refresh_chain.ts. */
function deriveSuccessors(provider: Provider, chain: RefreshChain): void {
  const model = provider.RefreshToken.prototype as unknown as { generateTokenId(): string };
  const { generateTokenId } = model;
  model.generateTokenId = function generateSuccessor() {
    const { RotatedRefreshToken, DeviceCode } = Provider.ctx?.oidc.entities ?? {};
    const replaced = RotatedRefreshToken ?? DeviceCode;
    return replaced === undefined ? generateTokenId.call(this) : successorValue(chain, replaced.jti);
  };
}

/**
 * What is published comes out of the seal as well: whoever can write to the database could otherwise put a key of their own among ours.
 */
export function openKey(key: SigningKeyRow, tenant: TenantRow, sealer: Sealer): JWK {
  const sealed = Buffer.from(key.private_sealed, 'base64');
  const jwk = JSON.parse(sealer.open(sealed, signingKeyContext(tenant.id, key.kid)).toString('utf8'));
  const named = { ...jwk, kid: key.kid, alg: key.alg, use: 'sig' };
  return key.status === 'active' ? named : withoutPrivatePart(named);
}

/** The engine signs with the first key that fits and takes no public ones: a key that must not sign has a word where its secret was. */
function withoutPrivatePart(jwk: JWK): JWK {
  const secret = ['d', 'p', 'q', 'dp', 'dq', 'qi'].filter((member) => member in jwk);
  return { ...jwk, ...Object.fromEntries(secret.map((member) => [member, 'does-not-sign'])) };
}

/** A refresh token is bound to a confidential client by how it says who it is (RFC 9700 §4.14.2): here, with a key of its own. */
function provesKey(client: Client | undefined): boolean {
  const method: string | undefined = client?.clientAuthMethod;
  return method === 'private_key_jwt' || method === 'tls_client_auth' || method === 'self_signed_tls_client_auth';
}

/** Compares with every live secret, always all of them, in the same time. */
function matchesAny(actual: string, secretHashes: readonly string[]): boolean {
  const presented = sha256(actual);
  let matches = false;
  for (const secretHash of secretHashes) {
    if (timingSafeEqual(presented, Buffer.from(secretHash, 'hex'))) matches = true;
  }
  return matches;
}

function showLogout(ctx: KoaContextWithOIDC, tenant: TenantRow, pages: EnginePages): void {
  const state = ctx.oidc.session?.state as { secret?: string; postLogoutRedirectUri?: string } | undefined;
  pages.logout(ctx, tenant, {
    action: ctx.oidc.urlFor('end_session_confirm'),
    xsrf: state?.secret ?? '',
    application: applicationOf(ctx.oidc.client),
    redirectOrigin: originOf(state?.postLogoutRedirectUri),
  });
}

/** The address names the application that was signed out of; whether that was all of it, only the session can tell. */
async function showLoggedOut(ctx: KoaContextWithOIDC, tenant: TenantRow, pages: EnginePages): Promise<void> {
  const { accountId } = await ctx.oidc.provider.Session.get(ctx);
  const stillSignedIn = accountId !== undefined;
  pages.loggedOut(ctx, tenant, { application: applicationOf(ctx.oidc.client), stillSignedIn });
}

function showExpired(ctx: KoaContextWithOIDC, tenant: TenantRow, pages: EnginePages): void {
  pages.expired(ctx, tenant, applicationOf(ctx.oidc.client));
}

/** A way back to an application: the origin of the first address it is registered at, when that is a web address. */
export function applicationOf(client: Client | undefined): ApplicationLink | undefined {
  if (client === undefined) return undefined;
  const origin = originOf(client.redirectUris?.[0]);
  return { name: client.clientName ?? client.clientId, url: origin?.startsWith('http') ? `${origin}/` : undefined };
}

/** What a `form-action` source must name: the origin, or the scheme of an address that has none. */
export function originOf(uri: string | undefined): string | undefined {
  const url = uri === undefined ? null : URL.parse(uri);
  if (url === null) return undefined;
  return url.origin === 'null' ? url.protocol : url.origin;
}
