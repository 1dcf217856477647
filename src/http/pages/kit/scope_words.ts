/** Scopes in plain words, wherever a person is asked about them or looks back at what was given. */
import { isOwnScope } from '#src/domain/own_scope.ts';
import { displayName } from './page_shell.ts';
import type { Translate } from './translations.ts';

export interface NamedScope {
  readonly name: string;
  /** What the API's administrator wrote about it. Standard scopes need none: their words are built in. */
  readonly description?: string | undefined;
}

/** For partials/scopes: words where there are any, and the bare name where those words are somebody else's or missing. */
export interface ScopeView {
  readonly words?: string;
  readonly code?: string;
  readonly detail?: string;
}

// Standard scopes whose words are ours: OpenID Connect Core §5.4 and §11.
const knownScopes: readonly string[] = ['openid', 'profile', 'email', 'phone', 'address', 'offline_access'];
const explainedScopes: readonly string[] = ['openid', 'offline_access'];

export function presentScope({ name, description }: NamedScope, t: Translate): ScopeView {
  if (knownScopes.includes(name)) {
    const words = t(`consent.scope.${name}`);
    return explainedScopes.includes(name) ? { words, detail: t(`consent.scope.${name}_detail`) } : { words };
  }
  // A name of ours that a tenant's API has too is the API's, and comes with its words.
  if (isOwnScope(name) && description === undefined) return { words: t(`consent.scope.${name.replaceAll(':', '_')}`) };
  const code = displayName(name);
  return description === undefined ? { code } : { words: displayName(description), code };
}
