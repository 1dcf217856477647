/**
 * The demo of a running house: its seed, and the demo application, which is a process of its own on an origin of its own, as a
 * relying party is in real life. The seed itself is a flow.
 */
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Config } from '#config/config.ts';
import { type DemoFile, type DemoTenant, demoTenantName, seedDemo } from '#src/flows/tenants/seed_demo.ts';
import type { House } from '#src/server.ts';
import { type DemoApplication, startDemoApplication } from './demo_application.ts';
import { operatorContext } from './runner.ts';

export interface RunningDemo {
  readonly demo: DemoFile;
  /** Undefined when the application could not be started; Poort serves without it. */
  readonly application: DemoApplication | undefined;
}

const portAttempts = 20;

export function seedDemoOf(house: House, { demoOrigin }: { readonly demoOrigin: string }): Promise<DemoFile> {
  const { http, dataDirectory } = house.config;
  const context = { ...operatorContext(house), actor: { type: 'system', id: 'demo' } } as const;
  return seedDemo(context, { publicUrl: http.publicUrl, demoOrigin, dataDirectory });
}

/** Before anything listens: whoever waits for `/health/ready` may read demo.json right after. */
export async function seedDemoFirst(house: House): Promise<void> {
  const { demo } = house.config;
  if (demo.enabled) await seedDemoOf(house, { demoOrigin: originOf(demo.port) });
}

/** Seeds and starts the application, on the preferred port or on the next one that is free. */
export async function startDemo(
  house: House,
  { environment, logger }: { readonly environment: Environment; readonly logger: Logger },
): Promise<RunningDemo> {
  const { config } = house;
  for (let port = config.demo.port, attempt = 1; ; attempt += 1) {
    port = await findFreePort(port, config);
    const demoOrigin = originOf(port);
    // Before the application: its redirect URIs must be known by the time somebody clicks.
    const demo = await seedDemoOf(house, { demoOrigin });
    const tenants = demo.tenants.map((tenant) => settingsOf(tenant));
    const started = await startDemoApplication({ port, origin: demoOrigin, tenants, environment, logger });
    if (started.outcome === 'listening') return { demo, application: started.application };
    if (started.outcome === 'failed') {
      logger.warn({ reason: started.reason }, 'the demo application did not start; Poort serves without it');
      return { demo, application: undefined };
    }
    if (attempt === portAttempts) {
      logger.warn('no port was free for the demo application; Poort serves without it');
      return { demo, application: undefined };
    }
    port += 1;
  }
}

export type Environment = Readonly<Record<string, string | undefined>>;

export function originOf(port: number): string {
  return `http://localhost:${port}`;
}

/** As `examples/web-app` wants to be told. */
function settingsOf(tenant: DemoTenant): object {
  const clientOf = (type: string) => tenant.clients.find((client) => client.type === type);
  const web = clientOf('web');
  const resourceServer = clientOf('resource_server');
  const api = tenant.apis.find((candidate) => candidate.token_format === 'jwt');
  return {
    slug: tenant.slug,
    name: demoTenantName(tenant.slug),
    issuer: tenant.issuer,
    client_id: web?.client_id,
    client_secret: web?.client_secret,
    redirect_uri: web?.redirect_uris[0],
    api: { audience: api?.audience, scopes: api?.scopes },
    resource_server: { client_id: resourceServer?.client_id, client_secret: resourceServer?.client_secret },
  };
}

/** The first free port from `preferred` on that is none of our own; any free one when there is none near or none preferred. */
export async function findFreePort(preferred: number, config: Config): Promise<number> {
  const taken = new Set([config.http.port, config.grpc.port, config.metricsPort]);
  for (let port = preferred; preferred !== 0 && port < Math.min(preferred + portAttempts, 65_536); port += 1) {
    if (!taken.has(port) && (await tryPort(port)) !== undefined) return port;
  }
  return (await tryPort(0)) ?? 0;
}

/** The port when it could be listened on just now. On both families: a browser asks `localhost` at either. */
async function tryPort(port: number): Promise<number | undefined> {
  const free = await tryAddress(port, '127.0.0.1');
  if (free === undefined) return undefined;
  return (await tryAddress(free, '::1')) === undefined ? undefined : free;
}

function tryAddress(port: number, host: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (fault: NodeJS.ErrnoException) => resolve(fault.code === 'EADDRINUSE' ? undefined : port));
    server.listen(port, host, () => {
      const address = server.address();
      const found = typeof address === 'object' && address !== null ? address.port : port;
      server.close(() => resolve(found));
    });
  });
}

/** Where people find the passwords of the demo. */
export function demoFilePath(config: Config): string {
  return join(config.dataDirectory, 'demo.json');
}
