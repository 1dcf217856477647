/** Every route of the REST API, in one list: what is not in it is not served. */
import type { ApiDoorOptions } from './door.ts';
import type { ApiRoute } from './routes.ts';

export type ApiOptions = ApiDoorOptions;

export function apiRoutes(_options: ApiOptions): readonly ApiRoute[] {
  return [];
}
