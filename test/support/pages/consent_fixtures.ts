/** The consent page, in every state. */
import type { ConsentModel } from '#src/http/pages/interaction/consent_models.ts';
import { account, application, csrf, type PageFixtures } from './page_state.ts';

export const consent: ConsentModel = {
  action: '/t/linde/interaction/abc/consent',
  csrf,
  applicationName: application.name,
  account,
  scopes: [
    { name: 'openid' },
    { name: 'profile' },
    { name: 'email' },
    { name: 'offline_access' },
    { name: 'planning:read', description: 'Uw rooster lezen' },
    { name: 'telemetry:write' },
  ],
  redirectUri: 'https://planner.example/callback',
  otherAccountAddress: '/t/linde/interaction/abc/other-account',
  accountAddress: '/t/linde/account',
};

export const consentFixtures = {
  consent: {
    initial: { model: consent },
    error: { without: 'two buttons leave nothing to do wrong' },
    success: { without: 'leads on to the application' },
    more: {
      'when something new is asked': {
        model: { ...consent, isKnown: true, scopes: [{ name: 'planning:write', description: 'Uw rooster wijzigen' }] },
      },
      'for an installed app': {
        model: {
          action: consent.action,
          csrf,
          applicationName: consent.applicationName,
          account,
          scopes: [{ name: 'openid' }, { name: 'phone' }, { name: 'address' }],
          redirectUri: 'com.example.planner:/callback',
        },
      },
    },
  },
} satisfies Pick<PageFixtures, 'consent'>;
