/** What introspection says of a token (RFC 7662), as identity.proto writes it. It decides nothing and leaves nothing out. */
import { actorsOf, parseActor } from '#src/domain/token_exchange.ts';
import type { Introspection } from '#src/oidc/inspect_token.ts';

/** Absent means absent on the wire: an empty text, list or zero where the field is not optional. */
export interface TokenResponse {
  readonly active: boolean;
  readonly subject?: string | undefined;
  readonly tenant?: string | undefined;
  readonly tenant_id?: string | undefined;
  readonly client_id?: string | undefined;
  readonly scopes?: readonly string[];
  readonly roles?: readonly string[];
  readonly permissions?: readonly string[];
  readonly audience?: readonly string[];
  readonly issuer?: string;
  readonly issued_at?: number;
  readonly expires_at?: number;
  readonly token_type?: string | undefined;
  readonly device_id?: string | undefined;
  readonly session_id?: string | undefined;
  readonly acr?: string | undefined;
  readonly amr?: readonly string[];
  readonly auth_time?: number | undefined;
  readonly mfa_verified?: boolean | undefined;
  readonly jti?: string | undefined;
  readonly confirmation?: { readonly jkt?: string | undefined; readonly x5t_s256?: string | undefined } | undefined;
  readonly kind?: SubjectKind;
  readonly actor?: ActorMessage | undefined;
  readonly authorization_details?: string | undefined;
}

export type SubjectKind = 'SUBJECT_KIND_USER' | 'SUBJECT_KIND_CLIENT' | 'SUBJECT_KIND_DEVICE';

interface ActorMessage {
  readonly subject: string;
  readonly actor?: ActorMessage | undefined;
}

export const inactive: TokenResponse = { active: false };

export function toTokenResponse(introspection: Introspection): TokenResponse {
  const { client_id, iss, iat, exp, cnf, authorization_details: details } = introspection;
  const text = (claim: string): string | undefined => textOf(introspection[claim]);
  return {
    active: true,
    subject: text('sub'),
    tenant: text('tenant'),
    tenant_id: text('tenant_id'),
    client_id,
    scopes: text('scope')?.split(' ') ?? [],
    roles: texts(introspection['roles']),
    permissions: texts(introspection['permissions']),
    audience: texts(introspection['aud']),
    issuer: iss,
    issued_at: iat,
    expires_at: exp,
    token_type: text('token_type'),
    device_id: text('device_id'),
    session_id: text('sid'),
    acr: text('acr'),
    amr: texts(introspection['amr']),
    auth_time: typeof introspection['auth_time'] === 'number' ? introspection['auth_time'] : undefined,
    mfa_verified: typeof introspection['mfa_verified'] === 'boolean' ? introspection['mfa_verified'] : undefined,
    jti: text('jti'),
    confirmation: confirmationOf(cnf),
    kind: kindOf(introspection),
    actor: actorMessage(actorsOf(parseActor(introspection['act']))),
    authorization_details: details === undefined ? undefined : JSON.stringify(details),
  };
}

/** What speaks for a person says which roles they have, be it none. */
function kindOf(introspection: Introspection): SubjectKind {
  if (introspection['device_id'] !== undefined) return 'SUBJECT_KIND_DEVICE';
  return introspection['roles'] === undefined ? 'SUBJECT_KIND_CLIENT' : 'SUBJECT_KIND_USER';
}

function confirmationOf(cnf: unknown): TokenResponse['confirmation'] {
  if (typeof cnf !== 'object' || cnf === null) return undefined;
  const { jkt, 'x5t#S256': certificate } = cnf as Readonly<Record<string, unknown>>;
  return { jkt: textOf(jkt), x5t_s256: textOf(certificate) };
}

/** The latest first, and whoever acted before inside. */
function actorMessage([subject, ...before]: readonly string[]): ActorMessage | undefined {
  return subject === undefined ? undefined : { subject, actor: actorMessage(before) };
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function texts(value: unknown): readonly string[] {
  return [value ?? []].flat().filter((item) => typeof item === 'string');
}
