/**
 * This file owns one thing: a value that must not be printed by accident. It does not encrypt or erase anything;
 * whoever holds a Secret can still ask for it by name, and that one word, `reveal`, is what a reviewer searches for.
 */

import { inspect } from 'node:util';

const MASK = '[secret]';

/**
 * Wraps a secret string so that every accidental way to print it (template strings, JSON, console.log, log
 * serialisers, error messages) gives `[secret]`. A class, because only a private field is invisible to all of them.
 */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The plain value. Call it at the last moment, and never keep the result. */
  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return MASK;
  }

  toJSON(): string {
    return MASK;
  }

  [inspect.custom](): string {
    return MASK;
  }
}
