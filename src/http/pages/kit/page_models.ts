/**
 * The table of all hosted pages: which presenter turns a page's model into what its template prints. A page is a line in the
 * table of its noun's file, a template of the same name in views/, and words in views/locales; docs/pages.md shows how.
 */
import { accountPages } from '../account/account_models.ts';
import { activityPages } from '../account/activity_models.ts';
import { departurePages } from '../account/departure_models.ts';
import { factorPages } from '../account/factor_models.ts';
import { ownApiKeysPages } from '../account/own_api_keys_models.ts';
import { ownApplicationsPages } from '../account/own_applications_models.ts';
import { ownDevicesPages } from '../account/own_devices_models.ts';
import { ownEmailPages } from '../account/own_email_models.ts';
import { ownPasswordPages } from '../account/own_password_models.ts';
import { ownSessionsPages } from '../account/own_sessions_models.ts';
import { profilePages } from '../account/profile_models.ts';
import { approvalPages } from '../approvals/approval_models.ts';
import { devicePages } from '../devices/device_models.ts';
import { consentPages } from '../interaction/consent_models.ts';
import { secondFactorPages } from '../interaction/second_factor_models.ts';
import { signInPages } from '../interaction/sign_in_models.ts';
import { signOutPages } from '../interaction/sign_out_models.ts';
import { visitorPages } from '../visitors/visitor_models.ts';
import { homePages } from './home_models.ts';
import type { Presenter } from './page_shell.ts';
import { problemPages } from './problem_models.ts';

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
