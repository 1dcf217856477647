/** `GET {issuer}/api/v1/openapi.json`: the API of one tenant, described for programs. */
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import type { Config } from '#config/config.ts';
import { issuerOf } from '#src/domain/tenant.ts';
import { version } from '#src/foundation/version.ts';
import { anybody } from './chains.ts';
import { describeApi } from './open_api.ts';
import { type ApiRoute, route } from './routes.ts';

export interface DescriptionOptions {
  readonly config: Pick<Config, 'http'>;
}

const maximumKept = 100;

/** @param routesOf Every route, this one among them. */
export function descriptionRoute(
  { config: { http } }: DescriptionOptions,
  routesOf: () => readonly ApiRoute[],
): ApiRoute {
  const kept = new LRUCache<string, object>({ max: maximumKept });
  return route({
    summary: 'This description',
    method: 'GET',
    path: '/api/v1/openapi.json',
    chain: anybody(),
    answers: z.record(z.string(), z.unknown()),
    async handle({ engine: { tenant } }) {
      const issuer = issuerOf(tenant, http.publicUrl);
      const title = `Poort for ${tenant.name}`;
      const name = `${issuer} ${title}`;
      const body = kept.get(name) ?? describeApi(routesOf(), { issuer, title, publicUrl: http.publicUrl, version });
      kept.set(name, body);
      return { status: 200, headers: { 'cache-control': 'public, max-age=300' }, body };
    },
  });
}
