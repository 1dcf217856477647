/**
 * What a command can come to, and how that reads for a person. A program reads the same answer as JSON; nothing is shown to
 * one and hidden from the other, but that a person gets fewer columns.
 */

export interface Answer {
  /** One object, with names in snake_case. */
  readonly json: object;
  /** For a person: lines without a final line break. */
  readonly text: string;
  /** 0 unless told: `doctor` answers in full and says by its exit code that something is wrong. */
  readonly exitCode?: number;
  /** Done, but: to standard error for a person, and as `warnings` for a program. */
  readonly warnings?: readonly string[];
}

/** The house understood and said no. Exit code 1. */
export class CommandRefused extends Error {
  /** A stable word for programs. */
  readonly code: string;
  /** Each thing that is wrong, for programs, where there can be several. */
  readonly problems: readonly object[] | undefined;

  constructor(code: string, message: string, problems?: readonly object[]) {
    super(message);
    this.name = 'CommandRefused';
    this.code = code;
    this.problems = problems;
  }
}

/** Options that make no sense together, or are missing where the parser cannot know. Exit code 2. */
export class WrongUsage extends Error {
  override readonly name = 'WrongUsage';
}

/** `client created` and below it one line for each fact; facts without a value are left out. */
export function described(
  title: string,
  facts: Readonly<Record<string, string | readonly string[] | undefined>>,
): string {
  const present = Object.entries(facts).flatMap(([name, value]) => {
    const text = typeof value === 'string' || value === undefined ? value : value.join('\n');
    return text === undefined || text === '' ? [] : [[name, text] as const];
  });
  const width = Math.max(0, ...present.map(([name]) => name.length));
  const lines = present.map(([name, text]) => {
    const [first = '', ...further] = text.split('\n');
    return [`  ${name.padEnd(width)}  ${first}`, ...further.map((line) => `  ${' '.repeat(width)}  ${line}`)].join(
      '\n',
    );
  });
  return [title, ...lines].join('\n');
}

/** Columns under their headings; `none` in words when there are no rows. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[], none: string): string {
  if (rows.length === 0) return none;
  const all = [headings, ...rows];
  const widths = headings.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)));
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
