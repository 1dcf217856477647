/** How a request ends that is not served: a page for people, RFC 9457 for programs; what nobody foresaw is logged, once, here. */
import Koa from 'koa';
import type { Logger } from 'pino';
import type { Config } from '#config/config.ts';
import type { Clock } from '#src/foundation/clock.ts';
import { isUnavailable } from '#src/storage/database.ts';
import type { TenantRow } from '#src/storage/tables/tenants.ts';
import type { HttpExchange } from './gates/exchange.ts';
import { localeOf, showPage } from './pages/kit/page_kit.ts';
import { type Problem, ProblemRaised, problemBody, problems } from './problems.ts';
import { loggedPath } from './request_log.ts';

export interface AnswerOptions {
  readonly config: Config;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** After a fault of the database: connections are made anew within a second. */
const retrySeconds = 2;

/** Our own scheme is in X-Forwarded-Proto by now, see the gates; without it a Secure cookie could not be set behind a proxy. */
export function createKoa(): Koa {
  const app = new Koa({ proxy: true });
  app.silent = true;
  return app;
}

export function answerFault(exchange: HttpExchange, fault: unknown, options: AnswerOptions, tenant?: TenantRow): void {
  if (fault instanceof ProblemRaised) {
    answerProblem(exchange, fault.problem, options, tenant);
    return;
  }
  options.logger.error(
    { err: fault, request_id: exchange.requestId, path: loggedPath(exchange.path) },
    'a request failed',
  );
  answerProblem(
    exchange,
    isUnavailable(fault) ? problems.unavailable(retrySeconds) : problems.fault(),
    options,
    tenant,
  );
}

/** The REST API is for programs, whatever they say they would read. */
export function isOfApi({ path }: Pick<HttpExchange, 'path'>): boolean {
  return /^\/(?:t\/[^/]+\/)?(?:api|auth)\//.test(path);
}

/** A page for people, RFC 9457 for programs. */
export function answerProblem(
  exchange: HttpExchange,
  problem: Problem,
  options: AnswerOptions,
  tenant?: TenantRow,
): void {
  const { response, request, requestId } = exchange;
  if (response.headersSent) {
    response.destroy();
    return;
  }
  for (const header of ['set-cookie', 'location', 'content-length']) response.removeHeader(header);
  if (problem.retryAfterSeconds !== undefined) response.setHeader('retry-after', String(problem.retryAfterSeconds));
  for (const [name, value] of Object.entries(problem.headers ?? {})) response.setHeader(name, value);
  if (problem.challenges !== undefined) response.setHeader('www-authenticate', problem.challenges);
  if (problem.allow !== undefined) response.setHeader('allow', problem.allow.join(', '));
  // What is left of a refused body is not read: the connection ends with the answer.
  if (problem.status === 413) response.setHeader('connection', 'close');
  response.setHeader('cache-control', 'no-store');
  const { publicUrl } = options.config.http;
  if (!isOfApi(exchange) && /\btext\/html\b/.test(request.headers.accept ?? '')) {
    const ctx = createKoa().createContext(request, response);
    const locale = localeOf(ctx, tenant ?? { locale: 'nl' });
    const model = {
      kind: problem.kind,
      at: options.clock(),
      oauth: { error: problem.code, description: problem.detail },
    };
    showPage(ctx, {
      name: 'problem',
      model,
      status: problem.status,
      locale,
      tenant,
      requestId,
    });
    response.end(request.method === 'HEAD' ? undefined : ctx.body);
    return;
  }
  response.statusCode = problem.status;
  response.setHeader('content-type', 'application/problem+json; charset=utf-8');
  response.end(problemBody(problem, { publicUrl, requestId }));
}
