/** The door of the REST API with routes of a test's own, in front of the engines and the database of a running server. */
import { createServer, type IncomingMessage } from 'node:http';
import Router from '@koa/router';
import type Koa from 'koa';
import { pino } from 'pino';
import type { VerifyApiKey } from '#src/flows/access/api_keys.ts';
import { answerFault, createKoa } from '#src/http/answer_problem.ts';
import { mountApi } from '#src/http/api/door.ts';
import type { ApiRoute } from '#src/http/api/routes.ts';
import { createProxyTrust, openExchange } from '#src/http/gates/open_exchange.ts';
import type { PageState } from '#src/http/pages/interaction/interaction_step.ts';
import { createTestEngines } from './engines.ts';
import { freePort, type TestServer } from './test_server.ts';

export interface ApiServer {
  /** Of this door, below which a tenant's addresses are. */
  readonly origin: string;
  close(): Promise<void>;
}

export async function startApiServer(
  server: TestServer,
  { routes, verifyApiKey }: { readonly routes: readonly ApiRoute[]; readonly verifyApiKey: VerifyApiKey },
): Promise<ApiServer> {
  const { config } = server;
  const { clock, database, sealer } = server.server.house;
  const engines = createTestEngines(server);
  const apiServices = { database, sealer };
  const options = { config, clock, logger: pino({ level: 'silent' }), verifyApiKey, apiServices };
  const trust = createProxyTrust(config.http.trustedProxies);
  const router = new Router<PageState>({ sensitive: true });
  mountApi(router, routes, options);
  const app = createKoa();
  app.use(async (ctx, next) => {
    const exchange = openExchange(ctx.req as IncomingMessage, ctx.res, { trust, http: config.http });
    const slug = /^\/t\/([^/]+)/.exec(exchange.path)?.[1] ?? '';
    try {
      Object.assign(ctx.state, { exchange, engine: await engines.engineOf(slug) });
      await next();
    } catch (fault) {
      ctx.respond = false;
      answerFault(exchange, fault, options);
    }
  });
  app.use((router as unknown as Router<Koa.DefaultState>).routes());
  app.use((router as unknown as Router<Koa.DefaultState>).allowedMethods());
  const http = createServer(app.callback());
  const port = await freePort();
  await new Promise<void>((resolve) => http.listen(port, '127.0.0.1', resolve));
  return {
    origin: `http://127.0.0.1:${port}`,
    async close() {
      await new Promise((resolve) => http.close(resolve));
      await engines.close();
    },
  };
}
