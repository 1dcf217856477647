/** What an operator does for the extensions of the protocol: tokens for registration, types of authorization details, exchange. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { testMasterKey } from '#test/support/cluster.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';
import { callPoort } from './poort_process.ts';

let server: TestServer;
let acme: TestTenant;
let dataDirectory: string;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  dataDirectory = await mkdtemp(join(tmpdir(), 'poort-extensions-'));
});

afterAll(async () => {
  await server.close();
  await rm(dataDirectory, { recursive: true, force: true });
});

async function poort(
  ...commandLine: readonly string[]
): Promise<{ code: number | null; json: Record<string, unknown> }> {
  const environment = {
    POORT_ENV: 'test',
    POORT_PUBLIC_URL: server.origin,
    POORT_DATABASE_URL: server.database.ownerUrl,
    POORT_MASTER_KEY: testMasterKey,
  };
  const { code, output } = await callPoort({ dataDirectory, environment }, [...commandLine, '--json']);
  return { code, json: JSON.parse(output) };
}

describe('poort client registration-token', () => {
  it('gives out a token that clients register with, and says where and whether that is on', async () => {
    const given = await poort('client', 'registration-token', '--tenant', 'acme', '--type', 'machine', '--uses', '2');
    expect(given).toMatchObject({
      code: 0,
      json: {
        initial_access_token: expect.stringMatching(/^iat_[\w-]{43}$/),
        registration_endpoint: `${acme.issuer}/register`,
        types: ['machine'],
        uses: 2,
        switched_on: false,
      },
    });
    const set = 'protocol.dynamic_registration=on';
    expect((await poort('tenant', 'configure', 'acme', '--set', set)).code).toBe(0);
    const register = () =>
      fetch(String(given.json['registration_endpoint']), {
        method: 'POST',
        headers: { authorization: `Bearer ${given.json['initial_access_token']}`, 'content-type': 'application/json' },
        body: JSON.stringify({ grant_types: ['client_credentials'] }),
      });
    let answer = await register();
    // The running server hears of the switch within a second.
    while (answer.status === 404) answer = await register();
    expect(answer.status).toBe(201);
  });

  it.each<[string, readonly string[]]>([
    ['a type that is not registered so', ['--type', 'resource_server']],
    ['a type that is none', ['--type', 'server']],
    ['no uses', ['--type', 'web', '--uses', '0']],
    ['uses that are no number', ['--type', 'web', '--uses', 'many']],
    ['a life without end', ['--type', 'web', '--hours', '100000']],
    ['a scope that follows from the type', ['--type', 'web', '--scope', 'openid']],
  ])('refuses %s', async (_name, options) => {
    const { code, json } = await poort('client', 'registration-token', '--tenant', 'acme', ...options);
    expect({ code, error: json['error'] }).toMatchObject({ code: 1, error: { code: 'invalid_registration_token' } });
  });
});

describe('poort api add-details', () => {
  const add = (audience: string, sentence: string) =>
    poort(
      'api',
      'add-details',
      '--tenant',
      'acme',
      '--audience',
      audience,
      '--type',
      'payment',
      '--sentence',
      sentence,
    );

  it('adds a type with the sentence that people read, once', async () => {
    expect(await add('urn:none', 'Pay {amount}')).toMatchObject({ code: 1, json: { error: { code: 'unknown_api' } } });
    expect(await add(acme.jwtApi, 'Pay {Amount')).toMatchObject({
      code: 1,
      json: { error: { code: 'invalid_details' } },
    });
    expect(await add(acme.jwtApi, 'Pay {amount}')).toMatchObject({ code: 0, json: { type: 'payment' } });
    expect(await add(acme.jwtApi, 'Pay {amount}')).toMatchObject({ code: 1, json: { error: { code: 'type_taken' } } });
  });
});

it('poort client create lets an application ask people at another device, if it can prove who it is', async () => {
  const create = (...options: readonly string[]) =>
    poort('client', 'create', '--tenant', 'acme', '--name', 'Help desk', ...options);
  const created = await create('--type', 'web', '--redirect-uri', 'https://desk.test/', '--ciba');
  expect(created).toMatchObject({ code: 0, json: { settings: { backchannel_token_delivery_mode: 'poll' } } });
  const refused = await create('--type', 'spa', '--redirect-uri', 'https://desk.test/', '--ciba');
  expect(refused).toMatchObject({ code: 1, json: { error: { code: 'invalid_client' } } });
});

it('poort client create lets an API exchange what it is called with', async () => {
  const created = await poort(
    ...['client', 'create', '--tenant', 'acme', '--name', 'Readings', '--type', 'resource_server'],
    ...['--audience', acme.jwtApi, '--scope', 'readings:read', '--exchange-for', acme.opaqueApi],
  );
  expect(created).toMatchObject({ code: 0, json: { settings: { token_exchange_audiences: [acme.opaqueApi] } } });
  const refused = await poort(
    ...['client', 'create', '--tenant', 'acme', '--name', 'Page', '--type', 'spa'],
    ...['--redirect-uri', 'https://app.test/', '--exchange-for', acme.opaqueApi],
  );
  expect(refused).toMatchObject({ code: 1, json: { error: { code: 'invalid_client' } } });
});
