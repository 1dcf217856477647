/**
 * This file owns passwords that are made for somebody by an administrator: random, and such that they can be read aloud and typed.
 * What people choose themselves is judged by flows/people/judge_password.ts.
 */
import { randomInt } from 'node:crypto';

/** No `l`, `1`, `o` or `0`: on paper they are one another. */
const CAPITALS = 'ABCDEFGHJKMNPQRSTUVWXYZ';
const SMALL = 'abcdefghjkmnpqrstuvwxyz';
const DIGITS = '23456789';
const GROUP_CHARACTERS = 5;
const LEAST_CHARACTERS = 25;

/**
 * A password like `Kq7rt-9mwpx-v4hdz-c8ynj-b5seg`, of at least 110 bits and at least `minimumCharacters`. It has a capital letter, a
 * small one, a digit and a sign, for tenants that insist.
 */
export function generatePassword(minimumCharacters = 0): string {
  const length = Math.max(LEAST_CHARACTERS, minimumCharacters);
  const drawn = [CAPITALS, SMALL, DIGITS, ...Array<string>(length).fill(SMALL + DIGITS)].map(drawFrom);
  const groups = Math.ceil(length / GROUP_CHARACTERS);
  return Array.from({ length: groups }, (_, group) =>
    drawn.slice(group * GROUP_CHARACTERS, (group + 1) * GROUP_CHARACTERS).join(''),
  ).join('-');
}

function drawFrom(alphabet: string): string {
  return alphabet.charAt(randomInt(alphabet.length));
}
