/**
 * One tenant's engine as the doors use it: serves protocol requests, and carries a person through an interaction. Everything
 * runs in a unit of work of its own request.
 */
import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type Provider from 'oidc-provider';
import { type Client, errors, type Interaction, type InteractionResults, type KoaContextWithOIDC } from 'oidc-provider';
import { ownPagesClientId } from '#adapters/artifacts_adapter.ts';
import { currentUnitOfWork, hashOf, UnitOfWork } from '#adapters/unit_of_work.ts';
import type { AccessTokenClaims } from '#src/domain/access_token.ts';
import { AUTHENTICATION_CONTEXTS, type Authentication } from '#src/domain/authentication.ts';
import { sentenceFor } from '#src/domain/authorization_details.ts';
import { usesSecret } from '#src/domain/client.ts';
import { resourceScope } from '#src/domain/consent.ts';
import type { NewEvent } from '#src/domain/event.ts';
import { refreshTokenTtlSeconds } from '#src/domain/lifetimes.ts';
import { ownScopesBeside } from '#src/domain/own_scope.ts';
import { type PeopleSettings, peopleSettingsOf } from '#src/domain/people_settings.ts';
import { type ProtocolFeatures, protocolFeaturesOf } from '#src/domain/protocol_features.ts';
import { issuerOf } from '#src/domain/tenant.ts';
import { lifetimesIn } from '#src/domain/tenant_lifetimes.ts';
import { readTenantSettings } from '#src/domain/tenant_settings.ts';
import { LostRace } from '#src/storage/database.ts';
import type { Origin } from '#src/storage/event_log.ts';
import { findInteractionTombstone } from '#src/storage/tables/artifacts.ts';
import { readDetailsTypes } from '#src/storage/tables/authorization_details_types.ts';
import type { NewConsent } from '#src/storage/tables/consents.ts';
import { readTenantMaterial } from '#src/storage/tables/tenant_material.ts';
import type { TenantRow } from '#src/storage/tables/tenants.ts';
import { personScopes, scopeOfClaim } from './accounts.ts';
import { type ApprovalAnswer, type ApprovalAnswered, type Approvals, createApprovalDesk } from './approvals.ts';
import { parseDetails } from './authorization_details.ts';
import type { ApplicationLink } from './engine_pages.ts';
import { type Introspection, inspectToken, type TokenQuestion } from './inspect_token.ts';
import { authenticateToken, type PresentedToken, type TokenAuthentication } from './own_access_tokens.ts';
import { ask } from './own_requests.ts';
import {
  checkApprovalsAgain,
  createPairingDesk,
  type PairingAnswer,
  type PairingAnswered,
  type PairingFound,
  type PairingKey,
} from './pairings.ts';
import { asksForMultiFactor, createPrompt, factsOf, newGrant, secondFactorPrompt } from './policies.ts';
import {
  applicationOf,
  createProvider,
  type EngineDependencies,
  endpointPaths,
  openKey,
  sessionCookie,
  signedInPaths,
} from './provider.ts';
import { commitWhatHappens } from './provider_events.ts';
import {
  endRestSession,
  findRestClient,
  mayUseRest,
  noteRefresh,
  openRestSession,
  prolongRestSessions,
  type RestTokens,
  type SessionProof,
} from './rest_sessions.ts';
import { createStructuredTokens } from './structured_tokens.ts';
import { respectOrigins } from './token_origins.ts';

type Session = InstanceType<Provider['Session']>;
type Grant = InstanceType<Provider['Grant']>;

export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly origin: Origin;
}

/** A step that waits for a person: who asks for what, on whose behalf. */
export interface PendingInteraction {
  readonly uid: string;
  readonly prompt: string;
  readonly clientId: string;
  readonly application: ApplicationLink;
  readonly redirectUri: string;
  readonly loginHint: string | undefined;
  readonly uiLocales: string | undefined;
  /** Signed in already; always there for consent. */
  readonly accountId: string | undefined;
  /** How strong the session is that they are signed in with (`amr`, `acr`). */
  readonly session: { readonly amr: readonly string[]; readonly acr: string | undefined } | undefined;
  /** The application asks for both factors. */
  readonly wantsMultiFactor: boolean;
  /** Consent is about more than the person agreed to before. */
  readonly isConsentKnown: boolean;
  /** What consent is about. */
  readonly missingScopes: readonly { readonly name: string; readonly description: string | undefined }[];
}

/** The sign-in is over, was never begun in this browser, or belongs to someone else. */
export interface ExpiredInteraction {
  readonly outcome: 'expired';
  /** It is alive, and the browser that asks brings no cookie at all: it takes none. */
  readonly withoutCookies: boolean;
  readonly application: ApplicationLink | undefined;
}

export type InteractionFound =
  | { readonly outcome: 'pending'; readonly interaction: PendingInteraction }
  | ExpiredInteraction;
export type InteractionEnded = { readonly outcome: 'continue'; readonly location: string } | ExpiredInteraction;

/** How a person answered. */
export type InteractionAnswer =
  | { readonly kind: 'signed_in'; readonly authentication: Authentication }
  /** What the application asks for is not to be had here (OpenID Connect Core: unmet_authentication_requirements). */
  | { readonly kind: 'unmet' }
  | { readonly kind: 'consented' }
  | { readonly kind: 'denied' };

/** As a caller presents it. */
export type PresentedCredential = Pick<PresentedToken, 'scheme' | 'token' | 'address'>;

export interface TenantEngine {
  readonly tenant: TenantRow;
  readonly provider: Provider;
  /** What is switched on. */
  readonly protocol: ProtocolFeatures;
  /** What holds for its people. */
  readonly people: PeopleSettings;
  /** Serves one protocol request; `request.url` is relative to the issuer and `baseUrl` is the issuer's path. */
  serve(exchange: Exchange): Promise<void>;
  /** Who calls our own REST API with this token. */
  authenticateToken(exchange: Exchange, presented: PresentedCredential): Promise<TokenAuthentication>;
  /** Whether some client of the tenant is registered at this origin: a browser may call from there. */
  isRegisteredOrigin(origin: string): Promise<boolean>;
  /** Whether one of the tenant's own is: it may ask for a password, and carry cookies along. */
  isFirstPartyOrigin(origin: string): Promise<boolean>;
  /**
   * The client that somebody signs in at over REST: of this name, or the one of applications that name none. A confidential one must
   * show its secret. Undefined for all others, and nobody learns why.
   */
  findRestClient(asked: RestClientWish): Promise<{ readonly clientId: string } | undefined>;
  /** Opens a session for somebody who has just signed in there; undefined when they may not any more. */
  openRestSession(
    exchange: Exchange,
    signedIn: { readonly clientId: string; readonly authentication: Authentication },
  ): Promise<RestTokens | undefined>;
  /** As `POST /token` would, for clients that may use REST. */
  refreshOverRest(exchange: Exchange, presented: PresentedRefreshToken): Promise<RestRefreshed>;
  /** Ends the session of this token everywhere. False for a token that is nobody's here. */
  endRestSession(exchange: Exchange, proof: SessionProof): Promise<boolean>;
  /** What a JWT access token says, verified and alive; undefined for every other text. For which API it is, is for the caller to check. */
  readStructuredToken(token: string): Promise<AccessTokenClaims | undefined>;
  /** What `POST /introspect` would answer a resource server that stands for these APIs; undefined for what is not active. */
  inspectToken(question: TokenQuestion): Promise<Introspection | undefined>;
  findInteraction(exchange: Exchange, uid: string): Promise<InteractionFound>;
  /** Records the answer and says where the browser goes next: always back to the engine, which decides. */
  answerInteraction(exchange: Exchange, uid: string, answer: InteractionAnswer): Promise<InteractionEnded>;
  /** What is asked of the person who is signed in in this browser at another device; undefined when nobody is. */
  findApprovals(exchange: Exchange): Promise<Approvals | undefined>;
  answerApproval(exchange: Exchange, answer: ApprovalAnswer): Promise<ApprovalAnswered>;
  /** A device's code was typed in a browser: from here on it is that browser's (RFC 8628 §3.3). */
  claimPairing(exchange: Exchange, key: PairingKey): Promise<'claimed' | 'unknown'>;
  /** What became of a code that this browser has claimed, for whoever is signed in in it. */
  findPairing(exchange: Exchange, key: PairingKey): Promise<PairingFound>;
  answerPairing(exchange: Exchange, answer: PairingAnswer): Promise<PairingAnswered>;
  /** Who is signed in in this browser, for our own pages; undefined when nobody is. Nothing is changed by looking. */
  findOwnSession(exchange: Exchange): Promise<OwnSession | undefined>;
  /**
   * The session of this browser goes on under another identifier, and whoever else has the one it had has nothing. Nothing happens
   * when it is over, or another request was quicker.
   */
  renewOwnSession(exchange: Exchange): Promise<void>;
  /** A resource server that says who it is with its secret; undefined for everybody else. */
  authenticateResourceServer(credentials: ClientCredentials): Promise<{ readonly clientId: string } | undefined>;
  /** Where somebody signs in to come back to our own pages. */
  signInAddress(wish: SignInWish): string;
}

export interface RestClientWish {
  readonly clientId?: string | undefined;
  /** What the request says in `Authorization: Basic` (RFC 6749 §2.3.1). */
  readonly credentials?: ClientCredentials | undefined;
}

export interface PresentedRefreshToken {
  readonly refreshToken: string;
  /** `Authorization`, when the request has one. */
  readonly authorization?: string | undefined;
}

export type RestRefreshed =
  | { readonly outcome: 'refreshed'; readonly tokens: RestTokens }
  /** Over, used before, unknown, or not this caller's. */
  | { readonly outcome: 'refused' }
  | { readonly outcome: 'throttled'; readonly retryAfterSeconds: number };

export interface ClientCredentials {
  readonly clientId: string;
  readonly clientSecret: string;
}

/** A session as our own pages see it. */
export interface OwnSession {
  readonly accountId: string;
  readonly uid: string;
  /** Another one whenever the session gets another identifier. Opens nothing. */
  readonly key: string;
  /** When the person last signed in. */
  readonly authenticatedAt: Date;
  readonly amr: readonly string[];
  readonly isMultiFactor: boolean;
}

export interface SignInWish {
  readonly returnTo: keyof typeof signedInPaths;
  /** Comes back as it is: which of the pages it was. Trust it as an address that a stranger wrote. */
  readonly state?: string | undefined;
  /** Signed in longer ago than this does not count. */
  readonly maximumAgeSeconds?: number | undefined;
  /** Both factors are asked for. */
  readonly multiFactor?: boolean | undefined;
}

export interface TenantEngineHooks {
  readonly onFault: (fault: unknown, ctx: KoaContextWithOIDC) => void;
}

export async function buildTenantEngine(
  tenant: TenantRow,
  dependencies: EngineDependencies,
  hooks: TenantEngineHooks,
): Promise<TenantEngine> {
  const { database, clock, pages } = dependencies;
  const own = readTenantSettings(tenant.settings);
  const config = { ...dependencies.config, lifetimes: lifetimesIn(dependencies.config.lifetimes, own.lifetimes) };
  const tenantDatabase = database.tenant(tenant.id);
  const material = await readTenantMaterial(tenantDatabase);
  const findLiving = respectOrigins(
    createStructuredTokens({
      tenant,
      database: tenantDatabase,
      issuer: issuerOf(tenant, config.http.publicUrl),
      audiences: new Set(material.apis.map(({ audience }) => audience)),
      keys: material.keys.map((key) => ({ ...key, open: () => openKey(key, tenant, dependencies.sealer) })),
      clock,
    }),
    {
      tenant: tenantDatabase,
      isClientAlive: async (clientId) => (await dependencies.clients.find(tenant.id, clientId)) !== undefined,
    },
  );
  const protocol = protocolFeaturesOf(config.protocol, own.protocol);
  const people = peopleSettingsOf(config.people, own.people);
  const detailsTypes = protocol.rar ? await readDetailsTypes(tenantDatabase) : [];
  const provider = createProvider(tenant, material, { ...dependencies, config, findLiving, detailsTypes });
  commitWhatHappens(provider, { tenant, pages, deviceNotes: dependencies.deviceNotes, onFault: hooks.onFault });
  prolongRestSessions(provider);
  const handle = provider.callback();
  const restOptions = { tenant, lifetimes: config.lifetimes.refreshToken };
  const desk = createApprovalDesk(provider);
  const pairings = createPairingDesk(provider, people);
  checkApprovalsAgain(provider, people);
  const unitFor = (exchange: Pick<Exchange, 'origin'>): UnitOfWork =>
    new UnitOfWork({ tenant: tenantDatabase, origin: exchange.origin, clock });

  async function expired(exchange: Exchange, uid: string): Promise<ExpiredInteraction> {
    const clientId = await findInteractionTombstone(tenantDatabase, Buffer.from(hashOf(uid), 'hex'));
    const client = clientId === undefined ? undefined : await provider.Client.find(clientId);
    const withoutCookies = exchange.request.headers.cookie === undefined && (await isUnderWay(uid));
    return { outcome: 'expired', application: applicationOf(client), withoutCookies };
  }

  async function isUnderWay(uid: string): Promise<boolean> {
    const found = await currentUnitOfWork().find('Interaction', hashOf(uid));
    return found !== undefined && found.consumedAt === undefined;
  }

  /** The engine trusts the cookie; that the address names the same interaction is for us to check. */
  async function details({ request, response }: Exchange, uid: string): Promise<Interaction | undefined> {
    try {
      const interaction = await provider.interactionDetails(request, response);
      return interaction.uid === uid ? interaction : undefined;
    } catch (fault) {
      if (fault instanceof errors.SessionNotFound) return undefined;
      throw fault;
    }
  }

  return {
    tenant,
    provider,
    protocol,
    people,

    serve: (exchange) => unitFor(exchange).run(() => handle(exchange.request, exchange.response)),

    authenticateToken: ({ request, response, ...exchange }, presented) =>
      unitFor(exchange).run(() =>
        authenticateToken(provider, { request, response, ...presented }, { acceptCertificates: protocol.mtls }),
      ),

    isRegisteredOrigin: async (origin) =>
      origin !== 'null' && dependencies.clients.isRegisteredOrigin(tenant.id, origin),

    isFirstPartyOrigin: async (origin) =>
      origin !== 'null' && dependencies.clients.isFirstPartyOrigin(tenant.id, origin),

    async findRestClient({ clientId, credentials }) {
      const named = clientId ?? credentials?.clientId;
      const client = await findRestClient(provider, named);
      if (client === undefined) return undefined;
      if (client.clientAuthMethod === 'none') return credentials === undefined ? client : undefined;
      // A name alone is no proof: a resource server may trust what it reads in `client_id`.
      const isSame = usesSecret(client.clientAuthMethod ?? '') && credentials?.clientId === client.clientId;
      return isSame && (await client.compareClientSecret(credentials.clientSecret)) ? client : undefined;
    },

    openRestSession: (exchange, { clientId, authentication }) =>
      unitFor(exchange).run(async () => {
        const client = await findRestClient(provider, clientId);
        return client && openRestSession(provider, { client, authentication }, restOptions);
      }),

    refreshOverRest(exchange, { refreshToken, authorization }) {
      const unit = unitFor(exchange);
      return unit.run(async (): Promise<RestRefreshed> => {
        // Whose it is; the engine is answered from the same read.
        const found = await unit.find('RefreshToken', hashOf(refreshToken), { withAccount: true });
        const { clientId, iiat } = (found?.payload ?? {}) as { readonly clientId?: string; readonly iiat?: number };
        const client = clientId === undefined ? undefined : await provider.Client.find(clientId);
        if (client === undefined || !mayUseRest(client)) return { outcome: 'refused' };
        const isPublic = client.clientAuthMethod === 'none';
        const answer = await ask(
          handle,
          {
            path: endpointPaths.token,
            issuer: provider.issuer,
            form: {
              grant_type: 'refresh_token',
              refresh_token: refreshToken,
              ...(isPublic ? { client_id: client.clientId } : {}),
            },
            authorization: isPublic ? undefined : authorization,
          },
          noteRefresh,
        );
        if (answer.status === 429) {
          const { retryAfterSeconds = 1 } = answer;
          return { outcome: 'throttled', retryAfterSeconds };
        }
        if (answer.status >= 500) throw new Error('the engine could not refresh');
        if (answer.status !== 200) return { outcome: 'refused' };
        return { outcome: 'refreshed', tokens: tokensOf(answer.json, { client, iiat }) };
      });
    },

    endRestSession: (exchange, proof) => unitFor(exchange).run(() => endRestSession(provider, proof)),

    readStructuredToken: async (token) => (await findLiving(token))?.claims,

    async inspectToken(question) {
      // The public door refuses a suspended tenant before the engine is asked.
      if (tenant.status !== 'active') return undefined;
      return unitFor({ origin: {} }).run(() => inspectToken(provider, question));
    },

    findInteraction: (exchange, uid) =>
      unitFor(exchange).run(async () => {
        const interaction = await details(exchange, uid);
        const client = interaction && (await provider.Client.find(String(interaction.params['client_id'])));
        if (interaction === undefined || client === undefined) return expired(exchange, uid);
        const text = (name: string): string | undefined => {
          const value = interaction.params[name];
          return typeof value === 'string' ? value : undefined;
        };
        return {
          outcome: 'pending',
          interaction: {
            uid,
            prompt: interaction.prompt.name,
            clientId: client.clientId,
            application: applicationOf(client) ?? { name: client.clientId, url: undefined },
            redirectUri: text('redirect_uri') ?? '',
            loginHint: text('login_hint'),
            uiLocales: text('ui_locales'),
            accountId: interaction.session?.accountId,
            session: strengthOf(interaction),
            wantsMultiFactor: asksForMultiFactor(interaction.params),
            isConsentKnown: interaction.grantId !== undefined && isSomethingMissing(interaction),
            missingScopes: await missingScopes(interaction, client),
          },
        };
      }),

    answerInteraction(exchange, uid, answer) {
      const unit = unitFor(exchange);
      return unit.run(async () => {
        const interaction = await details(exchange, uid);
        if (interaction === undefined) return expired(exchange, uid);
        const client = await provider.Client.find(String(interaction.params['client_id']));
        if (client === undefined) return expired(exchange, uid);
        const result = await resultOf({ interaction, client }, answer, unit);
        const location = await provider.interactionResult(exchange.request, exchange.response, result, {
          mergeWithLastSubmission: answer.kind !== 'denied' && answer.kind !== 'unmet',
        });
        await unit.commit();
        return { outcome: 'continue', location };
      });
    },

    findApprovals: (exchange) =>
      unitFor(exchange).run(async () => {
        const session = await sessionOf(exchange);
        if (session?.accountId === undefined) return undefined;
        const pending = await desk.list(session, material.apis);
        return { accountId: session.accountId, sessionUid: session.uid, pending };
      }),

    answerApproval: (exchange, answer) =>
      unitFor(exchange).run(async () => desk.answer(await sessionOf(exchange), material.apis, answer)),

    claimPairing: (exchange, key) => unitFor(exchange).run(() => pairings.claim(key)),

    findPairing: (exchange, key) =>
      unitFor(exchange).run(async () => pairings.find(await sessionOf(exchange), material.apis, key)),

    answerPairing: (exchange, answer) =>
      unitFor(exchange).run(async () => pairings.answer(await sessionOf(exchange), material.apis, answer)),

    findOwnSession: (exchange) =>
      unitFor(exchange).run(async () => {
        const session = await sessionOf(exchange);
        if (session?.accountId === undefined || session.loginTs === undefined) return undefined;
        return {
          accountId: session.accountId,
          uid: session.uid,
          key: hashOf(session.jti),
          authenticatedAt: new Date(session.loginTs * 1000),
          amr: session.amr ?? [],
          isMultiFactor: session.acr === AUTHENTICATION_CONTEXTS.multiFactor,
        };
      }),

    renewOwnSession(exchange) {
      const unit = unitFor(exchange);
      return unit.run(async () => {
        const context = provider.createContext(exchange.request, exchange.response);
        const session = await provider.Session.get(context as unknown as KoaContextWithOIDC);
        if (session.accountId === undefined) return;
        session.resetIdentifier();
        await session.persist();
        try {
          await unit.commit();
        } catch (fault) {
          if (fault instanceof LostRace) return;
          throw fault;
        }
        const expires = new Date(session.exp * 1000);
        context.cookies.set(provider.cookieName('session'), session.jti, { ...sessionCookie(tenant, config), expires });
      });
    },

    async authenticateResourceServer({ clientId, clientSecret }) {
      const client = await provider.Client.find(clientId);
      if (client === undefined || factsOf(client).type !== 'resource_server') return undefined;
      if (!usesSecret(client.clientAuthMethod ?? '')) return undefined;
      return (await client.compareClientSecret(clientSecret)) ? { clientId } : undefined;
    },

    signInAddress({ returnTo, state, maximumAgeSeconds, multiFactor }) {
      const issuer = issuerOf(tenant, config.http.publicUrl);
      // Nobody can use the code that comes of it: neither the client's secret nor what this challenge is of is known to anybody.
      const parameters = new URLSearchParams({
        client_id: ownPagesClientId,
        response_type: 'code',
        redirect_uri: issuer + signedInPaths[returnTo],
        scope: 'openid',
        code_challenge: randomBytes(32).toString('base64url'),
        code_challenge_method: 'S256',
        ...(state === undefined ? {} : { state }),
        ...(maximumAgeSeconds === undefined ? {} : { max_age: String(maximumAgeSeconds) }),
        ...(multiFactor === true ? { acr_values: AUTHENTICATION_CONTEXTS.multiFactor } : {}),
      });
      return `${issuer}${endpointPaths.authorization}?${parameters}`;
    },
  };

  /** RFC 6749 §5.1. */
  function tokensOf(
    answer: Readonly<Record<string, unknown>>,
    { client, iiat }: { readonly client: Client; readonly iiat: number | undefined },
  ): RestTokens {
    const now = clock().getTime() / 1000;
    return {
      accessToken: String(answer['access_token']),
      expiresInSeconds: Number(answer['expires_in']),
      refreshToken: String(answer['refresh_token']),
      refreshSeconds: refreshTokenTtlSeconds({
        clientType: factsOf(client).type,
        lifetimes: config.lifetimes.refreshToken,
        chainAgeSeconds: Math.max(0, Math.floor(now - (iiat ?? now))),
      }),
    };
  }

  /** The engine's own session of this browser, as it is: nothing is changed by looking. */
  function sessionOf({ request, response }: Exchange): Promise<Session> {
    return provider.Session.get(provider.createContext(request, response) as unknown as KoaContextWithOIDC);
  }

  function strengthOf({ session }: Interaction): PendingInteraction['session'] {
    return session === undefined ? undefined : { amr: session.amr ?? [], acr: session.acr };
  }

  /** What the person is asked about: also that the application stays able to ask for tokens, which every refresh token means. */
  async function missingScopes(interaction: Interaction, client: Client): Promise<PendingInteraction['missingScopes']> {
    if (interaction.prompt.name !== 'consent') return [];
    const asked = [...detailsOf(interaction), ...(await scopesAskedFor(interaction))];
    const lasting = { name: 'offline_access', description: undefined };
    const isTold = interaction.grantId !== undefined || asked.some(({ name }) => name === lasting.name);
    return isTold || !client.grantTypeAllowed('refresh_token') ? asked : [...asked, lasting];
  }

  /** RFC 9396: in the words of the API that defines them. */
  function detailsOf({ params }: Interaction): PendingInteraction['missingScopes'] {
    return parseDetails(params['authorization_details']).flatMap((detail) => {
      const type = detailsTypes.find((candidate) => candidate.type === detail.type);
      return type === undefined ? [] : [{ name: type.type, description: sentenceFor(type, detail) }];
    });
  }

  async function scopesAskedFor(interaction: Interaction): Promise<PendingInteraction['missingScopes']> {
    const { apis } = await readTenantMaterial(tenantDatabase);
    const { missingOIDCScope, missingOIDCClaims, missingResourceScopes } = consentDetails(interaction);
    const described = Object.entries(missingResourceScopes).flatMap(([audience, names]) => {
      const api = apis.find((candidate) => candidate.audience === audience);
      return names.map((name) => ({
        name,
        description: api?.scopes.find((scope) => scope.name === name)?.description,
      }));
    });
    // A claim that was asked for by itself is put into the words of the scope that opens it.
    const aboutPerson = new Set([
      ...missingOIDCScope,
      ...missingOIDCClaims.map((claim) => scopeOfClaim.get(claim) ?? claim),
    ]);
    const missing = [...[...aboutPerson].map((name) => ({ name, description: undefined })), ...described];
    if (missing.length > 0) return missing;

    // `prompt=consent` while nothing is missing: the person is asked about all of it again, never about nothing.
    const { scope, resource } = interaction.params;
    const asked = new Set(typeof scope === 'string' ? scope.split(' ') : []);
    const audiences: readonly unknown[] = [resource].flat();
    return [
      ...[...personScopes, ...ownScopesBeside(apis)]
        .filter((name) => asked.has(name))
        .map((name) => ({ name, description: undefined })),
      ...apis
        .filter(({ audience }) => audiences.includes(audience))
        .flatMap((api) => api.scopes.filter(({ name }) => asked.has(name))),
    ];
  }

  async function resultOf(
    { interaction, client }: { interaction: Interaction; client: Client },
    answer: InteractionAnswer,
    unit: UnitOfWork,
  ): Promise<InteractionResults> {
    switch (answer.kind) {
      case 'signed_in': {
        const { userId, amr, acr, factors } = answer.authentication;
        // A second factor makes a session stronger, not fresher: whoever asks for a recent sign-in means the first as well.
        const isStepUp = interaction.prompt.name === secondFactorPrompt;
        const since = isStepUp ? { ts: Math.floor(Math.min(...factors.map(({ at }) => at.getTime())) / 1000) } : {};
        const created = interaction.prompt.name === createPrompt ? { [createPrompt]: {} } : {};
        return { login: { accountId: userId, amr: [...amr], acr, ...since }, ...created };
      }
      case 'unmet':
        return {
          error: 'unmet_authentication_requirements',
          error_description: 'there is no second factor to be asked for',
        };
      case 'denied':
        return { error: 'access_denied', error_description: 'the person refused' };
      case 'consented': {
        const grant = await grantConsent(interaction, client);
        const grantId = await grant.save();
        unit.append(consentGranted(interaction, grantId));
        if (!factsOf(client).firstParty) unit.rememberConsent(consentOf(grant, client));
        return { consent: { grantId } };
      }
      default: {
        const never: never = answer;
        return never;
      }
    }
  }

  async function grantConsent(interaction: Interaction, client: Client): Promise<Grant> {
    const accountId = interaction.session?.accountId;
    if (accountId === undefined) throw new Error('consent without an account');
    const known = interaction.grantId === undefined ? undefined : await provider.Grant.find(interaction.grantId);
    const grant = known ?? newGrant(provider, { client, accountId });
    const { missingOIDCScope, missingOIDCClaims, missingResourceScopes } = consentDetails(interaction);
    if (missingOIDCScope.length > 0) grant.addOIDCScope(missingOIDCScope.join(' '));
    if (missingOIDCClaims.length > 0) grant.addOIDCClaims([...missingOIDCClaims]);
    for (const [audience, names] of Object.entries(missingResourceScopes))
      grant.addResourceScope(audience, names.join(' '));
    // This time's, and no other: what was agreed to once is not agreed to again by itself.
    const details = parseDetails(interaction.params['authorization_details']);
    if (details.length > 0) grant.rar = [...details];
    return grant;
  }
}

interface ConsentDetails {
  readonly missingOIDCScope: readonly string[];
  readonly missingOIDCClaims: readonly string[];
  readonly missingResourceScopes: Readonly<Record<string, readonly string[]>>;
}

function consentDetails({ prompt }: Interaction): ConsentDetails {
  // The engine's own consent prompt puts these here, see its interaction policy.
  const details = prompt.details as Partial<ConsentDetails>;
  return {
    missingOIDCScope: details.missingOIDCScope ?? [],
    missingOIDCClaims: details.missingOIDCClaims ?? [],
    missingResourceScopes: details.missingResourceScopes ?? {},
  };
}

function isSomethingMissing(interaction: Interaction): boolean {
  const { missingOIDCScope, missingOIDCClaims, missingResourceScopes } = consentDetails(interaction);
  return missingOIDCScope.length + missingOIDCClaims.length + Object.keys(missingResourceScopes).length > 0;
}

/** All that the grant holds but its details of a single transaction (RFC 9396): they are agreed to each time. */
function consentOf(grant: Grant, client: Client): NewConsent {
  return {
    user_id: grant.accountId ?? '',
    client_id: client.clientId,
    client_type: factsOf(client).type,
    scopes: grant.getOIDCScope().split(' ').filter(Boolean),
    claims: grant.getOIDCClaims(),
    resource_scopes: Object.entries(grant.resources ?? {}).flatMap(([audience, scopes]) =>
      scopes
        .split(' ')
        .filter(Boolean)
        .map((scope) => resourceScope(audience, scope)),
    ),
  };
}

function consentGranted(interaction: Interaction, grantId: string): NewEvent {
  const { missingOIDCScope, missingOIDCClaims, missingResourceScopes } = consentDetails(interaction);
  return {
    type: 'consent.granted',
    outcome: 'success',
    actor: { type: 'user', id: interaction.session?.accountId },
    target: { type: 'grant', id: grantId },
    clientId: String(interaction.params['client_id']),
    data: {
      scopes: [...missingOIDCScope, ...Object.values(missingResourceScopes).flat()],
      ...(missingOIDCClaims.length > 0 ? { claims: [...missingOIDCClaims] } : {}),
    },
  };
}
