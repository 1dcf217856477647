/**
 * The person's own pages but those of second factors: each is a form that comes back to the page it is on, and a deed that is a
 * flow's. Who is signed in, and how freshly, is own_pages.ts' to find; whose things they are is never read from a form.
 */
import type Router from '@koa/router';
import { z } from 'zod';
import { displayName } from '#src/domain/user.ts';
import { ACTIVITY_DAYS, showActivity } from '#src/flows/people/show_activity.ts';
import { updateProfile } from '#src/flows/people/update_profile.ts';
import { isUuid } from '#src/foundation/identifiers.ts';
import { accountPath } from '#src/oidc/provider.ts';
import { type ProfileRow, readProfile } from '#src/storage/tables/profiles.ts';
import { field, goTo, type PageState, parseForm } from '../interaction/interaction_step.ts';
import type { VisitorPagesOptions } from '../visitors/visitor_pages.ts';
import {
  type AccountPagesOptions,
  asOwner,
  formOf,
  frameOf,
  inLocale,
  noticeOf,
  ownerOf,
  ownForm,
  showOwnPage,
} from './account_page_kit.ts';
import { activityTypes } from './activity_models.ts';
import { mountDeparturePages } from './departure_pages.ts';
import { mountOwnAccessPages } from './own_access_pages.ts';
import { mountOwnApiKeyPages } from './own_api_key_pages.ts';
import { mountOwnDevicesPages } from './own_devices_pages.ts';
import { mountOwnEmailPage } from './own_email_pages.ts';
import type { OwnPagesKit, OwnVisit } from './own_pages.ts';
import { mountOwnPasswordPage } from './own_password_pages.ts';

const activitiesTogether = 25;

const profileForm = z.strictObject({
  ...ownForm,
  given_name: field.default(''),
  family_name: field.default(''),
  username: field.optional(),
  locale: z.enum(['', 'nl', 'en']).default(''),
});

export function mountAccountPages(
  router: Router<PageState>,
  kit: OwnPagesKit,
  options: AccountPagesOptions & VisitorPagesOptions,
): void {
  const { accountServices } = options;

  router.get(`/t/:slug${accountPath}`, async (ctx) => {
    const visit = await kit.requireOwnSession(ctx, ctx.state, { path: accountPath });
    if (visit === undefined) return;
    const profile = await profileOf(visit);
    showOwnPage(visit, {
      name: 'account',
      model: {
        ...frameOf(visit),
        email: profile.email,
        name: displayName({
          givenName: profile.given_name ?? undefined,
          familyName: profile.family_name ?? undefined,
        }),
        memberSince: profile.member_since,
        lastSignInAt: profile.last_sign_in_at ?? undefined,
        deletionDueAt: profile.deletion_due_at ?? undefined,
        notice: noticeOf(visit, ['deletion_withdrawn']),
      },
    });
  });

  const profilePath = `${accountPath}/profile` as const;

  router.get(`/t/:slug${profilePath}`, async (ctx) => {
    const visit = await kit.requireOwnSession(ctx, ctx.state, { path: profilePath });
    if (visit === undefined) return;
    const profile = await profileOf(visit);
    showProfile(visit, {
      given_name: profile.given_name ?? '',
      family_name: profile.family_name ?? '',
      username: profile.username ?? '',
      locale: profile.locale ?? '',
      notice: noticeOf(visit, ['saved']),
    });
  });

  router.post(`/t/:slug${profilePath}`, async (ctx) => {
    const sent = await kit.readOwnForm(ctx, ctx.state, { path: profilePath });
    if (sent === undefined) return;
    const { visit } = sent;
    const form = parseForm(profileForm, sent.fields);
    if (form.ui_locales !== undefined) return showProfile(inLocale(options, visit, form.ui_locales), form);
    const updated = await updateProfile(asOwner(accountServices, visit), {
      ...ownerOf(visit),
      givenName: form.given_name,
      familyName: form.family_name,
      username: hasUsernames(visit) ? (form.username ?? '') : undefined,
      locale: form.locale,
    });
    if (updated.outcome === 'refused') return showProfile(visit, { ...form, faults: updated.faults, status: 400 });
    // What was chosen before in this browser must not overrule what has just been chosen for all of them.
    if (form.locale !== '') inLocale(options, visit, form.locale);
    goTo(ctx, `${kit.addressOf(ctx.state, profilePath)}?done=saved`);
  });

  const activityPath = `${accountPath}/activity` as const;

  router.get(`/t/:slug${activityPath}`, async (ctx) => {
    const visit = await kit.requireOwnSession(ctx, ctx.state, { path: activityPath });
    if (visit === undefined) return;
    const { before } = ctx.query;
    const page = await showActivity(accountServices, {
      ...ownerOf(visit),
      types: activityTypes,
      limit: activitiesTogether,
      before: typeof before === 'string' && isUuid(before) ? before : undefined,
    });
    const address = `${frameOf(visit).base}${activityPath}`;
    showOwnPage(visit, {
      name: 'account_activity',
      model: {
        ...frameOf(visit),
        days: ACTIVITY_DAYS,
        activities: page.events.map((event) => ({
          type: event.type,
          at: event.occurred_at,
          byOthers: event.actor_type === 'operator' || event.actor_type === 'system',
          application: event.client_name ?? undefined,
          userAgent: event.user_agent ?? undefined,
          address: event.ip ?? undefined,
        })),
        older: page.next === undefined ? undefined : `${address}?before=${page.next}`,
        latest: before === undefined ? undefined : address,
      },
    });
  });

  mountOwnEmailPage(router, kit, options);
  mountOwnPasswordPage(router, kit, options);
  mountOwnAccessPages(router, kit, options);
  mountOwnApiKeyPages(router, kit, options);
  mountOwnDevicesPages(router, kit, options);
  mountDeparturePages(router, kit, options);

  async function profileOf(visit: OwnVisit): Promise<ProfileRow> {
    const owner = ownerOf(visit);
    const tenant = accountServices.database.tenant(owner.tenantId);
    const profile = await tenant.transaction((transaction) => readProfile(transaction, owner));
    if (profile === undefined) throw new Error('somebody is signed in who is no member');
    return profile;
  }

  function showProfile(visit: OwnVisit, shown: ShownProfile): void {
    showOwnPage(visit, {
      name: 'account_profile',
      status: shown.status,
      languageSwitch: { kind: 'form' },
      model: {
        ...formOf(kit, visit),
        givenName: shown.given_name,
        familyName: shown.family_name,
        username: hasUsernames(visit) ? (shown.username ?? '') : undefined,
        language: shown.locale,
        faults: shown.faults,
        notice: shown.notice,
      },
    });
  }
}

type ShownProfile = Omit<z.infer<typeof profileForm>, 'csrf' | 'ui_locales'> & {
  readonly faults?: PageFaults;
  readonly notice?: 'saved' | undefined;
  readonly status?: number;
};
type PageFaults = Extract<Awaited<ReturnType<typeof updateProfile>>, { outcome: 'refused' }>['faults'];

function hasUsernames({ state }: OwnVisit): boolean {
  return state.engine.people['people.usernames'];
}
