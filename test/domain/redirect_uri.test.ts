import { CLIENT_TYPES, type ClientType } from '#src/domain/client.ts';
import {
  type RedirectUriProblem,
  validateBackchannelLogoutUri,
  validatePostLogoutRedirectUri,
  validateRedirectUri,
} from '#src/domain/redirect_uri.ts';
import { EVERYWHERE, NOWHERE } from '#test/support/url_corpus.ts';

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
