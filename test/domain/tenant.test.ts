import { parseTenantName, parseTenantSlug, tenantId } from '#src/domain/tenant.ts';

describe('a tenant slug', () => {
  it.each(['acme', 'demo', 'a', '1', '1a', 'acme-2', 'a-b-c', 'x'.repeat(40), 'device-park', 'apiary'])(
    'may be %s',
    (slug) => {
      expect(parseTenantSlug(slug)).toEqual({ outcome: 'valid', slug });
    },
  );

  it.each([
    '',
    '-',
    '-a',
    'a-',
    'a--b',
    'Acme',
    'a_b',
    'a.b',
    'a b',
    ' acme',
    'acme\n',
    'a/b',
    '..',
    'é',
    'acmé',
    'a\0',
    '%61',
    'ａ',
    undefined,
    null,
    7,
    ['acme'],
  ])('may not be %j', (input) => {
    expect(parseTenantSlug(input)).toEqual({ outcome: 'invalid', reason: 'syntax' });
  });

  it.each([
    'www',
    'api',
    'admin',
    'platform',
    'assets',
    'health',
    'docs',
    'dev',
    'well-known',
    't',
    'd',
    'xn--bcher-kva',
  ])('may not be the reserved %s', (slug) => {
    // `xn--` already breaks the rule of single hyphens
    const reason = slug.includes('--') ? 'syntax' : 'reserved';
    expect(parseTenantSlug(slug)).toEqual({ outcome: 'invalid', reason });
  });

  it('has at most 40 characters', () => {
    expect(parseTenantSlug('x'.repeat(41))).toEqual({ outcome: 'invalid', reason: 'too_long' });
    expect(parseTenantSlug(`${'x-'.repeat(500_000)}x`)).toEqual({ outcome: 'invalid', reason: 'too_long' });
  });
});

describe('a tenant identifier', () => {
  it('is a UUID in lower case, and anything else is a fault', () => {
    const uuid = '01890a5d-ac96-774b-bcce-b302099a8057';
    expect(tenantId(uuid)).toBe(uuid);
    for (const text of ['', 'acme', uuid.toUpperCase(), `${uuid} `, `{${uuid}}`, `${uuid}\n`]) {
      expect(() => tenantId(text)).toThrow(TypeError);
    }
  });
});

describe('a name', () => {
  it.each([
    ['Acme', 'Acme'],
    ['  Bäckerei Müller & Söhne  ', 'Bäckerei Müller & Söhne'],
    ['Cafe\u0301', 'Café'],
    ['株式会社', '株式会社'],
    ['👩‍👩‍👧 Zorg', '👩‍👩‍👧 Zorg'],
    ['<script>alert(1)</script>', '<script>alert(1)</script>'],
    ['😀'.repeat(100), '😀'.repeat(100)],
  ])('%j is kept readable', (input, name) => {
    expect(parseTenantName(input)).toBe(name);
  });

  it.each([
    '',
    '   ',
    'a\nb',
    'a\tb',
    'a\0b',
    'a\u001b[31m',
    'a\u0085b',
    'a\u2028b',
    'x\u202ey',
    '\u2066x',
    'a\ud800',
    '\u200d\u200d',
    '\u0301',
    'x'.repeat(101),
    '😀'.repeat(101),
    'x'.repeat(1e6),
    undefined,
    5,
  ])('%#: is refused when it breaks out of its line or shows nothing', (input) => {
    expect(parseTenantName(input)).toBeUndefined();
  });
});
