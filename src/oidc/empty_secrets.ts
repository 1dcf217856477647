/**
 * A client without a secret that sends an empty one in the header all the same, as oidc-agent does, and nothing in the body. An empty
 * secret is none (RFC 6749 §2.3.1: it may be left out): such a client is who it says, without having proven it. Whoever has a
 * secret gets no further with that than with nothing.
 */
import type { IncomingMessage } from 'node:http';

/** The body that goes with this request. The header is taken out where it says nothing but who. */
export function withoutEmptySecret<Body extends Readonly<Record<string, unknown>>>(
  { headers }: Pick<IncomingMessage, 'headers'>,
  body: Body,
): Body | (Body & { readonly client_id: string }) {
  const [, encoded] = /^Basic ([A-Za-z0-9+/]{1,200}={0,2})$/i.exec(headers.authorization ?? '') ?? [];
  const [, clientId] = /^([A-Za-z0-9_-]+):$/.exec(Buffer.from(encoded ?? '', 'base64').toString('utf8')) ?? [];
  const { client_id: named = clientId } = body;
  // Two names are for the engine to refuse.
  if (clientId === undefined || named !== clientId) return body;
  delete headers.authorization;
  return { ...body, client_id: clientId };
}
