import { readFileSync } from 'node:fs';
import { wcagContrast } from 'culori';
import fc from 'fast-check';
import {
  brandStylesheet,
  grounds,
  houseColor,
  isColorCorrected,
  mailColorsOf,
  paletteOf,
  parseBrandColor,
  parseLogoAlt,
  readBrand,
} from '#src/domain/brand.ts';

const colors = fc.integer({ min: 0, max: 0xffffff }).map((value) => `#${value.toString(16).padStart(6, '0')}`);
const logo = { version: '0123456789abcdef0123456789abcdef', width: 64, height: 48, alt: 'Acme' };

describe('a brand colour', () => {
  it.each(['#7a1fa2', '#FFE600', '#000000'])('is six hexadecimal digits: %s', (text) => {
    expect(parseBrandColor(text)).toBe(text.toLowerCase());
  });

  it.each([
    ['red', '#fff', '7a1fa2', '#7a1fa2ff', ' #7a1fa2', '#7a1fa2;', '#7a1fa2}body{display:none}', 'var(--ink)'],
    ['url(https://evil.example)', 'expression(alert(1))', '#7a1fa2\n', '#７a1fa2', '', '#gggggg', '</style><script>'],
  ])('is nothing else (C24)', (...texts) => {
    expect(texts.map(parseBrandColor)).toEqual(texts.map(() => undefined));
  });

  it.each(['light', 'dark'] as const)('can be read by everybody in the %s, whatever was chosen (item 55)', (scheme) => {
    fc.assert(
      fc.property(colors, (color) => {
        const { accent, accentDeep, onAccent, tint } = paletteOf(color, scheme);
        const behind = [...Object.values(grounds[scheme]), tint];
        expect(behind.filter((ground) => wcagContrast(accent, ground) < 4.5)).toEqual([]);
        expect(wcagContrast(onAccent, accent)).toBeGreaterThanOrEqual(4.5);
        expect(wcagContrast(onAccent, accentDeep)).toBeGreaterThanOrEqual(4.5);
        expect(wcagContrast(scheme === 'light' ? '#16222b' : '#eef1ee', tint)).toBeGreaterThanOrEqual(4.5);
      }),
      { numRuns: 300 },
    );
  });

  it('stays as it was chosen where it can be read, and is said to be corrected where it cannot', () => {
    expect(paletteOf('#7a1fa2', 'light').accent).toBe('#7a1fa2');
    expect(isColorCorrected('#7a1fa2')).toBe(false);
    expect(isColorCorrected('#ffe600')).toBe(true);
  });

  it('becomes a stylesheet of tokens and hexadecimal digits, and of nothing else', () => {
    fc.assert(
      fc.property(colors, (color) => {
        const rule = String.raw`:root \{ --accent: #[0-9a-f]{6}; --accent-deep: #[0-9a-f]{6}; --on-accent: #[0-9a-f]{6}; --tint: #[0-9a-f]{6}; \}`;
        const whole = new RegExp(`^${rule}\n@media \\(prefers-color-scheme: dark\\) \\{\n  ${rule}\n\\}\n$`);
        expect(brandStylesheet(color)).toMatch(whole);
      }),
      { numRuns: 50 },
    );
  });

  it('is that of the house in the mails of a tenant without one', () => {
    expect(mailColorsOf({})).toEqual({ accent: houseColor, onAccent: '#ffffff' });
    expect(mailColorsOf({ color: '#7a1fa2' }).accent).toBe('#7a1fa2');
  });

  it('is judged on the grounds that the stylesheet draws', () => {
    const css = readFileSync(new URL('../../views/assets/poort.css', import.meta.url), 'utf8');
    const [light = '', dark = ''] = [...css.matchAll(/:root \{([^}]*)\}/g)].map(([, block = '']) => block);
    for (const [block, tokens] of [
      [light, { ...grounds.light, accent: houseColor }],
      [dark, grounds.dark],
    ] as const)
      for (const [name, value] of Object.entries(tokens)) expect(block).toContain(`--${name}: ${value};`);
  });
});

describe('what is stored about a brand', () => {
  it('is read back as it was written', () => {
    expect(readBrand(JSON.parse(JSON.stringify({ color: '#7a1fa2', logo })))).toEqual({ color: '#7a1fa2', logo });
    expect(readBrand({})).toEqual({});
  });

  it.each([
    null,
    'text',
    [],
    { color: 'red' },
    { color: { toString: 'x' } },
    { logo: 'x' },
    { logo: { ...logo, version: '../../etc/passwd' } },
    { logo: { ...logo, version: '"><script>' } },
    { logo: { ...logo, width: '64" onload="x' } },
    { logo: { ...logo, height: 1e9 } },
  ])('is not believed when it is something else: %j (C24)', (stored) => {
    expect(readBrand(stored)).toEqual({});
  });

  it('has no line that turns around or breaks out for its picture (C24)', () => {
    expect(parseLogoAlt('  Acme B.V. ')).toBe('Acme B.V.');
    expect(parseLogoAlt('')).toBe('');
    for (const text of ['a\nb', 'a\u202eb', 'a\0b', 'x'.repeat(121), '\ud800'])
      expect(parseLogoAlt(text)).toBeUndefined();
    expect(readBrand({ logo: { ...logo, alt: 'a\u202eb' } }).logo?.alt).toBe('');
  });
});
