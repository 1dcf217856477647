/** The sign-in page, in every state. */
import type { SignInModel } from '#src/http/pages/interaction/sign_in_models.ts';
import { testBrand } from '#test/support/logos.ts';
import { csrf, type PageFixtures } from './page_state.ts';

const first: SignInModel = { action: '/t/linde/interaction/abc/sign-in', csrf };
const links = { forgot: '/t/linde/forgot', signUp: '/t/linde/signup' };
const email = 'ada@linde.example';

export const signInFixtures = {
  sign_in: {
    initial: { model: first },
    error: { model: { ...first, email, error: 'credentials', links } },
    success: { without: 'leads on to the application' },
    more: {
      'with every link and a login hint': { model: { ...first, loginHint: email, links } },
      'whose language switch posts the form': { model: first, shell: { languageSwitch: { kind: 'form' } } },
      'for who is signed in already': { model: { ...first, signedInAs: email } },
      'with passkeys': { model: { ...first, passkey: { challenge: 'YWJj', rpId: 'linde.example' } } },
      'error with a passkey': {
        model: { ...first, passkey: { challenge: 'YWJj', rpId: 'linde.example' }, error: 'passkey' },
      },
      'error without an address': { model: { ...first, error: 'missing_email' } },
      'error without a password': { model: { ...first, email, error: 'missing_password' } },
      'error with nothing filled in': { model: { ...first, error: 'missing_both' } },
      'error while throttled': { model: { ...first, email, error: 'throttled', retryAfterMinutes: 15, links } },
      'error while throttled for a last minute': { model: { ...first, error: 'throttled', retryAfterMinutes: 0.4 } },
      'error while throttled for who knows how long': { model: { ...first, error: 'throttled' } },
      'error while busy': { model: { ...first, email, error: 'busy' } },
      'error with a stale form': { model: { ...first, error: 'stale_form' } },
      'in the colours of its tenant': { model: { ...first, links }, brand: testBrand },
      'error in the colours of its tenant': {
        model: { ...first, email, error: 'credentials' },
        brand: { color: '#ffe600' },
      },
      'without an application': { model: first, shell: { applicationName: undefined, languageSwitch: undefined } },
    },
  },
} satisfies Pick<PageFixtures, 'sign_in'>;
