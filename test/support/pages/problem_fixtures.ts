/** The pages where something ends, in every state. */
import type { ProblemKind } from '#src/http/pages/kit/problem_models.ts';
import { application, at, type PageFixtures } from './page_state.ts';

const kinds: readonly ProblemKind[] = [
  'not_found',
  'invalid_request',
  'unknown_application',
  'refused',
  'stale_form',
  'cookies',
  'busy',
];

export const problemFixtures = {
  expired: {
    initial: { model: { application } },
    error: { without: 'nothing is asked' },
    success: { without: 'nothing is asked' },
    more: { 'with nowhere to go': { model: {} } },
  },
  problem: {
    initial: { model: { kind: 'fault', at } },
    error: { without: 'it is one' },
    success: { without: 'it is an error' },
    more: {
      ...Object.fromEntries(kinds.map((kind) => [kind, { model: { kind, at } }])),
      throttled: { model: { kind: 'throttled', at, retryAfterMinutes: 2 }, shell: { applicationName: undefined } },
      'with an oauth error': {
        model: {
          kind: 'invalid_redirect',
          at,
          oauth: { error: 'invalid_redirect_uri', description: 'redirect_uri did not match any registered address' },
          application,
        },
      },
    },
  },
} satisfies Pick<PageFixtures, 'expired' | 'problem'>;
