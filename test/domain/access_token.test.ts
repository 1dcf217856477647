import fc from 'fast-check';
import { readAccessTokenClaims } from '#src/domain/access_token.ts';

const issuer = 'https://login.test/t/acme';
const now = new Date('2031-05-04T03:02:01.500Z');
const nowSeconds = Math.floor(now.getTime() / 1000);
const claims = {
  iss: issuer,
  sub: 'ada',
  aud: 'https://api.test',
  client_id: 'web',
  jti: 'one',
  iat: nowSeconds - 60,
  exp: nowSeconds + 1,
  roles: ['reader'],
};

describe('the claims of an access token', () => {
  it('are read as they are', () => {
    expect(readAccessTokenClaims(claims, { issuer, now })).toEqual(claims);
    const full = { ...claims, scope: 'a b', sid: 's', gid: 'g', cnf: { jkt: 'k' }, nbf: nowSeconds };
    expect(readAccessTokenClaims(full, { issuer, now })).toEqual(full);
  });

  it('are nothing in the second in which they expire, and before they begin', () => {
    expect(readAccessTokenClaims({ ...claims, exp: nowSeconds }, { issuer, now })).toBeUndefined();
    expect(readAccessTokenClaims({ ...claims, nbf: nowSeconds + 1 }, { issuer, now })).toBeUndefined();
  });

  it('are nothing when any that must be there is missing or is of another type', () => {
    const wrong = fc.oneof(
      fc.constant(undefined),
      fc.boolean(),
      fc.array(fc.string()),
      fc.object(),
      fc.constant(null),
      fc.constant(Number.NaN),
    );
    const required = fc.constantFrom('iss', 'sub', 'aud', 'client_id', 'jti', 'iat', 'exp');
    fc.assert(
      fc.property(required, wrong, (name, value) => {
        expect(readAccessTokenClaims({ ...claims, [name]: value }, { issuer, now })).toBeUndefined();
      }),
    );
  });

  it('are nothing when one that may be missing is of another type', () => {
    for (const name of ['scope', 'sid', 'gid', 'nbf', 'cnf']) {
      for (const value of [null, [], true]) {
        expect(readAccessTokenClaims({ ...claims, [name]: value }, { issuer, now })).toBeUndefined();
      }
    }
    expect(readAccessTokenClaims({ ...claims, cnf: { jkt: 7 } }, { issuer, now })).toBeUndefined();
  });

  it('are nothing in any other value', () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        expect(readAccessTokenClaims(value, { issuer, now })).toBeUndefined();
      }),
    );
  });
});
