/**
 * The words of the hosted pages: which language a request gets, and its texts. Owns the locale files in views/locales
 * and nothing about a request: no language is ever "set" here, every caller takes a translator for its own page, so two
 * requests in two languages can never mix.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { createInstance } from 'i18next';

export type Locale = 'nl' | 'en';

/** Every language the pages speak, in the order the language switch shows them. */
export const locales: readonly Locale[] = ['nl', 'en'];

/** Looks up one text. Values are inserted as they are: the template escapes. A `count` chooses the plural. */
export type Translate = (key: string, values?: Readonly<Record<string, string | number>>) => string;

// A header of megabytes must not become work: what a real browser sends is far below this.
const maximumPreferenceCharacters = 1000;

/** Every text as it was written, before anything is filled in. */
export const texts: Readonly<Record<Locale, Readonly<Record<string, unknown>>>> = {
  nl: readLocale('nl'),
  en: readLocale('en'),
};

const instance = createInstance();

// No language detector and no backend: the resources are here, so this finishes before the call returns.
void instance.init({
  lng: 'en',
  fallbackLng: 'en',
  supportedLngs: locales,
  initAsync: false,
  interpolation: { escapeValue: false },
  resources: Object.fromEntries(locales.map((locale) => [locale, { translation: texts[locale] }])),
});

const translators: Readonly<Record<Locale, Translate>> = { nl: bindTranslator('nl'), en: bindTranslator('en') };

/** The texts of one language. Holds no state: the same function is shared by all requests in that language. */
export function translatorFor(locale: Locale): Translate {
  return translators[locale];
}

/**
 * The language of a page: what was asked for in the address or the authorization request (`ui_locales`, OpenID Connect
 * Core §3.1.2.1), else the person's choice in the cookie, else the profile, else the browser (`Accept-Language`,
 * RFC 9110 §12.5.4), else the tenant's default. Unknown and malformed values are passed over, never an error.
 */
export function chooseLocale(input: {
  readonly uiLocales?: string | undefined;
  readonly cookie?: string | undefined;
  readonly profile?: string | undefined;
  readonly acceptLanguage?: string | undefined;
  readonly tenantDefault: Locale;
}): Locale {
  return (
    firstSupported(splitTags(input.uiLocales)) ??
    firstSupported(splitTags(input.cookie)) ??
    firstSupported(splitTags(input.profile)) ??
    firstSupported(preferredTags(input.acceptLanguage)) ??
    input.tenantDefault
  );
}

/** A moment in words, in Dutch time whatever the server's zone: the people who read it live there. */
export function formatMoment(at: Date, locale: Locale): string {
  return momentFormats[locale].format(at);
}

const momentFormats: Readonly<Record<Locale, Intl.DateTimeFormat>> = {
  nl: momentFormat('nl-NL'),
  en: momentFormat('en-GB'),
};

function momentFormat(tag: string): Intl.DateTimeFormat {
  return new Intl.DateTimeFormat(tag, {
    timeZone: 'Europe/Amsterdam',
    day: 'numeric',
    month: 'long',
    year: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    timeZoneName: 'short',
  });
}

/** All texts of a language: one file for each room of the pages, whose name is the first part of its keys. */
function readLocale(locale: Locale): Readonly<Record<string, unknown>> {
  const directory = new URL(`../../../../views/locales/${locale}/`, import.meta.url);
  return Object.fromEntries(
    readdirSync(directory).map((name) => [
      name.replace(/\.json$/u, ''),
      JSON.parse(readFileSync(new URL(name, directory), 'utf8')),
    ]),
  );
}

function bindTranslator(locale: Locale): Translate {
  const translate = instance.getFixedT(locale);
  return (key, values) => translate(key, { ...values });
}

function splitTags(value: string | undefined): readonly string[] {
  return (value ?? '').slice(0, maximumPreferenceCharacters).split(/\s+/u);
}

/** The languages of an Accept-Language header, most wanted first; `q=0` means "not this one". */
function preferredTags(header: string | undefined): readonly string[] {
  return (header ?? '')
    .slice(0, maximumPreferenceCharacters)
    .split(',')
    .map((entry) => {
      const [tag = '', ...parameters] = entry.split(';').map((part) => part.trim());
      const weight = parameters.find((parameter) => parameter.toLowerCase().startsWith('q='));
      return { tag, quality: weight === undefined ? 1 : Number(weight.slice(2)) };
    })
    .filter(({ quality }) => quality > 0 && quality <= 1)
    .sort((one, other) => other.quality - one.quality)
    .map(({ tag }) => tag);
}

function firstSupported(tags: readonly string[]): Locale | undefined {
  for (const tag of tags) {
    const language = tag.split('-')[0]?.toLowerCase();
    const locale = locales.find((candidate) => candidate === language);
    if (locale !== undefined) return locale;
  }
  return undefined;
}
