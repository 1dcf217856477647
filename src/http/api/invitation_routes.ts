/** Invitations to a tenant. The link goes to the mailbox and nowhere else: it is what proves the address. */
import { z } from 'zod';
import {
  createInvitation,
  findInvitations,
  type InvitationSummary,
  type InviteOutcome,
  revokeInvitation,
  showInvitation,
} from '#src/flows/people/manage_invitations.ts';
import type { VisitorServices } from '#src/flows/proofs/visitor_context.ts';
import { isUuid } from '#src/foundation/identifiers.ts';
import { INVITATION_STATUSES } from '#src/storage/tables/proofs.ts';
import { type Problem, ProblemRaised, problems } from '../problems.ts';
import { permitted } from './chains.ts';
import { line, refuseField } from './input.ts';
import { type ManagementServices, managementContext } from './management.ts';
import { answerList, listOf, listQuery } from './pages_of_lists.ts';
import { beyondFaults } from './role_routes.ts';
import { type ApiRequest, type ApiRoute, route } from './routes.ts';

export interface InvitationRoutesOptions {
  readonly apiServices: ManagementServices;
  /** What a mail to somebody is written with. */
  readonly visitorServices: VisitorServices;
}

const path = '/api/v1/admin/invitations';
const time = z.iso.datetime();

const shownInvitation = z
  .object({
    id: z.uuid(),
    email: z.string(),
    roles: z.array(z.string()),
    status: z.enum(INVITATION_STATUSES),
    created_at: time,
    expires_at: time,
  })
  .meta({ id: 'Invitation' });

const newInvitation = z.strictObject({
  email: line(254),
  roles: z.array(line(63)).max(20).default([]).describe('Names of roles that they will have'),
  locale: z.enum(['nl', 'en']).optional().describe('Of the mail; the tenant’s unless told'),
  invited_by: line(100).optional().describe('Whom the mail names'),
});

const invitationQuery = listQuery.extend({
  status: z.enum(INVITATION_STATUSES).optional(),
  email: line(254).optional().describe('The whole address'),
});

export function invitationRoutes({ apiServices, visitorServices }: InvitationRoutesOptions): readonly ApiRoute[] {
  return [
    route({
      summary: 'Invitations, the latest first; those that are over for a day longer',
      method: 'GET',
      path,
      chain: permitted('invitations:read'),
      query: invitationQuery,
      answers: listOf(shownInvitation),
      async handle({ engine, query }) {
        const { email, status, cursor, limit } = query;
        const search = { tenantId: engine.tenant.id, filter: { email, status }, before: cursor, limit: limit + 1 };
        return { status: 200, body: answerList(await findInvitations(apiServices, search), query, present) };
      },
    }),
    route({
      summary: 'Invite somebody by mail; an earlier invitation of theirs is over',
      method: 'POST',
      path,
      chain: permitted('invitations:write'),
      body: newInvitation,
      statuses: [201],
      answers: shownInvitation.extend({
        mailed: z.boolean().describe('Not when the address was written to too often'),
      }),
      async handle(request) {
        const { engine, caller, body } = request;
        const context = { ...managementContext(apiServices, request), publicUrl: visitorServices.publicUrl };
        const created = await createInvitation(context, {
          tenant: engine.tenant,
          policy: engine.people,
          email: body.email,
          roles: body.roles,
          locale: body.locale ?? engine.tenant.locale,
          invitedBy: body.invited_by,
          by: caller.permissions,
        });
        if (created.outcome === 'refused') throw new ProblemRaised(notInvited(created));
        const { id, mailed } = created;
        const invitation = await showInvitation(apiServices, { tenantId: engine.tenant.id, id });
        if (invitation === undefined) throw new ProblemRaised(problems.notFound());
        return { status: 201, body: { ...present(invitation), mailed } };
      },
    }),
    route({
      summary: 'One invitation',
      method: 'GET',
      path: `${path}/{id}`,
      chain: permitted('invitations:read'),
      answers: shownInvitation,
      async handle(request) {
        const invitation = await showInvitation(apiServices, invitationOf(request));
        if (invitation === undefined) throw new ProblemRaised(problems.notFound());
        return { status: 200, body: present(invitation) };
      },
    }),
    route({
      summary: 'Revoke an invitation that has not been accepted',
      method: 'DELETE',
      path: `${path}/{id}`,
      chain: permitted('invitations:write'),
      async handle(request) {
        const revoked = await revokeInvitation(managementContext(apiServices, request), invitationOf(request));
        if (revoked.outcome === 'unknown') throw new ProblemRaised(problems.notFound());
        return { status: 204 };
      },
    }),
  ];
}

/** What is no identifier is no invitation's. */
function invitationOf({ engine, parameters }: Pick<ApiRequest<unknown, unknown, unknown>, 'engine' | 'parameters'>) {
  const id = parameters['id'] ?? '';
  if (!isUuid(id)) throw new ProblemRaised(problems.notFound());
  return { tenantId: engine.tenant.id, id };
}

function notInvited(refused: Extract<InviteOutcome, { readonly outcome: 'refused' }>): Problem {
  switch (refused.reason) {
    case 'email':
      return refuseField('#/email', { code: 'unacceptable', detail: 'is no e-mail address' });
    case 'closed':
      return problems.invitationsClosed();
    case 'unknown_role':
      return refuseField('#/roles', {
        code: 'unknown',
        detail: `names no role of the tenant: ${refused.roles.join(', ')}`,
      });
    case 'beyond_your_own':
      return problems.beyondYourOwn(beyondFaults('#/roles', refused.permissions));
    default: {
      const never: never = refused;
      return never;
    }
  }
}

function present({ id, email, roles, status, createdAt, expiresAt }: InvitationSummary) {
  return { id, email, roles, status, created_at: createdAt.toISOString(), expires_at: expiresAt.toISOString() };
}
