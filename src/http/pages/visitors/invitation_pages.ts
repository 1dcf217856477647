/** `/invite`: what an invitation's link leads to. Looking changes nothing; accepting makes a member and signs nobody in. */
import type Router from '@koa/router';
import { z } from 'zod';
import { acceptInvitation, lookAtInvitation } from '#src/flows/people/manage_invitations.ts';
import { field, localeField, type PageState } from '../interaction/interaction_step.ts';
import { showFinished, showOver } from './registration_pages.ts';
import type { InviteModel } from './visitor_models.ts';
import {
  createVisitorPages,
  type Visit,
  type VisitorPagesKit,
  type VisitorPagesOptions,
  waitingFor,
} from './visitor_pages.ts';

const inviteForm = z.strictObject({
  csrf: field.default(''),
  token: field.default(''),
  new_password: field.default(''),
  given_name: field.default(''),
  family_name: field.default(''),
  username: field.default(''),
  ui_locales: localeField,
});

type InviteForm = z.infer<typeof inviteForm>;

export function mountInvitationPages(router: Router<PageState>, options: VisitorPagesOptions): void {
  const kit = createVisitorPages(options);

  router.get('/t/:slug/invite', (ctx) => {
    const visit = kit.open(ctx, ctx.state, 'invite');
    const { done, token } = ctx.query;
    if (done === 'invited') return showFinished(kit, visit, { what: 'invited', interaction: undefined });
    return showInvite(kit, visit, { token: typeof token === 'string' ? token : '', form: undefined });
  });

  router.post('/t/:slug/invite', async (ctx) => {
    const { visit, form, isFresh } = await kit.read(ctx, ctx.state, { page: 'invite', schema: inviteForm });
    const { token } = form;
    if (form.ui_locales !== undefined) return showInvite(kit, visit, { token, form });
    if (!isFresh) return showInvite(kit, visit, { token, form, error: 'stale_form', status: 403 });
    const accepted = await acceptInvitation(visit.context, {
      tenant: visit.tenant,
      token,
      password: form.new_password,
      givenName: form.given_name,
      familyName: form.family_name,
      username: form.username,
    });
    switch (accepted.outcome) {
      case 'accepted':
        kit.keepAddress(visit, accepted.address);
        return kit.goOn(visit, { page: 'invite', query: { done: 'invited' } });
      case 'invalid': {
        const named = accepted.field === 'password' ? 'new_password' : accepted.field;
        const problem = { field: named, reason: accepted.reason };
        return showInvite(kit, visit, { token, form, problem, status: 400 });
      }
      case 'throttled':
      case 'busy':
        return showInvite(kit, visit, { token, form, ...waitingFor(visit, accepted) });
      case 'gone':
        return showOver(kit, visit);
      default: {
        const never: never = accepted;
        return never;
      }
    }
  });
}

async function showInvite(
  kit: VisitorPagesKit,
  visit: Visit,
  {
    token,
    form,
    status,
    ...again
  }: Pick<InviteModel, 'error' | 'problem' | 'retryAfterMinutes'> & {
    readonly token: string;
    readonly form: InviteForm | undefined;
    readonly status?: number;
  },
): Promise<void> {
  const { tenant } = visit;
  const invitation = await lookAtInvitation(visit.context, { tenant, token });
  if (invitation === undefined) return showOver(kit, visit);
  const model: InviteModel = {
    action: visit.address,
    csrf: visit.csrf,
    token,
    ...invitation,
    givenName: form?.given_name,
    familyName: form?.family_name,
    username: tenant.policy['people.usernames'] ? (form?.username ?? '') : undefined,
    rules: tenant.policy,
    terms: tenant.policy['links.terms'],
    privacy: tenant.policy['links.privacy'],
    ...again,
  };
  kit.show(visit, { name: 'invite', model, status, languageSwitch: { kind: 'form' } });
}
