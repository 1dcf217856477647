/** The pages of signing out, in every state. */
import { account, application, type PageFixtures } from './page_state.ts';

const logout = { action: '/t/linde/logout/confirm', xsrf: 'xsrf-value' };

export const signOutFixtures = {
  logout: {
    initial: { model: { ...logout, account } },
    error: { without: 'two buttons leave nothing to do wrong' },
    success: { without: 'leads on to logged_out' },
    more: { 'of nobody in particular': { model: logout } },
  },
  logged_out: {
    initial: { model: { result: 'signed_out', application } },
    error: { without: 'nothing is asked' },
    success: { without: 'it is one' },
    more: {
      'of one application': { model: { result: 'signed_out_of_application' } },
      'but stayed': { model: { result: 'stayed' } },
    },
  },
} satisfies Pick<PageFixtures, 'logout' | 'logged_out'>;
