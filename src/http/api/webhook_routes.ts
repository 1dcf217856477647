/** Where webhooks of a tenant will be administered. There are none yet, and the list says so. */
import { z } from 'zod';
import { permitted } from './chains.ts';
import { listOf, listQuery } from './pages_of_lists.ts';
import { type ApiRoute, route } from './routes.ts';

const shownWebhook = z
  .object({ id: z.uuid(), url: z.string(), event_types: z.array(z.string()), status: z.enum(['active', 'disabled']) })
  .meta({ id: 'Webhook' });

export function webhookRoutes(): readonly ApiRoute[] {
  return [
    route({
      summary: 'The webhooks of the tenant: none, in this version',
      method: 'GET',
      path: '/api/v1/admin/webhooks',
      chain: permitted('webhooks:read'),
      query: listQuery,
      answers: listOf(shownWebhook),
      handle: async () => ({ status: 200, body: { data: [], next_cursor: null } }),
    }),
  ];
}
