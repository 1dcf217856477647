/** One request on its way through the gates: what Node gave us and what the gates found out about it. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Origin } from '#src/storage/event_log.ts';
import type { ShownCertificate } from './client_certificate.ts';

export interface HttpExchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly requestId: string;
  /** Path without the query, exactly as it was sent. */
  readonly path: string;
  /** With its question mark, or empty. */
  readonly search: string;
  readonly origin: Origin;
  /** What a trusted proxy said about the scheme the person used; undefined when none did. */
  readonly forwardedProtocol: string | undefined;
  /** What a trusted proxy said about the certificate the client showed. */
  readonly clientCertificate: ShownCertificate;
}
