/**
 * One call, from its metadata to its status: who calls, whether the request can be read, how long it may take, and what the log says
 * of it. What is answered is the method's own; nothing of a request is looked at before its key is good.
 */
import { randomUUID } from 'node:crypto';
import { isIP } from 'node:net';
import { type handleUnaryCall, Metadata, type ServerUnaryCall, status } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import type { z } from 'zod';
import type { VerifyApiKey } from '#src/flows/access/api_keys.ts';
import type { Clock } from '#src/foundation/clock.ts';
import type { ProviderPool } from '#src/oidc/provider_pool.ts';
import type { TenantEngine } from '#src/oidc/tenant_engine.ts';
import { isUnavailable } from '#src/storage/database.ts';
import { type Refusal, refusals, toStatus } from './refusals.ts';

export interface CallServices {
  readonly pool: Pick<ProviderPool, 'findTenantById' | 'engineOf'>;
  readonly verifyKey: VerifyApiKey;
  readonly clock: Clock;
  readonly logger: Logger;
  /** A call takes no longer than this, whatever its own deadline says. */
  readonly maximumCallSeconds: number;
}

export interface GrpcCaller {
  readonly engine: TenantEngine;
  /** Those of its key. */
  readonly scopes: readonly string[];
}

export type Answered<Response> =
  | { readonly outcome: 'answered'; readonly response: Response }
  | { readonly outcome: 'refused'; readonly refusal: Refusal };

export interface Method<Request, Response> {
  readonly name: string;
  readonly request: z.ZodType<Request>;
  readonly answer: (caller: GrpcCaller, request: Request) => Promise<Answered<Response>>;
}

type UnaryCall<Response> = Pick<ServerUnaryCall<unknown, Response>, 'metadata' | 'request' | 'getPeer'>;

/** After a fault of the database: connections are made anew within a second. */
const retrySeconds = 2;

export function answered<Response>(response: Response): Answered<Response> {
  return { outcome: 'answered', response };
}

export function refused(refusal: Refusal): { readonly outcome: 'refused'; readonly refusal: Refusal } {
  return { outcome: 'refused', refusal };
}

export function createUnaryCall<Request, Response>(
  method: Method<Request, Response>,
  services: CallServices,
): handleUnaryCall<unknown, Response> {
  const { logger, maximumCallSeconds } = services;

  async function answer(call: UnaryCall<Response>): Promise<Answered<Response>> {
    const caller = await identify(call, services);
    if (caller.outcome === 'refused') return caller;
    const parsed = method.request.safeParse(call.request);
    if (!parsed.success) return refused(refusals.invalid(sentenceFor(parsed.error)));
    return method.answer(caller.response, parsed.data);
  }

  /** Never rejects. */
  async function answerInTime(call: UnaryCall<Response>, requestId: string): Promise<Answered<Response>> {
    const answering = answer(call).catch((fault: unknown) => {
      logger.error({ err: fault, request_id: requestId, method: method.name }, 'a call failed');
      return refused(isUnavailable(fault) ? refusals.unavailable(retrySeconds) : refusals.fault());
    });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<Answered<Response>>((resolve) => {
      timer = setTimeout(() => resolve(refused(refusals.late(maximumCallSeconds))), maximumCallSeconds * 1000);
    });
    const first = await Promise.race([answering, late]);
    clearTimeout(timer);
    return first;
  }

  return async (call, callback) => {
    const startedAt = performance.now();
    const requestId = requestIdOf(call.metadata);
    const outcome = await answerInTime(call, requestId);
    if (logger.isLevelEnabled('info')) {
      const code = call.cancelled ? status.CANCELLED : outcome.outcome === 'refused' ? outcome.refusal.code : status.OK;
      const milliseconds = Math.round((performance.now() - startedAt) * 10) / 10;
      logger.info({ request_id: requestId, method: method.name, status: status[code], milliseconds }, 'call');
    }
    if (outcome.outcome === 'refused') {
      callback(toStatus(outcome.refusal, requestId));
      return;
    }
    const metadata = new Metadata();
    metadata.set('x-request-id', requestId);
    call.sendMetadata(metadata);
    callback(null, outcome.response);
  };
}

async function identify(
  call: UnaryCall<unknown>,
  { verifyKey, pool, clock }: CallServices,
): Promise<Answered<GrpcCaller>> {
  // Twice is as good as never: nobody may choose which of them counts.
  const [presented, ...others] = call.metadata.get('x-api-key');
  if (typeof presented !== 'string' || others.length > 0) return refused(refusals.unauthenticated());
  const verdict = await verifyKey({ presented, address: addressOf(call.getPeer()), now: clock() });
  if (verdict.outcome === 'limited') return refused(refusals.limited(verdict.retryAfterSeconds));
  const tenant = verdict.outcome === 'valid' ? await pool.findTenantById(verdict.key.tenantId) : undefined;
  if (verdict.outcome === 'unknown' || tenant === undefined) return refused(refusals.unauthenticated());
  if (tenant.status !== 'active') return refused(refusals.tenantSuspended());
  return answered({ engine: await pool.engineOf(tenant), scopes: verdict.key.scopes });
}

/** The other end of the connection: nothing is forwarded here that could be believed. */
function addressOf(peer: string): string | undefined {
  const address = (isIP(peer) === 0 ? peer.replace(/:\d+$/, '') : peer).replace(/^::ffff:(?=\d+\.)/i, '');
  return isIP(address) === 0 ? undefined : address;
}

const traceparentPattern = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;
const requestIdPattern = /^[A-Za-z0-9_-]{8,64}$/;

/** The same names as at the public door, so that one id follows a request through every service. */
function requestIdOf(metadata: Metadata): string {
  const [traceparent] = metadata.get('traceparent');
  const trace = typeof traceparent === 'string' ? traceparentPattern.exec(traceparent)?.[1] : undefined;
  if (trace !== undefined) return trace;
  const [given] = metadata.get('x-request-id');
  return typeof given === 'string' && requestIdPattern.test(given) ? given : randomUUID();
}

function sentenceFor({ issues }: z.ZodError): string {
  return issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ');
}
