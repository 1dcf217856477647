/** The pages for whoever is not signed in, in every state. */
import type {
  EnterCodeModel,
  ForgotModel,
  InviteModel,
  PasswordRules,
  ResetModel,
  SignUpModel,
  VerifyModel,
} from '#src/http/pages/visitors/visitor_models.ts';
import { account, csrf, type PageFixtures } from './page_state.ts';

const base = '/t/linde';
const rules: PasswordRules = {
  'password.minimum_characters': 12,
  'password.minimum_characters_with_second_factor': 8,
  'password.minimum_strength': 3,
  'password.composition': false,
  'password.history': 0,
  'password.breached_range_api': false,
};
const composed: PasswordRules = { ...rules, 'password.composition': true };
const token = 'W0t1c4Yb5e6d7f8g9h0i1j2k3l4m5n6o7p8q9r0s1t2';
const signInAddress = `${base}/interaction/abc?sign_in`;
const documents = { terms: 'https://linde.example/terms', privacy: 'https://linde.example/privacy' };

const signUp: SignUpModel = { action: `${base}/signup`, csrf, rules, signInAddress };
const enterCode: EnterCodeModel = { action: `${base}/verify`, csrf, address: account, againAddress: `${base}/signup` };
const verify: VerifyModel = {
  action: `${base}/verify`,
  csrf,
  token,
  purpose: 'registration',
  address: account,
  needsPassword: false,
};
const forgot: ForgotModel = { action: `${base}/forgot`, csrf, signInAddress };
const reset: ResetModel = { action: `${base}/reset`, csrf, token, rules, againAddress: `${base}/forgot` };
const invite: InviteModel = { action: `${base}/invite`, csrf, token, email: account, known: false, rules };

const leadsOn = { without: 'leads on to another page' } as const;
const hasNoForm = { without: 'has no form' } as const;

export const visitorFixtures = {
  signup: {
    initial: { model: signUp, shell: { languageSwitch: { kind: 'form' } } },
    error: {
      model: {
        ...signUp,
        email: account,
        problems: [
          { field: 'email', reason: 'invalid' },
          { field: 'given_name', reason: 'invalid' },
          { field: 'family_name', reason: 'invalid' },
          { field: 'password', reason: 'breached' },
        ],
      },
    },
    success: leadsOn,
    more: {
      'with usernames, documents and composition': {
        model: { ...signUp, ...documents, rules: composed, username: 'ada', interaction: 'abc' },
      },
      'error in the username': {
        model: { ...signUp, username: '?', problems: [{ field: 'username', reason: 'invalid' }] },
      },
      'error with a stale form': { model: { ...signUp, error: 'stale_form' } },
      'error while throttled': { model: { ...signUp, error: 'throttled', retryAfterMinutes: 3 } },
      'error while busy': { model: { ...signUp, error: 'busy' } },
      ...Object.fromEntries(
        (
          ['missing', 'too_short', 'too_long', 'forbidden_character', 'composition', 'own_name', 'too_weak'] as const
        ).map((reason) => [`error: ${reason}`, { model: { ...signUp, problems: [{ field: 'password', reason }] } }]),
      ),
    },
  },
  signup_closed: {
    initial: { model: { policy: 'invitation', signInAddress } },
    error: hasNoForm,
    success: hasNoForm,
    more: { 'with help': { model: { policy: 'closed', signInAddress, help: 'https://linde.example/help' } } },
  },
  enter_code: {
    initial: { model: enterCode },
    error: { model: { ...enterCode, error: 'wrong_code' } },
    success: leadsOn,
    more: {
      'error without a code': { model: { ...enterCode, error: 'missing' } },
      'error while throttled': { model: { ...enterCode, error: 'throttled', retryAfterMinutes: 1 } },
    },
  },
  verify: {
    initial: { model: verify },
    error: { model: { ...verify, needsPassword: true, error: 'wrong_password' } },
    success: leadsOn,
    more: {
      'in another browser': { model: { ...verify, needsPassword: true } },
      'to become a member': { model: { ...verify, purpose: 'join' } },
      'of an address': { model: { ...verify, purpose: 'verification' } },
      'of another address': { model: { ...verify, purpose: 'email_change' } },
      'error in another browser': { model: { ...verify, purpose: 'email_change', error: 'elsewhere' } },
      'error without a password': { model: { ...verify, needsPassword: true, error: 'missing' } },
      'to unlock': { model: { ...verify, purpose: 'unlock' } },
    },
  },
  forgot: {
    initial: { model: forgot, shell: { languageSwitch: { kind: 'form' } } },
    error: { model: { ...forgot, email: 'ada', error: 'invalid' } },
    success: leadsOn,
    more: { 'error without an address': { model: { ...forgot, error: 'missing' } } },
  },
  reset: {
    initial: { model: reset },
    error: { model: { ...reset, token: undefined, error: 'wrong_code', passwordProblem: 'too_weak' } },
    success: leadsOn,
    more: {
      'with a code': { model: { ...reset, token: undefined } },
      'error without a code': { model: { ...reset, token: undefined, error: 'missing_code' } },
      'error with an earlier password': { model: { ...reset, passwordProblem: 'used_before' } },
    },
  },
  invite: {
    initial: { model: { ...invite, ...documents, username: '' } },
    error: { model: { ...invite, problem: { field: 'new_password', reason: 'own_name' } } },
    success: leadsOn,
    more: {
      'for somebody who is known': { model: { ...invite, known: true } },
      'error in a name': { model: { ...invite, problem: { field: 'given_name', reason: 'invalid' } } },
    },
  },
  finished: {
    initial: { model: { what: 'registered', signInAddress } },
    error: hasNoForm,
    success: { model: { what: 'verified', signInAddress } },
    more: Object.fromEntries(
      (['joined', 'member_already', 'email_changed', 'unlocked', 'reset', 'invited'] as const).map((what) => [
        what,
        { model: { what, signInAddress } },
      ]),
    ),
  },
  link_over: {
    initial: { model: { signInAddress } },
    error: hasNoForm,
    success: hasNoForm,
    more: { 'of a reset': { model: { signInAddress, againAddress: `${base}/forgot` } } },
  },
} satisfies Pick<
  PageFixtures,
  'signup' | 'signup_closed' | 'enter_code' | 'verify' | 'forgot' | 'reset' | 'invite' | 'finished' | 'link_over'
>;
