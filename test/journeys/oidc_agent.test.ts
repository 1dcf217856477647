/** Debian's oidc-agent, a foreign client that nobody wrote for Poort: pairs through the device grant and renews. docs/integration/oidc-agent.md */
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createPairer } from '#test/support/device_pairing.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { introspect } from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

const isThere = spawnSync('oidc-gen', ['--version']).status === 0;
const missing = 'skipped: oidc-gen is not on the PATH (Debian: oidc-agent-cli)';

describe('oidc-agent', () => {
  if (!isThere) {
    it.skip(missing, () => undefined);
    return;
  }

  let server: TestServer;
  let acme: TestTenant;
  let home: string;
  let agent: number;
  let environment: Readonly<Record<string, string>>;

  beforeAll(async () => {
    server = await startTestServer();
    acme = await createTestTenant(server, 'acme');
    home = await mkdtemp(join(tmpdir(), 'poort-agent-'));
    await mkdir(join(home, '.config', 'oidc-agent'), { recursive: true });
    const publicClient = `${acme.clients.device.clientId}@${acme.issuer}@openid offline_access\n`;
    await writeFile(join(home, '.config', 'oidc-agent', 'pubclients.config'), publicClient);
    const path = process.env['PATH'] ?? '';
    // Goes to the background, and says where it is.
    const { stdout } = await promisify(execFile)('oidc-agent', ['--no-autoload', '--no-webserver'], {
      env: { PATH: path, HOME: home, TMPDIR: home },
    });
    const socket = /OIDC_SOCK=([^;\s]+)/.exec(stdout)?.[1] ?? '';
    agent = Number(/OIDCD_PID=(\d+)/.exec(stdout)?.[1]);
    environment = { PATH: path, HOME: home, TMPDIR: home, OIDC_SOCK: socket };
  });

  afterAll(async () => {
    process.kill(agent);
    await server.close();
    await rm(home, { recursive: true, force: true });
  });

  const token = async (): Promise<string> =>
    // Longer than a token lives: the agent has to renew.
    (await promisify(execFile)('oidc-token', ['--time=3000', 'acme'], { env: environment })).stdout.trim();

  it('pairs with the device grant, and renews for every token that is asked of it', async () => {
    const generate = spawn(
      'oidc-gen',
      [
        '--pub',
        '--flow=device',
        `--issuer=${acme.issuer}`,
        '--scope=openid offline_access',
        `--device-authorization-endpoint=${acme.issuer}/device_authorization`,
        '--prompt=none',
        '--confirm-default',
        '--pw-cmd=echo password',
        'acme',
      ],
      { env: environment },
    );
    let output = '';
    const code = new Promise<string>((resolve, reject) => {
      const read = (chunk: Buffer): void => {
        output += chunk.toString('utf8');
        const found = /[A-Z]{4}-[A-Z]{4}/.exec(output)?.[0];
        if (found !== undefined) resolve(found);
      };
      generate.stdout.on('data', read);
      generate.stderr.on('data', read);
      generate.once('close', () => reject(new Error(output)));
    });
    const ended = once(generate, 'close');
    await createPairer(server, acme).answer(await code, 'allow');
    const [exitCode] = await ended;
    expect({ exitCode, said: output.slice(-300) }).toMatchObject({
      exitCode: 0,
      said: expect.stringContaining('Everything setup correctly'),
    });
    const [first, second] = [await token(), await token()];
    expect(second).not.toBe(first);
    for (const value of [first, second]) {
      const { json } = await introspect(acme, acme.clients.device, value);
      expect(json).toMatchObject({ active: true, sub: acme.person.id });
    }
  }, 60_000);
});
