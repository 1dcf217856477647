/**
 * Applications and people who go on while an operator works: sign-ins by the browser's session, tokens for an API that are checked by
 * signature as a resource server does it, and chains of refresh tokens. Every failure is kept with what failed.
 */
import { createRemoteJWKSet, type JWTPayload, jwtVerify } from 'jose';
import {
  authorizationRequest,
  authorize,
  callEndpoint,
  createUserAgent,
  type EndpointAnswer,
  exchangeCode,
  refresh,
} from './user_agent.ts';
import type { TestTenant } from './world.ts';

export interface Load {
  readonly failures: readonly string[];
  /** Which keys have signed so far, in the order in which they were first seen. */
  readonly kids: readonly string[];
  /** Resolves when each of the three has been through it so many times from now on. */
  rounds(count: number): Promise<void>;
  /** What a resource server does whose copy of the keys has become too old. */
  fetchKeysAnew(): void;
  stop(): Promise<void>;
}

export async function startLoad(tenant: TestTenant, origin: string): Promise<Load> {
  const { web, machine } = tenant.clients;
  const failures: string[] = [];
  const kids: string[] = [];
  const newKeys = () => createRemoteJWKSet(new URL(`${tenant.issuer}/jwks`));
  let keys = newKeys();
  const waiting = new Set<() => void>();
  const done = { signIns: 0, tokens: 0, refreshes: 0 };
  let stopped = false;

  async function verify(token: unknown): Promise<JWTPayload> {
    const { payload, protectedHeader } = await jwtVerify(String(token), keys, { issuer: tenant.issuer });
    if (!kids.includes(protectedHeader.kid ?? '')) kids.push(protectedHeader.kid ?? '');
    return payload;
  }

  function require200({ status, json }: EndpointAnswer): Readonly<Record<string, unknown>> {
    if (status !== 200) throw new Error(`${status} ${JSON.stringify(json)}`);
    return json;
  }

  async function repeat(name: keyof typeof done, act: () => Promise<void>): Promise<void> {
    while (!stopped) {
      try {
        await act();
      } catch (fault) {
        failures.push(`${name}: ${String(fault)}`);
        // A broken chain stays broken: one report is enough.
        return;
      } finally {
        done[name] += 1;
        for (const look of waiting) look();
      }
    }
  }

  const person = createUserAgent(origin);
  const first = require200(await exchangeCode(tenant, web, await authorize(person, { tenant, client: web })));
  await verify(first['id_token']);
  let refreshToken = String(first['refresh_token']);

  const running = [
    repeat('signIns', async () => {
      const { url, verifier } = authorizationRequest(tenant, web, { prompt: 'none' });
      const callback = new URL((await person.request(url)).headers.get('location') ?? 'none:');
      const code = callback.searchParams.get('code');
      if (code === null) throw new Error(`no code: ${callback.href}`);
      await verify(require200(await exchangeCode(tenant, web, { code, verifier, callback }))['id_token']);
    }),
    repeat('tokens', async () => {
      const form = { grant_type: 'client_credentials', resource: tenant.jwtApi, scope: 'readings:read' };
      const issued = require200(await callEndpoint(tenant.issuer, '/token', { client: machine, form }));
      await verify(issued['access_token']);
    }),
    repeat('refreshes', async () => {
      const refreshed = require200(await refresh(tenant, web, refreshToken));
      refreshToken = String(refreshed['refresh_token']);
      await verify(refreshed['id_token']);
    }),
  ];

  return {
    failures,
    kids,
    rounds(count) {
      const goal = Object.values(done).map((rounds) => rounds + count);
      return new Promise((resolve) => {
        const look = (): void => {
          const reached = Object.values(done).every((rounds, index) => rounds >= (goal[index] ?? 0));
          if (!reached && failures.length === 0) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      });
    },
    fetchKeysAnew() {
      keys = newKeys();
    },
    async stop() {
      stopped = true;
      await Promise.all(running);
    },
  };
}
