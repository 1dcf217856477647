/** The page at a tenant's own address. */
import type { PageFixtures } from './page_state.ts';

const shell = { applicationName: undefined };

export const homeFixtures = {
  home: {
    initial: { model: { accountAddress: '/t/linde/account' }, shell },
    error: { without: 'nothing is asked' },
    success: { without: 'nothing is asked' },
    more: { 'without an account page': { model: {}, shell } },
  },
} satisfies Pick<PageFixtures, 'home'>;
