// HTML as a template tag: every value is escaped unless it is HTML that this tag made. Knows nothing about pages.

// A symbol cannot come out of JSON, so no claim or form field can pass itself off as finished HTML.
const markup = Symbol('markup');

export interface Html {
  readonly [markup]: string;
}

export type HtmlValue = Html | string | number | undefined | readonly HtmlValue[];

/** `html\`<p>${name}</p>\`` escapes `name`. Lists are joined, `undefined` is nothing. */
export function html(strings: TemplateStringsArray, ...values: readonly HtmlValue[]): Html {
  return { [markup]: strings.map((text, index) => (index === 0 ? '' : render(values[index - 1])) + text).join('') };
}

/** The finished text, to be sent with `Content-Type: text/html`. */
export function toText(page: Html): string {
  return page[markup];
}

function render(value: HtmlValue): string {
  if (value === undefined) return '';
  if (typeof value === 'string' || typeof value === 'number') return escapeText(String(value));
  if (isList(value)) return value.map(render).join('');
  return value[markup];
}

function isList(value: Html | readonly HtmlValue[]): value is readonly HtmlValue[] {
  return Array.isArray(value);
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function escapeText(text: string): string {
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? '');
}
