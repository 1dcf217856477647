/**
 * Asks whether a password is known to be one that attackers have: in the list that is shipped, in a larger one that the operator
 * brings, and, where the tenant wishes, at Have I Been Pwned. Only the first five of the forty characters of a SHA-1 ever leave the
 * house. A list that cannot be asked keeps nobody from setting a password; the log says so.
 *
 * The shipped list is made by bin/known_passwords.ts, which describes it.
 */
import { createHash } from 'node:crypto';
import { type FileHandle, open, readFile } from 'node:fs/promises';
import type { Logger } from 'pino';
import { knownForms } from '#src/domain/password_policy.ts';
import { sha256 } from '#src/foundation/identifiers.ts';
import type { Egress } from './egress.ts';

export interface BreachedPasswords {
  /** Rejects only when the shipped list is gone. `askRangeApi`: also ask Have I Been Pwned, which takes up to two seconds. */
  isKnown(password: string, options: { readonly askRangeApi: boolean }): Promise<boolean>;
}

export interface BreachedPasswordsOptions {
  readonly egress: Egress;
  readonly logger: Logger;
  /** A text file of upper-case SHA-1 values in order, one a line, as the downloader of Have I Been Pwned writes it. */
  readonly largerListFile?: string | undefined;
  readonly rangeApi?: string;
}

/** First in the file; the number is that of the format. */
export const KNOWN_PASSWORDS_HEADER = 'poort known passwords 1\n';
/** Of the SHA-256 of a form. Fifty thousand of them make one unknown password in some five million look known. */
export const KNOWN_PASSWORD_BYTES = 5;

const shippedList = new URL('../../config/known_passwords.bin', import.meta.url);
const haveIBeenPwned = 'https://api.pwnedpasswords.com/range/';
const rangeApiMilliseconds = 2000;

export function createBreachedPasswords(options: BreachedPasswordsOptions): BreachedPasswords {
  const { egress, logger, largerListFile, rangeApi = haveIBeenPwned } = options;
  let shipped: Promise<Buffer> | undefined;

  async function isInShippedList(password: string): Promise<boolean> {
    shipped ??= readShippedList();
    const list = await shipped;
    return knownForms(password).some((form) => isListed(list, sha256(form).subarray(0, KNOWN_PASSWORD_BYTES)));
  }

  async function isInLargerList(sha1: string): Promise<boolean> {
    if (largerListFile === undefined) return false;
    try {
      return await isInSortedFile(largerListFile, sha1);
    } catch (fault) {
      logger.error({ err: fault }, 'the list of breached passwords cannot be read; the shipped one is asked alone');
      return false;
    }
  }

  async function isAtHaveIBeenPwned(sha1: string): Promise<boolean> {
    const answer = await egress.call({
      url: `${rangeApi}${sha1.slice(0, 5)}`,
      // Without padding the length of the answer tells which five characters were asked for.
      headers: { 'add-padding': 'true' },
      signal: AbortSignal.timeout(rangeApiMilliseconds),
    });
    if (answer.outcome !== 'answered' || answer.status !== 200) {
      const reason = answer.outcome === 'answered' ? `status ${answer.status}` : answer.reason;
      logger.warn({ reason }, 'Have I Been Pwned could not be asked; a password was judged without it');
      return false;
    }
    const rest = sha1.slice(5);
    // What was padded in occurs zero times.
    return answer.body
      .toString('latin1')
      .split('\n')
      .some((line) => line.startsWith(`${rest}:`) && Number(line.slice(rest.length + 1)) > 0);
  }

  return {
    async isKnown(password, { askRangeApi }) {
      if (await isInShippedList(password)) return true;
      const sha1 = createHash('sha1').update(password.normalize('NFKC')).digest('hex').toUpperCase();
      if (await isInLargerList(sha1)) return true;
      return askRangeApi && isAtHaveIBeenPwned(sha1);
    },
  };
}

/** Throws when the file is not what was shipped: a house without its list is not the one that was installed. */
async function readShippedList(): Promise<Buffer> {
  const bytes = await readFile(shippedList);
  const list = bytes.subarray(KNOWN_PASSWORDS_HEADER.length);
  const isList = bytes.subarray(0, KNOWN_PASSWORDS_HEADER.length).equals(Buffer.from(KNOWN_PASSWORDS_HEADER));
  if (!isList || list.length === 0 || list.length % KNOWN_PASSWORD_BYTES !== 0)
    throw new Error('config/known_passwords.bin is not the list that was shipped');
  return list;
}

function isListed(list: Buffer, wanted: Buffer): boolean {
  let from = 0;
  let to = list.length / KNOWN_PASSWORD_BYTES;
  while (from < to) {
    const middle = (from + to) >>> 1;
    const start = middle * KNOWN_PASSWORD_BYTES;
    const order = list.compare(wanted, 0, KNOWN_PASSWORD_BYTES, start, start + KNOWN_PASSWORD_BYTES);
    if (order === 0) return true;
    if (order < 0) from = middle + 1;
    else to = middle;
  }
  return false;
}

const SHA1_CHARACTERS = 40;
const LONGEST_LINE_BYTES = 64;
const SCANNED_BYTES = 4096;

/** By halves, so that forty gigabytes take some twenty-five small reads and no memory. */
async function isInSortedFile(path: string, sha1: string): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    let from = 0;
    let to = (await file.stat()).size;
    while (to - from > SCANNED_BYTES) {
      const middle = Math.floor((from + to) / 2);
      const text = await readAt(file, middle, 2 * LONGEST_LINE_BYTES);
      const lineEnd = text.indexOf('\n');
      if (lineEnd === -1) throw new Error('a line of the list is too long to be a SHA-1 value and a count');
      const line = text.slice(lineEnd + 1, lineEnd + 1 + SHA1_CHARACTERS);
      if (line < sha1) from = middle + lineEnd + 1;
      else to = middle + lineEnd + 1;
      if (line === sha1) return true;
    }
    const last = await readAt(file, from, to - from + LONGEST_LINE_BYTES);
    return `\n${last}`.includes(`\n${sha1}`);
  } finally {
    await file.close();
  }
}

async function readAt(file: FileHandle, position: number, length: number): Promise<string> {
  const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(length), position });
  return buffer.toString('latin1', 0, bytesRead);
}
