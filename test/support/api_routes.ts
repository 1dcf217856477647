/** The routes of the REST API as a running server mounts them, for tests that look at all of them. */
import { apiRoutes, platformRoutes } from '#src/http/api/api.ts';
import type { ApiRoute } from '#src/http/api/routes.ts';
import { restServices } from './rest.ts';
import type { TestServer } from './test_server.ts';

export function apiRoutesOf(server: TestServer): readonly ApiRoute[] {
  const { config, context } = server;
  return apiRoutes({
    config,
    clock: context.clock,
    verifyApiKey: async () => ({ outcome: 'unknown' }),
    apiServices: context,
    deviceNotes: server.server.house.deviceNotes,
    ...restServices(server),
  });
}

/** Those of the installation. */
export function platformRoutesOf({ config, context }: TestServer): readonly ApiRoute[] {
  return platformRoutes({ config, apiServices: context });
}
