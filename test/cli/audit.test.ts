/** `poort audit export` beside a running server. */
import { readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant } from '#test/support/world.ts';
import { besideServer, callPoort, type Installation } from './poort_process.ts';

let server: TestServer;
let installation: Installation;

beforeAll(async () => {
  server = await startTestServer();
  await createTestTenant(server, 'acme');
  installation = await besideServer(server);
});

afterAll(async () => {
  await rm(installation.dataDirectory, { recursive: true, force: true });
  await server.close();
});

const poort = (...options: string[]) => callPoort(installation, ['audit', 'export', '--tenant', 'acme', ...options]);

describe('poort audit export', () => {
  it('writes a line for each event to standard output, and nothing else', async () => {
    const { code, output } = await poort();
    const events = output
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { readonly type: string });
    expect(code).toBe(0);
    expect(events[0]?.type).toBe('tenant.created');
    // That it was exported is in the next one.
    expect((await poort()).output).toMatch(/"type":"audit.exported".*"actor":{"type":"operator"/);
    expect((await poort('--since', '2999-01-01T00:00:00Z')).output).toBe('');
  });

  it('writes a file for its owner alone, never over one that is there, and tells how many', async () => {
    const file = join(installation.dataDirectory, 'audit.csv');
    const { code, output } = await poort('--format', 'csv', '--output', file, '--json');
    const told = JSON.parse(output) as { readonly events: number };
    expect({ code, told }).toMatchObject({ code: 0, told: { tenant: 'acme', format: 'csv', output: file } });
    expect((await readFile(file, 'utf8')).split('\r\n')).toHaveLength(told.events + 2);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const again = await poort('--output', file, '--json');
    expect({ code: again.code, json: JSON.parse(again.output) }).toMatchObject({
      code: 1,
      json: { error: { code: 'file_exists' } },
    });
  });

  it.each([[['--json']], [['--since', 'yesterday']], [['--format', 'xml']]])('%j is wrong usage', async (options) => {
    expect((await poort(...options)).code).toBe(2);
  });
});
