/**
 * Server (c): Poort, started the way an operator starts it, on a PostgreSQL it is given, with its demo. All that the
 * benchmarks know about Poort's commands, settings, demo.json and readiness is here.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { type Child, freePort, startChild } from '../processes.ts';
import type { Subject } from '../subject.ts';

const client = z.object({
  type: z.string(),
  client_id: z.string(),
  client_secret: z.string().nullish(),
  redirect_uris: z.array(z.string()).nullish(),
});
const demoFile = z.object({
  tenants: z.array(
    z.object({
      slug: z.string(),
      issuer: z.string(),
      users: z.array(z.object({ email: z.string(), password: z.string(), totp_secret: z.string().nullish() })),
      clients: z.array(client),
      apis: z.array(z.object({ audience: z.string(), scopes: z.array(z.string()), token_format: z.string() })),
    }),
  ),
});

const readyWithinMilliseconds = 60_000;
const askAgainAfterMilliseconds = 50;

export interface PoortInput {
  /** Kept from one start to the next: it holds the generated secrets and demo.json. */
  readonly dataDirectory: string;
  readonly databaseUrl: string;
  /** The same at every start: the issuers of the demo hold it. */
  readonly port: number;
  /** Further settings. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** Starts Poort and waits until it says that it is ready. Throws, with the server's last words, when it is not. */
export async function startPoort(input: PoortInput): Promise<{ readonly child: Child; readonly subject: Subject }> {
  const child = startChild({
    name: 'Poort',
    script: 'src/main.ts',
    arguments: ['start'],
    environment: {
      POORT_PORT: String(input.port),
      POORT_HOST: '127.0.0.1',
      POORT_DATA_DIR: input.dataDirectory,
      POORT_DATABASE_URL: input.databaseUrl,
      POORT_DEMO: 'on',
      POORT_LOG_LEVEL: 'warn',
      POORT_LOG_FORMAT: 'json',
      POORT_METRICS_PORT: String(await freePort()),
      POORT_GRPC_PORT: '0',
      ...input.environment,
    },
  });
  try {
    await waitUntilReady(child, input.port);
    return { child, subject: await readSubject(input, child.processId) };
  } catch (error) {
    await child.stop();
    throw new Error(`Poort did not start: ${error instanceof Error ? error.message : error}\n${child.lastWords()}`);
  }
}

async function waitUntilReady(child: Child, port: number): Promise<void> {
  const givesUpAt = performance.now() + readyWithinMilliseconds;
  while (performance.now() < givesUpAt) {
    if (child.hasEnded()) throw new Error('it ended');
    const response = await fetch(`http://localhost:${port}/health/ready`).catch(() => undefined);
    await response?.body?.cancel();
    if (response?.status === 200) return;
    await new Promise((resolve) => setTimeout(resolve, askAgainAfterMilliseconds));
  }
  throw new Error(`it was not ready within ${readyWithinMilliseconds / 1000} s`);
}

/** The first tenant of the demo, described as a subject. */
async function readSubject(input: PoortInput, processId: number): Promise<Subject> {
  const text = await readFile(join(input.dataDirectory, 'demo.json'), 'utf8');
  const tenant = found('tenant', demoFile.parse(JSON.parse(text)).tenants[0]);
  const clientOf = (type: string) => {
    const one = found(
      `client of type ${type}`,
      tenant.clients.find((candidate) => candidate.type === type),
    );
    const clientSecret = found(`secret of the client of type ${type}`, one.client_secret ?? undefined);
    return { clientId: one.client_id, clientSecret, redirectUri: one.redirect_uris?.[0] ?? '' };
  };
  const jwtApi = found(
    'API with JWT access tokens',
    tenant.apis.find((api) => api.token_format === 'jwt'),
  );
  // A second factor needs a code; the person measured has none.
  const person = found(
    'user without a second factor',
    tenant.users.find((user) => user.totp_secret == null),
  );
  return {
    target: { host: '127.0.0.1', port: input.port },
    processId,
    issuer: tenant.issuer,
    webClient: clientOf('web'),
    machineClient: clientOf('machine'),
    jwtApi: { audience: jwtApi.audience, scope: jwtApi.scopes.join(' ') },
    introspectsJwts: true,
    person: { email: person.email, password: person.password },
  };
}

function found<Value>(what: string, value: Value | undefined): Value {
  if (value === undefined) throw new Error(`demo.json names no ${what}`);
  return value;
}
