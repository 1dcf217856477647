/** The page of the second factor, in every state. */
import type { SecondFactorModel } from '#src/http/pages/interaction/second_factor_models.ts';
import { account, csrf, type PageFixtures } from './page_state.ts';

const passkey = { challenge: 'YWJj', rpId: 'linde.example' };

const first: SecondFactorModel = {
  action: '/t/linde/interaction/abc',
  csrf,
  account,
  methods: ['totp', 'backup_code'],
  rememberDays: 30,
  otherAccountAddress: '/t/linde/interaction/abc?again',
  helpAddress: 'https://linde.example/hulp',
};

export const secondFactorFixtures = {
  second_factor: {
    initial: { model: first },
    error: { model: { ...first, error: 'code' } },
    success: { without: 'leads on to the application' },
    more: {
      'error with nothing filled in': { model: { ...first, error: 'missing' } },
      'error with backup codes alone': {
        model: { ...first, methods: ['passkey', 'backup_code'], passkey, rememberDays: 0, error: 'code' },
      },
      'with everything': { model: { ...first, methods: ['totp', 'passkey', 'backup_code', 'email_code'], passkey } },
      'with a passkey alone': {
        model: { ...first, methods: ['passkey'], passkey },
        shell: { languageSwitch: { kind: 'link', address: '/t/linde/interaction/abc' } },
      },
      'with a code on its way': { model: { ...first, methods: ['totp', 'email_code'], emailSent: true } },
      'error with a passkey': { model: { ...first, methods: ['totp', 'passkey'], passkey, error: 'passkey' } },
      'error while throttled': { model: { ...first, error: 'throttled', retryAfterMinutes: 12 } },
      'error with a stale form': { model: { ...first, error: 'stale_form' } },
    },
  },
} satisfies Pick<PageFixtures, 'second_factor'>;
