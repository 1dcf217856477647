/**
 * A request of our own to one of the engine's endpoints, without a connection: what has to be the same there and here is not written
 * twice. It goes through everything that a request from outside goes through in the engine, and is committed like one.
 */
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';

export interface OwnRequest {
  /** Below the issuer. */
  readonly path: string;
  /** Of the issuer, as requests name it. */
  readonly issuer: string;
  readonly form: Readonly<Record<string, string>>;
  readonly authorization?: string | undefined;
}

export interface OwnAnswer {
  readonly status: number;
  readonly retryAfterSeconds: number | undefined;
  readonly json: Readonly<Record<string, unknown>>;
}

/** @param prepare Sees the request before the engine does. */
export async function ask(
  handle: (request: IncomingMessage, response: ServerResponse) => Promise<void> | void,
  { path, issuer, form, authorization }: OwnRequest,
  prepare: (request: IncomingMessage) => void,
): Promise<OwnAnswer> {
  const { host, pathname, protocol } = new URL(issuer);
  const body = Buffer.from(new URLSearchParams(form).toString());
  const request = new IncomingMessage(new Socket());
  Object.assign(request, {
    method: 'POST',
    url: path,
    baseUrl: pathname === '/' ? '' : pathname,
    headers: {
      host,
      accept: 'application/json',
      'content-type': 'application/x-www-form-urlencoded',
      'content-length': String(body.length),
      'x-forwarded-proto': protocol.slice(0, -1),
      ...(authorization === undefined ? {} : { authorization }),
    },
  });
  request.push(body);
  request.push(null);
  prepare(request);

  const response = new ServerResponse(request);
  let answered = '';
  // Nobody is at the other end: what the engine would send is what is read here.
  response.end = ((chunk?: unknown) => {
    answered = typeof chunk === 'string' || Buffer.isBuffer(chunk) ? chunk.toString() : '';
    return response;
  }) as typeof response.end;
  await handle(request, response);
  const retryAfter = Number(response.getHeader('retry-after'));
  return {
    status: response.statusCode,
    retryAfterSeconds: retryAfter > 0 ? retryAfter : undefined,
    json: answered === '' ? {} : JSON.parse(answered),
  };
}
