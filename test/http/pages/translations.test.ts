import { renderPage } from '#src/http/pages/kit/render.ts';
import { chooseLocale, formatMoment, type Locale, texts, translatorFor } from '#src/http/pages/kit/translations.ts';
import { shellFor } from '#test/support/pages/page_state.ts';

// The files hold nothing else: a fault in one of them fails below.
type Texts = { readonly [key: string]: string | Texts };

function entriesOf(room: Texts, prefix = ''): readonly (readonly [string, string])[] {
  return Object.entries(room).flatMap(([key, value]) =>
    typeof value === 'string' ? [[`${prefix}${key}`, value] as const] : entriesOf(value, `${prefix}${key}.`),
  );
}

const holesOf = (text: string) => [...text.matchAll(/\{\{(\w+)\}\}/gu)].map(([, name]) => name).sort();

describe('the two languages', () => {
  const dutch = new Map(entriesOf(texts.nl as Texts));
  const english = new Map(entriesOf(texts.en as Texts));

  it('have the same texts, none of them empty', () => {
    expect([...english.keys()].sort()).toEqual([...dutch.keys()].sort());
    expect([...dutch.values(), ...english.values()].filter((text) => text.trim() === '')).toEqual([]);
  });

  it('leave the same holes to fill in', () => {
    for (const [key, text] of dutch) expect([key, holesOf(english.get(key) ?? '')]).toEqual([key, holesOf(text)]);
  });

  it('address a Dutch reader formally', () => {
    expect([...dutch.values()].filter((text) => /\b(?:je|jij|jouw|jou)\b/iu.test(text))).toEqual([]);
  });

  it('have a singular for every plural', () => {
    const plurals = [...dutch.keys()].filter((key) => key.endsWith('_other'));
    expect(plurals.length).toBeGreaterThan(0);
    expect(plurals.filter((key) => !dutch.has(key.replace(/_other$/u, '_one')))).toEqual([]);
  });
});

describe('the language of a page', () => {
  const everything = {
    uiLocales: 'en-GB nl',
    cookie: 'nl',
    profile: 'nl',
    acceptLanguage: 'nl',
    tenantDefault: 'nl',
  } as const;

  it.each([
    ['what the address asks for', { ...everything }, 'en'],
    ['the choice in the cookie', { ...everything, uiLocales: undefined, cookie: 'en' }, 'en'],
    ['the profile', { ...everything, uiLocales: undefined, cookie: undefined, profile: 'en' }, 'en'],
    ['the browser', { acceptLanguage: 'fr, en;q=0.8, nl;q=0.5', tenantDefault: 'nl' }, 'en'],
    ["the tenant's default", { tenantDefault: 'en' }, 'en'],
  ] as const)('follows %s, in that order', (_what, input, expected) => {
    expect(chooseLocale(input)).toBe(expected);
  });

  it.each([
    ['an unknown language', { uiLocales: 'fr tlh', acceptLanguage: 'en' }],
    ['a forged cookie', { cookie: '../../etc/passwd', acceptLanguage: 'en' }],
    ['a name every object has', { uiLocales: 'constructor __proto__', acceptLanguage: 'en' }],
    ['a weight that is no number', { acceptLanguage: 'nl;q=high, en' }],
    ['a language that is refused', { acceptLanguage: 'nl;q=0, en;q=0.1' }],
    ['a header without end', { uiLocales: 'x '.repeat(1_000_000), acceptLanguage: 'en' }],
  ])('passes over %s', (_what, input) => {
    expect(chooseLocale({ tenantDefault: 'nl', ...input })).toBe('en');
  });

  it('takes the weights of the browser seriously, and a region for its language', () => {
    expect(chooseLocale({ acceptLanguage: 'en;q=0.5, nl-BE;q=0.9', tenantDefault: 'en' })).toBe('nl');
    expect(chooseLocale({ acceptLanguage: '*', tenantDefault: 'nl' })).toBe('nl');
  });
});

describe('a translator', () => {
  it('leaves the language of every other page alone', async () => {
    const headings = { nl: 'Deze inlogpagina is verlopen', en: 'This sign-in page has expired' };
    const asked: readonly Locale[] = Array.from({ length: 400 }, (_, index) => (index % 2 === 0 ? 'nl' : 'en'));
    const pages = await Promise.all(
      asked.map(async (locale, index) => {
        const shell = shellFor(locale, { tenantName: `Tenant ${index}` });
        await new Promise((resume) => setImmediate(resume));
        return renderPage('expired', shell, {});
      }),
    );
    for (const [index, html] of pages.entries()) {
      const locale = asked[index] ?? 'nl';
      expect(html).toContain(`<h1>${headings[locale]}</h1>`);
      expect(html).toContain(`Tenant ${index}</title>`);
    }
  });

  it('chooses the plural of its own language', () => {
    expect(translatorFor('en')('problem.retry', { count: 1 })).toBe('Try again in 1 minute.');
    expect(translatorFor('nl')('problem.retry', { count: 2 })).toBe('Probeer het over 2 minuten opnieuw.');
  });
});

describe('a moment', () => {
  it('is told in Dutch time, summer and winter, in both languages', () => {
    expect(formatMoment(new Date('2026-07-01T10:00:00Z'), 'nl')).toBe('1 juli 2026 om 12:00:00 CEST');
    expect(formatMoment(new Date('2026-12-01T10:00:00Z'), 'en')).toBe('1 December 2026 at 11:00:00 CET');
  });
});
