/**
 * The process of the demo application: starts it, hears from it whether it listens, and makes sure that it never outlives us. It
 * knows nothing of Poort but what it is told in its environment, and gets nothing else of ours: no master key, no database.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import { z } from 'zod';

export interface DemoApplication {
  readonly origin: string;
  close(): Promise<void>;
}

export type DemoApplicationStart =
  | { readonly outcome: 'listening'; readonly application: DemoApplication }
  | { readonly outcome: 'port_in_use' }
  | { readonly outcome: 'failed'; readonly reason: string };

export interface DemoApplicationOptions {
  readonly port: number;
  readonly origin: string;
  /** As `examples/web-app/settings.ts` reads them. Full of secrets. */
  readonly tenants: readonly object[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly logger: Logger;
}

const script = fileURLToPath(new URL('../../examples/web-app/main.ts', import.meta.url));
const followParent = new URL('../../bin/follow_parent.mjs', import.meta.url).href;
const startMilliseconds = 20_000;
const endMilliseconds = 2_000;

/** What a Node process needs of its surroundings, and not one name more. */
const passedOn = ['PATH', 'HOME', 'TMPDIR', 'TZ', 'LANG', 'NODE_EXTRA_CA_CERTS', 'SystemRoot', 'TEMP', 'USERPROFILE'];

const messageSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('listening') }),
  z.object({ type: z.literal('port_in_use') }),
]);

export async function startDemoApplication(options: DemoApplicationOptions): Promise<DemoApplicationStart> {
  const { port, origin, tenants, environment, logger } = options;
  const child = spawn(process.execPath, ['--import', followParent, script], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: {
      ...Object.fromEntries(
        passedOn.flatMap((name) => (environment[name] === undefined ? [] : [[name, environment[name]]])),
      ),
      DEMO_PORT: String(port),
      DEMO_ORIGIN: origin,
      DEMO_TENANTS: JSON.stringify(tenants),
      // Ends with us also when we are killed, from its first line on.
      POORT_FOLLOW_PARENT: String(process.pid),
    },
    // A session of its own: Ctrl-C reaches us, and we end it.
    detached: process.platform !== 'win32',
    windowsHide: true,
  });
  const first = await firstWord(child);
  if (first.outcome !== 'listening') {
    await end(child);
    return first;
  }

  let isClosing = false;
  child.once('exit', (code, signal) => {
    if (!isClosing) logger.warn({ exit_code: code, signal }, 'the demo application ended; Poort goes on without it');
  });
  return {
    outcome: 'listening',
    application: {
      origin,
      close() {
        isClosing = true;
        return end(child);
      },
    },
  };
}

type FirstWord =
  | { readonly outcome: 'listening' }
  | { readonly outcome: 'port_in_use' }
  | { readonly outcome: 'failed'; readonly reason: string };

function firstWord(child: ChildProcess): Promise<FirstWord> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve({ outcome: 'failed', reason: 'it said nothing' }), startMilliseconds);
    const settle = (word: FirstWord): void => {
      clearTimeout(timer);
      resolve(word);
    };
    child.on('message', (message) => {
      const parsed = messageSchema.safeParse(message);
      if (parsed.success) settle({ outcome: parsed.data.type });
    });
    child.once('error', (fault) => settle({ outcome: 'failed', reason: fault.message }));
    child.once('exit', (code, signal) => settle({ outcome: 'failed', reason: `it ended (${signal ?? code})` }));
  });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const ended = once(child, 'exit');
  const timer = setTimeout(() => child.kill('SIGKILL'), endMilliseconds);
  child.kill('SIGTERM');
  await ended;
  clearTimeout(timer);
}
