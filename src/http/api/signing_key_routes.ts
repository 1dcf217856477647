/** The signing keys of a tenant over REST: which sign, which are published, and how that changes. Private parts never come here. */
import { z } from 'zod';
import type { Config } from '#config/config.ts';
import {
  activeKey,
  type DatedSigningKey,
  publicationOrder,
  rotationDueAt,
  type SigningKeyRules,
} from '#src/domain/signing_key.ts';
import { listKeys, retireKey, rotateKeys, signingKeyRules } from '#src/flows/keys/rotate_keys.ts';
import { ProblemRaised, problems } from '../problems.ts';
import { permitted } from './chains.ts';
import { type ManagementServices, managementContext } from './management.ts';
import { listOf } from './pages_of_lists.ts';
import { type ApiRoute, route } from './routes.ts';

export interface SigningKeyRoutesOptions {
  readonly apiServices: ManagementServices;
  readonly config: Config;
}

const path = '/api/v1/admin/keys';
const one = `${path}/{id}` as const;

const algorithms = z.enum(['ES256', 'RS256', 'EdDSA']);
const shownKey = z
  .object({
    kid: z.string(),
    alg: algorithms,
    status: z
      .enum(['next', 'active', 'retired'])
      .describe('next is published and waits; retired is published and signs no more'),
    created_at: z.iso.datetime(),
    signs_from: z.iso.datetime().nullable().describe('Of a key that waits: when it will by itself'),
    gone_at: z.iso.datetime().nullable().describe('When a retired key is not published any more'),
  })
  .meta({ id: 'SigningKey' });

const rotation = z
  .object({
    keys: z.array(
      z.object({
        alg: algorithms,
        rotated: z.boolean(),
        kid: z.string(),
        signs_from: z.iso.datetime(),
        replaces: z.string().nullable(),
      }),
    ),
  })
  .meta({ id: 'KeyRotation' });

export function signingKeyRoutes({ apiServices, config }: SigningKeyRoutesOptions): readonly ApiRoute[] {
  const reads = permitted('keys:read');
  const writes = permitted('keys:write');
  const rules = signingKeyRules(config);
  return [
    route({
      summary: 'The signing keys of the tenant, those that sign first',
      method: 'GET',
      path,
      chain: reads,
      answers: listOf(shownKey),
      async handle({ engine }) {
        const keys = await listKeys(apiServices.database, engine.tenant.id);
        const data = publicationOrder(keys).map((key) => present(key, keys, rules));
        return { status: 200, body: { data, next_cursor: null } };
      },
    }),
    route({
      summary: 'A signing key',
      method: 'GET',
      path: one,
      chain: reads,
      answers: shownKey,
      async handle({ engine, parameters }) {
        const keys = await listKeys(apiServices.database, engine.tenant.id);
        const key = keys.find(({ kid }) => kid === parameters['id']);
        if (key === undefined) throw new ProblemRaised(problems.notFound());
        return { status: 200, body: present(key, keys, rules) };
      },
    }),
    route({
      summary: 'Sign with the next keys, as soon as everyone who caches the key set knows them',
      method: 'POST',
      path,
      chain: writes,
      body: z.strictObject({
        now: z
          .boolean()
          .default(false)
          .describe('Do not wait: who cached the keys before may refuse tokens for a while'),
      }),
      answers: rotation,
      async handle(request) {
        const rotated = await rotateKeys(managementContext(apiServices, request), {
          tenantId: request.engine.tenant.id,
          rules,
          evenIfUnripe: request.body.now,
        });
        if (rotated.outcome === 'overtaken')
          throw new ProblemRaised(problems.conflict('Somebody else changed the keys at this moment.'));
        const keys = rotated.algorithms.map(({ alg, outcome, kid, at, replaced }) => ({
          alg,
          rotated: outcome === 'rotates',
          kid,
          signs_from: at.toISOString(),
          replaces: replaced ?? null,
        }));
        return { status: 200, body: { keys } };
      },
    }),
    route({
      summary: 'The emergency: within a second the key is neither published nor used, and another one signs',
      method: 'DELETE',
      path: one,
      chain: writes,
      async handle(request) {
        const kid = request.parameters['id'] ?? '';
        const { id: tenantId } = request.engine.tenant;
        const retired = await retireKey(managementContext(apiServices, request), { tenantId, kid });
        if (retired.outcome === 'refused') throw new ProblemRaised(problems.notFound());
        return { status: 204 };
      },
    }),
  ];
}

function present(
  key: DatedSigningKey,
  keys: readonly DatedSigningKey[],
  rules: SigningKeyRules,
): z.output<typeof shownKey> {
  const active = activeKey(keys, key.alg);
  const due = key.status === 'next' && active !== undefined ? rotationDueAt(active, key, rules) : undefined;
  return {
    kid: key.kid,
    alg: key.alg,
    status: key.status,
    created_at: key.publishedAt.toISOString(),
    signs_from: (key.activatedAt ?? due)?.toISOString() ?? null,
    gone_at: key.publishedUntil?.toISOString() ?? null,
  };
}
