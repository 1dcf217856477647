/**
 * The device of examples/esp32 in a process of its own: built once for a test file, with AddressSanitizer and UndefinedBehaviorSanitizer,
 * and driven line by line. Its time is the test's: whatever it sleeps passes at once, here and in the clock of the server. npm cannot
 * bring a compiler and the libraries, so where they are missing such tests are skipped and their name says why.
 */
import { type ChildProcessWithoutNullStreams, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export const esp32Example = fileURLToPath(new URL('../../examples/esp32', import.meta.url));

const needed = ['curl/curl.h', 'cjson/cJSON.h', 'mbedtls/version.h', 'psa/crypto.h'];
const missing =
  'skipped: no gcc, or not libcurl, cJSON and mbedTLS 2.28 for it (Debian: gcc g++ libcurl4-openssl-dev libcjson-dev libmbedtls-dev)';

function hasCompiler(): boolean {
  const input = needed.map((header) => `#include <${header}>\n`).join('');
  const compiled = spawnSync('gcc', ['-fsyntax-only', '-x', 'c', '-'], { input });
  return compiled.status === 0 && spawnSync('g++', ['--version']).status === 0;
}

/** `describe` where there are gcc and the libraries; elsewhere one skipped test that tells how to get it run. */
export function describeWithCompiler(name: string, body: () => void): void {
  if (hasCompiler()) {
    describe(name, body);
    return;
  }
  describe(name, () => {
    it.skip(missing, () => undefined);
  });
}

const strict = ['-Wall', '-Wextra', '-Werror', '-Wshadow', '-pedantic'];
const strictC = ['-std=c99', ...strict, '-Wconversion', '-Wstrict-prototypes'];
const watched = ['-O1', '-g', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'];
const libraries = ['-lcurl', '-lcjson', '-lmbedcrypto'];

/** Compiles files of the example and rejects with what the compiler says, warnings too. */
export async function compile(files: readonly string[], options: readonly string[], compiler = 'gcc'): Promise<void> {
  const language = compiler === 'g++' ? ['-std=c++11', ...strict] : strictC;
  await promisify(execFile)(compiler, [...language, '-Isrc', '-Iposix', ...options, ...files, ...libraries], {
    cwd: esp32Example,
  });
}

/** The sources of the core, relative to the example. */
export async function coreSources(): Promise<readonly string[]> {
  const names = await readdir(join(esp32Example, 'src'));
  return names.filter((name) => /^device_auth.*\.c$/.test(name)).map((name) => `src/${name}`);
}

/** Builds a program with the core into this file. */
export async function buildWithCore(
  program: string,
  files: readonly string[],
  options: readonly string[] = [],
): Promise<void> {
  await compile([...(await coreSources()), ...files], [...watched, ...options, '-o', program]);
}

export interface DeviceSettings {
  readonly program: string;
  /** Its storage: the same folder is the same device after a power loss. */
  readonly folder: string;
  readonly issuer: string;
  readonly clientId: string;
  readonly environment?: Readonly<Record<string, string>>;
}

/** What it shows. */
export interface Shown {
  readonly state: string;
  readonly trouble: string;
  readonly reason: string;
  readonly userCode: string | undefined;
  readonly verificationUri: string | undefined;
  readonly verificationUriComplete: string | undefined;
}

export interface DeviceWorld {
  /** Passes time outside the device. */
  advance(seconds: number): void;
  /** While it sleeps: what happens in the room. Its word back is what the device hears. */
  whileAsleep?: (
    device: Esp32Device,
    milliseconds: number,
  ) => Promise<'go' | 'button' | 'unplug' | undefined> | undefined;
}

/** A running device. Lives for as long as its process. */
export class Esp32Device {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;
  readonly #world: DeviceWorld;
  readonly #ended: Promise<number | null>;
  #errors = '';
  /** Everything it has shown, the last one last. */
  readonly history: Shown[] = [];
  /** What it slept, in milliseconds. */
  readonly sleeps: number[] = [];
  /** Where its power failed. */
  lost: string | undefined;
  used: { readonly heapNow: number; readonly heapAtMost: number; readonly points: number } | undefined;

  constructor(settings: DeviceSettings, world: DeviceWorld) {
    this.#world = world;
    this.#child = spawn(settings.program, [], {
      env: {
        ISSUER: settings.issuer,
        CLIENT_ID: settings.clientId,
        SCOPE: 'openid offline_access',
        FOLDER: settings.folder,
        ...(settings.issuer.startsWith('http:') ? { PLAIN_HTTP: '1' } : {}),
        ...settings.environment,
      },
    });
    this.#child.stderr.on('data', (chunk: Buffer) => {
      this.#errors += chunk.toString('utf8');
    });
    // Whoever lost its power does not listen any more.
    this.#child.stdin.on('error', () => undefined);
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
    this.#ended = once(this.#child, 'close').then(([code]) => code as number | null);
  }

  get shown(): Shown | undefined {
    return this.history.at(-1);
  }

  /** What it said aside, sanitizers too. */
  get errors(): string {
    return this.#errors;
  }

  /**
   * Lets it go on until it is `ready`, `idle`, shows a state, or has lost its power; through every sleep. Resolves to what it came to.
   * Rejects when it ends in another way, or would sleep for more than a week.
   */
  async until(...wanted: readonly string[]): Promise<string> {
    for (let slept = 0; slept < 7 * 24 * 3600_000; ) {
      const line = await this.#read();
      const [word = '', ...rest] = line.split(' ');
      if (word === 'sleeps') {
        const milliseconds = Number(rest[0]);
        slept += milliseconds;
        this.sleeps.push(milliseconds);
        if (this.shown !== undefined && wanted.includes(this.shown.state)) return this.shown.state;
        await this.wake();
      } else if (wanted.includes(word)) {
        return word;
      } else if (word === 'ready' || word === 'idle') {
        throw new Error(`it is ${word}, and nobody waits for that`);
      }
    }
    throw new Error('it sleeps for ever');
  }

  /** Its sleep is over, or cut short: `until` came back in the middle of it. */
  async wake(): Promise<void> {
    const milliseconds = this.sleeps.at(-1) ?? 0;
    const answer = (await this.#world.whileAsleep?.(this, milliseconds)) ?? 'go';
    this.#world.advance(milliseconds / 1000);
    this.#write(answer);
  }

  /** A command to a device that is `ready` or `idle`. */
  tell(command: string): void {
    this.#write(command);
  }

  /** Sends (JSON) or asks (an empty form) with its token. Resolves to the outcome and the status of the answer. */
  async send(url: string, how: 'send' | 'ask' = 'ask'): Promise<{ readonly outcome: string; readonly status: number }> {
    this.#write(`${how} ${url}`);
    for (;;) {
      const [word = '', outcome = '', status = ''] = (await this.#read()).split(' ');
      if (word === 'sent') return { outcome, status: Number(status) };
      if (word === 'lost') return { outcome: 'lost', status: 0 };
    }
  }

  /** Its plug is drawn while it is `ready`, `idle` or asleep. Rejects when a sanitizer found something. */
  async unplug(): Promise<void> {
    this.#write('unplug');
    for (let next = await this.#lines.next(); next.done !== true; next = await this.#lines.next())
      this.#note(next.value);
    await this.ended();
  }

  /** For a test that failed before it could draw the plug. */
  kill(): void {
    this.#child.kill('SIGKILL');
  }

  /** Resolves to its exit code. Rejects when a sanitizer found something. */
  async ended(): Promise<number | null> {
    const code = await this.#ended;
    if (code !== 0 && code !== 42) throw new Error(`the device ended with ${code}: ${this.#errors}`);
    return code;
  }

  #write(line: string): void {
    this.#child.stdin.write(`${line}\n`);
  }

  async #read(): Promise<string> {
    const { value: line, done } = await this.#lines.next();
    if (done === true) throw new Error(`the device ended with ${await this.#ended}: ${this.#errors}`);
    this.#note(line);
    return line;
  }

  #note(line: string): void {
    const [word, ...rest] = line.split(' ');
    if (word === 'shows') this.#show(rest);
    if (word === 'lost') this.lost = rest.join(' ');
    if (word === 'used') this.used = { heapNow: Number(rest[0]), heapAtMost: Number(rest[1]), points: Number(rest[2]) };
  }

  #show([state = '', trouble = '', reason = '', ...texts]: readonly string[]): void {
    const [userCode, verificationUri, verificationUriComplete] = texts.map((text) => (text === '-' ? undefined : text));
    this.history.push({ state, trouble, reason, userCode, verificationUri, verificationUriComplete });
  }
}

/** A folder for what a test builds and what its devices keep. */
export async function createWorkshop(): Promise<{
  readonly folder: string;
  newFolder(): Promise<string>;
  close(): Promise<void>;
}> {
  const folder = await mkdtemp(join(tmpdir(), 'poort-esp32-'));
  return {
    folder,
    newFolder: () => mkdtemp(join(folder, 'device-')),
    close: () => rm(folder, { recursive: true, force: true }),
  };
}
