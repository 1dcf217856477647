/**
 * The stream of what ends (`GET {issuer}/api/v1/events`, server-sent events) for resource servers that keep answers of ours for some
 * seconds, and for whoever has an API key with the scope `events`. It carries identifiers only, of one tenant, and is no history:
 * whoever connects is told to forget what it knew.
 */
import type { Config } from '#config/config.ts';
import type { Signal } from '#src/domain/signal.ts';
import type { VerifyApiKey } from '#src/flows/access/api_keys.ts';
import type { TenantEngine } from '#src/oidc/tenant_engine.ts';
import type { SignalHub } from '#src/subscribers/signal_hub.ts';
import { type AnswerOptions, answerProblem } from './answer_problem.ts';
import { findServiceKey } from './api/callers.ts';
import type { HttpExchange } from './gates/exchange.ts';
import { type Problem, problems } from './problems.ts';

/** Below the issuer. */
export const signalsPath = '/api/v1/events';

/** What a key needs. */
const eventsScope = 'events';
const heartbeatMilliseconds = 25_000;
/** A reader that is further behind than this does not read; it will come back and be told to forget. */
const mostUnreadBytes = 65_536;
const busySeconds = 1;

export interface SignalsOptions extends AnswerOptions {
  readonly config: Config;
  readonly signals: SignalHub;
  readonly verifyApiKey: VerifyApiKey;
}

/** Answers with the stream, which ends when the reader goes, the tenant or the client is shut out, or the server stops. */
export async function serveSignals(
  exchange: HttpExchange,
  engine: TenantEngine,
  options: SignalsOptions,
): Promise<void> {
  const { request, response } = exchange;
  if (request.method !== 'GET')
    return answerProblem(exchange, problems.methodNotAllowed(['GET']), options, engine.tenant);
  const reader = await recogniseReader(exchange, engine, options);
  if ('refused' in reader) return answerProblem(exchange, reader.refused, options, engine.tenant);
  // Gone while it was being recognised: nothing would ever tell us so again.
  if (response.destroyed) return;

  const subscription = options.signals.subscribe(engine.tenant.id, reader.name, {
    onSignal(signal) {
      send('event', signal);
      if (reader.endsWith(signal) || signal.type.startsWith('tenant.')) response.end();
    },
    onReset: () => send('reset'),
    onClosed: () => response.end(),
  });
  if (subscription === undefined)
    return answerProblem(exchange, problems.unavailable(busySeconds), options, engine.tenant);
  response.once('close', subscription.unsubscribe);

  response.writeHead(200, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
    // A proxy that gathers answers would turn "at once" into "some time".
    'x-accel-buffering': 'no',
  });
  response.write('retry: 1000\n\n');
  // What ended before now is not told again.
  send('reset');
  const heartbeat = setInterval(() => {
    if (reader.until !== undefined && reader.until <= options.clock()) response.end();
    else response.write(': here\n\n');
  }, heartbeatMilliseconds);
  heartbeat.unref();
  response.once('close', () => clearInterval(heartbeat));

  function send(kind: 'reset'): void;
  function send(kind: 'event', signal: Signal): void;
  function send(kind: 'event' | 'reset', signal?: Signal): void {
    if (response.writableLength > mostUnreadBytes) return void response.destroy();
    if (kind === 'reset' || signal === undefined)
      return void response.write('event: reset\ndata: {"type":"reset"}\n\n');
    const { id, tenant: _tenant, ...told } = signal;
    response.write(`id: ${id}\nevent: ${told.type}\ndata: ${JSON.stringify(told)}\n\n`);
  }
}

interface Reader {
  readonly name: string;
  /** Whether the reader may be none any more after this. One that still is comes back, and is looked at again. */
  endsWith(signal: Signal): boolean;
  /** When what it showed has ended. */
  readonly until?: Date | undefined;
}

async function recogniseReader(
  exchange: HttpExchange,
  engine: TenantEngine,
  options: SignalsOptions,
): Promise<Reader | { readonly refused: Problem }> {
  const { authorization, 'x-api-key': presented } = exchange.request.headers;
  if (authorization === undefined && typeof presented === 'string') return recogniseKey(exchange, engine, options);
  const credentials = basicCredentialsOf(authorization);
  const client = credentials && (await engine.authenticateResourceServer(credentials));
  if (client === undefined) return { refused: problems.unauthorized([`Basic realm="${engine.tenant.slug}"`]) };
  return {
    name: client.clientId,
    endsWith: ({ type, client_id: clientId }) =>
      clientId === client.clientId && (type === 'client.disabled' || type === 'client.secret_rotated'),
  };
}

async function recogniseKey(
  exchange: HttpExchange,
  engine: TenantEngine,
  options: SignalsOptions,
): Promise<Reader | { readonly refused: Problem }> {
  const found = await findServiceKey(exchange, { scope: eventsScope, engine, options });
  if (found.outcome === 'refused') return { refused: found.problem };
  const { id, userId, expiresAt } = found.key;
  return {
    name: id,
    endsWith: ({ type, user_id: about }) => type === 'api_key.revoked' || (userId !== undefined && about === userId),
    until: expiresAt,
  };
}

/** RFC 6749 §2.3.1: both parts form-encoded. Undefined for what is no such header. */
function basicCredentialsOf(header: string | undefined): { clientId: string; clientSecret: string } | undefined {
  const [, encoded] = /^Basic ([A-Za-z0-9+/=]{1,1000})$/i.exec(header ?? '') ?? [];
  const [, id, secret] =
    /^([^:]+):(.+)$/.exec(encoded === undefined ? '' : Buffer.from(encoded, 'base64').toString()) ?? [];
  if (id === undefined || secret === undefined) return undefined;
  try {
    const [clientId, clientSecret] = [id, secret].map((part) => decodeURIComponent(part.replaceAll('+', ' ')));
    return clientId === undefined || clientSecret === undefined ? undefined : { clientId, clientSecret };
  } catch {
    return undefined;
  }
}
