import { isAudience, planApi } from '#src/domain/api.ts';

const AUDIENCE = 'https://invoices.example/api';

describe('an audience', () => {
  it.each([
    AUDIENCE,
    'https://invoices.example',
    'https://invoices.example/',
    'http://localhost:4000',
    'https://a.example/x?y=1',
    'urn:acme:invoices',
    'urn:example:api:v1/x',
  ])('may be %s', (audience) => {
    expect(isAudience(audience)).toBe(true);
  });

  it.each([
    '',
    'invoices',
    '/api',
    '//invoices.example',
    'https:',
    'https://',
    'https:///x',
    'https:invoices',
    'https://a.example/#',
    'urn:acme:x#y',
    'https://a.example/ b',
    'https://a.example/\n',
    'https://a.example/\\',
    'https://é.example',
    'https://user@a.example/',
    'https://@a.example/',
    'https://u:p@a.example',
    'https://a.example:99999',
    'https://[',
    'urn:',
    'urn:a:b',
    'urn:acme:',
    'URN:acme:x',
    'javascript:alert(1)',
    'data:,x',
    'file:///x',
    `https://a.example/${'x'.repeat(500)}`,
  ])('may not be %j', (audience) => {
    expect(isAudience(audience)).toBe(false);
  });
});

describe('a requested API', () => {
  it('is signed JWT with ES256 unless told otherwise', () => {
    expect(planApi({ audience: AUDIENCE })).toEqual({
      outcome: 'planned',
      api: { audience: AUDIENCE, scopes: [], tokenFormat: 'jwt', signingAlg: 'ES256' },
    });
  });

  it('has scopes with the sentence that people read', () => {
    expect(
      planApi({
        audience: AUDIENCE,
        scopes: ['invoices:read=Read your invoices', 'invoices:write', 'odd= a = b '],
        tokenFormat: 'opaque',
        signingAlg: 'EdDSA',
      }),
    ).toEqual({
      outcome: 'planned',
      api: {
        audience: AUDIENCE,
        scopes: [
          { name: 'invoices:read', description: 'Read your invoices' },
          { name: 'invoices:write', description: '' },
          { name: 'odd', description: 'a = b' },
        ],
        tokenFormat: 'opaque',
        signingAlg: 'EdDSA',
      },
    });
  });

  it.each([
    [{ audience: 'invoices' }, 'audience', 'not_an_absolute_uri'],
    [{ audience: AUDIENCE, tokenFormat: 'JWT' }, 'token_format', 'unknown'],
    [{ audience: AUDIENCE, signingAlg: 'HS256' }, 'signing_alg', 'unknown'],
    [{ audience: AUDIENCE, signingAlg: 'none' }, 'signing_alg', 'unknown'],
    [{ audience: AUDIENCE, scopes: ['two words'] }, 'scopes', 'syntax'],
    [{ audience: AUDIENCE, scopes: ['=nameless'] }, 'scopes', 'syntax'],
    [{ audience: AUDIENCE, scopes: ['openid'] }, 'scopes', 'reserved'],
    [{ audience: AUDIENCE, scopes: ['offline_access=Stay'] }, 'scopes', 'reserved'],
    [{ audience: AUDIENCE, scopes: ['a', 'a=again'] }, 'scopes', 'repeated'],
    [{ audience: AUDIENCE, scopes: ['a=line\nbreak'] }, 'scopes', 'description'],
    [{ audience: AUDIENCE, scopes: [`a=${'x'.repeat(301)}`] }, 'scopes', 'description'],
    [{ audience: AUDIENCE, scopes: Array.from({ length: 51 }, (_, n) => `s${n}`) }, 'scopes', 'too_many'],
  ])('%#: is refused with the field that is wrong', (request, field, problem) => {
    expect(planApi(request)).toEqual({ outcome: 'refused', problems: [{ field, problem }] });
  });

  it('hears of all its problems at once', () => {
    const plan = planApi({ audience: '', tokenFormat: '', signingAlg: '', scopes: [''] });
    expect(plan.outcome === 'refused' && plan.problems.map(({ field }) => field)).toEqual([
      'audience',
      'token_format',
      'signing_alg',
      'scopes',
    ]);
  });
});
