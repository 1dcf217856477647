import { contentSecurityPolicy, formActionSource } from '#src/http/pages/kit/content_security_policy.ts';

describe('the content security policy', () => {
  it('allows our own files and nothing else', () => {
    expect(contentSecurityPolicy()).toBe(
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    );
  });

  it('lets a form end at the origin of the client, once, and at the scheme of an installed app', () => {
    const policy = contentSecurityPolicy({
      formActionOrigins: [
        'https://planner.example',
        'http://127.0.0.1:53124',
        'com.example.planner:',
        'https://planner.example',
      ],
    });
    expect(policy).toContain("form-action 'self' https://planner.example http://127.0.0.1:53124 com.example.planner:;");
  });

  it.each([
    "https://x.example; script-src 'unsafe-inline'",
    'https://x.example/path',
    'https://*.example',
    '*',
    "'unsafe-inline'",
    'javascript:',
    'data:',
    'x.example',
    'https://x.example\r\nSet-Cookie: a=b',
    'https://x.example, default-src *',
    '',
  ])('refuses to be widened by %j', (source) => {
    expect(() => contentSecurityPolicy({ formActionOrigins: [source] })).toThrow(TypeError);
  });
});

describe('the form-action source of a redirect address', () => {
  it.each([
    ['https://planner.example/callback?x=1', 'https://planner.example'],
    ['https://planner.example:8443/callback', 'https://planner.example:8443'],
    ['http://127.0.0.1:53124/cb', 'http://127.0.0.1:53124'],
    ['http://localhost/cb', 'http://localhost'],
    ['https://bücher.example/cb', 'https://xn--bcher-kva.example'],
    ['http://[::1]:8080/cb', 'http:'],
    ['com.example.planner:/callback', 'com.example.planner:'],
    ['com.example.planner://callback', 'com.example.planner:'],
  ])('of %s is %s', (redirectUri, source) => {
    expect(formActionSource(redirectUri)).toBe(source);
    expect(contentSecurityPolicy({ formActionOrigins: [source] })).toContain(source);
  });

  it.each(['javascript:alert(1)', 'data:text/html,x', 'blob:https://x.example/1', 'about:blank', 'not an address', ''])(
    'of %j is none',
    (redirectUri) => {
      expect(formActionSource(redirectUri)).toBeUndefined();
    },
  );
});
