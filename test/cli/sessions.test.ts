/** `poort session …` against the database of a running server. */
import { rm } from 'node:fs/promises';
import { createClient } from '#src/flows/clients/manage_clients.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorize, createUserAgent, exchangeCode, introspect } from '#test/support/user_agent.ts';
import { callbackUri, createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';
import { besideServer, callPoort, type Finished, type Installation } from './poort_process.ts';

let server: TestServer;
let acme: TestTenant;
let installation: Installation;
let told: TestClient;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  installation = await besideServer(server);
  const client = {
    name: 'Kassa',
    type: 'web',
    firstParty: true,
    redirectUris: [callbackUri],
    backchannelLogoutUri: 'https://app.example/logout',
  };
  const created = await createClient(server.context, { tenantId: acme.id, client });
  if (created.outcome !== 'created') throw new Error(JSON.stringify(created.problems));
  told = { clientId: created.clientId, clientSecret: created.clientSecret ?? '' };
});

afterAll(async () => {
  await rm(installation.dataDirectory, { recursive: true, force: true });
  await server.close();
});

const poort = (...commandLine: string[]): Promise<Finished> => callPoort(installation, ['session', ...commandLine]);

async function answered(...commandLine: string[]): Promise<Record<string, unknown>> {
  const { code, output, errors } = await poort(...commandLine, '--json');
  expect({ code, errors }).toEqual({ code: 0, errors: '' });
  return JSON.parse(output);
}

async function signIn(): Promise<string> {
  const agent = createUserAgent(server.origin, { 'user-agent': 'Lynx' });
  const { json } = await exchangeCode(acme, told, await authorize(agent, { tenant: acme, client: told }));
  return String(json['access_token']);
}

const isActive = async (token: string): Promise<unknown> => (await introspect(acme, told, token)).json['active'];

describe('poort session', () => {
  const ada = ['--tenant', 'acme', '--user', 'ada@acme.test'] as const;

  it('lists where a person is signed in, for programs and for people', async () => {
    await signIn();
    const { sessions } = (await answered('list', ...ada)) as { sessions: Record<string, unknown>[] };
    expect(sessions).toEqual([
      {
        id: expect.any(String),
        created_at: expect.any(String),
        last_used_at: expect.any(String),
        expires_at: expect.any(String),
        address: '127.0.0.1',
        user_agent: 'Lynx',
        factors: ['pwd'],
        applications: [{ client_id: told.clientId, name: 'Kassa' }],
      },
    ]);
    expect((await poort('list', ...ada)).output).toMatch(
      /^ID .* APPLICATIONS .*\n.* 127\.0\.0\.1 .* pwd .* Kassa .* Lynx\n$/,
    );
  });

  it('ends one, all of a person and all of a tenant, at once', async () => {
    const first = await signIn();
    const { sessions } = (await answered('list', ...ada)) as { sessions: { id: string }[] };
    const id = sessions[0]?.id ?? '';
    expect(await answered('revoke', '--tenant', 'acme', '--id', id)).toEqual({
      tenant: 'acme',
      id,
      sessions: 1,
      applications: [told.clientId],
    });
    expect(await isActive(first)).toBe(false);
    const second = await signIn();
    expect(await answered('revoke', ...ada)).toMatchObject({ tenant: 'acme', user: 'ada@acme.test' });
    expect(await isActive(second)).toBe(false);
    expect(await answered('revoke', ...ada)).toMatchObject({ sessions: 0, grants: 0 });
    const third = await signIn();
    expect(await answered('revoke', '--tenant', 'acme', '--all')).toEqual({
      tenant: 'acme',
      people: 1,
      sessions: 1,
      grants: 1,
    });
    expect(await isActive(third)).toBe(false);
  });

  it.each([
    [['revoke', '--tenant', 'acme'], 2, 'wrong_usage'],
    [['revoke', '--tenant', 'acme', '--all', '--user', 'ada@acme.test'], 2, 'wrong_usage'],
    [['revoke', '--tenant', 'acme', '--id', 'x'.repeat(43)], 1, 'unknown_session'],
    [['revoke', '--tenant', 'acme', '--user', 'nobody@acme.test'], 1, 'unknown_user'],
    [['list', '--tenant', 'nobody', '--user', 'ada@acme.test'], 1, 'unknown_tenant'],
    [['retry-logouts', '--tenant', 'acme', '--id', 'x'], 1, 'unknown_logout'],
    [['retry-logouts', '--tenant', 'acme', '--id', '00000000-0000-0000-0000-000000000000'], 1, 'unknown_logout'],
  ])('refuses %j', async (commandLine, code, error) => {
    const finished = await poort(...commandLine, '--json');
    expect([finished.code, JSON.parse(finished.output).error.code]).toEqual([code, error]);
  });

  it('shows which applications were told, and tries again', async () => {
    await signIn();
    await answered('revoke', ...ada);
    const { logouts } = (await answered('logouts', '--tenant', 'acme')) as { logouts: Record<string, unknown>[] };
    expect(logouts[0]).toMatchObject({ client_name: 'Kassa', state: 'waiting', attempts: 0, problem: null });
    await queryAsSuperuser(
      server.database,
      "update backchannel_logouts set state = 'dead', problem = 'answered 500', attempts = 12, settled_at = now()",
    );
    expect((await poort('logouts', '--tenant', 'acme')).output).toMatch(/Kassa +dead +12 .* answered 500/);
    const doctor = await callPoort(installation, ['doctor', '--json']);
    const { checks } = JSON.parse(doctor.output) as { checks: { name: string; state: string; detail: string }[] };
    expect(checks.find(({ name }) => name === 'logouts')).toMatchObject({
      state: 'advice',
      detail: expect.stringMatching(/^\d+ logout tokens were given up/),
    });
    const { queued } = await answered('retry-logouts', '--tenant', 'acme');
    expect(queued).toBe(logouts.length);
    expect(await answered('retry-logouts', '--tenant', 'acme')).toMatchObject({ queued: 0 });
  });
});
