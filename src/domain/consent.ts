/**
 * This file owns what a person has agreed to and how much of a request it covers. It does not own how that is kept
 * (storage/tables/consents.ts) or when somebody is asked (oidc/policies.ts).
 */

/** What was agreed to, or what is asked for, in words of the protocol. */
export interface Rights {
  readonly scopes: readonly string[];
  readonly claims: readonly string[];
  /** Each as `audience scope`: neither holds a space. */
  readonly resource_scopes: readonly string[];
}

export interface NamedRight {
  readonly name: string;
  readonly description: string | undefined;
}

interface ApiWords {
  readonly audience: string;
  readonly scopes: readonly { readonly name: string; readonly description: string }[];
}

export function resourceScope(audience: string, scope: string): string {
  return `${audience} ${scope}`;
}

/** The other way around. */
export function splitResourceScope(text: string): { readonly audience: string; readonly scope: string } {
  const at = text.indexOf(' ');
  return { audience: text.slice(0, at), scope: text.slice(at + 1) };
}

/** What of the request was agreed to before: never more than is asked for now. */
export function rememberedPart(asked: Rights, agreed: Rights): Rights {
  const both = (wanted: readonly string[], given: readonly string[]) => wanted.filter((right) => given.includes(right));
  return {
    scopes: both(asked.scopes, agreed.scopes),
    claims: both(asked.claims, agreed.claims),
    resource_scopes: both(asked.resource_scopes, agreed.resource_scopes),
  };
}

export function isNothing({ scopes, claims, resource_scopes: resourceScopes }: Rights): boolean {
  return scopes.length + claims.length + resourceScopes.length === 0;
}

/** Everything agreed to, for a person to read; what an API says about its scope, when it still says something. */
export function rightsOf(agreed: Rights, apis: readonly ApiWords[]): readonly NamedRight[] {
  const own = [...new Set([...agreed.scopes, ...agreed.claims])];
  return [
    ...own.map((name) => ({ name, description: undefined })),
    ...agreed.resource_scopes.map(splitResourceScope).map(({ audience, scope }) => ({
      name: scope,
      description: apis.find((api) => api.audience === audience)?.scopes.find((candidate) => candidate.name === scope)
        ?.description,
    })),
  ];
}
