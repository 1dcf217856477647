/**
 * Access tokens at the tenant's own REST API: opaque ones that were made for no API (RFC 8707 names another one's audience), with the
 * proof that a bound one needs (RFC 9449 §7, RFC 8705 §3). Everything a token hangs on comes with it in one read: its grant, its person,
 * its device. Whether it suffices for a call is for the door.
 */
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type Provider from 'oidc-provider';
import { type Client, errors, type KoaContextWithOIDC } from 'oidc-provider';
import { checkDpopReplay, validateDpop } from 'oidc-provider/lib/helpers/grants.js';
import { valuePrefixes } from '#adapters/artifacts_adapter.ts';
import { currentUnitOfWork, hashOf } from '#adapters/unit_of_work.ts';
import { isOwnScope } from '#src/domain/own_scope.ts';
import { deviceIdOf } from './accounts.ts';
import { certificateOf } from './client_certificates.ts';
import { factsOf } from './policies.ts';

/** Who calls. What of it may be done is for the door. */
export interface TokenCaller {
  /** `device`: a person's device, in their name. `client`: an application in its own name (RFC 6749 §4.4). */
  readonly kind: 'user' | 'client' | 'device';
  /** Undefined for a client. */
  readonly userId: string | undefined;
  readonly clientId: string;
  readonly deviceId: string | undefined;
  /** The tenant's own application: it speaks for whoever is signed in as one whole. */
  readonly firstParty: boolean;
  readonly scopes: ReadonlySet<string>;
  /** What the person is and may do in this tenant at this moment; nothing for a client. */
  readonly roles: readonly string[];
  readonly permissions: readonly string[];
  /** Two factors were proven at the sign-in that the token comes from. */
  readonly multiFactor: boolean;
  /** The session that a person's token is of. */
  readonly session: CallerSession | undefined;
}

/** How the person who calls had signed in. */
export interface CallerSession {
  /** As the list of sessions names it. It opens nothing. */
  readonly id: string;
  readonly authenticatedAt: Date;
  /** RFC 8176. */
  readonly amr: readonly string[];
  readonly acr: string | undefined;
}

export type TokenAuthentication =
  | { readonly outcome: 'valid'; readonly caller: TokenCaller }
  /** RFC 6750 §3.1, RFC 9449 §7.1. `scheme`: how it has to be presented. */
  | {
      readonly outcome: 'refused';
      readonly scheme: 'Bearer' | 'DPoP';
      readonly error: 'invalid_token' | 'invalid_dpop_proof' | 'use_dpop_nonce';
    };

export interface PresentedToken {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly scheme: 'Bearer' | 'DPoP';
  readonly token: string;
  /** Where the request went, without a query: what a proof must name (RFC 9449 §4.3). */
  readonly address: string;
}

type Context = Parameters<typeof validateDpop>[1];

const invalid = { outcome: 'refused', scheme: 'Bearer', error: 'invalid_token' } as const;
const unproven = { outcome: 'refused', scheme: 'DPoP', error: 'invalid_token' } as const;

/** In a unit of work. The same answer for what never was, is over, was revoked, is another tenant's, or was made for an API. */
export async function authenticateToken(
  provider: Provider,
  presented: PresentedToken,
  { acceptCertificates }: { readonly acceptCertificates: boolean },
): Promise<TokenAuthentication> {
  const { token: value, scheme } = presented;
  if (!value.startsWith(valuePrefixes.AccessToken ?? '')) return invalid;
  // Read with its person; whoever asks for the same from here on in this request is answered from it.
  if ((await currentUnitOfWork().find('AccessToken', hashOf(value), { withAccount: true })) === undefined)
    return invalid;
  const token = (await provider.AccessToken.find(value)) ?? (await provider.ClientCredentials.find(value));
  if (token === undefined || token.aud !== undefined || token.clientId === undefined) return invalid;
  const client = await provider.Client.find(token.clientId);
  if (client === undefined) return invalid;

  if (token['x5t#S256'] !== undefined) {
    const certificate = acceptCertificates ? certificateOf(presented.request) : undefined;
    if (certificate === undefined || thumbprintOf(certificate.raw) !== token['x5t#S256']) return invalid;
  }
  // A bound token without its proof is a stolen one; a proof for a token that is bound to nothing proves nothing.
  if (token.jkt === undefined) return scheme === 'Bearer' ? callerOf(provider, { token, client }) : invalid;
  if (scheme !== 'DPoP') return unproven;
  const refused = await refusalOfProof(provider, presented, { client, thumbprint: token.jkt });
  return refused ?? callerOf(provider, { token, client });
}

type Token = InstanceType<Provider['AccessToken']> | InstanceType<Provider['ClientCredentials']>;

async function callerOf(
  provider: Provider,
  { token, client }: { token: Token; client: Client },
): Promise<TokenAuthentication> {
  const facts = factsOf(client);
  const common = {
    clientId: client.clientId,
    firstParty: facts.firstParty,
    // What a client is no longer registered for is not in the tokens that it has got either.
    scopes: new Set(
      (token.scope ?? '')
        .split(' ')
        .filter((name) => name !== '' && (!isOwnScope(name) || facts.scopes.includes(name))),
    ),
  };
  if (!(token instanceof provider.AccessToken))
    return {
      outcome: 'valid',
      caller: {
        kind: 'client',
        userId: undefined,
        deviceId: undefined,
        roles: [],
        permissions: [],
        multiFactor: false,
        session: undefined,
        ...common,
      },
    };
  const { accountId, grantId } = token;
  const grant = grantId === undefined ? undefined : await provider.Grant.find(grantId);
  const account = await currentUnitOfWork().findAccount(accountId);
  if (grant === undefined || account === undefined) return invalid;
  if (grant.clientId !== client.clientId || grant.accountId !== accountId) return invalid;
  const deviceId = deviceIdOf(grant);
  const kind = deviceId === undefined ? 'user' : 'device';
  const { roles, permissions } = account;
  const multiFactor = token.extra?.['mfa_verified'] === true;
  const session = sessionOf(token);
  return {
    outcome: 'valid',
    caller: { kind, userId: accountId, deviceId, roles, permissions, multiFactor, session, ...common },
  };
}

/** As it was written into the token, see accounts.ts. */
function sessionOf({ sessionUid, extra }: InstanceType<Provider['AccessToken']>): CallerSession | undefined {
  const { amr, acr, auth_time: at } = extra ?? {};
  if (sessionUid === undefined || typeof at !== 'number') return undefined;
  return {
    id: sessionUid,
    authenticatedAt: new Date(at * 1000),
    amr: Array.isArray(amr) ? amr.filter((method) => typeof method === 'string') : [],
    acr: typeof acr === 'string' ? acr : undefined,
  };
}

/** Undefined when the caller has the key that the token is bound to, and has proven it for this very request. */
async function refusalOfProof(
  provider: Provider,
  { request, response, token, address }: PresentedToken,
  { client, thumbprint }: { client: Client; thumbprint: string },
): Promise<TokenAuthentication | undefined> {
  const ctx = contextFor(provider, { request, response, address, client });
  try {
    const proof = await validateDpop(provider, ctx, token);
    if (proof === undefined || proof.thumbprint !== thumbprint) return unproven;
    await checkDpopReplay(provider, ctx, proof, client.clientId);
    return undefined;
  } catch (fault) {
    if (fault instanceof errors.UseDpopNonce) return { outcome: 'refused', scheme: 'DPoP', error: 'use_dpop_nonce' };
    if (fault instanceof errors.InvalidDpopProof || fault instanceof errors.InvalidGrant)
      return { outcome: 'refused', scheme: 'DPoP', error: 'invalid_dpop_proof' };
    throw fault;
  }
}

/** The engine's context of a request that is none of its own: a proof must name the address that was asked for. */
function contextFor(
  provider: Provider,
  { request, response, address, client }: Pick<PresentedToken, 'request' | 'response' | 'address'> & { client: Client },
): Context {
  const ctx = provider.createContext(request, response);
  const oidc = Object.assign(new provider.OIDCContext(ctx as unknown as KoaContextWithOIDC), {
    route: 'api',
    urlFor: () => address,
  });
  oidc.entity('Client', client);
  return Object.assign(ctx, { oidc }) as unknown as Context; // what the engine reads of a context is there
}

/** RFC 8705 §3.1. */
function thumbprintOf(certificate: Buffer): string {
  return createHash('sha256').update(certificate).digest('base64url');
}
