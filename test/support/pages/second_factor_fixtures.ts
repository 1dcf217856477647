/** The page of the second factor, in every state. */
import type { SecondFactorModel } from '#src/http/pages/second_factor_models.ts';
import { account, csrf, type PageFixtures } from './page_state.ts';

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
        model: { ...first, methods: ['passkey', 'backup_code'], rememberDays: 0, error: 'code' },
      },
      'error while throttled': { model: { ...first, error: 'throttled', retryAfterMinutes: 12 } },
      'error with a stale form': { model: { ...first, error: 'stale_form' } },
    },
  },
} satisfies Pick<PageFixtures, 'second_factor'>;
