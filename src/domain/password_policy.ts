/**
 * This file owns which passwords a tenant lets its people set, as far as that can be told without a list, a clock or a hash: length,
 * composition, and whether a password is little more than one's own name. It also owns in which forms a password is looked up in a
 * list of known ones. What can be hashed at all is in user.ts; who asks all of it in order is flows/people/judge_password.ts.
 */
import { judgeNewPassword } from './user.ts';

/** Those of a tenant's settings that are about passwords (people_settings.ts). */
export interface PasswordPolicy {
  readonly 'password.minimum_characters': number;
  readonly 'password.minimum_characters_with_second_factor': number;
  /** zxcvbn's score, 0 to 4. */
  readonly 'password.minimum_strength': number;
  readonly 'password.composition': boolean;
  /** How many earlier passwords may not come back; with 0 not even the one in use is asked about. */
  readonly 'password.history': number;
  readonly 'password.breached_range_api': boolean;
}

/** Why a password may not be set. Stable words: pages have the sentences. */
export type PasswordRefusal =
  | 'too_short'
  | 'too_long'
  | 'forbidden_character'
  | 'composition'
  | 'own_name'
  | 'breached'
  | 'too_weak'
  | 'used_before';

/** What an attacker knows of the person. Undefined or empty where nothing is known. */
export interface PasswordOwner {
  readonly email: string;
  readonly givenName?: string | undefined;
  readonly familyName?: string | undefined;
  readonly username?: string | undefined;
}

/** The rules that need nothing but the password. Undefined when it keeps them all. */
export function breaksPasswordRules(
  policy: PasswordPolicy,
  { password, hasSecondFactor }: { readonly password: string; readonly hasSecondFactor: boolean },
): PasswordRefusal | undefined {
  const limits = judgeNewPassword(password);
  if (limits.outcome === 'unacceptable') return limits.reason;
  if (charactersOf(password) < minimumCharacters(policy, hasSecondFactor)) return 'too_short';
  return policy['password.composition'] && !isComposed(password) ? 'composition' : undefined;
}

/** How many characters a password of this person needs; also what a page says before anybody types. */
export function minimumCharacters(policy: PasswordPolicy, hasSecondFactor: boolean): number {
  return policy[hasSecondFactor ? 'password.minimum_characters_with_second_factor' : 'password.minimum_characters'];
}

/** As typed or as hashed, whichever is fewer: `ﷺ` is hashed as eighteen characters, and `e` with a combining accent as one. */
function charactersOf(password: string): number {
  return Math.min([...password].length, [...password.normalize('NFKC')].length);
}

/** A capital letter, a small one, and something that is no letter. */
function isComposed(password: string): boolean {
  return [/\p{Lu}/u, /\p{Ll}/u, /[^\p{L}\p{M}\s]/u].every((kind) => kind.test(password));
}

const SHORTEST_OWN_WORD = 3;
const MAXIMUM_WORDS_PER_NAME = 8;

/**
 * The words that an attacker would try first on this person at this tenant, each once: names, the parts of the address but not its
 * top-level domain, what the tenant is called.
 */
export function ownWords(
  person: PasswordOwner,
  tenant: { readonly name: string; readonly slug: string },
): readonly string[] {
  const [localPart = '', domain = ''] = person.email.split('@');
  const hosts = domain.split('.').slice(0, -1);
  const names = [person.givenName, person.familyName, person.username, localPart, ...hosts, tenant.name, tenant.slug];
  const words = names.flatMap((name) => {
    if (name === undefined) return [];
    const parts = name.split(/[^\p{L}\p{M}\p{N}]+/u).slice(0, MAXIMUM_WORDS_PER_NAME);
    return [parts.join(''), ...parts];
  });
  return [...new Set(words.map((word) => word.toLowerCase()))].filter((word) => [...word].length >= SHORTEST_OWN_WORD);
}

const ENOUGH_BESIDE_NAMES = 8;

/**
 * Whether a password is hardly more than these words: at least half of it is them, and fewer than eight characters are not.
 * However it is written: `L0velace!Ada` is `Ada Lovelace`.
 */
export function isMostlyOwnWords(password: string, words: readonly string[]): boolean {
  const own = words.map(skeletonOf).toSorted((one, other) => other.length - one.length);
  const whole = skeletonOf(password);
  if (whole === '') return false;
  // A space in place of each word, so that what stood on both sides of it does not become another word.
  const rest = own.reduce((text, word) => (word === '' ? text : text.replaceAll(word, ' ')), whole).replaceAll(' ', '');
  return rest.length < ENOUGH_BESIDE_NAMES && rest.length * 2 <= whole.length;
}

const SHORTEST_KNOWN = 5;
/** Up to eight digits and signs (a date) behind a letter, and up to four before one as well. */
const WITHOUT_TAIL = /^(.*\p{L})[^\p{L}]{1,8}$/su;
const WITHOUT_GARNISH = /^[^\p{L}]{0,4}(\p{L}.*\p{L})[^\p{L}]{0,8}$/su;

/**
 * The forms under which a password is looked up in a list of known ones: as it is, and without the digits and signs around it, each
 * written with one alphabet for letters and the signs that stand in for them. So `P@ssw0rd2026!` is found as `password`.
 */
export function knownForms(password: string): readonly string[] {
  const text = password.normalize('NFKC');
  const stems = [WITHOUT_TAIL, WITHOUT_GARNISH].map((pattern) => pattern.exec(text)?.[1] ?? text);
  return [...new Set([text, ...stems].map(skeletonOf))].filter((form) => form.length >= SHORTEST_KNOWN);
}

/** What stands for what; `l`, `i`, `1` and `!` are one sign, because no attacker has to choose between them. */
const STAND_INS: ReadonlyMap<string, string> = new Map(
  Object.entries({ a: '4@', b: '8', e: '3€', g: '69', i: '1l!|', o: '0', s: '5$', t: '7+' }).flatMap(
    ([letter, signs]) => [...signs].map((sign) => [sign, letter] as const),
  ),
);

/** Small letters without accents, and letters in place of the signs that look like them. No space remains. */
export function skeletonOf(text: string): string {
  const letters = text
    .normalize('NFKD')
    .toLowerCase()
    .replace(/[\p{M}\s]/gu, '');
  return [...letters].map((sign) => STAND_INS.get(sign) ?? sign).join('');
}
