/** What Koa serves: health, assets and explanations of the installation, and the pages and REST API of a tenant. One router for each. */
import type { IncomingMessage } from 'node:http';
import Router from '@koa/router';
import type Koa from 'koa';
import type { DevelopmentMailbox } from '#src/flows/mail/deliver_mails.ts';
import { accountPath } from '#src/oidc/provider.ts';
import type { TenantEngine } from '#src/oidc/tenant_engine.ts';
import { type AnswerOptions, answerFault, createKoa } from './answer_problem.ts';
import { type ApiOptions, apiRoutes, platformRoutes } from './api/api.ts';
import type { Operators } from './api/callers.ts';
import { mountApi, mountPlatformApi } from './api/door.ts';
import type { HttpExchange } from './gates/exchange.ts';
import type { Health } from './health.ts';
import type { AccountPagesOptions } from './pages/account/account_page_kit.ts';
import { mountAccountPages } from './pages/account/account_pages.ts';
import { mountFactorPages } from './pages/account/factor_pages.ts';
import { createOwnPages, mountSignedIn } from './pages/account/own_pages.ts';
import { mountApprovalPages } from './pages/approvals/approval_pages.ts';
import { mountDevelopmentMailbox } from './pages/development_mailbox_pages.ts';
import { mountDevicePages } from './pages/devices/device_pages.ts';
import { mountShortDeviceAddress } from './pages/devices/short_device_address.ts';
import { mountInteractionPages } from './pages/interaction/interaction_pages.ts';
import type { PageState } from './pages/interaction/interaction_step.ts';
import { mountBrand } from './pages/kit/brand.ts';
import { assetsPath, localeOf, showPage } from './pages/kit/page_kit.ts';
import { assets } from './pages/kit/render.ts';
import { mountInvitationPages } from './pages/visitors/invitation_pages.ts';
import { mountRecoveryPages } from './pages/visitors/recovery_pages.ts';
import { mountRegistrationPages } from './pages/visitors/registration_pages.ts';
import type { VisitorPagesOptions } from './pages/visitors/visitor_pages.ts';
import { problemSections } from './problem_pages.ts';
import { ProblemRaised, problems } from './problems.ts';
import { mountReference } from './reference.ts';
import { mountRegistration, type RegistrationOptions } from './registration.ts';

export interface PagesOptions
  extends AnswerOptions,
    AccountPagesOptions,
    ApiOptions,
    RegistrationOptions,
    VisitorPagesOptions {
  readonly health: Health;
  readonly operators: Operators;
  /** Where mail is shown instead of sent. */
  readonly developmentMailbox: DevelopmentMailbox | undefined;
}

/** Serves a request of the installation, or of one tenant when its engine is given. */
export type Pages = (exchange: HttpExchange, engine: TenantEngine | undefined) => Promise<void>;

export function createPagesApp(options: PagesOptions): Pages {
  const { health, developmentMailbox } = options;
  // One spelling for each address, like the engine's endpoints.
  const installation = new Router({ sensitive: true });
  installation.get('/', (ctx) => {
    const requestId = ctx.response.get('x-request-id');
    showPage(ctx, {
      name: 'home',
      model: {},
      status: 200,
      locale: localeOf(ctx, { locale: 'nl' }),
      tenant: undefined,
      requestId,
    });
  });
  installation.get('/health/live', (ctx) => {
    ctx.body = { status: 'live' };
  });
  installation.get('/health/ready', async (ctx) => {
    const readiness = await health.ready();
    ctx.status = readiness.status === 'ready' ? 200 : 503;
    ctx.body = readiness;
  });
  for (const asset of assets) {
    installation.get(assetsPath + asset.path, (ctx) => {
      ctx.set('cache-control', 'public, max-age=31536000, immutable');
      ctx.set('content-type', asset.contentType);
      ctx.set('etag', asset.etag);
      ctx.body = asset.body;
    });
  }

  installation.get('/docs/problems/:code', (ctx) => {
    const section = problemSections.get(String(ctx.params['code']));
    if (section === undefined) return;
    ctx.type = 'text/plain; charset=utf-8';
    ctx.body = section;
  });

  const routes = apiRoutes(options);
  const platform = platformRoutes(options);
  mountReference(installation as Router, { publicUrl: options.config.http.publicUrl, routes, platform });
  mountShortDeviceAddress(installation, options);
  mountDevelopmentMailbox(installation, developmentMailbox);
  mountPlatformApi(installation, platform, options);

  const tenant = new Router<PageState>({ sensitive: true });
  tenant.get('/t/:slug', (ctx) => {
    const { engine, exchange } = ctx.state;
    const common = { status: 200, locale: localeOf(ctx, engine.tenant), requestId: exchange.requestId };
    const model = { accountAddress: `/t/${engine.tenant.slug}${accountPath}` };
    showPage(ctx, { name: 'home', model, tenant: engine.tenant, ...common });
  });
  mountBrand(tenant, { database: options.signInServices.database });
  mountInteractionPages(tenant, options);
  mountApprovalPages(tenant, options);
  mountDevicePages(tenant, options);
  mountRegistrationPages(tenant, options);
  mountRecoveryPages(tenant, options);
  mountInvitationPages(tenant, options);
  const ownPages = createOwnPages(options);
  mountSignedIn(tenant, ownPages, options);
  mountAccountPages(tenant, ownPages, options);
  mountFactorPages(tenant, ownPages, options);
  mountRegistration(tenant, options);
  mountApi(tenant, routes, options);

  const serveInstallation = callbackOf(installation as Router<Koa.DefaultState>);
  const serveTenant = callbackOf(tenant as unknown as Router<Koa.DefaultState>);
  return (exchange, engine) =>
    engine === undefined ? serveInstallation(exchange, { exchange }) : serveTenant(exchange, { exchange, engine });

  function callbackOf(router: Router): (exchange: HttpExchange, state: object) => Promise<void> {
    const app = createKoa();
    app.use(async (ctx, next) => {
      const { exchange } = ctx.req as IncomingMessage & { exchange: HttpExchange };
      Object.assign(ctx.state, (ctx.req as IncomingMessage & { pageState: object }).pageState);
      ctx.set('cache-control', 'no-store');
      try {
        await next();
        if (ctx.body === undefined && ctx.status === 404) throw new ProblemRaised(problems.notFound());
        if (ctx.body === undefined && ctx.status === 405)
          throw new ProblemRaised(problems.methodNotAllowed(ctx.response.get('allow').split(', ')));
      } catch (fault) {
        ctx.respond = false;
        answerFault(exchange, fault, options, ctx.state['engine']?.tenant);
      }
    });
    app.use(router.routes());
    app.use(router.allowedMethods());
    const handle = app.callback();
    return async (exchange, pageState) => {
      Object.assign(exchange.request, { exchange, pageState });
      await handle(exchange.request, exchange.response);
    };
  }
}
