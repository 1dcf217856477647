/**
 * Around every request to a tenant's engine: what the engine changed is committed together with the events that tell of it,
 * before the answer leaves. A lost race becomes the refusal the specification names; a fault changes nothing at all.
 */
import type Provider from 'oidc-provider';
import type { KoaContextWithOIDC } from 'oidc-provider';
import { grantsWhenRead } from '#adapters/session_notes.ts';
import { currentUnitOfWork, hashOf, type UnitOfWork } from '#adapters/unit_of_work.ts';
import type { NewEvent } from '#src/domain/event.ts';
import { LostRace } from '#src/storage/database.ts';
import type { DeviceNotes } from '#src/storage/device_notes.ts';
import type { TenantRow } from '#src/storage/tables/tenants.ts';
import { deviceIdOf } from './accounts.ts';
import { noteDevice, recordPairing } from './device_grant.ts';
import type { EnginePages } from './engine_pages.ts';
import { applicationOf, originOf } from './provider.ts';
import { exchangeEvent } from './token_exchange.ts';

export interface ProviderEventHooks {
  readonly tenant: TenantRow;
  readonly pages: EnginePages;
  readonly deviceNotes: Pick<DeviceNotes, 'note'>;
  readonly onFault: (fault: unknown, ctx: KoaContextWithOIDC) => void;
}

export function commitWhatHappens(
  provider: Provider,
  { tenant, pages, deviceNotes, onFault }: ProviderEventHooks,
): void {
  provider.on('server_error', (ctx, fault) => onFault(fault, ctx));
  provider.on('grant.revoked', (ctx, grantId) => {
    const { accountId, sid } = tokenOf(ctx) ?? {};
    const unit = currentUnitOfWork();
    const deviceId = unit.deviceOf(grantId);
    unit.endGrant(grantId, {
      type: 'grant.revoked',
      outcome: 'success',
      actor: { type: 'client', id: ctx.oidc.client?.clientId },
      target: { type: 'grant', id: grantId },
      clientId: ctx.oidc.client?.clientId,
      sessionId: sid,
      data: {
        ...(accountId === undefined ? {} : { user: accountId }),
        ...(deviceId === undefined ? {} : { device_id: deviceId }),
      },
    });
  });
  const refusals = new WeakMap<object, Error>();
  provider.on('grant.error', (ctx, error) => void refusals.set(ctx, error));

  provider.use(async (ctx, next) => {
    const unit = currentUnitOfWork();
    await next();
    const engineContext = ctx as unknown as KoaContextWithOIDC; // the engine defines `oidc` on every routed context
    if (ctx.status >= 500) return;
    finishEmptyLogout(engineContext, { tenant, pages });
    try {
      const refusal = refusals.get(ctx);
      if (refusal !== undefined) await recordReuse(engineContext, unit, refusal);
      if (engineContext.oidc !== undefined) recordOutcome(engineContext, unit);
      await unit.commit();
    } catch (fault) {
      if (!(fault instanceof LostRace)) onFault(fault, engineContext);
      withdraw(engineContext, { tenant, pages, lost: fault instanceof LostRace ? fault.kind : undefined });
      return;
    }
    noteDevice(engineContext, { tenantId: tenant.id, unit, notes: deviceNotes, refusal: refusals.get(ctx) });
    allowFormPost(engineContext);
  });
}

function recordOutcome(ctx: KoaContextWithOIDC, unit: UnitOfWork): void {
  const { route, client, entities, params } = ctx.oidc;
  if (route === 'token') {
    if (ctx.status === 200) {
      unit.append(exchangeEvent(ctx) ?? tokenIssued(ctx));
      recordPairing(ctx);
    } else {
      unit.forgetWhatWasRefused();
    }
  }
  if (route === 'revocation' && ctx.status === 200) {
    const token = entities.AccessToken ?? entities.ClientCredentials ?? entities.RefreshToken;
    // Somebody else's token is found but not touched, see `revocation` in provider.ts.
    if (token !== undefined && token.clientId === client?.clientId) {
      const revoked: NewEvent = {
        type: 'token.revoked',
        outcome: 'success',
        actor: { type: 'client', id: client?.clientId },
        ...targetOf('accountId' in token ? token.accountId : undefined),
        clientId: client?.clientId,
        sessionId: 'sid' in token ? token.sid : undefined,
        data: { kind: token.kind },
      };
      // However many ask at the same moment, one of them ends the grant.
      if ('grantId' in token && token.grantId !== undefined) unit.tellWithEndedGrant(revoked);
      else unit.append(revoked);
    }
  }
  // Anything but a redirect refused: a forged form, above all.
  if (route === 'end_session_confirm' && ctx.status === 303) {
    if (params?.['logout'] !== undefined) recordSignOut(ctx, unit);
    else endAuthorizations(ctx, unit);
  }
}

function tokenIssued(ctx: KoaContextWithOIDC): NewEvent {
  const { client, entities, params } = ctx.oidc;
  const token = entities.AccessToken ?? entities.ClientCredentials;
  const accountId = entities.Account?.accountId;
  const deviceId = deviceIdOf(entities.Grant);
  return {
    type: 'token.issued',
    outcome: 'success',
    actor: accountId === undefined ? { type: 'client', id: client?.clientId } : { type: 'user', id: accountId },
    clientId: client?.clientId,
    sessionId: entities.AccessToken?.sid,
    data: {
      grant_type: String(params?.['grant_type'] ?? ''),
      scope: token?.scope ?? '',
      audience: [token?.aud ?? []].flat(),
      ...(deviceId === undefined ? {} : { device_id: deviceId }),
    },
  };
}

/** The person signed out: the adapter has ended the session with everything issued under it, which the engine leaves alive. */
function recordSignOut({ oidc }: KoaContextWithOIDC, unit: UnitOfWork): void {
  const { session } = oidc;
  if (session?.accountId === undefined) return;
  unit.append({
    type: 'user.signed_out',
    outcome: 'success',
    actor: { type: 'user', id: session.accountId },
    target: { type: 'session', id: session.uid },
    clientId: oidc.client?.clientId,
    sessionId: session.uid,
  });
}

/** The person signed out of one application only: the engine forgot its authorization, and what was issued to it goes too. */
function endAuthorizations({ oidc }: KoaContextWithOIDC, unit: UnitOfWork): void {
  const { session } = oidc;
  if (session?.accountId === undefined) return;
  for (const [clientId, grantId] of grantsWhenRead(unit, session.uid)) {
    if (session.authorizations?.[clientId] !== undefined) continue;
    unit.endGrant(grantId, {
      type: 'grant.revoked',
      outcome: 'success',
      actor: { type: 'user', id: session.accountId },
      target: { type: 'grant', id: grantId },
      clientId,
    });
  }
}

/** RFC 9700 §4.14: the same value twice means that one of two holders stole it. The grant is being ended, and this is why. */
async function recordReuse(ctx: KoaContextWithOIDC, unit: UnitOfWork, error: Error): Promise<void> {
  const detail = 'error_detail' in error && typeof error.error_detail === 'string' ? error.error_detail : '';
  if (!/already (used|consumed)$/.test(detail)) return;
  const { accountId, sid, grantId } = tokenOf(ctx) ?? (await replayedCode(ctx, unit)) ?? {};
  const deviceId = grantId === undefined ? undefined : unit.deviceOf(grantId);
  unit.tellWithEndedGrant({
    type: 'token.reuse_detected',
    outcome: 'failure',
    reason: detail.replaceAll(' ', '_'),
    actor: { type: 'client', id: ctx.oidc.client?.clientId },
    ...targetOf(accountId),
    clientId: ctx.oidc.client?.clientId,
    sessionId: sid,
    ...(deviceId === undefined ? {} : { data: { device_id: deviceId } }),
  });
}

/** Whose token it is, and of which session. */
interface TokenFacts {
  readonly accountId?: string | undefined;
  readonly sid?: string | undefined;
  readonly grantId?: string | undefined;
}

function tokenOf({ oidc }: KoaContextWithOIDC): TokenFacts | undefined {
  const { RefreshToken, AccessToken, AuthorizationCode, DeviceCode } = oidc.entities;
  return RefreshToken ?? AccessToken ?? AuthorizationCode ?? DeviceCode;
}

/** The engine names a code only when it is good; this request has read it all the same. */
async function replayedCode({ oidc }: KoaContextWithOIDC, unit: UnitOfWork): Promise<TokenFacts | undefined> {
  const code = oidc.params?.['code'];
  const found = typeof code === 'string' ? await unit.find('AuthorizationCode', hashOf(code)) : undefined;
  return found?.payload as TokenFacts | undefined; // as the engine stored it
}

function targetOf(accountId: string | undefined): Pick<NewEvent, 'target'> {
  return accountId === undefined ? {} : { target: { type: 'user', id: accountId } };
}

/** Takes back an answer that was written but must not leave. */
function withdraw(
  ctx: KoaContextWithOIDC,
  { tenant, pages, lost }: { tenant: TenantRow; pages: EnginePages; lost: string | undefined },
): void {
  for (const header of ['set-cookie', 'location']) ctx.remove(header);
  const lostRace = lost !== undefined;
  const status = lostRace ? 400 : 500;
  const forPerson = ctx.oidc?.route !== 'token' && ctx.accepts('json', 'html') === 'html';
  if (forPerson && (lost === 'Interaction' || lost === 'Session')) {
    pages.expired(ctx, tenant, applicationOf(ctx.oidc.client));
    return;
  }
  if (forPerson) {
    pages.problem(ctx, tenant, { code: lostRace ? 'invalid_request' : 'server_error', status });
    return;
  }
  ctx.status = status;
  ctx.body = lostRace
    ? {
        error: ctx.oidc.route === 'token' ? 'invalid_grant' : 'invalid_request',
        error_description: 'grant request is invalid',
      }
    : { error: 'server_error', error_description: 'oops! something went wrong' };
}

/**
 * A sign-out where nobody is signed in: there is nothing to ask, and the engine would say so with a bare page that posts by itself.
 * The browser goes straight to where it would have ended.
 */
function finishEmptyLogout(
  ctx: KoaContextWithOIDC,
  { tenant, pages }: { tenant: TenantRow; pages: EnginePages },
): void {
  if (ctx.oidc?.route !== 'end_session' || ctx.status !== 200 || ctx.oidc.session?.accountId !== undefined) return;
  const { postLogoutRedirectUri, state } = (ctx.oidc.session?.state ?? {}) as LogoutState;
  if (postLogoutRedirectUri === undefined) {
    pages.loggedOut(ctx, tenant, { application: applicationOf(ctx.oidc.client), stillSignedIn: false });
    return;
  }
  // Registered, or the engine had refused; RP-Initiated Logout 1.0 §3: `state` goes back as it came.
  const target = new URL(postLogoutRedirectUri);
  if (state !== undefined) target.searchParams.set('state', state);
  ctx.status = 303;
  ctx.redirect(target.href);
  ctx.body = '';
}

/** What the engine keeps in the session between its two steps of a sign-out. */
interface LogoutState {
  readonly postLogoutRedirectUri?: string;
  readonly state?: string;
}

/** The engine's own page that posts by itself, `response_mode=form_post`: to the application, and only there. */
function allowFormPost(ctx: KoaContextWithOIDC): void {
  // A page is text; what clients get are objects.
  if (typeof ctx.body !== 'string') return;
  const target = originOf(formPostTarget(ctx));
  if (target === undefined) return;
  const policy = ctx.response.get('content-security-policy');
  ctx.set('content-security-policy', policy.replace("form-action 'self'", `form-action 'self' ${target}`));
}

const formPostModes: ReadonlySet<unknown> = new Set(['form_post', 'form_post.jwt']);

/** Only addresses that were checked against what the client registered. */
function formPostTarget({ oidc }: KoaContextWithOIDC): string | undefined {
  if (oidc?.client === undefined) return undefined;
  const { params } = oidc;
  const redirectUri = params?.['redirect_uri'];
  if (!formPostModes.has(params?.['response_mode']) || !oidc.redirectUriCheckPerformed) return undefined;
  return typeof redirectUri === 'string' ? redirectUri : undefined;
}
