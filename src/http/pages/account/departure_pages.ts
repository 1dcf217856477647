/** Where somebody takes along what is known of them, and where they leave or think better of it. */
import type Router from '@koa/router';
import { z } from 'zod';
import { issuerOf } from '#src/domain/tenant.ts';
import { exportPerson } from '#src/flows/people/export_person.ts';
import { requestDeletion, withdrawDeletion } from '#src/flows/people/leave_tenant.ts';
import { accountPath } from '#src/oidc/provider.ts';
import { readDeletionDueAt } from '#src/storage/tables/departures.ts';
import { ProblemRaised, problems } from '../../problems.ts';
import { goTo, type PageState, parseForm } from '../interaction/interaction_step.ts';
import {
  type AccountPagesOptions,
  asOwner,
  emptyForm,
  formOf,
  frameOf,
  ownerOf,
  ownForm,
  showOwnPage,
} from './account_page_kit.ts';
import { FRESH_SECONDS, type OwnPagesKit, type OwnVisit } from './own_pages.ts';

const exportPath = `${accountPath}/export` as const;
const deletePath = `${accountPath}/delete` as const;
const freshSeconds = FRESH_SECONDS;
const deleteForm = z.strictObject({
  ...ownForm,
  decision: z.enum(['delete', 'withdraw']),
  confirm: z.literal('yes').optional(),
});

export function mountDeparturePages(router: Router<PageState>, kit: OwnPagesKit, options: AccountPagesOptions): void {
  const { accountServices: services, config } = options;

  router.get(`/t/:slug${exportPath}`, async (ctx) => {
    const visit = await kit.requireOwnSession(ctx, ctx.state, { path: exportPath, freshSeconds });
    if (visit !== undefined) showOwnPage(visit, { name: 'account_export', model: formOf(kit, visit) });
  });

  // A POST, so that no link and no image of another site has it written down that a person asked for this.
  router.post(`/t/:slug${exportPath}`, async (ctx) => {
    const sent = await kit.readOwnForm(ctx, ctx.state, { path: exportPath, freshSeconds });
    if (sent === undefined) return;
    parseForm(emptyForm, sent.fields);
    const { visit } = sent;
    const { tenant } = visit.state.engine;
    const exported = await exportPerson(asOwner(services, visit), {
      ...ownerOf(visit),
      tenantName: tenant.name,
      issuer: issuerOf(tenant, config.http.publicUrl),
    });
    if (exported === undefined) throw new ProblemRaised(problems.staleForm());
    ctx.type = 'application/json; charset=utf-8';
    ctx.set('cache-control', 'no-store');
    ctx.set('content-disposition', `attachment; filename="${tenant.slug}-account.json"`);
    ctx.body = JSON.stringify(exported, undefined, 2);
  });

  router.get(`/t/:slug${deletePath}`, async (ctx) => {
    const known = await kit.requireOwnSession(ctx, ctx.state, { path: deletePath });
    if (known === undefined) return;
    const dueAt = await dueAtOf(known);
    // To stay needs no more than being here; to leave does.
    const visit =
      dueAt !== undefined || !isOwnDecision(known)
        ? known
        : await kit.requireOwnSession(ctx, ctx.state, { path: deletePath, freshSeconds });
    if (visit !== undefined) showDeparture(visit, { dueAt });
  });

  router.post(`/t/:slug${deletePath}`, async (ctx) => {
    const sent = await kit.readOwnForm(ctx, ctx.state, { path: deletePath });
    if (sent === undefined) return;
    const form = parseForm(deleteForm, sent.fields);
    if (form.decision === 'withdraw') return withdraw(sent.visit);
    const visit = await kit.requireOwnSession(ctx, ctx.state, { path: deletePath, freshSeconds });
    if (visit === undefined) return;
    if (!isOwnDecision(visit)) throw new ProblemRaised(problems.staleForm());
    if (form.confirm === undefined) return showDeparture(visit, { error: 'not_confirmed', status: 400 });
    await leave(visit);
  });

  async function withdraw(visit: OwnVisit): Promise<void> {
    const { outcome } = await withdrawDeletion(asOwner(services, visit), ownerOf(visit));
    const address = kit.addressOf(visit.state, accountPath);
    goTo(visit.ctx, outcome === 'withdrawn' ? `${address}?done=deletion_withdrawn` : address);
  }

  async function leave(visit: OwnVisit): Promise<void> {
    const { engine } = visit.state;
    const requested = await requestDeletion(asOwner(services, visit), {
      ...ownerOf(visit),
      undoDays: engine.people['people.deletion_undo_days'],
      undoLink: kit.addressOf(visit.state, deletePath),
    });
    if (requested.outcome === 'last_administrator')
      return showDeparture(visit, { error: 'last_administrator', status: 409 });
    const dueAt = 'dueAt' in requested ? requested.dueAt : undefined;
    showOwnPage(visit, {
      name: 'account_departed',
      model: { ...frameOf(visit), email: visit.person.email, dueAt },
    });
  }

  function dueAtOf(visit: OwnVisit): Promise<Date | undefined> {
    const owner = ownerOf(visit);
    return services.database.tenant(owner.tenantId).transaction((transaction) => readDeletionDueAt(transaction, owner));
  }

  function showDeparture(visit: OwnVisit, { dueAt, error, status }: ShownDeparture): void {
    const { people } = visit.state.engine;
    showOwnPage(visit, {
      name: 'account_delete',
      status,
      model: {
        ...formOf(kit, visit),
        email: visit.person.email,
        undoDays: people['people.deletion_undo_days'],
        by: people['people.account_deletion'],
        helpAddress: people['links.help'],
        dueAt,
        error,
      },
    });
  }
}

interface ShownDeparture {
  readonly dueAt?: Date | undefined;
  readonly error?: 'not_confirmed' | 'last_administrator';
  readonly status?: number;
}

function isOwnDecision({ state }: OwnVisit): boolean {
  return state.engine.people['people.account_deletion'] === 'self';
}
