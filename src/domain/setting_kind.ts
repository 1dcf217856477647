/** This file owns what a setting of a tenant can be made of: how it is written, and the words that tell what belongs there. */

export interface SettingKind<Value> {
  /** As somebody wrote it on the command line, in YAML or in JSON; undefined when it is no such value. */
  readonly parse: (written: unknown) => Value | undefined;
  /** Completes the sentence "Set it to …". */
  readonly expected: string;
}

export function wholeNumber(minimum: number, maximum: number): SettingKind<number> {
  return {
    parse: (written) => {
      const number = typeof written === 'string' && /^\d{1,9}$/.test(written) ? Number(written) : written;
      const isWhole = typeof number === 'number' && Number.isSafeInteger(number);
      return isWhole && number >= minimum && number <= maximum ? number : undefined;
    },
    expected: `a whole number from ${minimum} to ${maximum}`,
  };
}
