/** The permissions of a tenant: those that Poort asks for, those that its roles list, and what the tenant says of its own. */
import { z } from 'zod';
import {
  changePermission,
  createPermission,
  forgetPermission,
  listTenantPermissions,
  type PermissionOutcome,
  showPermission,
  type TenantPermission,
} from '#src/flows/access/manage_permissions.ts';
import { type Problem, ProblemRaised, problems } from '../problems.ts';
import { type ManagementCaller, permitted } from './chains.ts';
import { unchanged } from './entity_tags.ts';
import { line, refuseField } from './input.ts';
import { type ManagementServices, managementContext } from './management.ts';
import { answerList, listOf, listQuery } from './pages_of_lists.ts';
import { beyondFaults, description } from './role_routes.ts';
import { type ApiRequest, type ApiRoute, route } from './routes.ts';

export interface PermissionCatalogueRoutesOptions {
  readonly apiServices: ManagementServices;
}

const permissions = '/api/v1/admin/permissions';
const one = `${permissions}/{name}` as const;

const newPermission = z.strictObject({
  name: line(127).describe('`resource:action`, in lower case'),
  description: description.default(''),
  is_active: z.boolean().default(true),
});

const permissionChange = z.strictObject({
  description: description.nullable().optional(),
  is_active: z.boolean().optional().describe('Switched off, nobody has it, whatever their roles list'),
});

const shownPermission = z
  .object({
    name: z.string(),
    resource: z.string(),
    action: z.string(),
    description: z.string(),
    is_active: z.boolean(),
    built_in: z.boolean().describe('Poort itself asks for it'),
    roles: z.array(z.string()).describe('Those that list it themselves'),
  })
  .meta({ id: 'Permission' });

export function permissionCatalogueRoutes({ apiServices }: PermissionCatalogueRoutesOptions): readonly ApiRoute[] {
  return [
    route({
      summary: 'The permissions of the tenant, by name',
      method: 'GET',
      path: permissions,
      chain: permitted('roles:read'),
      query: listQuery,
      answers: listOf(shownPermission),
      async handle({ engine, query }) {
        const { limit, cursor: after } = query;
        const found = await listTenantPermissions(apiServices, { tenantId: engine.tenant.id, after, limit });
        return { status: 200, body: answerList(found, query, present, ({ name }) => name) };
      },
    }),
    route({
      summary: 'Describe a permission of the tenant’s own',
      method: 'POST',
      path: permissions,
      chain: permitted('roles:write'),
      body: newPermission,
      statuses: [201],
      answers: shownPermission,
      async handle(request) {
        const { name, description: text, is_active: isActive } = request.body;
        const created = await createPermission(managementContext(apiServices, request), {
          tenantId: request.engine.tenant.id,
          name,
          description: text,
          isActive,
          by: request.caller.permissions,
        });
        return { status: 201, body: present(settled(created)) };
      },
    }),
    route({
      summary: 'A permission',
      method: 'GET',
      path: one,
      chain: permitted('roles:read'),
      answers: shownPermission,
      async handle(request) {
        const found = await showPermission(apiServices, permissionOf(request));
        if (found === undefined) throw new ProblemRaised(problems.notFound());
        return { status: 200, body: present(found) };
      },
    }),
    route({
      summary: 'Describe a permission anew, or switch it off or on',
      method: 'PATCH',
      path: one,
      chain: permitted('roles:write'),
      body: permissionChange,
      answers: shownPermission,
      async handle(request) {
        const { description: text, is_active: isActive } = request.body;
        const changed = await changePermission(managementContext(apiServices, request), {
          ...permissionOf(request),
          by: request.caller.permissions,
          assertUnchanged: unchanged(request, present),
          description: text === null ? '' : text,
          isActive,
        });
        return { status: 200, body: present(settled(changed)) };
      },
    }),
    route({
      summary: 'Forget what was said of a permission that no role lists',
      method: 'DELETE',
      path: one,
      chain: permitted('roles:write'),
      async handle(request) {
        const forgotten = await forgetPermission(managementContext(apiServices, request), {
          ...permissionOf(request),
          by: request.caller.permissions,
          assertUnchanged: unchanged(request, present),
        });
        if (forgotten.outcome === 'in_use')
          throw new ProblemRaised(problems.inUse(`These roles list it: ${forgotten.roles.join(', ')}.`));
        if (forgotten.outcome === 'deleted') return { status: 204 };
        throw new ProblemRaised(problemOf(forgotten));
      },
    }),
  ];
}

function permissionOf({
  engine,
  parameters,
}: Pick<ApiRequest<ManagementCaller, unknown, unknown>, 'engine' | 'parameters'>) {
  return { tenantId: engine.tenant.id, name: parameters['name'] ?? '' };
}

function present({ name, description: text, isActive, builtIn, roles }: TenantPermission) {
  const [resource = '', action = ''] = name.split(':');
  return { name, resource, action, description: text, is_active: isActive, built_in: builtIn, roles };
}

function settled(outcome: PermissionOutcome): TenantPermission {
  if ('permission' in outcome) return outcome.permission;
  throw new ProblemRaised(problemOf(outcome));
}

function problemOf(outcome: Exclude<PermissionOutcome, { readonly permission: TenantPermission }>): Problem {
  switch (outcome.outcome) {
    case 'unknown':
      return problems.notFound();
    case 'built_in':
      return problems.builtIn();
    case 'taken':
      return problems.taken('This permission is described already.');
    case 'too_many':
      return problems.tooManyThings(outcome.maximum);
    case 'beyond_your_own':
      return problems.beyondYourOwn(beyondFaults('#/name', outcome.permissions));
    case 'invalid': {
      const detail =
        outcome.field === 'name' ? 'is resource:action, in lower case' : 'is at most 500 characters that can be shown';
      return refuseField(`#/${outcome.field}`, { code: 'syntax', detail });
    }
    default: {
      const never: never = outcome;
      return never;
    }
  }
}
