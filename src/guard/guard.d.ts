/** `poort/guard`: guards for APIs whose access tokens and API keys come from Poort. */
import type { IncomingMessage, ServerResponse } from 'node:http';

/** Who is calling: in `ctx.state.auth` (Koa) and `req.auth` (Express, node:http). Frozen. */
export interface Auth {
  /** The user's id; of a client that speaks for itself its `client_id`; of an API key its id. */
  readonly subject: string;
  /** The tenant's slug. */
  readonly tenant: string | undefined;
  readonly tenantId: string | undefined;
  readonly roles: readonly string[];
  /** `resource:action`, of this API only. */
  readonly permissions: readonly string[];
  readonly scopes: readonly string[];
  readonly clientId: string | undefined;
  readonly deviceId: string | undefined;
  readonly sessionId: string | undefined;
  readonly acr: string | undefined;
  readonly amr: readonly string[];
  /** Seconds since 1970. */
  readonly authTime: number | undefined;
  readonly mfaVerified: boolean;
  readonly tokenKind: 'user' | 'client' | 'device' | 'api_key';
  /** Everything that the token, or Poort, says; of an API key what Poort says of it. */
  readonly claims: Readonly<Record<string, unknown>>;
}

/** What a guard needs of Koa. */
export interface KoaContext {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly state: object;
  readonly originalUrl: string;
}

/** For `app.use` of Koa and of Express 4 and 5, for a route of either, and for node:http. */
export interface Middleware {
  (context: KoaContext, next: () => Promise<unknown>): Promise<void>;
  (request: IncomingMessage, response: ServerResponse, next: (error?: unknown) => unknown): Promise<void>;
  /** Resolves to whether the request may go on; otherwise it has been answered. */
  (request: IncomingMessage, response: ServerResponse): Promise<boolean>;
}

export interface Guard extends Middleware {
  /** Ends the connection on which this guard hears what is revoked. */
  close(): void;
}

export interface IssuerOptions {
  /** The tenant's issuer, letter for letter. */
  readonly issuer: string;
  /** The tenant's slug, where the issuer does not end in `/t/{slug}`. */
  readonly tenant?: string | undefined;
  /** For how long an answer of Poort is believed: 0 to 5, and 5 unless said otherwise. */
  readonly cacheSeconds?: number | undefined;
  /** How many answers are kept, of good and of bad credentials each; 10,000 unless said otherwise. */
  readonly maximumAnswers?: number | undefined;
  readonly clock?: (() => Date) | undefined;
  /** Another `fetch`, with a certificate authority of its own for example. */
  readonly fetch?: typeof globalThis.fetch | undefined;
  /** Lets the issuer be an `http:` address on another machine: on a network where nobody else listens. */
  readonly allowPlainHttp?: boolean | undefined;
  /** Hears why a check could not be made (the caller hears 503). Writes to the error output unless given. */
  readonly onFault?: ((fault: Error) => void) | undefined;
}

export interface AuthenticateOptions extends IssuerOptions {
  /** The identifier under which this API is registered. */
  readonly audience: string;
  /** `jwt`: by signature. `introspection`: by asking, for opaque tokens too. */
  readonly mode: 'jwt' | 'introspection';
  /** A client of type `resource_server`; needed for introspection, and to hear in `jwt` mode what is revoked. */
  readonly clientId?: string | undefined;
  readonly clientSecret?: string | undefined;
  /** Listen to what is revoked; on unless said otherwise. */
  readonly push?: boolean | undefined;
  readonly onPush?: ((state: PushState) => void) | undefined;
  /** Under which clients reach this server, for proofs (DPoP); the audience's origin unless said otherwise. */
  readonly publicUrl?: string | undefined;
  /** The address of this API's metadata (RFC 9728), told in every challenge. */
  readonly resourceMetadata?: string | undefined;
  /** Between two readings of the keys; 10 unless said otherwise. */
  readonly cooldownSeconds?: number | undefined;
  /** How long keys are good that cannot be read again; a day unless said otherwise. */
  readonly staleSeconds?: number | undefined;
  /** How many proofs are remembered; 100,000 unless said otherwise. */
  readonly maximumProofs?: number | undefined;
}

export type PushState =
  | { readonly state: 'listening' }
  | { readonly state: 'lost' }
  | { readonly state: 'told'; readonly type: string };

/**
 * Lets through who brings a good access token, and refuses others as RFC 6750 says: 401, 400 for a request that says it twice, 503 when
 * nobody could tell. Throws a TypeError for settings with which it could not keep that promise.
 */
export function authenticate(options: AuthenticateOptions): Guard;

/** Lets through who brings a good API key in `X-API-Key`. */
export function apiKey(options: IssuerOptions): Guard;

/** The same guard, for endpoints that serve everybody: who brings nothing goes on as nobody; what is bad is refused. */
export function optional(guard: Guard): Middleware;

/** All of these scopes, or 403. */
export function requireScope(...scopes: readonly string[]): Middleware;
/** One of these roles, or 403. */
export function requireRole(...roles: readonly string[]): Middleware;
/** All of these permissions (`resource:action`), or 403. */
export function requirePermission(...permissions: readonly string[]): Middleware;
/** Signed in in one of these ways, or 401 `insufficient_user_authentication` (RFC 9470). */
export function requireAcr(...values: readonly string[]): Middleware;
/** Signed in at most so many seconds ago, or 401 `insufficient_user_authentication` (RFC 9470). */
export function requireMaxAge(seconds: number): Middleware;

export interface RateLimitOptions {
  readonly limit: number;
  readonly windowSeconds: number;
  /** Whom to count; the API key or subject unless said otherwise, and before it is known the address (of IPv6 the /64). */
  readonly by?: (caller: {
    readonly auth: Auth | undefined;
    readonly address: string;
    readonly request: IncomingMessage;
  }) => string;
  /** Behind a proxy: where the address stands. The connection's address unless given. */
  readonly addressOf?: (request: IncomingMessage) => string;
  readonly store?: RateLimitStore;
  readonly maximumCallers?: number;
  readonly clock?: () => Date;
  /** In the RateLimit headers. */
  readonly name?: string;
  readonly onFault?: (fault: Error) => void;
}

/** Where requests are counted; in this process unless given. When it fails, requests are refused with 503. */
export interface RateLimitStore {
  /** Counts one more; `now` and `resetAt` are milliseconds since 1970. */
  hit(key: string, window: { readonly windowSeconds: number; readonly now: number }): Counted | Promise<Counted>;
}

export interface Counted {
  readonly count: number;
  readonly resetAt: number;
}

export function rateLimit(options: RateLimitOptions): Middleware;

export interface AuditRecord {
  readonly time: string;
  readonly requestId: string;
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly status: number;
  /** `anonymous`: let through as nobody. `unchecked`: no guard was asked. */
  readonly decision: 'allowed' | 'refused' | 'anonymous' | 'unchecked';
  /** Why it was refused, as the caller was told. */
  readonly reason: string | undefined;
  readonly subject: string | undefined;
  readonly tenant: string | undefined;
  readonly clientId: string | undefined;
  readonly tokenKind: Auth['tokenKind'] | undefined;
  readonly scopes: readonly string[];
}

/** One record for each request, when its answer is out. Put it first. */
export function audit(
  record: (record: AuditRecord) => unknown,
  options?: { readonly clock?: () => Date; readonly onFault?: (fault: Error) => void },
): Middleware;

export interface ProtectedResourceOptions {
  /** The audience of this API, which is an address. */
  readonly resource: string;
  readonly issuer: string | readonly string[];
  readonly scopes?: readonly string[];
  readonly name?: string;
  readonly documentation?: string;
  /** Further members of the document (RFC 9728 §2). */
  readonly [member: string]: unknown;
}

/** Serves `/.well-known/oauth-protected-resource` (RFC 9728) and lets everything else pass. */
export function protectedResource(options: ProtectedResourceOptions): Middleware;

/** The address at which `protectedResource` answers for a resource. */
export function metadataAddress(resource: string): string;

/** A listener for `createServer`: these guards in order, then the handler. */
export function guarded(
  ...guardsAndHandler: readonly [
    ...Middleware[],
    (request: IncomingMessage & { readonly auth?: Auth }, response: ServerResponse) => unknown,
  ]
): (request: IncomingMessage, response: ServerResponse) => Promise<void>;
