/**
 * `{origin}/d/{code}`: the complete address of RFC 8628 §3.3.1, short enough to be drawn on a small display. It leads to the page of the
 * tenant whose device waits, with the code filled in, and does nothing else: whoever follows it types, signs in, compares and decides
 * like everybody. Following one is a guess at a code, so it is counted before anything is looked up.
 */
import type Router from '@koa/router';
import type { Context } from 'koa';
import { parseUserCode } from '#src/domain/user_code.ts';
import { countShortAddress, forgiveShortAddress } from '#src/flows/sign_in/attempts.ts';
import { sha256 } from '#src/foundation/identifiers.ts';
import { shortDevicePath } from '#src/oidc/device_grant.ts';
import { devicePath } from '#src/oidc/provider.ts';
import { findTenantOfUserCode } from '#src/storage/tables/tenants.ts';
import type { HttpExchange } from '../../gates/exchange.ts';
import { goTo } from '../interaction/interaction_step.ts';
import { localeOf, showPage } from '../kit/page_kit.ts';
import type { VisitorPagesOptions } from '../visitors/visitor_pages.ts';

export function mountShortDeviceAddress(
  router: Router,
  { config, visitorServices }: Pick<VisitorPagesOptions, 'config' | 'visitorServices'>,
): void {
  // Both spellings: in capitals the whole address is alphanumeric, and its QR code (ISO 18004) a size smaller.
  router.get([`${shortDevicePath}/:code`, `${shortDevicePath.toUpperCase()}/:code`], async (ctx) => {
    const { exchange } = ctx.req as typeof ctx.req & { readonly exchange: HttpExchange };
    const { database, clock } = visitorServices;
    const address = exchange.origin.ip;
    const counted = await countShortAddress(visitorServices, { address, now: clock() });
    if (counted.outcome === 'throttled') {
      ctx.set('retry-after', String(counted.retryAfterSeconds));
      return showOver(ctx, exchange, { what: 'throttled', status: 429 });
    }
    const userCode = parseUserCode(String(ctx.params['code']));
    const tenant =
      userCode === undefined
        ? undefined
        : await findTenantOfUserCode(database, { userCodeHash: sha256(userCode), now: clock() });
    // Never there, expired, used, suspended: one answer.
    if (tenant === undefined) return showOver(ctx, exchange, { what: 'unknown', status: 404 });
    await forgiveShortAddress(visitorServices, { address });
    goTo(ctx, `${config.http.publicUrl}/t/${tenant.slug}${devicePath}?user_code=${userCode}`);
  });
}

function showOver(
  ctx: Context,
  { requestId }: HttpExchange,
  { what, status }: { readonly what: 'unknown' | 'throttled'; readonly status: number },
): void {
  showPage(ctx, {
    name: 'device_result',
    model: { what },
    status,
    locale: localeOf(ctx, { locale: 'nl' }),
    tenant: undefined,
    requestId,
  });
}
