/**
 * This file owns what applications may ask people for beyond scopes (RFC 9396): types that an API defines, each with the sentence
 * that a person reads before agreeing. It does not own how a request travels, or what the API makes of it.
 *
 * The sentence is the schema: the fields it names must be there, and no other may. So nobody can agree to what was not shown.
 */

/** `sentence`: plain words with the fields in braces, `Pay {amount} {currency} to {creditor}`. */
export interface AuthorizationDetailsType {
  readonly type: string;
  /** The API that defines it. */
  readonly audience: string;
  readonly sentence: string;
}

/** One of the objects of `authorization_details`, as the engine has parsed it. */
export type AuthorizationDetail = Readonly<Record<string, unknown>> & { readonly type: string };

export type DetailsTypePlan =
  | { readonly outcome: 'planned'; readonly type: AuthorizationDetailsType }
  | { readonly outcome: 'refused'; readonly field: 'type' | 'sentence'; readonly problem: string };

/** As many as a person reads before pressing a button. */
export const MAXIMUM_DETAILS = 5;

const TYPE = /^[a-z][a-z0-9._:/-]{0,99}$/;
const FIELD = /\{([a-z][a-z0-9_]{0,39})\}/g;
const MAXIMUM_FIELDS = 10;
const MAXIMUM_SENTENCE = 300;
const MAXIMUM_VALUE = 200;
const MAXIMUM_ITEMS = 10;
/** Members of RFC 9396 §2 that say what a detail is and where it is for, and are never part of a sentence. */
const OWN_MEMBERS: ReadonlySet<string> = new Set(['type', 'locations']);

/** Whether a text can name a type. */
export function isDetailsType(text: string): boolean {
  return TYPE.test(text);
}

export function planDetailsType(request: AuthorizationDetailsType): DetailsTypePlan {
  const { type, sentence } = request;
  if (!isDetailsType(type)) return { outcome: 'refused', field: 'type', problem: 'syntax' };
  const words = sentence.replaceAll(FIELD, '');
  const fields = fieldsOf(sentence);
  if (sentence.length > MAXIMUM_SENTENCE || !isPlain(sentence) || words.trim() === '' || /[{}]/.test(words))
    return { outcome: 'refused', field: 'sentence', problem: 'syntax' };
  if (fields.length > MAXIMUM_FIELDS) return { outcome: 'refused', field: 'sentence', problem: 'too_many_fields' };
  if (fields.some((field) => OWN_MEMBERS.has(field)))
    return { outcome: 'refused', field: 'sentence', problem: 'reserved_field' };
  return { outcome: 'planned', type: request };
}

/** Why a detail cannot be asked for, in words for the application's developer; undefined when it can. */
export function problemWithDetail(type: AuthorizationDetailsType, detail: AuthorizationDetail): string | undefined {
  const fields = fieldsOf(type.sentence);
  const unknown = Object.keys(detail).find((name) => !fields.includes(name) && !OWN_MEMBERS.has(name));
  if (unknown !== undefined) return `${type.type} has no such field`;
  const missing = fields.find((field) => textOf(detail[field]) === undefined);
  if (missing !== undefined) return `${missing} is missing or cannot be shown`;
  const { locations } = detail;
  const isElsewhere =
    locations !== undefined && !(Array.isArray(locations) && locations.every((uri) => uri === type.audience));
  return isElsewhere ? 'locations names another API' : undefined;
}

/** What the person reads. The detail was checked. */
export function sentenceFor(type: AuthorizationDetailsType, detail: AuthorizationDetail): string {
  return type.sentence.replaceAll(FIELD, (_braces, field: string) => textOf(detail[field]) ?? '');
}

function fieldsOf(sentence: string): readonly string[] {
  return [...new Set([...sentence.matchAll(FIELD)].map(([, field]) => field ?? ''))];
}

/** A value as it is shown; undefined for what cannot be shown whole. */
function textOf(value: unknown): string | undefined {
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : undefined;
  if (typeof value === 'string')
    return value !== '' && value.length <= MAXIMUM_VALUE && isPlain(value) ? value : undefined;
  if (!Array.isArray(value) || value.length === 0 || value.length > MAXIMUM_ITEMS) return undefined;
  const texts = value.map((item) => (typeof item === 'string' ? textOf(item) : undefined));
  return texts.includes(undefined) ? undefined : texts.join(', ');
}

/** No control, format or separator character: none that hides or turns around what stands beside it. */
function isPlain(text: string): boolean {
  return text.isWellFormed() && !/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(text);
}
