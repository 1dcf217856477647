/** What routes that manage a tenant have in common: who is recorded as having done it, and how some of their lists go on. */
import { z } from 'zod';
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

const place = z.tuple([z.string(), z.string()]);

/** Where a list that is not in the order of its identifiers goes on behind this row. */
export function placeOfRow(row: { readonly place: string; readonly id: string }): string {
  return JSON.stringify([row.place, row.id] satisfies z.infer<typeof place>);
}

/** The other way around, of a cursor that the door has opened. */
export function openPlace(cursor: string | undefined): { readonly value: string; readonly id: string } | undefined {
  if (cursor === undefined) return undefined;
  const [value, id] = place.parse(JSON.parse(cursor));
  return { value, id };
}
