/** What routes that manage a tenant have in common: who is recorded as having done it. */
import type { FlowContext } from '#src/flows/flow_context.ts';
import type { ManagementCaller } from './chains.ts';
import type { ApiRequest } from './routes.ts';

export type ManagementServices = Omit<FlowContext, 'actor' | 'origin'>;

export function managementContext(
  services: ManagementServices,
  { caller, exchange }: Pick<ApiRequest<ManagementCaller, unknown, unknown>, 'caller' | 'exchange'>,
): FlowContext {
  return { ...services, actor: caller.actor, origin: exchange.origin };
}
