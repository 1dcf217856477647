/**
 * The stream of what ends (`GET {issuer}/api/v1/events`, server-sent events) for resource servers that keep answers of ours for some
 * seconds. It carries identifiers only, of one tenant, and is no history: whoever reconnects is told to forget what it knew.
 */
import type { Config } from '#config/config.ts';
import type { Signal } from '#src/domain/signal.ts';
import type { TenantEngine } from '#src/oidc/tenant_engine.ts';
import type { SignalHub } from '#src/subscribers/signal_hub.ts';
import { type AnswerOptions, answerProblem } from './answer_problem.ts';
import type { HttpExchange } from './gates/exchange.ts';
import { problems } from './problems.ts';

/** Below the issuer. */
export const signalsPath = '/api/v1/events';

const heartbeatMilliseconds = 25_000;
/** A reader that is further behind than this does not read; it will come back and be told to forget. */
const mostUnreadBytes = 65_536;
const busySeconds = 5;

export interface SignalsOptions extends AnswerOptions {
  readonly config: Config;
  readonly signals: SignalHub;
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
  const credentials = basicCredentialsOf(request.headers.authorization);
  const reader = credentials && (await engine.authenticateResourceServer(credentials));
  if (reader === undefined) {
    const challenges = [`Basic realm="${engine.tenant.slug}"`];
    response.setHeader('www-authenticate', challenges);
    return answerProblem(exchange, problems.unauthorized(challenges), options, engine.tenant);
  }

  const subscription = options.signals.subscribe(engine.tenant.id, {
    onSignal(signal) {
      send('event', signal);
      const isMine = signal.type === 'client.disabled' && signal.client_id === reader.clientId;
      if (isMine || signal.type.startsWith('tenant.')) response.end();
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
  // It was away: what ended meanwhile is not told again.
  if (request.headers['last-event-id'] !== undefined) send('reset');
  const heartbeat = setInterval(() => response.write(': here\n\n'), heartbeatMilliseconds);
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
