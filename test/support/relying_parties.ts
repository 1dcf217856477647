/** Applications on other origins for the browser tests: the examples themselves, and one that only shows what it was sent. */
import { createServer } from 'node:http';
import { createClient } from '#src/flows/clients/manage_clients.ts';
import { startSinglePageApplication } from '../../examples/spa/server.ts';
import { startDemoApplication } from '../../examples/web-app/application.ts';
import { freePort, type TestServer } from './test_server.ts';
import { apiScopes, type TestClient, type TestTenant } from './world.ts';

export interface RunningApplication {
  readonly origin: string;
  close(): Promise<void>;
}

export interface NewClient {
  readonly name: string;
  readonly type: 'web' | 'spa' | 'native';
  readonly redirectUris: readonly string[];
  readonly postLogoutRedirectUris?: readonly string[];
  readonly firstParty?: boolean;
}

/** A client that may ask for the scopes of the tenant's APIs; of the house itself unless told otherwise. */
export async function registerClient(server: TestServer, tenant: TestTenant, client: NewClient): Promise<TestClient> {
  const request = { firstParty: true, scopes: [...apiScopes], ...client };
  const created = await createClient(server.context, { tenantId: tenant.id, client: request });
  if (created.outcome !== 'created') throw new Error(JSON.stringify(created.problems));
  return { clientId: created.clientId, clientSecret: created.clientSecret ?? '' };
}

/** examples/web-app with one card for each tenant; it calls an API of the format given with the tenant. */
export async function startWebApp(
  server: TestServer,
  tenants: readonly { readonly tenant: TestTenant; readonly tokenFormat: 'jwt' | 'opaque' }[],
): Promise<RunningApplication> {
  const port = await freePort();
  const origin = `http://localhost:${port}`;
  const settings = await Promise.all(
    tenants.map(async ({ tenant, tokenFormat }) => {
      const redirectUri = `${origin}/callback/${tenant.slug}`;
      const client = await registerClient(server, tenant, {
        name: 'Web app',
        type: 'web',
        redirectUris: [redirectUri],
        postLogoutRedirectUris: [`${origin}/`],
      });
      const { resource_server } = tenant.clients;
      return {
        slug: tenant.slug,
        name: tenant.slug[0]?.toUpperCase() + tenant.slug.slice(1),
        issuer: tenant.issuer,
        client_id: client.clientId,
        client_secret: client.clientSecret,
        redirect_uri: redirectUri,
        api: { audience: tokenFormat === 'jwt' ? tenant.jwtApi : tenant.opaqueApi, scopes: [...apiScopes] },
        resource_server: { client_id: resource_server.clientId, client_secret: resource_server.clientSecret },
      };
    }),
  );
  return startDemoApplication({ port, tenants: settings });
}

/** examples/spa, as a public client of the tenant. */
export async function startSpa(server: TestServer, tenant: TestTenant): Promise<RunningApplication> {
  const application = await startSinglePageApplication({ issuer: tenant.issuer, clientId: '', port: 0 });
  const { clientId } = await registerClient(server, tenant, {
    name: 'Single page application',
    type: 'spa',
    redirectUris: [`${application.origin}/callback`],
    postLogoutRedirectUris: [`${application.origin}/`],
  });
  application.useClient({ issuer: tenant.issuer, clientId });
  return application;
}

/** Another site altogether, which says what address it was called at and nothing more. */
export async function startForeignSite(): Promise<RunningApplication> {
  const server = createServer((request, response) => {
    response.setHeader('Content-Type', 'text/html; charset=utf-8');
    response.end(
      `<!doctype html><html lang="en"><title>Elsewhere</title><link rel="icon" href="data:,"><p>${request.method}</p></html>`,
    );
  });
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    origin: `http://127.0.0.1:${port}`,
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
