/** A program as a page of the documentation prints it, run as its reader would: in a process of its own, against a running Poort. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { freePort } from './test_server.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

export interface DocumentedProgram {
  /** Without a slash at the end. */
  readonly origin: string;
  /** Everything it has said so far. */
  output(): string;
  close(): Promise<void>;
}

/** The blocks of a language on a page, in order. */
export function blocksOf(page: string, language: string): readonly string[] {
  const blocks = readFileSync(root + page, 'utf8').matchAll(/^```(\S+)\n(.*?)^```$/gms);
  return [...blocks].filter(([, name]) => name === language).map(([, , text = '']) => text);
}

/**
 * Starts the first program of a page and resolves when it says that it listens. `prepare` is told its origin, and returns the
 * settings that it reads from its environment. `change` makes the mistake that a reader could make.
 */
export async function runDocumentedProgram(
  page: string,
  prepare: (origin: string) => Promise<Readonly<Record<string, string>>>,
  change: (program: string) => string = (program) => program,
): Promise<DocumentedProgram> {
  const port = await freePort();
  const origin = `http://localhost:${port}`;
  const child = spawn(process.execPath, ['--input-type=module', '-'], {
    cwd: root,
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], PORT: String(port), ...(await prepare(origin)) },
  });
  const gone = once(child, 'close');
  let output = '';
  const listening = new Promise<void>((resolve, reject) => {
    const read = (chunk: Buffer): void => {
      output += chunk.toString('utf8');
      if (output.includes('Listening at ')) resolve();
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.once('close', () => reject(new Error(`the program of ${page} ended: ${output}`)));
  });
  child.stdin.end(change(blocksOf(page, 'js')[0] ?? ''));
  await listening;
  return {
    origin,
    output: () => output,
    async close() {
      child.kill();
      await gone;
    },
  };
}
