/**
 * The certificate a client showed to the proxy in front of us (RFC 8705), and what the engine asks about it. The gates have
 * taken it from a header of a trusted proxy; the engine only knows the request, so it is kept beside that.
 */
import type { X509Certificate } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { KoaContextWithOIDC } from 'oidc-provider';
import { namesSubject, type SubjectProperty } from '#src/domain/certificate_subject.ts';
import type { Clock } from '#src/foundation/clock.ts';

export interface ClientCertificate {
  readonly certificate: X509Certificate;
  /** The proxy says that it chains to an authority it trusts. A self-signed one never does. */
  readonly verified: boolean;
}

const certificates = new WeakMap<IncomingMessage, ClientCertificate>();

export function rememberCertificate(request: IncomingMessage, certificate: ClientCertificate): void {
  certificates.set(request, certificate);
}

/** What was shown with this request, whoever vouches for it: a token that is bound to it needs no more (RFC 8705 §3). */
export function certificateOf(request: IncomingMessage): X509Certificate | undefined {
  return certificates.get(request)?.certificate;
}

/** The hooks of the engine's `mTLS`, which also answer, with "none", where it is switched off. */
export function certificateHooks({ enabled, clock }: { enabled: boolean; clock: Clock }) {
  const shown = (ctx: KoaContextWithOIDC): ClientCertificate | undefined =>
    enabled ? certificates.get(ctx.req) : undefined;
  return {
    getCertificate: (ctx: KoaContextWithOIDC) => shown(ctx)?.certificate,
    certificateAuthorized(ctx: KoaContextWithOIDC) {
      const found = shown(ctx);
      if (found?.verified !== true) return false;
      const now = clock();
      return found.certificate.validFromDate <= now && now <= found.certificate.validToDate;
    },
    certificateSubjectMatches(ctx: KoaContextWithOIDC, property: string, expected: string) {
      const found = shown(ctx);
      // The engine asks for exactly these five properties.
      return found !== undefined && namesSubject(found.certificate, property as SubjectProperty, expected);
    },
  };
}
