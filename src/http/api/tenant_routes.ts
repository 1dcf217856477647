/**
 * Tenants, for the operators of the installation: `{origin}/api/v1/tenants`. What a tenant is made of is managed below its own issuer, by
 * its own people.
 */
import { z } from 'zod';
import type { Config } from '#config/config.ts';
import { parseEmailAddress } from '#src/domain/email_address.ts';
import { peopleSettingsOf } from '#src/domain/people_settings.ts';
import { issuerOf, type TenantId, tenantId } from '#src/domain/tenant.ts';
import { createInvitation } from '#src/flows/people/manage_invitations.ts';
import { requestTenantDeletion, withdrawTenantDeletion } from '#src/flows/tenants/delete_tenant.ts';
import { changeTenantStatus, configureTenant, createTenant } from '#src/flows/tenants/manage_tenants.ts';
import { findTenantBySlug, findTenantsById, listTenantsAfter, type TenantRow } from '#src/storage/tables/tenants.ts';
import { ProblemRaised, problems } from '../problems.ts';
import { operator } from './chains.ts';
import { unchanged } from './entity_tags.ts';
import { line, refuseField } from './input.ts';
import { type ManagementServices, managementContext } from './management.ts';
import { answerList, listOf, listQuery } from './pages_of_lists.ts';
import { type ApiRoute, route } from './routes.ts';

export interface TenantRoutesOptions {
  readonly config: Config;
  readonly apiServices: ManagementServices;
}

const locale = z.enum(['nl', 'en']).describe('Of whoever has not chosen a language');
const instant = z.iso.datetime();

const shownTenant = z
  .object({
    id: z.uuid(),
    slug: z.string(),
    name: z.string(),
    status: z.enum(['active', 'suspended', 'deleting']),
    issuer: z.url(),
    domain: z.string().nullable().describe('Its own, which the issuer is then at'),
    locale,
    created_at: instant,
    deletion_due_at: instant.nullable().describe('When it is gone for good; until then it can be restored'),
  })
  .meta({ id: 'Tenant' });

const shownNewTenant = shownTenant.extend({
  administrator: z
    .object({ email: z.string(), invitation_id: z.uuid(), expires_at: instant, mailed: z.boolean() })
    .optional()
    .describe('Who was invited'),
});

const path = '/api/v1/tenants';
const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The language of a tenant that says nothing, as its table has it. */
const usualLocale = 'nl';

export function tenantRoutes({ config, apiServices }: TenantRoutesOptions): readonly ApiRoute[] {
  const { database } = apiServices;
  const { publicUrl } = config.http;

  const present = (tenant: TenantRow) => ({
    id: tenant.id,
    slug: tenant.slug,
    name: tenant.name,
    status: tenant.status,
    issuer: issuerOf(tenant, publicUrl),
    domain: tenant.domain,
    locale: tenant.locale,
    created_at: tenant.created_at.toISOString(),
    deletion_due_at: tenant.deletion_due_at?.toISOString() ?? null,
  });

  /** By its identifier, or by its slug where that does not look like one. Throws `ProblemRaised`. */
  async function find({ id = '' }: Readonly<Record<string, string>>): Promise<TenantRow> {
    const found = uuid.test(id)
      ? (await findTenantsById(database, [tenantId(id)]))[0]
      : /^[a-z0-9-]{1,40}$/.test(id)
        ? await findTenantBySlug(database, id)
        : undefined;
    if (found === undefined) throw new ProblemRaised(problems.notFound());
    return found;
  }

  async function answer(id: TenantId, status = 200) {
    return { status, body: present(await find({ id })) };
  }

  return [
    route({
      summary: 'Make a tenant, with its keys and built-in roles, and invite its first administrator',
      method: 'POST',
      path,
      chain: operator('tenants:write'),
      body: z.strictObject({
        slug: z.string().max(100).describe('Part of the issuer, for ever: a-z, 0-9 and single hyphens inside'),
        name: z.string().max(200),
        locale: locale.optional(),
        administrator: z.strictObject({ email: line(254) }).optional(),
      }),
      statuses: [201],
      answers: shownNewTenant,
      async handle(request) {
        const { slug, name, administrator } = request.body;
        const language = request.body.locale ?? usualLocale;
        const context = managementContext(apiServices, request);
        if (administrator !== undefined && parseEmailAddress(administrator.email).outcome === 'invalid')
          throw new ProblemRaised(refuseField('#/administrator/email', notAnAddress));
        const created = await createTenant(context, { slug, name, locale: language });
        if (created.outcome === 'refused') throw new ProblemRaised(refusalOfNew(created.reason));
        const { body } = await answer(created.id, 201);
        const headers = { location: `${publicUrl}${path}/${created.id}` };
        if (administrator === undefined) return { status: 201, headers, body };
        const invited = await createInvitation(
          { ...context, publicUrl },
          {
            tenant: created,
            // It has said nothing yet, and must have somebody who can.
            policy: { ...peopleSettingsOf(config.people, {}), 'people.registration': 'invitation' },
            email: administrator.email,
            roles: ['admin'],
            locale: language,
          },
        );
        if (invited.outcome === 'refused') throw new Error(`the first administrator is refused: ${invited.reason}`);
        const { id, mailed } = invited;
        const shown = {
          email: administrator.email,
          invitation_id: id,
          expires_at: invited.expiresAt.toISOString(),
          mailed,
        };
        return { status: 201, headers, body: { ...body, administrator: shown } };
      },
    }),

    route({
      summary: 'Tenants',
      method: 'GET',
      path,
      chain: operator('tenants:read'),
      query: listQuery.extend({
        status: z.enum(['active', 'suspended', 'deleting']).optional(),
        slug: line(40).optional(),
        q: line(40).optional().describe('What the slug begins with'),
      }),
      answers: listOf(shownTenant),
      async handle({ query }) {
        const { limit, cursor: after, status, slug, q: beginning } = query;
        const rows = await listTenantsAfter(database, { status, slug, beginning, after, limit: limit + 1 });
        return { status: 200, body: answerList(rows, query, present) };
      },
    }),

    route({
      summary: 'A tenant, by its identifier or its slug',
      method: 'GET',
      path: `${path}/{id}`,
      chain: operator('tenants:read'),
      answers: shownTenant,
      handle: async ({ parameters }) => ({ status: 200, body: present(await find(parameters)) }),
    }),

    route({
      summary: 'Change what a tenant is called, or its language',
      method: 'PATCH',
      path: `${path}/{id}`,
      chain: operator('tenants:write'),
      body: z.strictObject({ name: z.string().max(200).optional(), locale: locale.optional() }),
      answers: shownTenant,
      async handle(request) {
        const { id } = await find(request.parameters);
        const guard = unchanged(request, present);
        const context = managementContext(apiServices, request);
        const changed = await configureTenant(context, { id, changes: [], ...request.body, guard });
        if (changed.outcome === 'refused') throw new ProblemRaised(refuseField('#/name', notAName));
        return answer(id);
      },
    }),

    ...(
      [
        ['suspend', 'suspended', 'Refuse every request of a tenant until it is resumed'],
        ['resume', 'active', 'Serve a suspended tenant again'],
      ] as const
    ).map(([verb, status, summary]) =>
      route({
        summary,
        method: 'POST',
        path: `${path}/{id}/${verb}`,
        chain: operator('tenants:write'),
        answers: shownTenant,
        async handle(request) {
          const { id } = await find(request.parameters);
          const wish = { id, status, sparesOperators: true, guard: unchanged(request, present) };
          const changed = await changeTenantStatus(managementContext(apiServices, request), wish);
          if (changed.outcome === 'unknown') throw new ProblemRaised(problems.notFound());
          if (changed.outcome === 'refused') throw new ProblemRaised(problems.homeOfOperators());
          return answer(id);
        },
      }),
    ),

    route({
      summary: 'Shut a tenant at once, and erase it with all it has when the delay is over',
      method: 'DELETE',
      path: `${path}/{id}`,
      chain: operator('tenants:write'),
      statuses: [202],
      answers: shownTenant,
      async handle(request) {
        const { id } = await find(request.parameters);
        const { deletionDelayDays: delayDays } = config.tenants;
        const wish = { id, delayDays, guard: unchanged(request, present) };
        const requested = await requestTenantDeletion(managementContext(apiServices, request), wish);
        if (requested.outcome === 'unknown') throw new ProblemRaised(problems.notFound());
        if (requested.outcome === 'refused') throw new ProblemRaised(problems.homeOfOperators());
        return answer(id, 202);
      },
    }),

    route({
      summary: 'Have back a tenant that is to be deleted, as it was',
      method: 'POST',
      path: `${path}/{id}/restore`,
      chain: operator('tenants:write'),
      answers: shownTenant,
      async handle(request) {
        const { id } = await find(request.parameters);
        const wish = { id, guard: unchanged(request, present) };
        const { outcome } = await withdrawTenantDeletion(managementContext(apiServices, request), wish);
        if (outcome === 'unknown') throw new ProblemRaised(problems.notFound());
        if (outcome === 'nothing_to_withdraw') throw new ProblemRaised(problems.notDeleting());
        return answer(id);
      },
    }),
  ];
}

const notAnAddress = { code: 'email', detail: 'is no e-mail address' };
const notAName = { code: 'name', detail: 'is a line of 1 to 100 characters' };

function refusalOfNew(reason: Extract<Awaited<ReturnType<typeof createTenant>>, { outcome: 'refused' }>['reason']) {
  switch (reason) {
    case 'slug_taken':
      return problems.slugTaken();
    case 'slug_syntax':
      return refuseField('#/slug', { code: reason, detail: 'is made of a-z, 0-9 and single hyphens inside' });
    case 'slug_too_long':
      return refuseField('#/slug', { code: reason, detail: 'has at most 40 characters' });
    case 'slug_reserved':
      return refuseField('#/slug', { code: reason, detail: 'is reserved' });
    case 'name':
      return refuseField('#/name', notAName);
    default: {
      const never: never = reason;
      return never;
    }
  }
}
