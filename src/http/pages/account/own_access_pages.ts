/** Where somebody sees in which browsers they are signed in and what applications may do, and ends it there. */
import type Router from '@koa/router';
import { z } from 'zod';
import { listPersonConsents, revokeConsent } from '#src/flows/people/manage_consents.ts';
import { listPersonSessions, revokePersonSessions, revokeSession } from '#src/flows/sessions/manage_sessions.ts';
import { accountPath } from '#src/oidc/provider.ts';
import { field, goTo, type PageState, parseForm } from '../interaction/interaction_step.ts';
import {
  type AccountPagesOptions,
  asOwner,
  formOf,
  noticeOf,
  ownerOf,
  ownForm,
  showOwnPage,
} from './account_page_kit.ts';
import type { OwnPagesKit } from './own_pages.ts';

const sessionsPath = `${accountPath}/sessions` as const;
const sessionsForm = z.union([
  z.strictObject({ ...ownForm, session: field }),
  z.strictObject({ ...ownForm, others: z.literal('yes') }),
]);

const applicationsPath = `${accountPath}/applications` as const;
const applicationsForm = z.strictObject({ ...ownForm, application: field });

export function mountOwnAccessPages(router: Router<PageState>, kit: OwnPagesKit, options: AccountPagesOptions): void {
  const { accountServices: services } = options;

  router.get(`/t/:slug${sessionsPath}`, async (ctx) => {
    const visit = await kit.requireOwnSession(ctx, ctx.state, { path: sessionsPath });
    if (visit === undefined) return;
    const sessions = await listPersonSessions(asOwner(services, visit), ownerOf(visit));
    const shown = sessions.map((session) => ({
      ...session,
      isThis: session.id === visit.session.uid,
      applications: session.applications.map(({ name }) => name),
    }));
    showOwnPage(visit, {
      name: 'account_sessions',
      model: {
        ...formOf(kit, visit),
        sessions: shown.toSorted((one, other) => Number(other.isThis) - Number(one.isThis)),
        notice: noticeOf(visit, ['ended', 'others_ended', 'gone']),
      },
    });
  });

  router.post(`/t/:slug${sessionsPath}`, async (ctx) => {
    const sent = await kit.readOwnForm(ctx, ctx.state, { path: sessionsPath });
    if (sent === undefined) return;
    const { visit } = sent;
    const form = parseForm(sessionsForm, sent.fields);
    const owner = ownerOf(visit);
    const address = kit.addressOf(ctx.state, sessionsPath);
    if ('others' in form) {
      await revokePersonSessions(asOwner(services, visit), { ...owner, keptSessionId: visit.session.uid });
      return goTo(ctx, `${address}?done=others_ended`);
    }
    const { outcome } = await revokeSession(asOwner(services, visit), { ...owner, sessionId: form.session });
    goTo(ctx, `${address}?done=${outcome === 'revoked' ? 'ended' : 'gone'}`);
  });

  router.get(`/t/:slug${applicationsPath}`, async (ctx) => {
    const visit = await kit.requireOwnSession(ctx, ctx.state, { path: applicationsPath });
    if (visit === undefined) return;
    showOwnPage(visit, {
      name: 'account_applications',
      model: {
        ...formOf(kit, visit),
        applications: await listPersonConsents(asOwner(services, visit), ownerOf(visit)),
        notice: noticeOf(visit, ['revoked', 'gone']),
      },
    });
  });

  router.post(`/t/:slug${applicationsPath}`, async (ctx) => {
    const sent = await kit.readOwnForm(ctx, ctx.state, { path: applicationsPath });
    if (sent === undefined) return;
    const { visit } = sent;
    const { application: clientId } = parseForm(applicationsForm, sent.fields);
    const { outcome } = await revokeConsent(asOwner(services, visit), { ...ownerOf(visit), clientId });
    goTo(ctx, `${kit.addressOf(ctx.state, applicationsPath)}?done=${outcome === 'revoked' ? 'revoked' : 'gone'}`);
  });
}
