/** The pages that the engine itself needs shown: a floor below asks through the port `oidc/engine_pages.ts`, this is its answer. */
import type { Context } from 'koa';
import type { KoaContextWithOIDC } from 'oidc-provider';
import type { Clock } from '#src/foundation/clock.ts';
import type { EnginePages } from '#src/oidc/engine_pages.ts';
import type { TenantRow } from '#src/storage/tables/tenants.ts';
import { localeOf, showPage } from './page_kit.ts';
import type { Destination } from './page_shell.ts';
import type { ProblemKind } from './problem_models.ts';
import type { Locale } from './translations.ts';

const kinds: Readonly<Record<string, ProblemKind>> = {
  server_error: 'fault',
  invalid_client: 'unknown_application',
  invalid_redirect_uri: 'invalid_redirect',
  access_denied: 'refused',
};

export function createEnginePages({ clock }: { clock: Clock }): EnginePages {
  return {
    problem(ctx, tenant, { code, status }) {
      const model = { kind: kinds[code] ?? 'invalid_request', at: clock(), oauth: { error: code } } as const;
      showPage(ctx, { name: 'problem', model, status, ...commonOf(ctx, tenant) });
    },

    expired(ctx, tenant, application) {
      showPage(ctx, {
        name: 'expired',
        model: { application: destinationOf(application) },
        status: 400,
        ...commonOf(ctx, tenant),
      });
    },

    logout(ctx, tenant, form) {
      showPage(ctx, {
        name: 'logout',
        model: { action: form.action, xsrf: form.xsrf },
        status: 200,
        formTargets: [form.redirectOrigin],
        ...commonOf(ctx, tenant),
      });
    },

    loggedOut(ctx, tenant, { application, stillSignedIn }) {
      const partly = application === undefined ? 'stayed' : 'signed_out_of_application';
      const result = stillSignedIn ? partly : 'signed_out';
      showPage(ctx, {
        name: 'logged_out',
        model: { result, application: destinationOf(application) },
        status: 200,
        ...commonOf(ctx, tenant),
      });
    },
  };
}

interface Common {
  readonly locale: Locale;
  readonly tenant: TenantRow;
  readonly applicationName: string | undefined;
  readonly requestId: string;
}

function commonOf(ctx: KoaContextWithOIDC, tenant: TenantRow): Common {
  const uiLocales = ctx.oidc?.params?.['ui_locales'];
  return {
    locale: localeOf(ctx as unknown as Context, tenant, typeof uiLocales === 'string' ? { uiLocales } : {}),
    tenant,
    applicationName: ctx.oidc?.client?.clientName,
    requestId: String(ctx.res.getHeader('x-request-id') ?? ''),
  };
}

export function destinationOf(
  application: { name: string; url: string | undefined } | undefined,
): Destination | undefined {
  return application?.url === undefined ? undefined : { name: application.name, address: application.url };
}
