/**
 * Rich authorization requests (RFC 9396) as the engine serves them: what may be asked for, and that a token holds exactly what a
 * person agreed to, for the API it is for. Never without a person: a program that asks for itself has scopes.
 */
import { isDeepStrictEqual } from 'node:util';
import { errors, type KoaContextWithOIDC, type RichAuthorizationRequestsActiveConfiguration } from 'oidc-provider';
import {
  type AuthorizationDetail,
  type AuthorizationDetailsType,
  MAXIMUM_DETAILS,
  problemWithDetail,
} from '#src/domain/authorization_details.ts';

/** The engine's own feature, with the types that this tenant's APIs define. */
export function richAuthorizationRequests(
  types: readonly AuthorizationDetailsType[],
  { enabled }: { readonly enabled: boolean },
) {
  const audienceOf = (detail: AuthorizationDetail): string | undefined =>
    types.find(({ type }) => type === detail.type)?.audience;
  return {
    enabled,
    types: Object.fromEntries(types.map((type) => [type.type, { validate: validate(type) }])),
    authorizationDetailsForGrantSource: (ctx) => {
      const agreed: readonly unknown[] = ctx.oidc.grant?.rar ?? [];
      return detailsAskedFor(ctx).filter((detail) => isAmong(detail, agreed));
    },
    authorizationDetailsForAccessToken(ctx, token, source) {
      const agreed: readonly AuthorizationDetail[] = source?.rar ?? [];
      const asked = detailsAskedFor(ctx);
      // RFC 9396 §6: a token request can only narrow.
      if (!asked.every((detail) => isAmong(detail, agreed)))
        throw new errors.InvalidAuthorizationDetails('nobody agreed to these authorization_details');
      const chosen = ctx.oidc.params?.['authorization_details'] === undefined ? agreed : asked;
      const audiences = [token.aud ?? []].flat();
      return chosen.filter((detail) => audiences.includes(audienceOf(detail) ?? ''));
    },
    authorizationDetailsForIntrospection: (_ctx, token) => token.rar,
  } satisfies RichAuthorizationRequestsActiveConfiguration;
}

function validate(type: AuthorizationDetailsType) {
  return (ctx: KoaContextWithOIDC, detail: AuthorizationDetail): void => {
    const problem =
      detailsAskedFor(ctx).length > MAXIMUM_DETAILS ? 'too many of them' : problemWithDetail(type, detail);
    if (problem !== undefined) throw new errors.InvalidAuthorizationDetails(problem);
    const resources: readonly unknown[] = [ctx.oidc.params?.['resource'] ?? []].flat();
    const { route } = ctx.oidc;
    // At the token endpoint the API may be the one that was granted, without being named again.
    if (route !== 'token' && !resources.includes(type.audience))
      throw new errors.InvalidAuthorizationDetails(`${type.type} is for an API that is not asked for`);
  };
}

/** Those of the request, which the engine has parsed and checked before. */
export function detailsAskedFor({ oidc }: KoaContextWithOIDC): readonly AuthorizationDetail[] {
  return parseDetails(oidc.params?.['authorization_details']);
}

export function parseDetails(text: unknown): readonly AuthorizationDetail[] {
  return typeof text === 'string' ? (JSON.parse(text) as AuthorizationDetail[]) : [];
}

function isAmong(detail: AuthorizationDetail, details: readonly unknown[]): boolean {
  return details.some((candidate) => isDeepStrictEqual(candidate, detail));
}
