/**
 * What a client signs to say something to us: that it is who it claims to be (RFC 7523), or what it asks for (RFC 9101). The
 * engine checks signature, issuer and times; here is what it leaves open, because one signed text must never do for another.
 */
import { errors, type KoaContextWithOIDC } from 'oidc-provider';
import { factsOf } from './policies.ts';
import { refuseSignedParameters } from './request_limits.ts';

type Members = Readonly<Record<string, unknown>>;

interface Statement {
  readonly claims: Members;
  readonly header: Members;
}

/** `typ` of a client assertion: none or `JWT` as RFC 7523 has it, or the explicit one of its successor. */
const assertionTypes: ReadonlySet<unknown> = new Set([undefined, 'jwt', 'client-authentication+jwt']);
/** RFC 9101 §10.8, and what was usual before it. */
const requestObjectTypes: ReadonlySet<unknown> = new Set([undefined, 'jwt', 'oauth-authz-req+jwt']);
const longestStatementSeconds = 24 * 60 * 60;
/** FAPI 2.0 Security Profile §5.4.1; the others that we take are in it. */
const outsideProfile = 'RS256';

/**
 * RFC 8725 §3.11: what a client's key signed for another purpose (a DPoP proof, a request object) is no proof of who asks. And
 * since an assertion is remembered until it expires, it must expire. Throws `InvalidClientAuth`.
 */
export async function assertIsClientAssertion(
  ctx: KoaContextWithOIDC,
  { claims, header }: Statement,
  nowSeconds: number,
): Promise<void> {
  const refuse = (reason: string): never => {
    throw new errors.InvalidClientAuth(reason);
  };
  if (!assertionTypes.has(typeOf(header))) refuse('a client assertion must not be typed as something else');
  // The issuer alone and no list: an assertion for one server, handed on by it, must open no other (rfc7523bis §4).
  if (claims['aud'] !== ctx.oidc.issuer) refuse('the audience of a client assertion is the issuer, and nothing else');
  if (!expiresSoon(claims, nowSeconds)) refuse('a client assertion must expire within a day');
  if (keepsToProfile(ctx) && header['alg'] === outsideProfile) refuse('the algorithm is not in the FAPI 2.0 profile');
}

/** The same for request objects. Throws `InvalidRequestObject`, or `InvalidRequest` for what no request may hold. */
export async function assertIsRequestObject(
  ctx: KoaContextWithOIDC,
  { claims, header }: Statement,
  nowSeconds: number,
): Promise<void> {
  const refuse = (reason: string): never => {
    throw new errors.InvalidRequestObject(reason);
  };
  if (!requestObjectTypes.has(typeOf(header))) refuse('a request object must not be typed as something else');
  if (claims['aud'] !== ctx.oidc.issuer) refuse('the audience of a request object is the issuer, and nothing else');
  // RFC 9101 §10.8: what has a subject could be taken for a statement about who that is
  if (claims['sub'] !== undefined) refuse('a request object has no subject');
  if (!expiresSoon(claims, nowSeconds)) refuse('a request object must expire within a day');
  refuseSignedParameters(claims);
  if (keepsToProfile(ctx) && header['alg'] === outsideProfile) refuse('the algorithm is not in the FAPI 2.0 profile');
}

function typeOf({ typ }: Members): unknown {
  return typeof typ === 'string' ? typ.toLowerCase() : typ;
}

function expiresSoon(claims: Members, nowSeconds: number): boolean {
  return Number(claims['exp']) <= nowSeconds + longestStatementSeconds;
}

function keepsToProfile({ oidc }: KoaContextWithOIDC): boolean {
  return oidc.client !== undefined && factsOf(oidc.client).fapiProfile !== undefined;
}
