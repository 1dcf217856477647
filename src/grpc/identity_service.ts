/** `identity.v1.IdentityService`: what each method takes, what the key must be good for, and who answers. The contract is identity.proto. */
import type { UntypedServiceImplementation } from '@grpc/grpc-js';
import { z } from 'zod';
import type { TenantId } from '#src/domain/tenant.ts';
import { answered, type CallServices, createUnaryCall, type GrpcCaller, type Method, refused } from './calls.ts';
import { refusals } from './refusals.ts';
import { inactive, type TokenResponse, toTokenResponse } from './token_response.ts';

export interface IdentityServices extends CallServices {
  readonly permissions: Permissions;
}

/** What members of a tenant may do, now. Somebody who is no member may do nothing. */
export interface Permissions {
  of(question: { readonly tenantId: TenantId; readonly subject: string }): Promise<{
    readonly roles: readonly string[];
    readonly permissions: readonly string[];
  }>;
  check(question: {
    readonly tenantId: TenantId;
    readonly subject: string;
    readonly resource: string;
    readonly action: string;
  }): Promise<{ readonly allowed: boolean }>;
}

export const serviceName = 'identity.v1.IdentityService';

const permissionsScope = 'permissions:check';
const introspectScope = 'introspect';

const longestName = 200;
const given = z.string().min(1, 'must not be empty');
const name = given.max(longestName, `may have ${longestName} characters`);
const subject = z.uuid('must be a UUID');

const tokenRequest = z.object({ token: given, audience: given.optional() });
const userRequest = z.object({ subject });
const checkRequest = z.object({ subject, resource: name, action: name });

export function createIdentityService(services: IdentityServices): UntypedServiceImplementation {
  const { permissions } = services;

  const verifyToken: Method<z.infer<typeof tokenRequest>, TokenResponse> = {
    name: `${serviceName}/VerifyToken`,
    request: tokenRequest,
    async answer({ engine, scopes }, { token, audience }) {
      const found = await engine.inspectToken({ token, audiences: audiencesFor(scopes, audience) });
      return answered(found === undefined ? inactive : toTokenResponse(found));
    },
  };

  const getUserPermissions: Method<z.infer<typeof userRequest>, object> = {
    name: `${serviceName}/GetUserPermissions`,
    request: userRequest,
    async answer(caller, request) {
      if (!mayReadPermissions(caller)) return refused(refusals.insufficientScope(permissionsScope));
      const held = await permissions.of({ tenantId: caller.engine.tenant.id, ...request });
      return answered({ subject: request.subject, roles: held.roles, permissions: held.permissions });
    },
  };

  const checkPermission: Method<z.infer<typeof checkRequest>, { readonly allowed: boolean }> = {
    name: `${serviceName}/CheckPermission`,
    request: checkRequest,
    async answer(caller, request) {
      if (!mayReadPermissions(caller)) return refused(refusals.insufficientScope(permissionsScope));
      const { allowed } = await permissions.check({ tenantId: caller.engine.tenant.id, ...request });
      return answered({ allowed });
    },
  };

  return {
    VerifyToken: createUnaryCall(verifyToken, services),
    GetUserPermissions: createUnaryCall(getUserPermissions, services),
    CheckPermission: createUnaryCall(checkPermission, services),
  };
}

function mayReadPermissions({ scopes }: GrpcCaller): boolean {
  return scopes.includes(permissionsScope);
}

/** The APIs a key may ask about, or the one of them that asks. Undefined is all of the tenant's, and an empty list is none. */
export function audiencesFor(scopes: readonly string[], asking: string | undefined): readonly string[] | undefined {
  if (scopes.includes(introspectScope)) return asking === undefined ? undefined : [asking];
  const named = scopes.filter((scope) => scope.startsWith(`${introspectScope}:`));
  const audiences = named.map((scope) => scope.slice(introspectScope.length + 1));
  return audiences.filter((audience) => asking === undefined || audience === asking);
}
