/**
 * The table of all hosted pages: which presenter turns a page's model into what its template prints. A page is a line in the
 * table of its noun's file, a template of the same name in views/, and words in views/locales; docs/pages.md shows how.
 */
import { accountPages } from './account_models.ts';
import { activityPages } from './activity_models.ts';
import { approvalPages } from './approval_models.ts';
import { consentPages } from './consent_models.ts';
import { departurePages } from './departure_models.ts';
import { devicePages } from './device_models.ts';
import { factorPages } from './factor_models.ts';
import { homePages } from './home_models.ts';
import { ownApiKeysPages } from './own_api_keys_models.ts';
import { ownApplicationsPages } from './own_applications_models.ts';
import { ownDevicesPages } from './own_devices_models.ts';
import { ownEmailPages } from './own_email_models.ts';
import { ownPasswordPages } from './own_password_models.ts';
import { ownSessionsPages } from './own_sessions_models.ts';
import type { Presenter } from './page_shell.ts';
import { problemPages } from './problem_models.ts';
import { profilePages } from './profile_models.ts';
import { secondFactorPages } from './second_factor_models.ts';
import { signInPages } from './sign_in_models.ts';
import { signOutPages } from './sign_out_models.ts';
import { visitorPages } from './visitor_models.ts';

// One line for each noun, in the order of the alphabet: two people who add one each do not meet.
const pages = {
  ...accountPages,
  ...activityPages,
  ...approvalPages,
  ...consentPages,
  ...departurePages,
  ...devicePages,
  ...factorPages,
  ...homePages,
  ...ownApiKeysPages,
  ...ownApplicationsPages,
  ...ownDevicesPages,
  ...ownEmailPages,
  ...ownPasswordPages,
  ...ownSessionsPages,
  ...problemPages,
  ...profilePages,
  ...secondFactorPages,
  ...signInPages,
  ...signOutPages,
  ...visitorPages,
};

export type PageName = keyof typeof pages;

/** What each page is given. */
export type PageModels = { readonly [N in PageName]: Parameters<(typeof pages)[N]>[0] };

export const presenters: { readonly [N in PageName]: Presenter<PageModels[N]> } = pages;
