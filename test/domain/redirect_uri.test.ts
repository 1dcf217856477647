import { CLIENT_TYPES, type ClientType } from '#src/domain/client.ts';
import {
  type RedirectUriProblem,
  validateBackchannelLogoutUri,
  validatePostLogoutRedirectUri,
  validateRedirectUri,
} from '#src/domain/redirect_uri.ts';

const EVERYWHERE = [
  'https://app.example/cb',
  'https://app.example',
  'https://app.example/',
  'https://app.example:8443/cb',
  'https://sub.app.example/a/b-c_d~e/cb.html',
  'https://app.example/cb?tenant=acme&x=%20%C3%A9',
  "https://app.example/cb;v=1,2/!$&'()+=:@",
  'https://app.example/a%20b',
  'https://app.example/..hidden/a..b',
  'https://xn--bcher-kva.example/cb',
  'https://192.0.2.1/cb',
  'https://[2001:db8::1]/cb',
  'https://localhost/cb',
  'https://LOCALHOST.example/cb'.toLowerCase(),
  'http://localhost/cb',
  'http://localhost:3000/cb',
  'http://127.0.0.1/cb',
  'http://127.0.0.1:52311/cb',
  'http://[::1]:8080/cb',
];

const NOWHERE: readonly (readonly [uri: string, reason: RedirectUriProblem])[] = [
  ['', 'empty'],
  [`https://app.example/${'a'.repeat(2000)}`, 'too_long'],
  // characters that two readers treat differently
  [' https://app.example/cb', 'forbidden_character'],
  ['https://app.example/cb ', 'forbidden_character'],
  ['https://app.example/c b', 'forbidden_character'],
  ['https://app.example/cb\n', 'forbidden_character'],
  ['https://app.example/\r\nSet-Cookie:x', 'forbidden_character'],
  ['https://app.exam\tple/cb', 'forbidden_character'],
  ['https://app.example/\0', 'forbidden_character'],
  ['java\nscript:alert(1)', 'forbidden_character'],
  ['https:\\\\app.example/cb', 'forbidden_character'],
  ['https://app.example\\@evil.example/cb', 'forbidden_character'],
  ['https://app.example/\\..\\cb', 'forbidden_character'],
  ['https://bücher.example/cb', 'forbidden_character'],
  ['https://app。example/cb', 'forbidden_character'],
  ['https://app.example／cb', 'forbidden_character'],
  ['https://аpp.example/cb', 'forbidden_character'],
  ['https://app.example/é', 'forbidden_character'],
  ['https://app.example/<script>', 'forbidden_character'],
  ['https://app.example/"onload="', 'forbidden_character'],
  ['https://app.example/{x}', 'forbidden_character'],
  ['https://app.example/a|b', 'forbidden_character'],
  ['https://app.example/^', 'forbidden_character'],
  ['https://app.example/`', 'forbidden_character'],
  ['HTTPS://app.example/cb', 'forbidden_character'],
  ['Http://localhost/cb', 'forbidden_character'],
  // escapes
  ['https://app.example/%', 'malformed_escape'],
  ['https://app.example/%2', 'malformed_escape'],
  ['https://app.example/%zz', 'malformed_escape'],
  ['https://app.example/%u002f', 'malformed_escape'],
  ['https://app.example/a%2fb', 'encoded_delimiter'],
  ['https://app.example/a%2Fb', 'encoded_delimiter'],
  ['https://app.example/a%5cb', 'encoded_delimiter'],
  ['https://app.example/%2e%2e/admin', 'encoded_delimiter'],
  ['https://app.example/.%2E/admin', 'encoded_delimiter'],
  ['https://app.example/a%252fb', 'encoded_delimiter'],
  ['https://app.example/..%3b/admin', 'encoded_delimiter'],
  ['https://app.example%2eevil.example/cb', 'encoded_delimiter'],
  ['https://app.example%2f@evil.example/cb', 'encoded_delimiter'],
  ['https://app.example/%00', 'encoded_delimiter'],
  ['https://app.example/%0d%0aX-Evil:1', 'encoded_delimiter'],
  ['https://app.example/cb?x=%0D%0AX-Evil:1', 'encoded_delimiter'],
  ['https://app.example/cb?x=%00', 'encoded_delimiter'],
  // not an address of a page
  ['/cb', 'not_absolute'],
  ['//app.example/cb', 'not_absolute'],
  ['app.example/cb', 'not_absolute'],
  ['?code=1', 'not_absolute'],
  ['://app.example/cb', 'not_absolute'],
  ['*', 'not_absolute'],
  ['https://app.example/cb#', 'fragment'],
  ['https://app.example/cb#fragment', 'fragment'],
  ['https://app.example#@evil.example/', 'fragment'],
  ['javascript:alert(1)', 'dangerous_scheme'],
  ['JaVaScRiPt:alert(1)', 'dangerous_scheme'],
  ['javascript://app.example/%0aalert(1)', 'encoded_delimiter'],
  ['data:text/html,hello', 'dangerous_scheme'],
  ['vbscript:msgbox', 'dangerous_scheme'],
  ['file:///etc/passwd', 'dangerous_scheme'],
  ['blob:https://app.example/1', 'dangerous_scheme'],
  ['view-source:https://app.example/', 'dangerous_scheme'],
  ['about:blank', 'dangerous_scheme'],
  ['wss://app.example/cb', 'dangerous_scheme'],
  ['ftp://app.example/cb', 'dangerous_scheme'],
  ['mailto:eve@evil.example', 'dangerous_scheme'],
  ['intent://app.example/', 'dangerous_scheme'],
  // plain http beyond this machine
  ['http://app.example/cb', 'insecure_http'],
  ['http://localhost.evil.example/cb', 'insecure_http'],
  ['http://127.0.0.1.evil.example/cb', 'insecure_http'],
  ['http://127.0.0.2/cb', 'insecure_http'],
  ['http://0.0.0.0/cb', 'insecure_http'],
  ['http://192.168.1.10/cb', 'insecure_http'],
  ['http://[::]/cb', 'insecure_http'],
  // authority
  ['https:app.example/cb', 'missing_authority'],
  ['https:/app.example/cb', 'missing_authority'],
  ['https:///app.example/cb', 'missing_authority'],
  ['https://', 'missing_authority'],
  ['https://?x', 'missing_authority'],
  ['https://app.example@evil.example/cb', 'credentials'],
  ['https://user:password@app.example/cb', 'credentials'],
  ['https://@app.example/cb', 'credentials'],
  ['https://:@app.example/cb', 'credentials'],
  ['https://*.example/cb', 'wildcard'],
  ['https://*/cb', 'wildcard'],
  ['https://app.example:*/cb', 'wildcard'],
  ['https://app.example/*', 'wildcard'],
  ['https://app.example./cb', 'host'],
  ['http://localhost./cb', 'host'],
  ['https://App.example/cb', 'host'],
  ['https://app..example/cb', 'host'],
  ['https://.app.example/cb', 'host'],
  ['https://-app.example/cb', 'host'],
  ['https://app_1.example/cb', 'host'],
  ['https://app.example%41/cb', 'host'],
  ['https://app.example;evil.example/cb', 'host'],
  ['https://app.example,evil.example/cb', 'host'],
  ['https://app.example&evil.example/cb', 'host'],
  ['http://2130706433/cb', 'host'],
  ['http://127.1/cb', 'host'],
  ['http://0x7f.0.0.1/cb', 'host'],
  ['http://0177.0.0.1/cb', 'host'],
  ['https://256.1.1.1/cb', 'host'],
  ['https://[::1/cb', 'port'],
  ['https://[/cb', 'host'],
  ['https://[::ffff:127.0.0.1]/cb', 'host'],
  ['http://[0:0:0:0:0:0:0:1]/cb', 'host'],
  ['https://[fe80::1%25eth0]/cb', 'encoded_delimiter'],
  ['https://:443/cb', 'host'],
  ['https://app.example:/cb', 'port'],
  ['https://app.example:0/cb', 'port'],
  ['https://app.example:0443/cb', 'port'],
  ['https://app.example:65536/cb', 'port'],
  ['https://app.example:99999999999/cb', 'port'],
  ['https://app.example:80:80/cb', 'port'],
  ['https://app.example:8a/cb', 'port'],
  ['https://app.example:-1/cb', 'port'],
  // paths
  ['https://app.example/../admin', 'path_traversal'],
  ['https://app.example/cb/..', 'path_traversal'],
  ['https://app.example/./cb', 'path_traversal'],
  ['https://app.example/..;/admin', 'path_traversal'],
  ['https://app.example/..;x=1/admin', 'path_traversal'],
  ['https://app.example/a/.;/b', 'path_traversal'],
];

const refusedAs = (reason: RedirectUriProblem) => ({ outcome: 'refused', reason });

describe('a redirect URI', () => {
  it.each(EVERYWHERE)('%s may be registered by every type', (uri) => {
    for (const type of CLIENT_TYPES) {
      expect(validateRedirectUri(type, uri)).toEqual({ outcome: 'accepted', uri });
    }
  });

  it.each(NOWHERE)('%j is refused for every type: %s', (uri, reason) => {
    for (const type of CLIENT_TYPES) {
      expect(validateRedirectUri(type, uri)).toEqual(refusedAs(reason));
    }
  });

  it.each([
    'https://app.example/cb?code=1',
    'https://app.example/cb?x=1&state=2',
    'https://app.example/cb?%63ode=1',
    'https://app.example/cb?iss=x',
    'https://app.example/cb?error=x',
    'https://app.example/cb?state',
  ])('%s may not hold what the answer will hold', (uri) => {
    expect(validateRedirectUri('web', uri)).toEqual(refusedAs('reserved_parameter'));
  });
});

describe('a private scheme', () => {
  const ACCEPTED = [
    'com.example.app:/cb',
    'com.example.app:/',
    'com.example.app:/a/b?x=1',
    'com.example.app://callback',
    'com.example.app:///cb',
    'com.example.my-app:/oauth2redirect',
    'com.googleusercontent.apps.123-abc:/oauth2redirect',
  ];
  const OTHERS: readonly ClientType[] = CLIENT_TYPES.filter((type) => type !== 'native');

  it.each(ACCEPTED)('%s is for native clients only', (uri) => {
    expect(validateRedirectUri('native', uri)).toEqual({ outcome: 'accepted', uri });
    expect(validatePostLogoutRedirectUri('native', uri)).toEqual({ outcome: 'accepted', uri });
    expect(validateBackchannelLogoutUri(uri)).toEqual(refusedAs('scheme_only_for_native'));
    for (const type of OTHERS) expect(validateRedirectUri(type, uri)).toEqual(refusedAs('scheme_only_for_native'));
  });

  it.each([
    ['myapp:/cb', 'scheme_not_reverse_domain'],
    ['myapp://callback', 'scheme_not_reverse_domain'],
    ['Com.Example.App:/cb', 'scheme_not_reverse_domain'],
    ['com..app:/cb', 'scheme_not_reverse_domain'],
    ['com.app.:/cb', 'scheme_not_reverse_domain'],
    ['com+app:/cb', 'scheme_not_reverse_domain'],
    ['urn:ietf:wg:oauth:2.0:oob', 'scheme_not_reverse_domain'],
    ['com.example.app:', 'missing_authority'],
    ['com.example.app:cb', 'missing_authority'],
    ['com.example.app://user@callback', 'credentials'],
    ['com.example.app://*/cb', 'wildcard'],
    ['com.example.app:/*', 'wildcard'],
    ['com.example.app://a:b/cb', 'host'],
    ['com.example.app:/../cb', 'path_traversal'],
    ['com.example.app:/cb#x', 'fragment'],
    ['com.example.app:/c b', 'forbidden_character'],
    ['com.example.app:/%2e%2e', 'encoded_delimiter'],
    ['com.example.app:/cb?code=1', 'reserved_parameter'],
    ['-com.example:/cb', 'not_absolute'],
    ['1com.example:/cb', 'not_absolute'],
  ] as const)('%s is refused: %s', (uri, reason) => {
    expect(validateRedirectUri('native', uri)).toEqual(refusedAs(reason));
  });
});

describe('an address for after logout', () => {
  it.each(EVERYWHERE)('%s is accepted like a redirect URI', (uri) => {
    expect(validatePostLogoutRedirectUri('web', uri)).toEqual({ outcome: 'accepted', uri });
    expect(validateBackchannelLogoutUri(uri)).toEqual({ outcome: 'accepted', uri });
  });

  it.each(NOWHERE)('%j is refused like a redirect URI: %s', (uri, reason) => {
    expect(validatePostLogoutRedirectUri('web', uri)).toEqual(refusedAs(reason));
    expect(validateBackchannelLogoutUri(uri)).toEqual(refusedAs(reason));
  });

  it('may have a state of its own', () => {
    const uri = 'https://app.example/bye?state=1';
    expect(validatePostLogoutRedirectUri('web', uri)).toEqual({ outcome: 'accepted', uri });
  });
});

describe('whatever is accepted', () => {
  it('reads the same to the URL parser as to us', () => {
    for (const uri of EVERYWHERE) {
      const url = new URL(uri);
      const written = /^(https?:)\/\/([^/?]*)([^?]*)/.exec(uri);
      expect([url.protocol, url.host.replace(/:\d+$/, ''), url.pathname]).toEqual([
        written?.[1],
        written?.[2]?.replace(/:\d+$/, ''),
        written?.[3] === '' ? '/' : written?.[3],
      ]);
      expect(url.username + url.password + url.hash).toBe('');
    }
  });

  it('cannot be made by inserting one odd character into a good address', () => {
    const good = 'https://app.example/cb';
    for (const odd of [
      '\0',
      '\t',
      '\n',
      '\r',
      ' ',
      '\\',
      '"',
      '<',
      '>',
      '^',
      '`',
      '{',
      '|',
      '}',
      '\u007f',
      '\u00a0',
      '\u200b',
      '\u202e',
      '\uff0f',
      '#',
      '*',
    ]) {
      for (let position = 0; position <= good.length; position += 1) {
        const uri = good.slice(0, position) + odd + good.slice(position);
        expect(validateRedirectUri('web', uri).outcome).toBe('refused');
      }
    }
  });
});
