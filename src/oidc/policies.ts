/** Who may learn about a token, which APIs a client may ask for, and when a person must be asked something. */
import type Provider from 'oidc-provider';
import {
  type ClaimsParameter,
  type Client,
  errors,
  interactionPolicy,
  type KoaContextWithOIDC,
  type ResourceServer,
} from 'oidc-provider';
import { currentUnitOfWork } from '#adapters/unit_of_work.ts';
import { AUTHENTICATION_CONTEXTS, wantsMultiFactor } from '#src/domain/authentication.ts';
import { isNothing, type Rights, rememberedPart, resourceScope, splitResourceScope } from '#src/domain/consent.ts';
import { MAXIMUM_GRACE_SECONDS } from '#src/domain/rotation.ts';
import type { ApiRow } from '#src/storage/tables/apis.ts';
import { readConsent } from '#src/storage/tables/consents.ts';
import { scopeOfClaim } from './accounts.ts';

/** Our own metadata of a client, see adapters/clients_adapter.ts. */
export interface ClientFacts {
  readonly type: string;
  readonly firstParty: boolean;
  readonly audiences: readonly string[];
  readonly scopes: readonly string[];
  readonly secretHashes: readonly string[];
  /** How long its used refresh tokens may be repeated; undefined takes its type's default. */
  readonly refreshGraceSeconds: number | undefined;
  readonly refreshRotation: 'always' | 'unless_sender_constrained';
  readonly allowedOrigins: readonly string[];
  readonly fapiProfile: '2.0' | undefined;
  readonly requireDpopNonce: boolean;
  /** The APIs it may go on to with a token it was called with (RFC 8693). */
  readonly exchangeTargets: readonly string[];
}

type Grant = InstanceType<Provider['Grant']>;

const factsByClient = new WeakMap<Client, ClientFacts>();

/** Read once for each client the engine has made: they never change, a changed client is another one. */
export function factsOf(client: Client): ClientFacts {
  const known = factsByClient.get(client);
  if (known !== undefined) return known;
  // Ours, as it was stored; see the adapter.
  const settings = (client['poort_settings'] ?? {}) as Readonly<Record<string, unknown>>;
  const facts: ClientFacts = {
    type: typeof client['poort_type'] === 'string' ? client['poort_type'] : '',
    firstParty: client['poort_first_party'] === true,
    audiences: texts(client['poort_audiences']),
    scopes: texts(client['poort_scopes']),
    secretHashes: texts(client['poort_secret_hashes']),
    ...rotationFacts(settings),
    allowedOrigins: texts(settings['allowed_origins']),
    fapiProfile: settings['fapi_profile'] === '2.0' ? '2.0' : undefined,
    requireDpopNonce: settings['require_dpop_nonce'] === true,
    exchangeTargets: texts(settings['token_exchange_audiences']),
  };
  factsByClient.set(client, facts);
  return facts;
}

/** Anything but a setting that was checked when it was registered counts as the strictest. */
function rotationFacts({
  refresh_grace_seconds: grace,
  refresh_rotation: rotation,
}: Readonly<Record<string, unknown>>): Pick<ClientFacts, 'refreshGraceSeconds' | 'refreshRotation'> {
  const known = typeof grace === 'number' && grace >= 0 && grace <= MAXIMUM_GRACE_SECONDS;
  return {
    refreshGraceSeconds: grace === undefined ? undefined : known ? grace : 0,
    refreshRotation: rotation === 'unless_sender_constrained' ? rotation : 'always',
  };
}

function texts(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}

/**
 * OpenID Connect Core 1.0 §5.5. A claim is asked for like the scope that opens it: who may not have the scope does not get
 * behind it one claim at a time. Throws `InvalidRequest`.
 */
export function assertMayAskForClaims(client: Client, { userinfo, id_token }: ClaimsParameter): void {
  const mine = new Set(factsOf(client).scopes);
  for (const claim of Object.keys({ ...userinfo, ...id_token })) {
    const scope = scopeOfClaim.get(claim);
    if (scope !== undefined && scope !== 'openid' && !mine.has(scope))
      throw new errors.InvalidRequest(`this client may not ask for the claim ${claim}`);
  }
}

interface IntrospectedToken {
  readonly kind: string;
  readonly clientId?: string | undefined;
  readonly aud?: string | string[] | undefined;
}

/**
 * RFC 7662 §2.2, docs/decisions/0013: a client learns about its own tokens, and a resource server about those made for it. A
 * refresh token is for nobody but its own client.
 */
export function mayIntrospect(client: Client, token: IntrospectedToken, apis: ReadonlyMap<string, ApiRow>): boolean {
  const audiences = [token.aud ?? []].flat();
  // What an API that was disabled has got is no good to anyone.
  if (!audiences.every((audience) => apis.has(audience))) return false;
  // A refresh token's state would tell a thief when its owner has used it, and so when to come in the owner's grace. A client
  // that cannot authenticate is anybody.
  if (token.kind === 'RefreshToken') return token.clientId === client.clientId && client.clientAuthMethod !== 'none';
  if (token.clientId === client.clientId) return true;
  const facts = factsOf(client);
  if (facts.type !== 'resource_server') return false;
  return audiences.some((audience) => facts.audiences.length === 0 || facts.audiences.includes(audience));
}

/** RFC 8707. The scopes are those of the API that this client was given: a token can only ever narrow them. */
export function resourceServerInfo(
  api: ApiRow | undefined,
  { client, accessTokenSeconds }: { client: Client; accessTokenSeconds: number },
): ResourceServer {
  if (api === undefined) throw new errors.InvalidTarget();
  const allowed = new Set(factsOf(client).scopes);
  const info = {
    audience: api.audience,
    scope: api.scopes
      .map((scope) => scope.name)
      .filter((name) => allowed.has(name))
      .join(' '),
    accessTokenTTL: accessTokenSeconds,
  };
  if (api.token_format === 'opaque') return { ...info, accessTokenFormat: 'opaque' };
  return { ...info, accessTokenFormat: 'jwt', jwt: { sign: { alg: api.signing_alg } } };
}

/** The engine's own policy, but a first-party application of the same house is not asked about by every native sign-in. */
export function createInteractionPolicy(): interactionPolicy.DefaultPolicy {
  const policy = interactionPolicy.base();
  // Shut out between signing in and coming back: the engine would go on with nobody.
  policy
    .get('login')
    ?.checks.add(
      new interactionPolicy.Check(
        'account_gone',
        'the person is not here any more',
        'login_required',
        ({ oidc }) => oidc.session?.accountId !== undefined && oidc.account === undefined,
      ),
    );
  const consent = policy.get('consent');
  consent?.checks.remove('native_client_prompt');
  consent?.checks.add(
    new interactionPolicy.Check(
      'native_client_prompt',
      'native clients require End-User interaction',
      'interaction_required',
      ({ oidc }) =>
        oidc.client?.applicationType === 'native' &&
        !factsOf(oidc.client).firstParty &&
        oidc.result?.consent === undefined,
    ),
    0,
  );
  policy.add(
    new interactionPolicy.Prompt(
      { name: secondFactorPrompt, requestable: false },
      new interactionPolicy.Check(
        'second_factor_wanted',
        'the application asks for a second factor',
        'unmet_authentication_requirements',
        ({ oidc }) =>
          oidc.session?.accountId !== undefined &&
          oidc.session.acr !== AUTHENTICATION_CONTEXTS.multiFactor &&
          asksForMultiFactor(oidc.params),
      ),
    ),
    1,
  );
  // Resolved by whoever signs in afterwards, see `resultOf` in tenant_engine.ts.
  policy.add(new interactionPolicy.Prompt({ name: createPrompt, requestable: true }), 0);
  return policy;
}

/** Asks for an account to be made first (OpenID Connect Initiating User Registration 1.0 §4). */
export const createPrompt = 'create';

/** Asks for a second factor in a session that one alone has opened (RFC 9470). A sign-in that begins asks for both at once. */
export const secondFactorPrompt = 'second_factor';

/** By `acr_values`, or as an essential claim (OpenID Connect Core 1.0 §5.5.1.1). */
export function asksForMultiFactor(params: Readonly<Record<string, unknown>> | undefined): boolean {
  const { acr_values: acrValues, claims } = params ?? {};
  const preferred = typeof acrValues === 'string' ? acrValues.split(' ') : [];
  return wantsMultiFactor(preferred) || wantsMultiFactor(essentialContexts(claims));
}

function essentialContexts(claims: unknown): readonly string[] {
  const parsed: unknown = typeof claims === 'string' ? parseJson(claims) : claims;
  const acr = (parsed as ClaimsParameter | null | undefined)?.id_token?.['acr'];
  if (acr?.essential !== true) return [];
  return texts([acr.value ?? [], acr.values ?? []].flat());
}

/** The engine has checked it; whoever else asks gets nothing out of what is no JSON. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A grant that lives as long as the longest chain a client of this type may have under it, see `ttl.Grant` in provider.ts. */
export function newGrant(provider: Provider, { client, accountId }: { client: Client; accountId: string }): Grant {
  const grant = new provider.Grant({ clientId: client.clientId, accountId });
  // The engine's token models take their client so; the types know it of some only.
  return Object.assign(grant, { client });
}

/**
 * The grant this request can rely on. A first-party client needs nobody's consent: its grant comes into being with what it
 * asks for. Everyone else's must have been given by the person, in this session or in an earlier one; never more of it than is
 * asked for now, so that a token says what this sign-in was for.
 */
export async function loadExistingGrant(ctx: KoaContextWithOIDC) {
  const { oidc } = ctx;
  const { client, session } = oidc;
  if (client === undefined || session?.accountId === undefined) return undefined;
  const grantId = oidc.result?.consent?.grantId ?? session.grantIdFor(client.clientId);
  const known = grantId === undefined ? undefined : await oidc.provider.Grant.find(grantId);
  if (!factsOf(client).firstParty) return withRemembered(ctx, { client, accountId: session.accountId, known });

  const grant = known ?? newGrant(oidc.provider, { client, accountId: session.accountId });
  const before = JSON.stringify(grant);
  grant.addOIDCScope([...oidc.requestParamOIDCScopes].join(' '));
  if (oidc.requestParamClaims.size > 0) grant.addOIDCClaims([...oidc.requestParamClaims]);
  for (const [audience, resourceServer] of Object.entries(oidc.resourceServers ?? {})) {
    const asked = [...oidc.requestParamScopes].filter((scope) => resourceServer.scopes.has(scope));
    if (asked.length > 0) grant.addResourceScope(audience, asked.join(' '));
  }
  if (known === undefined || JSON.stringify(grant) !== before) await grant.save();
  return grant;
}

/** Adds what the person agreed to before; asked of the database only when the grant of this session lacks something. */
async function withRemembered(
  { oidc }: KoaContextWithOIDC,
  { client, accountId, known }: { client: Client; accountId: string; known: Grant | undefined },
): Promise<Grant | undefined> {
  const missing = missingRights(oidc, known);
  if (isNothing(missing)) return known;
  const agreed = await readConsent(currentUnitOfWork().tenant, { userId: accountId, clientId: client.clientId });
  if (agreed === undefined) return known;
  const remembered = rememberedPart(missing, agreed);
  if (isNothing(remembered)) return known;
  const grant = known ?? newGrant(oidc.provider, { client, accountId });
  if (remembered.scopes.length > 0) grant.addOIDCScope(remembered.scopes.join(' '));
  if (remembered.claims.length > 0) grant.addOIDCClaims([...remembered.claims]);
  for (const { audience, scope } of remembered.resource_scopes.map(splitResourceScope))
    grant.addResourceScope(audience, scope);
  await grant.save();
  return grant;
}

/** Claims that tell of the sign-in and not of the person: nobody is asked about them. */
const aboutSignIn: ReadonlySet<string> = new Set(['sub', 'sid', 'auth_time', 'acr', 'amr', 'iss']);

/** What the engine's consent prompt would find missing, see its interaction policy. */
function missingRights(oidc: KoaContextWithOIDC['oidc'], known: Grant | undefined): Rights {
  const scopes = new Set(known?.getOIDCScopeEncountered().split(' '));
  const claims = new Set(known?.getOIDCClaimsEncountered());
  return {
    scopes: [...oidc.requestParamOIDCScopes].filter((scope) => !scopes.has(scope)),
    claims: [...oidc.requestParamClaims].filter((claim) => !claims.has(claim) && !aboutSignIn.has(claim)),
    resource_scopes: Object.entries(oidc.resourceServers ?? {}).flatMap(([audience, { scopes: offered }]) => {
      const granted = new Set(known?.getResourceScopeEncountered(audience).split(' '));
      const wanted = [...oidc.requestParamScopes].filter((scope) => offered.has(scope) && !granted.has(scope));
      return wanted.map((scope) => resourceScope(audience, scope));
    }),
  };
}
