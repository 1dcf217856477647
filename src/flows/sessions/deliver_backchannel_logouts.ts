/**
 * Tells applications that a session has ended (OpenID Connect Back-Channel Logout 1.0): takes what is due from the outbox, signs a
 * logout token for it and posts it. At least once: what a worker that dies had in hand is due again when its lease ends, with
 * the same `jti`, by which an application recognises what it has done already.
 */
import { importJWK, SignJWT } from 'jose';
import { problemWithStatus } from '#src/domain/backchannel_logout.ts';
import { judgeAttempt, type RetrySettings } from '#src/domain/delivery_attempt.ts';
import type { NewEvent } from '#src/domain/event.ts';
import { issuerOf } from '#src/domain/tenant.ts';
import type { Clock } from '#src/foundation/clock.ts';
import type { Sealer } from '#src/foundation/sealing.ts';
import { signingKeyContext } from '#src/foundation/sealing_contexts.ts';
import type { Egress } from '#src/gateways/egress.ts';
import type { Database } from '#src/storage/database.ts';
import { eventRow } from '#src/storage/event_log.ts';
import {
  type ClaimedLogout,
  claimLogouts,
  listTenantsWithDueLogouts,
  settleLogout,
} from '#src/storage/tables/backchannel_logouts.ts';
import type { SigningKeyRow } from '#src/storage/tables/signing_keys.ts';
import { readTenantMaterial } from '#src/storage/tables/tenant_material.ts';
import { findTenantsById, type TenantRow } from '#src/storage/tables/tenants.ts';
import { allOf, type DeliveryCounts, type DeliveryState, deliverInRounds } from '../delivery_rounds.ts';

export interface LogoutDeliveryServices {
  readonly database: Database;
  readonly sealer: Sealer;
  readonly clock: Clock;
  readonly egress: Pick<Egress, 'call'>;
  readonly publicUrl: string;
  readonly settings: RetrySettings;
  /** From 0 to 1. */
  readonly random?: () => number;
}

export interface LogoutDelivery {
  /**
   * Delivers everything that is due and that no other run or worker has in hand. Runs may overlap: one that waits for a slow
   * application does not keep the next from the others. Once `signal` is aborted it takes nothing more.
   */
  deliverDue(signal?: AbortSignal): Promise<DeliveryCounts>;
}

/** Longer than any call may take. */
const leaseSeconds = 120;
const maximumTenants = 100;
const atOnce = 64;
/** Of one client in one process. A slow one holds this many places and no more. */
const perClient = 2;
/** OpenID Connect Back-Channel Logout 1.0 §2.4: recommended to be short. */
const tokenSeconds = 120;
const logoutEvent = 'http://schemas.openid.net/event/backchannel-logout';
const unlessRegistered = 'RS256';

export function createLogoutDelivery(services: LogoutDeliveryServices): LogoutDelivery {
  const { database, clock, egress, settings } = services;
  const random = services.random ?? Math.random;
  const inHand = new Map<string, number>();
  let places = atOnce;

  async function deliverOf(tenant: TenantRow): Promise<readonly DeliveryState[]> {
    const limit = Math.min(places, atOnce);
    if (limit === 0) return [];
    places -= limit;
    const tenantDatabase = database.tenant(tenant.id);
    const busyClients = [...inHand.entries()].flatMap(([key, running]) => {
      const [tenantId, clientId = ''] = key.split(' ');
      return tenantId === tenant.id && running >= perClient ? [clientId] : [];
    });
    const claim = { now: clock(), leaseSeconds, limit, perClient, busyClients };
    const logouts = await claimLogouts(tenantDatabase, claim).finally(() => {
      places += limit;
    });
    if (logouts.length === 0) return [];
    places -= logouts.length;
    const { keys } = await readTenantMaterial(tenantDatabase).catch((fault: unknown) => {
      places += logouts.length;
      throw fault;
    });
    return allOf(
      logouts.map(async (logout) => {
        const key = `${tenant.id} ${logout.client_id}`;
        inHand.set(key, (inHand.get(key) ?? 0) + 1);
        try {
          return await deliver(logout, { tenant, keys });
        } finally {
          places += 1;
          const left = (inHand.get(key) ?? 1) - 1;
          if (left === 0) inHand.delete(key);
          else inHand.set(key, left);
        }
      }),
    );
  }

  async function deliver(logout: ClaimedLogout, of: TenantOf): Promise<DeliveryState> {
    const problem = await send(logout, of);
    const now = clock();
    const judged = judgeAttempt({ problem, attempt: logout.attempts, settings, now, random: random() });
    const { state } = judged;
    const settled = await settleLogout(database.tenant(of.tenant.id), {
      logout,
      now,
      state,
      problem,
      dueAt: state === 'waiting' ? judged.dueAt : undefined,
      events: state === 'waiting' ? [] : [eventRow(whatBecameOf(logout, state, problem), {}, now)],
    });
    return settled ? state : 'somebody else’s';
  }

  /** What went wrong, in the words an operator is shown; undefined when the application has heard. */
  async function send(logout: ClaimedLogout, { tenant, keys }: TenantOf): Promise<string | undefined> {
    const url = logout.backchannel_logout_uri;
    if (url === null) return 'the application is disabled or has no address for it any more';
    const token = await signLogoutToken(logout, { tenant, keys });
    if (token === undefined) return 'the tenant has no key that signs for this application';
    const answer = await egress.call({
      url,
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({ logout_token: token }).toString(),
    });
    if (answer.outcome === 'answered') return problemWithStatus(answer.status);
    return answer.outcome === 'refused' ? `refused: ${answer.reason}` : `${answer.reason}: ${answer.detail}`;
  }

  /** §2.4. Signed as this client's ID tokens are; the engine's choice of key is the active one as well. */
  async function signLogoutToken(logout: ClaimedLogout, { tenant, keys }: TenantOf): Promise<string | undefined> {
    const registered = logout.settings['id_token_signed_response_alg'];
    const key = keys.find(({ alg, status }) => status === 'active' && alg === (registered ?? unlessRegistered));
    if (key === undefined) return undefined;
    const sealed = Buffer.from(key.private_sealed, 'base64');
    const jwk = JSON.parse(services.sealer.open(sealed, signingKeyContext(tenant.id, key.kid)).toString('utf8'));
    const issuedAt = Math.floor(clock().getTime() / 1000);
    return new SignJWT({ events: { [logoutEvent]: {} }, ...(logout.sid === null ? {} : { sid: logout.sid }) })
      .setProtectedHeader({ alg: key.alg, kid: key.kid, typ: 'logout+jwt' })
      .setIssuer(issuerOf(tenant, services.publicUrl))
      .setAudience(logout.client_id)
      .setSubject(logout.account_id)
      .setJti(logout.id)
      .setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + tokenSeconds)
      .sign(await importJWK(jwk, key.alg));
  }

  return {
    deliverDue: (signal) =>
      deliverInRounds(async () => {
        const ids = await listTenantsWithDueLogouts(database, { now: clock(), limit: maximumTenants });
        const tenants = ids.length === 0 ? [] : await findTenantsById(database, ids);
        return (await allOf(tenants.map(deliverOf))).flat();
      }, signal),
  };
}

interface TenantOf {
  readonly tenant: TenantRow;
  readonly keys: readonly SigningKeyRow[];
}

function whatBecameOf(logout: ClaimedLogout, state: 'delivered' | 'dead', problem: string | undefined): NewEvent {
  return {
    type: state === 'delivered' ? 'backchannel_logout.delivered' : 'backchannel_logout.given_up',
    outcome: state === 'delivered' ? 'success' : 'failure',
    reason: problem,
    actor: { type: 'system' },
    target: { type: 'client', id: logout.client_id },
    clientId: logout.client_id,
    sessionId: logout.sid ?? undefined,
    data: { user_id: logout.account_id, attempts: logout.attempts },
  };
}
