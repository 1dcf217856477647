/** What the log says of requests: one line each, never a query or an identifier that is worth something. */
import type { Logger } from 'pino';
import type { HttpExchange } from './gates/exchange.ts';

/**
 * The identifier of an interaction names somebody's sign-in that is under way, and a short address is the code of somebody's device: a
 * reader of logs does not need them.
 */
export function loggedPath(path: string): string {
  return path.replace(/\/(interaction|authorize)\/[^/]+/, '/$1/…').replace(/^\/d\/.*/is, '/d/…');
}

/** One line for each request, without its query: that may hold codes. */
export function logWhenDone({ request, response, requestId, path }: HttpExchange, logger: Logger): void {
  if (!logger.isLevelEnabled('info') || path.startsWith('/health/')) return;
  const startedAt = performance.now();
  response.once('close', () => {
    const milliseconds = Math.round((performance.now() - startedAt) * 10) / 10;
    logger.info(
      {
        request_id: requestId,
        method: request.method,
        path: loggedPath(path),
        status: response.statusCode,
        milliseconds,
      },
      'request',
    );
  });
}
