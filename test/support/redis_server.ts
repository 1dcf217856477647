/**
 * A real Redis of a test file's own, on a free port, with nothing on disk. npm cannot bring one: it is Debian's `redis-server`, or the
 * one that POORT_TEST_REDIS_SERVER names. Without one the tests fail and say so; what could be skipped would not be tested.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { Redis } from 'ioredis';
import { freePort } from './test_server.ts';

export interface RedisServer {
  readonly url: string;
  /** A connection of the test's own, to look and to meddle. */
  readonly admin: Redis;
  /** It goes on accepting connections and answers none of them. */
  hang(): void;
  goOn(): void;
  /** At once, with all that it knew. Resolves when it is gone. */
  kill(): Promise<void>;
  /** On the same port, empty. */
  startAgain(): Promise<void>;
  /** Lets every window and lock come nearer to its end, or to it. */
  passTime(seconds: number): Promise<void>;
  stop(): Promise<void>;
}

interface Running {
  readonly supervisor: ChildProcess;
  readonly processId: number;
}

export async function startRedisServer(): Promise<RedisServer> {
  const port = await freePort();
  let running = await start(port);
  const admin = new Redis({
    host: '127.0.0.1',
    port,
    retryStrategy: () => 20,
    maxRetriesPerRequest: null,
    disconnectTimeout: 50,
  });
  admin.on('error', () => undefined);
  const end = async ({ supervisor, processId }: Running): Promise<void> => {
    if (supervisor.exitCode !== null) return;
    const gone = once(supervisor, 'exit');
    process.kill(processId, 'SIGKILL');
    supervisor.stdin?.end('stop\n');
    await gone;
  };
  return {
    url: `redis://127.0.0.1:${port}/0`,
    admin,
    hang: () => void process.kill(running.processId, 'SIGSTOP'),
    goOn: () => void process.kill(running.processId, 'SIGCONT'),
    kill: () => end(running),
    async startAgain() {
      running = await start(port);
    },
    async passTime(seconds) {
      for (const key of await admin.keys('*')) {
        const remaining = await admin.pttl(key);
        if (remaining <= seconds * 1000) await admin.del(key);
        else await admin.pexpire(key, remaining - seconds * 1000);
      }
    },
    async stop() {
      admin.disconnect();
      await end(running);
    },
  };
}

async function start(port: number): Promise<Running> {
  const program = process.env['POORT_TEST_REDIS_SERVER'] ?? 'redis-server';
  const server = [program, '--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
  // The shell waits on a pipe of ours: however this process ends, the server ends with it.
  const supervisor = spawn(
    '/bin/sh',
    ['-c', '"$@" & server=$!; echo "process $server"; read -r _; kill -KILL $server; wait $server', 'sh', ...server],
    { stdio: ['pipe', 'pipe', 'ignore'], env: { PATH: process.env['PATH'] } },
  );
  return new Promise((resolve, reject) => {
    let said = '';
    supervisor.once('exit', () => reject(new Error(`no redis-server (Debian: redis-server): ${said}`)));
    supervisor.stdout?.on('data', (chunk: Buffer) => {
      said += chunk.toString('utf8');
      const processId = Number(/^process (\d+)$/m.exec(said)?.[1]);
      if (said.includes('Ready to accept connections')) resolve({ supervisor, processId });
      // The shell would go on waiting for a server that never was.
      if (said.includes('# Failed') || said.includes('Address already in use')) supervisor.stdin?.end();
    });
  });
}
