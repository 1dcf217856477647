/**
 * This file owns how strong a password is: zxcvbn's estimate of how soon somebody who knows common passwords, words, names, dates and
 * keyboards would try it. It does not own which strength is enough (domain/password_policy.ts).
 *
 * Why only windows of a password are estimated: the work grows faster than the length, and a text of digits and signs makes the
 * estimator try every reading of each of them. A thousand characters take two seconds of the thread that serves everybody; a window
 * of forty takes some thirty milliseconds at most.
 */
import { DUTCH_WORDS } from './dutch_words.ts';

const WINDOW_CHARACTERS = 40;
/** How many readings of digits and signs as letters are tried; the library's own hundred takes six times as long. */
const MAXIMUM_READINGS = 20;
const MAXIMUM_OWN_WORDS = 40;

type Estimate = (password: string, ownWords: readonly string[]) => number;

let loading: Promise<Estimate> | undefined;

/**
 * The strength of `password` (its NFKC form is what counts) for somebody whose own words an attacker would try as well. Of a long
 * password the beginning and the end are estimated and the stronger one counts: the whole is at least as strong as any part of it.
 *
 * @returns 0: among the first guesses; 1: within a million; 2: within a hundred million; 3: within ten thousand million; 4: beyond.
 */
export async function scorePassword(password: string, ownWords: readonly string[]): Promise<number> {
  loading ??= loadEstimate();
  const estimate = await loading;
  const text = password.normalize('NFKC');
  const words = ownWords.slice(0, MAXIMUM_OWN_WORDS).map((word) => word.slice(0, WINDOW_CHARACTERS));
  const head = estimate(text.slice(0, WINDOW_CHARACTERS), words);
  if (text.length <= WINDOW_CHARACTERS || head === 4) return head;
  const tail = estimate(text.slice(-WINDOW_CHARACTERS), words);
  return Math.max(head, tail);
}

/** The dictionaries take a tenth of a second and some thirty megabytes: only a process that judges passwords has them. */
async function loadEstimate(): Promise<Estimate> {
  const [{ ZxcvbnFactory }, common, english] = await Promise.all([
    import('@zxcvbn-ts/core'),
    import('@zxcvbn-ts/language-common'),
    import('@zxcvbn-ts/language-en'),
  ]);
  const dutch = Object.fromEntries(Object.entries(DUTCH_WORDS).map(([name, words]) => [`${name}-nl`, [...words]]));
  const estimator = new ZxcvbnFactory({
    dictionary: { ...common.dictionary, ...english.dictionary, ...dutch },
    graphs: common.adjacencyGraphs,
    l33tMaxSubstitutions: MAXIMUM_READINGS,
    maxLength: WINDOW_CHARACTERS,
  });
  return (password, ownWords) => estimator.check(password, [...ownWords]).score;
}
