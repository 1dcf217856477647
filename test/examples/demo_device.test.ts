/** `npm run demo:device` as its reader runs it, beside a running Poort: nobody needs a board or a compiler for it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createPairer } from '#test/support/device_pairing.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

const program = fileURLToPath(new URL('../../examples/esp32/demo_device.ts', import.meta.url));

let server: TestServer;
let acme: TestTenant;
let folder: string;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  folder = await mkdtemp(join(tmpdir(), 'poort-demo-device-'));
});

afterAll(async () => {
  await server.close();
  await rm(folder, { recursive: true, force: true });
});

interface Demo {
  readonly process: ChildProcess;
  readonly ended: Promise<number | null>;
  output(): string;
  says(pattern: RegExp): Promise<string>;
}

function runDemo(): Demo {
  const child = spawn(process.execPath, [program, '--once'], {
    env: { PATH: process.env['PATH'], POORT_DATA_DIR: folder },
  });
  let output = '';
  const read = (chunk: Buffer): void => {
    output += chunk.toString('utf8');
    child.emit('said');
  };
  child.stdout.on('data', read);
  child.stderr.on('data', read);
  const ended = once(child, 'close').then(([code]) => code as number | null);
  return {
    process: child,
    ended,
    output: () => output,
    async says(pattern) {
      for (;;) {
        const found = pattern.exec(output);
        if (found !== null) return found[1] ?? found[0];
        if (child.exitCode !== null) throw new Error(`the demo ended: ${output}`);
        await Promise.race([once(child, 'said'), ended]);
      }
    },
  };
}

describe('the simulated device', () => {
  it('tells what to start when nothing runs', async () => {
    const demo = runDemo();
    expect(await demo.ended).toBe(1);
    expect(demo.output()).toContain('Run npm start in another terminal');
  });

  it('draws its code, is paired by a person, and is still paired when it starts again', async () => {
    const clients = [{ type: 'device', client_id: acme.clients.device.clientId }];
    await writeFile(join(folder, 'demo.json'), JSON.stringify({ tenants: [{ issuer: acme.issuer, clients }] }));
    const first = runDemo();
    const code = await first.says(/and type ([A-Z]{4}-[A-Z]{4})/);
    expect(first.output()).toContain('█');
    await createPairer(server, acme).answer(code, 'allow');
    expect(await first.ended).toBe(0);
    expect(first.output()).toMatch(/Paired\.\n.*: 200\n$/);
    expect((await stat(join(folder, 'demo-device.json'))).mode & 0o777).toBe(0o600);

    const second = runDemo();
    expect(await second.ended).toBe(0);
    expect(second.output()).toMatch(/: 200\n$/);
    expect(second.output()).not.toContain('and type');
  });
});
