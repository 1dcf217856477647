/** What applications of earlier REST services send, as docs/migration prints it, against a running Poort: unchanged but for the base address. */
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { configureTenant } from '#src/flows/tenants/manage_tenants.ts';
import { blocksOf } from '#test/support/documented_program.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

const page = 'docs/migration/README.md';
const totp = fileURLToPath(new URL('../support/totp_code.mjs', import.meta.url));

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
});

afterAll(async () => {
  expect(server.log).toEqual([]);
  await server.close();
});

interface Ran {
  readonly code: number | null;
  readonly output: string;
}

async function run(script: string, tenant: TestTenant): Promise<Ran> {
  const child = spawn('bash', ['-s'], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: {
      PATH: process.env['PATH'],
      BASE: tenant.issuer,
      EMAIL: tenant.person.email,
      PASSWORD: tenant.person.password,
      NEW_EMAIL: `new@${tenant.slug}.example`,
      TOTP: `${process.execPath} ${totp}`,
    },
  });
  child.stdin.end(script);
  const [output, errors, code] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    new Promise<number | null>((resolve) => child.once('close', resolve)),
  ]);
  return { code, output: output + errors };
}

it.each(['second factor', 'profiles and keys', 'cookie', 'hub'].map((name, index) => [name, index] as const))(
  'the script of a service works unchanged: %s',
  async (_name, index) => {
    const script = blocksOf(page, 'bash')[index] ?? '';
    expect(script).toContain('curl');
    const tenant = await createTestTenant(server, `moved-${index}`);
    if (index < 2)
      await configureTenant(server.context, {
        id: tenant.id,
        changes: [
          { name: 'rest.token_delivery', value: 'body' },
          { name: 'people.usernames', value: true },
        ],
      });
    const ran = await run(script, tenant);
    expect(ran).toEqual({ code: 0, output: expect.stringMatching(/done\n$/) });
  },
  60_000,
);
