/**
 * What somebody may do, for services that have no token of theirs in hand. Everybody may ask about themselves; about others ask
 * applications and keys that have the scope `permissions:check`, and people who may read the tenant's roles anyway.
 */
import { z } from 'zod';
import { checkPermission } from '#src/flows/access/check_permission.ts';
import type { FlowContext } from '#src/flows/flow_context.ts';
import type { TokenCaller } from '#src/oidc/own_access_tokens.ts';
import type { TenantEngine } from '#src/oidc/tenant_engine.ts';
import { ProblemRaised } from '../problems.ts';
import { refusalOf } from './callers.ts';
import { bearerOrKey, type EitherCaller, type Shortage, shortageOf } from './chains.ts';
import { line } from './input.ts';
import { type ApiRoute, route } from './routes.ts';

export interface PermissionRoutesOptions {
  readonly apiServices: Pick<FlowContext, 'database'>;
}

export const permissionsCheckScope = 'permissions:check';

const question = z.strictObject({ subject: line(200), resource: line(100), action: line(100) });

export function permissionRoutes({ apiServices }: PermissionRoutesOptions): readonly ApiRoute[] {
  return [
    route({
      summary: 'Whether somebody may do something',
      answers: z.object({ allowed: z.boolean() }),
      method: 'POST',
      path: '/api/v1/permissions/check',
      chain: bearerOrKey({ key: { scope: permissionsCheckScope } }),
      body: question,
      async handle({ caller, engine, body }) {
        const { subject, resource, action } = body;
        // What they may do came with their token.
        if (caller.by === 'token' && caller.token.userId === subject)
          return answer(caller.token.permissions.includes(`${resource}:${action}`));
        assertMayAskAbout(caller, subject, engine);
        const { allowed } = await checkPermission(apiServices.database.tenant(engine.tenant.id), body);
        return answer(allowed);
      },
    }),
  ];
}

function answer(allowed: boolean) {
  return { status: 200, body: { allowed } };
}

/** Throws `ProblemRaised` for who may not ask about this person. */
export function assertMayAskAbout(caller: EitherCaller, subject: string, engine: TenantEngine): void {
  if (caller.by !== 'token' || caller.token.userId === subject) return;
  const shortage = shortageForOthers(caller.token);
  if (shortage !== undefined) throw new ProblemRaised(refusalOf(shortage, engine.provider.issuer));
}

/** A person agrees that an application asks what they may do themselves: about others they need to be allowed to look. */
function shortageForOthers(caller: TokenCaller): Shortage | undefined {
  const permission = caller.kind === 'client' ? undefined : 'roles:read';
  return shortageOf(caller, { chain: 'bearer', scope: permissionsCheckScope, permission });
}
