/** The page where a person decides what an application may do: who asks, for which account, and each right in plain words. */
import { displayName, type PageContext, type PageView, safeAddress } from '../kit/page_shell.ts';
import { type NamedScope, presentScope } from '../kit/scope_words.ts';

export interface ConsentModel {
  readonly action: string;
  readonly csrf: string;
  readonly applicationName: string;
  /** The e-mail address the person is signed in with. */
  readonly account: string;
  readonly scopes: readonly NamedScope[];
  /** The redirect address; its host, or its scheme for an installed app, is shown. */
  readonly redirectUri: string;
  /** The person agreed to other things before: what is shown here comes on top. */
  readonly isKnown?: boolean | undefined;
  /** Where one signs in as somebody else for this request. */
  readonly otherAccountAddress?: string | undefined;
  readonly accountAddress?: string | undefined;
}

export const consentPages = { consent: presentConsent };

function presentConsent(model: ConsentModel, { t }: PageContext): PageView {
  const application = displayName(model.applicationName);
  return {
    step: t('consent.step'),
    heading: t('consent.heading', { application }),
    failed: false,
    scripts: ['submit_guard'],
    action: model.action,
    csrf: model.csrf,
    account: displayName(model.account),
    scopesIntro: t(model.isKnown === true ? 'consent.new_scopes' : 'consent.scopes', { application }),
    known: model.isKnown === true ? t('consent.known', { application }) : undefined,
    fresh: model.isKnown === true ? t('consent.new') : undefined,
    scopes: model.scopes.map((scope) => presentScope(scope, t)),
    destination: destinationHost(model.redirectUri),
    otherAccount: safeAddress(model.otherAccountAddress),
    accountAddress: safeAddress(model.accountAddress),
  };
}

function destinationHost(redirectUri: string): string {
  if (!URL.canParse(redirectUri)) return displayName(redirectUri);
  const { protocol, host } = new URL(redirectUri);
  // The colon belongs to the address and not to the name; in a sentence it looks like a mistake.
  return host === '' || !['https:', 'http:'].includes(protocol) ? displayName(protocol.slice(0, -1)) : host;
}
