/**
 * The Content-Security-Policy of the hosted pages: nothing but our own files, no inline script or style, no framing.
 * Owns the policy's text only; the route that knows which client it answers for passes the client's redirect address.
 */

const webSchemes: readonly string[] = ['http:', 'https:'];

// Schemes that run or read something in the browser itself. No redirect address may name one, and no policy may allow one.
const dangerousSchemes: readonly string[] = [
  'javascript:',
  'data:',
  'blob:',
  'file:',
  'filesystem:',
  'vbscript:',
  'about:',
];

const schemePattern = /^[a-z][a-z0-9+.-]*:$/u;
const originPattern = /^https?:\/\/[a-z0-9._-]+(?::[0-9]{1,5})?$/u;

/**
 * The policy for one page. `formActionOrigins` are the places where a form's answer may redirect to: Chromium enforces
 * `form-action` over the whole redirect chain after a POST, so without the client's origin the browser would cancel the
 * very redirect that carries the code. Take them from {@link formActionSource}; anything else throws, because a
 * semicolon in here would write a policy of its own.
 */
export function contentSecurityPolicy(options: { readonly formActionOrigins?: readonly string[] } = {}): string {
  const formActionOrigins = [...new Set(options.formActionOrigins ?? [])];
  for (const source of formActionOrigins) {
    if (!isFormActionSource(source))
      throw new TypeError(`Not an origin or scheme for form-action: ${JSON.stringify(source)}`);
  }
  return [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "font-src 'self'",
    ['form-action', "'self'", ...formActionOrigins].join(' '),
    "frame-ancestors 'none'",
    "base-uri 'none'",
  ].join('; ');
}

/**
 * What `form-action` must name for a redirect address that was already checked against the client's registration: its
 * origin, or `scheme:` for an app's own scheme. A numeric IPv6 host has no place in the grammar of a policy (CSP3 §2.3.1),
 * so the loopback address `[::1]` becomes its scheme. Undefined when the address cannot be a form's destination.
 */
export function formActionSource(redirectUri: string): string | undefined {
  if (!URL.canParse(redirectUri)) return undefined;
  const { protocol, origin, hostname } = new URL(redirectUri);
  if (!webSchemes.includes(protocol)) return isFormActionSource(protocol) ? protocol : undefined;
  if (hostname.startsWith('[')) return protocol;
  return isFormActionSource(origin) ? origin : undefined;
}

function isFormActionSource(source: string): boolean {
  if (originPattern.test(source)) return true;
  return schemePattern.test(source) && !dangerousSchemes.includes(source);
}
