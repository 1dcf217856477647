// `node bin/node.mjs bin/known_passwords.ts`: makes config/known_passwords.bin, the list of passwords that nobody may set, which is
// shipped. Needed only when the packages it is made from, or the forms it is asked in (src/domain/password_policy.ts), change; a test
// makes it again and compares.
//
// Its sources are the password list of @zxcvbn-ts/language-common (MIT), some fifty thousand that are common in published breaches, and
// our own Dutch words (src/foundation/dutch_words.ts), which the other list hardly has. Each is written in the form it is looked up in
// and kept as the first five bytes of its SHA-256; those are sorted, after one line of heading. Whoever reads the file learns whether a
// password they think of is in it, and nothing else.

import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { dictionary } from '@zxcvbn-ts/language-common';
import { knownForms } from '../src/domain/password_policy.ts';
import { DUTCH_WORDS } from '../src/foundation/dutch_words.ts';
import { KNOWN_PASSWORD_BYTES, KNOWN_PASSWORDS_HEADER } from '../src/gateways/breached_passwords.ts';

const target = fileURLToPath(new URL('../config/known_passwords.bin', import.meta.url));

/** The whole file. */
export function makeKnownPasswords(): Buffer {
  // The first form is the password as a whole; what is too short to be looked up is left out.
  const passwords = [...dictionary['passwords-common'], ...Object.values(DUTCH_WORDS).flat()];
  const forms = new Set(passwords.flatMap((password) => knownForms(password).slice(0, 1)));
  const hashes = [...forms].map((form) => createHash('sha256').update(form).digest().subarray(0, KNOWN_PASSWORD_BYTES));
  return Buffer.concat([Buffer.from(KNOWN_PASSWORDS_HEADER), ...hashes.sort(Buffer.compare)]);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const file = makeKnownPasswords();
  writeFileSync(target, file);
  console.log(`config/known_passwords.bin: ${file.length} bytes`);
}
