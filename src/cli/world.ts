/** What a command sees of the process it runs in. It owns no behaviour. */

export interface World {
  /** Without the program and the script. */
  readonly arguments: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly workingDirectory: string;
  readonly input: NodeJS.ReadableStream;
  readonly output: NodeJS.WritableStream;
  /** Everything that is not the answer: problems, warnings, logs. */
  readonly errors: NodeJS.WritableStream & { readonly isTTY?: boolean };
}
