/** Roles of a tenant, and who has which. What may be given, changed and taken away is for the flows to say, by the rights of the caller. */
import { z } from 'zod';
import type { RoleField } from '#src/domain/role.ts';
import { isStorableText } from '#src/domain/stored_text.ts';
import { type UserId, userId } from '#src/domain/user.ts';
import { assignRole, unassignRole } from '#src/flows/access/assign_roles.ts';
import {
  createRole,
  deleteRole,
  listTenantRoles,
  showRole,
  type UpdateRoleOutcome,
  updateRole,
} from '#src/flows/access/manage_roles.ts';
import { type AssignedRole, type RightsOfMember, showRights } from '#src/flows/access/show_rights.ts';
import { isUuid } from '#src/foundation/identifiers.ts';
import type { RoleRow } from '#src/storage/tables/roles.ts';
import { type FieldFault, type Problem, ProblemRaised, problems } from '../problems.ts';
import { type ManagementCaller, permitted } from './chains.ts';
import { unchanged } from './entity_tags.ts';
import { instant, line, refuseField } from './input.ts';
import { type ManagementServices, managementContext } from './management.ts';
import { answerList, listOf, listQuery } from './pages_of_lists.ts';
import { type ApiRequest, type ApiRoute, route } from './routes.ts';

export interface RoleRoutesOptions {
  readonly apiServices: ManagementServices;
}

const roles = '/api/v1/admin/roles';
const ofUser = '/api/v1/admin/users/{id}';
const maximumPermissions = 200;

export const description = z.string().max(500).refine(isStorableText, 'holds characters that cannot be shown');
const permissionNames = z.array(line(127)).max(maximumPermissions).describe('`resource:action`, without wildcards');

const newRole = z.strictObject({
  name: line(63).describe('a-z first, then letters, digits, _ and -; it stays'),
  description: description.default(''),
  permissions: permissionNames.default([]),
  inherits: line(63).nullish().describe('The name of the role whose permissions it has as well'),
});

const roleChange = z.strictObject({
  description: description.nullable().optional(),
  permissions: permissionNames.nullable().optional(),
  inherits: line(63).nullable().optional(),
  is_active: z.boolean().optional().describe('Switched off, it gives nothing to whoever has it'),
});

const shownRole = z
  .object({
    id: z.uuid(),
    name: z.string(),
    description: z.string(),
    permissions: z.array(z.string()).describe('Those it lists itself'),
    inherits: z.string().nullable(),
    built_in: z.boolean(),
    is_active: z.boolean(),
  })
  .meta({ id: 'Role' });

const assignment = z.strictObject({
  role_id: z.uuid(),
  expires_at: instant.nullish().describe('From then on they do not have it; without one it has no end'),
});

const shownAssignment = z
  .object({
    role_id: z.uuid(),
    name: z.string(),
    expires_at: z.string().nullable(),
    in_force: z.boolean().describe('Neither over nor switched off'),
  })
  .meta({ id: 'AssignedRole' });

const shownRights = z
  .object({
    user_id: z.uuid(),
    roles: z.array(z.string()).describe('With those that they inherit'),
    permissions: z.array(
      z.object({
        permission: z.string(),
        through: z
          .array(z.array(z.string()))
          .describe('Each way, from the role they were given to the one that lists it'),
      }),
    ),
  })
  .meta({ id: 'Rights' });

export function roleRoutes({ apiServices }: RoleRoutesOptions): readonly ApiRoute[] {
  return [
    route({
      summary: 'The roles of the tenant',
      method: 'GET',
      path: roles,
      chain: permitted('roles:read'),
      query: listQuery,
      answers: listOf(shownRole),
      async handle({ engine, query }) {
        const { limit, cursor } = query;
        const rows = await listTenantRoles(apiServices, { tenantId: engine.tenant.id, after: cursor, limit });
        return { status: 200, body: answerList(rows, query, presentRole) };
      },
    }),
    route({
      summary: 'Make a role',
      method: 'POST',
      path: roles,
      chain: permitted('roles:write'),
      body: newRole,
      statuses: [201],
      answers: shownRole,
      async handle(request) {
        const { caller, engine, body } = request;
        const created = await createRole(managementContext(apiServices, request), {
          tenantId: engine.tenant.id,
          role: { ...body, inherits: body.inherits ?? undefined },
          by: caller.permissions,
        });
        if (created.outcome === 'taken') throw new ProblemRaised(problems.taken('The tenant has a role of this name.'));
        if (created.outcome === 'too_many') throw new ProblemRaised(problems.tooManyThings(created.maximum));
        if (created.outcome !== 'created') throw new ProblemRaised(problemOf(created));
        return { status: 201, body: presentRole(created.row) };
      },
    }),
    route({
      summary: 'A role',
      method: 'GET',
      path: `${roles}/{id}`,
      chain: permitted('roles:read'),
      answers: shownRole,
      async handle(request) {
        const row = await showRole(apiServices, roleOf(request));
        if (row === undefined) throw notThere();
        return { status: 200, body: presentRole(row) };
      },
    }),
    route({
      summary: 'Change a role: what it is for, what it gives, whether it is in force',
      method: 'PATCH',
      path: `${roles}/{id}`,
      chain: permitted('roles:write'),
      body: roleChange,
      answers: shownRole,
      async handle(request) {
        const { description: text, permissions, inherits, is_active: isActive } = request.body;
        const updated = await updateRole(managementContext(apiServices, request), {
          ...roleOf(request),
          by: request.caller.permissions,
          assertUnchanged: unchanged(request, presentRole),
          change: {
            description: text === null ? '' : text,
            permissions: permissions === null ? [] : permissions,
            inherits,
            isActive,
          },
        });
        if (!('row' in updated)) throw new ProblemRaised(problemOf(updated));
        return { status: 200, body: presentRole(updated.row) };
      },
    }),
    route({
      summary: 'Remove a role, from whoever has it too',
      method: 'DELETE',
      path: `${roles}/{id}`,
      chain: permitted('roles:write'),
      async handle(request) {
        const deleted = await deleteRole(managementContext(apiServices, request), {
          ...roleOf(request),
          by: request.caller.permissions,
          assertUnchanged: unchanged(request, presentRole),
        });
        if (deleted.outcome === 'inherited')
          throw new ProblemRaised(problems.inUse(`These roles inherit from it: ${deleted.by.join(', ')}.`));
        if (deleted.outcome !== 'deleted') throw new ProblemRaised(problemOf(deleted));
        return { status: 204 };
      },
    }),
    route({
      summary: 'The roles a member was given',
      method: 'GET',
      path: `${ofUser}/roles`,
      chain: permitted('roles:read'),
      query: listQuery,
      answers: listOf(shownAssignment),
      async handle(request) {
        const { cursor = '', limit } = request.query;
        const { assigned } = await rightsOf(request);
        const rows = assigned.filter(({ id }) => id > cursor).slice(0, limit + 1);
        return { status: 200, body: answerList(rows, request.query, presentAssignment) };
      },
    }),
    route({
      summary: 'Give a member a role, for good or until some moment',
      method: 'POST',
      path: `${ofUser}/roles`,
      chain: permitted('roles:write'),
      body: assignment,
      statuses: [200, 201],
      answers: shownAssignment,
      async handle(request) {
        const { role_id: roleId, expires_at: expiresAt } = request.body;
        const assigned = await assignRole(managementContext(apiServices, request), {
          ...memberOf(request),
          roleId,
          expiresAt: expiresAt ?? undefined,
          by: request.caller.permissions,
        });
        if (assigned.outcome === 'past')
          throw new ProblemRaised(refuseField('#/expires_at', { code: 'past', detail: 'has passed' }));
        if (assigned.outcome === 'unknown_role')
          throw new ProblemRaised(refuseField('#/role_id', { code: 'unknown', detail: 'is no role of this tenant' }));
        if (assigned.outcome === 'beyond_your_own')
          throw new ProblemRaised(problems.beyondYourOwn(beyondFaults('#/role_id', assigned.permissions)));
        if (assigned.outcome === 'unknown_user') throw notThere();
        if (assigned.outcome === 'last_administrator') throw new ProblemRaised(problems.lastAdministrator());
        const held = (await rightsOf(request)).assigned.find(({ id }) => id === roleId);
        // Taken away again by somebody else at this very moment.
        if (held === undefined) throw notThere();
        return { status: assigned.outcome === 'assigned' ? 201 : 200, body: presentAssignment(held) };
      },
    }),
    route({
      summary: 'Take a role from a member',
      method: 'DELETE',
      path: `${ofUser}/roles/{role_id}`,
      chain: permitted('roles:write'),
      async handle(request) {
        const roleId = request.parameters['role_id'] ?? '';
        if (!isUuid(roleId)) throw notThere();
        const taken = await unassignRole(managementContext(apiServices, request), {
          ...memberOf(request),
          roleId,
          by: request.caller.permissions,
        });
        if (taken.outcome === 'beyond_your_own')
          throw new ProblemRaised(problems.beyondYourOwn(beyondFaults(undefined, taken.permissions)));
        if (taken.outcome === 'last_administrator') throw new ProblemRaised(problems.lastAdministrator());
        if (taken.outcome !== 'unassigned') throw notThere();
        return { status: 204 };
      },
    }),
    route({
      summary: 'What a member may do, and which roles make it so',
      method: 'GET',
      path: `${ofUser}/permissions`,
      chain: permitted('roles:read'),
      answers: shownRights,
      async handle(request) {
        return { status: 200, body: presentRights(memberOf(request).userId, await rightsOf(request)) };
      },
    }),
  ];

  async function rightsOf(request: ManagementRequest): Promise<RightsOfMember> {
    const rights = await showRights(apiServices, memberOf(request));
    if (rights === undefined) throw notThere();
    return rights;
  }
}

type ManagementRequest = Pick<ApiRequest<ManagementCaller, unknown, unknown>, 'engine' | 'parameters'>;

/** What is no identifier is nothing of this tenant's. */
function roleOf({ engine, parameters }: ManagementRequest) {
  const id = parameters['id'] ?? '';
  if (!isUuid(id)) throw notThere();
  return { tenantId: engine.tenant.id, id };
}

function memberOf(request: ManagementRequest) {
  const { tenantId, id } = roleOf(request);
  return { tenantId, userId: userId(id) };
}

function presentRole(row: RoleRow) {
  const { id, name, description: text, permissions, inherits, built_in, is_active } = row;
  return { id, name, description: text, permissions, inherits, built_in, is_active };
}

function presentAssignment({ id, name, expiresAt, isInForce }: AssignedRole) {
  return { role_id: id, name, expires_at: expiresAt?.toISOString() ?? null, in_force: isInForce };
}

function presentRights(id: UserId, { roles: names, permissions }: RightsOfMember) {
  return { user_id: id, roles: names, permissions };
}

type Refused = Exclude<UpdateRoleOutcome, { readonly row: RoleRow }>;

function problemOf(outcome: Refused): Problem {
  switch (outcome.outcome) {
    case 'unknown':
      return problems.notFound();
    case 'built_in':
      return problems.builtIn();
    case 'last_administrator':
      return problems.lastAdministrator();
    case 'beyond_your_own':
      return problems.beyondYourOwn(beyondFaults('#/permissions', outcome.permissions));
    case 'unknown_inherited':
      return refuseField('#/inherits', { code: 'unknown', detail: 'is no role of this tenant' });
    case 'circle':
      return refuseField('#/inherits', { code: 'circle', detail: 'inherits from this role itself' });
    case 'too_deep':
      return refuseField('#/inherits', { code: 'too_deep', detail: 'inherits through too many roles' });
    case 'refused':
      return problems.invalidFields(outcome.problems.map(presentFault));
    default: {
      const never: never = outcome;
      return never;
    }
  }
}

const expectedOf: Readonly<Record<RoleField, string>> = {
  name: 'is a letter a-z and then up to 62 letters, digits, _ and -, and no built-in role’s',
  description: 'is at most 500 characters that can be shown',
  permissions: `are at most ${maximumPermissions} of the form resource:action, in lower case`,
  inherits: 'is the name of another role',
};

function presentFault({ field, problem }: { readonly field: RoleField; readonly problem: string }): FieldFault {
  return { pointer: `#/${field}`, code: problem, detail: expectedOf[field] };
}

/** One for each permission that the caller does not hold. */
export function beyondFaults(pointer: string | undefined, permissions: readonly string[]): readonly FieldFault[] {
  return permissions.map((permission) => ({
    ...(pointer === undefined ? {} : { pointer }),
    code: 'beyond_your_own',
    detail: `${permission} is more than you hold yourself`,
  }));
}

function notThere(): ProblemRaised {
  return new ProblemRaised(problems.notFound());
}
