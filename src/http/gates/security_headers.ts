/** What every answer carries, whoever makes it. A page loosens its own `form-action`; nothing else is ever loosened. */
import type { ServerResponse } from 'node:http';
import { contentSecurityPolicy } from '../pages/kit/content_security_policy.ts';

const policy = contentSecurityPolicy();
const twoYearsSeconds = 63_072_000;

export function setSecurityHeaders(response: ServerResponse, { secure }: { secure: boolean }): void {
  response.setHeader('content-security-policy', policy);
  // Whoever serves something public says so: forgetting it must not put somebody's token into a cache.
  response.setHeader('cache-control', 'no-store');
  response.setHeader('x-content-type-options', 'nosniff');
  response.setHeader('x-frame-options', 'DENY');
  // Not `no-referrer`: browsers would then send `Origin: null` with our own forms, which looks like an attack.
  response.setHeader('referrer-policy', 'same-origin');
  response.setHeader('cross-origin-opener-policy', 'same-origin');
  response.setHeader(
    'permissions-policy',
    'camera=(), geolocation=(), microphone=(), publickey-credentials-get=(self)',
  );
  if (secure) response.setHeader('strict-transport-security', `max-age=${twoYearsSeconds}`);
}
