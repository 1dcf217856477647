/** This file owns whether a request came with the client certificate that its token is bound to (RFC 8705 §3). */
import { createHash } from 'node:crypto';

/** False also where TLS ends before this process: then nobody can tell. */
export function isBoundToCertificate(request, thumbprint) {
  const { raw } = request.socket.getPeerCertificate?.() ?? {};
  return raw !== undefined && createHash('sha256').update(raw).digest('base64url') === thumbprint;
}
