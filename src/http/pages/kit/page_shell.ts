/**
 * What every hosted page is made with: what the pages share (the shell), what a presenter hands to a template (the view), and the
 * few decisions that every noun takes alike: how a name, an address, a moment and a field may be shown. Knows nothing of routes,
 * cookies or the engine, and no page by name.
 */
import { formatMoment, type Locale, locales, type Translate } from './translations.ts';

/** What the pages call the house itself. */
export const installationName = 'Poort';

/** What every page shares. Names may hold anything a client or tenant registered: they are cleaned and escaped here. */
export interface PageShell {
  readonly locale: Locale;
  /** Absent where an address belongs to nobody: the page then names the installation alone. */
  readonly tenantName: string | undefined;
  /** Absent where a page looks like the house. */
  readonly brand?: BrandLook | undefined;
  readonly applicationName?: string | undefined;
  readonly requestId: string;
  /** Where the `assets` of render.ts are served, without a trailing slash: `/assets`. */
  readonly assetsPath: string;
  /** Absent: the page cannot be shown again in another language, and offers none. */
  readonly languageSwitch?: LanguageSwitch | undefined;
}

/** How a tenant looks: tokens and a picture, at addresses of our own. */
export interface BrandLook {
  readonly stylesheet: string | undefined;
  readonly logo:
    | { readonly address: string; readonly width: number; readonly height: number; readonly alt: string }
    | undefined;
}

/**
 * How a person changes the language without losing the step.
 * `link`: a GET of `address` with `ui_locales` added; for every page that a GET can show again.
 * `form`: the step's own form is posted with an extra field `ui_locales` (a button, so only when it was pressed); the
 * route sees that field, tries nothing, and shows the page again with what was typed. For pages with text fields.
 */
export type LanguageSwitch = { readonly kind: 'link'; readonly address: string } | { readonly kind: 'form' };

/** A place a person can be sent back to. Only `https:`, `http:` and same-origin paths become links. */
export interface Destination {
  readonly name: string;
  readonly address: string;
}

/** The small scripts a page may load; every page is complete without them. A file of this name is in views/assets. */
export type PageScript = 'error_summary' | 'password_toggle' | 'submit_guard' | 'copy_text' | 'webauthn';

/** What a template gets beside the shell: finished words, no choices left. */
export interface PageView {
  /** The first part of the title. */
  readonly step: string;
  readonly heading: string;
  /** A mistake the person can correct: the title then starts with the word for error (WCAG 2.2, G199). */
  readonly failed: boolean;
  readonly scripts: readonly PageScript[];
  /** The pages beside this one, for an area of several: the person's own pages, the administration. */
  readonly navigation?: Navigation | undefined;
  /** A page of lists and tables needs more room than a form. */
  readonly wide?: boolean | undefined;
  readonly [detail: string]: unknown;
}

export interface Navigation {
  /** What a screen reader calls it. */
  readonly label: string;
  readonly links: readonly { readonly label: string; readonly address: string; readonly current: boolean }[];
}

export interface PageContext {
  readonly shell: PageShell;
  readonly t: Translate;
}

export type Presenter<Model> = (model: Model, context: PageContext) => PageView;

/**
 * A name as it may be shown: without control characters and without the marks that turn the reading direction around,
 * with which a client could make "evil.example" read as another name; and never longer than a line or two.
 */
export function displayName(value: string): string {
  const clean = value.replace(/[\p{Cc}\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]/gu, ' ').trim();
  const characters = [...clean];
  return characters.length <= 100 ? clean : `${characters.slice(0, 99).join('')}…`;
}

/** The address when it may become a link: a web address or a path on our own origin. `javascript:` and friends never. */
export function safeAddress(address: string | undefined): string | undefined {
  if (address === undefined) return undefined;
  // Browsers read a backslash as a slash and skip control characters, so "/\evil" and "/<tab>/evil" leave the origin.
  if (/[\p{Cc}\\]/u.test(address)) return undefined;
  if (address.startsWith('/')) return address.startsWith('//') ? undefined : address;
  if (!URL.canParse(address)) return undefined;
  return ['https:', 'http:'].includes(new URL(address).protocol) ? address : undefined;
}

/** The language choices in the footer: the same address or form, in every language the pages speak. */
export function presentLanguages(
  shell: PageShell,
): readonly { readonly locale: Locale; readonly current: boolean; readonly address: string | undefined }[] {
  const languageSwitch = shell.languageSwitch;
  if (languageSwitch === undefined) return [];
  const base = languageSwitch.kind === 'link' ? safeAddress(languageSwitch.address) : undefined;
  return locales.map((locale) => ({
    locale,
    current: locale === shell.locale,
    address: base === undefined ? undefined : withUiLocales(base, locale),
  }));
}

function withUiLocales(address: string, locale: Locale): string {
  const [target = '', fragment] = address.split('#', 2);
  const [path = '', query] = target.split('?', 2);
  const parameters = new URLSearchParams(query);
  parameters.set('ui_locales', locale);
  return `${path}?${parameters}${fragment === undefined ? '' : `#${fragment}`}`;
}

/** Sentences need a name, also where there is no tenant. */
export function tenantOf({ tenantName }: PageShell): string {
  return displayName(tenantName ?? installationName);
}

/** A moment for a `time` element. */
export interface Moment {
  readonly machine: string;
  readonly words: string;
}

export function presentMoment(at: Date, { locale }: Pick<PageShell, 'locale'>): Moment {
  return { machine: at.toISOString(), words: formatMoment(at, locale) };
}

/** For a sentence that says how long to wait: never zero, never less than it takes. */
export function wholeMinutes(minutes: number): number {
  return Math.max(1, Math.ceil(minutes));
}

export function presentDestination(
  destination: Destination | undefined,
  unnamed: string,
): { readonly name: string; readonly address: string } | undefined {
  const address = safeAddress(destination?.address);
  if (destination === undefined || address === undefined) return undefined;
  return { name: displayName(destination.name) || unnamed, address };
}

/** The button that leaves a page which is the end of something; for partials/back. */
export function backTo(
  application: { readonly name: string; readonly address: string } | undefined,
  label: (name: string) => string,
): { readonly label: string; readonly address: string } | undefined {
  return application === undefined ? undefined : { label: label(application.name), address: application.address };
}

/** One entry of the error summary; with a field it links there, and the field says the same. */
export interface FieldMessage {
  readonly field?: string;
  readonly text: string;
}

/** The scripts of a page with a form, and of one that was sent back. */
export function formScripts(errors: readonly FieldMessage[], ...more: readonly PageScript[]): readonly PageScript[] {
  return [...more, 'submit_guard', ...(errors.length > 0 ? (['error_summary'] as const) : [])];
}

export interface FieldInput {
  /** Its name in the form, and its id. */
  readonly name: string;
  readonly label: string;
  readonly type?: 'text' | 'email' | 'tel' | undefined;
  readonly value?: string | undefined;
  /** HTML §4.10.18.7, to the letter: password managers and phones read it. */
  readonly autocomplete: string;
  /** What is expected, said before the field. */
  readonly hint?: string | undefined;
  readonly optional?: boolean | undefined;
  /** The cursor starts here; never in a form that was sent back, where the summary takes the focus. */
  readonly focus?: boolean | undefined;
  /** Wrong, but told at another field. */
  readonly wrongAs?: string | undefined;
  readonly inputMode?: 'numeric' | 'text' | undefined;
  readonly pattern?: string | undefined;
  readonly maximumLength?: number | undefined;
  /** For the generator of a password manager: `minlength: 12;`. */
  readonly passwordRules?: string | undefined;
  /** Letters are kept as they are typed: no capital, no correction. */
  readonly verbatim?: boolean | undefined;
  /** Capital letters, and what is typed is no word. */
  readonly capitals?: boolean | undefined;
}

/** For partials/field, password_field, code_field and checkbox. */
export interface FieldView extends FieldInput {
  readonly error: string | undefined;
  readonly invalid: boolean;
  readonly describedBy: string | undefined;
}

/** A thing somebody can do to an entry of a list, or that cannot be undone; for partials/entries and partials/destructive. */
export interface Deed {
  readonly action: string;
  readonly csrf: string;
  readonly label: string;
  readonly busy: string;
  /** More hidden fields. */
  readonly fields?: readonly (readonly [name: string, value: string])[] | undefined;
  readonly destructive?: boolean | undefined;
  /** What it costs, said before the button. */
  readonly warning?: string | undefined;
}

/** A form that asks the browser for a passkey and sends its answer in the field `passkey`; for partials/passkey. */
export interface PasskeyView {
  readonly action: string;
  readonly csrf: string;
  readonly label: string;
  /** What is said when the browser gave none. */
  readonly problem: string;
  /** For views/assets/webauthn.js, as JSON. */
  readonly asked: string;
  /** More hidden fields. */
  readonly fields: readonly (readonly [name: string, value: string])[];
  /** Of a new one. */
  readonly name?: FieldView | undefined;
}

/** Undefined without options: nothing is offered then. `autofill`: also under the field that says `webauthn`. */
export function presentPasskey(
  options: object | undefined,
  {
    autofill = false,
    fields = [],
    ...form
  }: Pick<PasskeyView, 'action' | 'csrf' | 'label' | 'problem' | 'name'> & {
    readonly autofill?: boolean;
    readonly fields?: PasskeyView['fields'];
  },
): PasskeyView | undefined {
  return options === undefined ? undefined : { ...form, fields, asked: JSON.stringify({ options, autofill }) };
}

/** One line of a list of things with something to do: a device, a passkey, an application; for partials/entries. */
export interface EntryView {
  /** Unique on the page: what its action is described by. */
  readonly id: string;
  readonly name: string;
  readonly tag?: string | undefined;
  readonly lines: readonly { readonly text: string; readonly moment?: Moment | undefined }[];
  readonly link?: { readonly label: string; readonly address: string } | undefined;
  readonly deed?: Deed | undefined;
}

/** One line of a summary; for partials/facts. */
export interface FactView {
  readonly label: string;
  readonly text?: string | undefined;
  readonly code?: string | undefined;
  readonly moment?: Moment | undefined;
}

/** A field of a form as it will be shown, with what went wrong in it. */
export function presentField(field: FieldInput, errors: readonly FieldMessage[]): FieldView {
  const error = errors.find((message) => message.field === field.name)?.text;
  const told = error === undefined ? field.wrongAs : field.name;
  const described = [
    ...(field.hint === undefined ? [] : [`${field.name}-hint`]),
    ...(told === undefined ? [] : [`${told}-error`]),
  ];
  return {
    ...field,
    error,
    invalid: told !== undefined,
    describedBy: described.length === 0 ? undefined : described.join(' '),
    focus: field.focus === true && errors.length === 0,
  };
}
