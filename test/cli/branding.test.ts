/** What an operator does to give a tenant its look. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { testMasterKey } from '#test/support/cluster.ts';
import { squarePng } from '#test/support/logos.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant } from '#test/support/world.ts';
import { callPoort } from './poort_process.ts';

let server: TestServer;
let directory: string;

beforeAll(async () => {
  server = await startTestServer();
  await createTestTenant(server, 'acme');
  directory = await mkdtemp(join(tmpdir(), 'poort-branding-'));
});

afterAll(async () => {
  await server.close();
  await rm(directory, { recursive: true, force: true });
});

async function brand(...options: readonly string[]): Promise<{ code: number | null; json: Record<string, unknown> }> {
  const environment = {
    POORT_ENV: 'test',
    POORT_PUBLIC_URL: server.origin,
    POORT_DATABASE_URL: server.database.ownerUrl,
    POORT_MASTER_KEY: testMasterKey,
  };
  const commandLine = ['tenant', 'brand', 'acme', ...options, '--json'];
  const { code, output } = await callPoort({ dataDirectory: directory, environment }, commandLine);
  return { code, json: JSON.parse(output) };
}

describe('poort tenant brand', () => {
  it('sets a colour and a logo by its bytes, whatever its file is called, and takes them back', async () => {
    const file = join(directory, '"><svg onload=alert(1)>.html');
    await writeFile(file, squarePng(96));
    const set = await brand('--color', '#FFE600', '--logo', file, '--logo-alt', 'Acme');
    expect(set).toMatchObject({
      code: 0,
      json: { tenant: 'acme', color: '#ffe600', logo: { width: 96, height: 96, alt: 'Acme' } },
    });
    expect(set.json['color_shown']).not.toBe('#ffe600');
    expect(await brand('--clear')).toMatchObject({ code: 0, json: { color: null, color_shown: null, logo: null } });
  });

  it('refuses what is no colour, no picture, no file or too much of one, with the reason', async () => {
    const svg = join(directory, 'logo.png');
    const wall = join(directory, 'wall.png');
    await writeFile(svg, '<svg onload="alert(1)"/>');
    await writeFile(wall, Buffer.alloc(300_000));
    for (const [code, ...options] of [
      ['color', '--color', 'red'],
      ['logo_not_png_or_webp', '--logo', svg],
      ['logo_too_large', '--logo', wall],
      ['unreadable_file', '--logo', join(directory, 'nothing.png')],
      ['unreadable_file', '--logo', directory],
      ['no_logo', '--logo-alt', 'Acme'],
    ] as const)
      expect(await brand(...options)).toMatchObject({ code: 1, json: { error: { code } } });
    expect((await brand()).code).toBe(2);
  });
});
