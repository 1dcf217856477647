/** `poort user import`, generated passwords, and what an operator is told of weak ones. */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readEvents } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorize, createUserAgent, exchangeCode, introspect } from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';
import { besideServer, callPoort, type Finished, type Installation, runPoort } from './poort_process.ts';

let server: TestServer;
let acme: TestTenant;
let installation: Installation;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  installation = await besideServer(server);
});

afterAll(async () => {
  await rm(installation.dataDirectory, { recursive: true, force: true });
  await server.close();
});

const poort = (...commandLine: string[]): Promise<Finished> => callPoort(installation, ['user', ...commandLine]);

async function answered(...commandLine: string[]): Promise<Record<string, unknown>> {
  const { code, output, errors } = await poort(...commandLine, '--json');
  expect({ code, errors }).toEqual({ code: 0, errors: '' });
  return JSON.parse(output);
}

async function signIn(email: string, password: string): Promise<string> {
  const { web } = acme.clients;
  const agent = createUserAgent(server.origin);
  const { json } = await exchangeCode(
    acme,
    web,
    await authorize(agent, { tenant: acme, client: web, person: { email, password } }),
  );
  return String(json['access_token']);
}

const create = (email: string, ...more: string[]) => [
  'create',
  '--tenant',
  'acme',
  '--email',
  email,
  '--verified',
  ...more,
];

describe('a password that an operator sets', () => {
  it('may be one that the tenant would refuse; the operator is told, and nobody the password', async () => {
    const json = await answered(...create('weak@cli.test', '--password', 'Welkom2026!'));
    expect(json).toMatchObject({ outcome: 'created', warnings: [expect.stringContaining('too_short')] });
    expect(JSON.stringify(json)).not.toContain('Welkom2026!');

    const shown = await poort(...create('weak2@cli.test', '--password', 'Welkom-202600'));
    expect(shown).toMatchObject({ code: 0, errors: expect.stringMatching(/^poort: warning: .*\(breached\)\n$/) });
    expect(shown.output + shown.errors).not.toContain('Welkom-202600');
    expect(await signIn('weak@cli.test', 'Welkom2026!')).toMatch(/^at_/);
  });

  it('that is good is not commented on', async () => {
    const json = await answered(...create('good@cli.test', '--password', 'kapotte lantaarn eet vrijdags rood'));
    expect(json).not.toHaveProperty('warnings');
  });

  it('may be made here: it is printed once, good, and strong', async () => {
    const json = await answered(...create('made@cli.test', '--generate-password'));
    const { password } = json;
    expect(password).toMatch(/^[A-Za-z2-9-]{29}$/);
    expect(json).not.toHaveProperty('warnings');
    expect(await signIn('made@cli.test', String(password))).toMatch(/^at_/);
    expect(JSON.stringify(await answered('show', '--tenant', 'acme', 'made@cli.test'))).not.toContain(String(password));
    expect((await poort(...create('made2@cli.test', '--generate-password'))).output).toMatch(
      / password +[A-Za-z2-9-]{29}\n/,
    );
  });

  it('is not printed for somebody who has one already', async () => {
    await createTestTenant(server, 'globex', 'known@cli.test');
    const json = await answered(...create('known@cli.test', '--generate-password'));
    expect(json).toMatchObject({ outcome: 'joined', password_kept: true });
    expect(json).not.toHaveProperty('password');
  });

  it.each([
    [['--password', 'a long enough one', '--generate-password']],
    [['--password', 'a long enough one', '--password-stdin']],
    [['--password-stdin', '--generate-password']],
  ])('comes from one place: %j', async (ways) => {
    expect((await poort(...create('two@cli.test', ...ways))).code).toBe(2);
    expect((await poort('reset-password', '--tenant', 'acme', acme.person.email, ...ways)).code).toBe(2);
  });
});

describe('a reset by an operator', () => {
  it('ends what the old password opened, prints the new one once, and is written down', async () => {
    await answered(...create('reset@cli.test', '--password', 'kapotte lantaarn eet vrijdags rood'));
    const token = await signIn('reset@cli.test', 'kapotte lantaarn eet vrijdags rood');
    const json = await answered(
      'reset-password',
      '--tenant',
      'acme',
      '--email',
      'reset@cli.test',
      '--generate-password',
    );
    expect(json).toMatchObject({ email: 'reset@cli.test', ended_sessions: 1 });
    expect((await introspect(acme, acme.clients.web, token)).json).toEqual({ active: false });
    await expect(signIn('reset@cli.test', 'kapotte lantaarn eet vrijdags rood')).rejects.toThrow();
    expect(await signIn('reset@cli.test', String(json['password']))).toMatch(/^at_/);
    const events = await readEvents(server.database, { tenantId: acme.id, types: ['password.reset'] });
    expect(events).toMatchObject([{ actor_type: 'operator', actor_id: 'cli', target_id: json['id'] }]);
  });

  it('takes a password from standard input, which comes back nowhere', async () => {
    await answered(...create('stdin@cli.test'));
    const commandLine = ['user', 'reset-password', '--tenant', 'acme', 'stdin@cli.test', '--password-stdin', '--json'];
    const { code, output, errors } = await runPoort(installation, commandLine, 'een heel ander wachtwoord hier\n');
    expect({ code, errors }).toEqual({ code: 0, errors: '' });
    expect(output).not.toContain('wachtwoord');
    expect(await signIn('stdin@cli.test', 'een heel ander wachtwoord hier')).toMatch(/^at_/);
  });

  it.each([
    [['reset-password', '--tenant', 'acme', 'nobody@cli.test', '--generate-password'], 1, 'unknown_user'],
    [['reset-password', '--tenant', 'acme', 'weak@cli.test', '--password', 'short'], 1, 'password_too_short'],
    [['reset-password', '--tenant', 'acme', 'weak@cli.test'], 2, 'wrong_usage'],
    [['reset-password', '--tenant', 'acme', '--generate-password'], 2, 'wrong_usage'],
  ])('is refused: %j', async (commandLine, exitCode, errorCode) => {
    const { code, output } = await poort(...commandLine, '--json');
    expect(code).toBe(exitCode);
    expect(JSON.parse(output)).toMatchObject({ error: { code: errorCode } });
  });
});

describe('poort user import', () => {
  const people = [
    '{"email":"ann@cli.imported.test","given_name":"Ann","roles":["user"]}',
    '{"email":"ben@cli.imported.test","colour":"blue"}',
    '{"email":"cas@cli.imported.test"}',
  ].join('\r\n');
  let file: string;

  beforeAll(async () => {
    file = join(installation.dataDirectory, 'people.ndjson');
    await writeFile(file, people);
  });

  const report = async (...commandLine: string[]) => {
    const { code, output, errors } = await poort('import', '--tenant', 'acme', file, ...commandLine, '--json');
    expect(errors).toBe('');
    return { code, json: JSON.parse(output) };
  };

  it('says dry what it would do, does it, and the second time has nothing to do', async () => {
    const problems = [{ line: 2, reason: 'fields', detail: 'unknown colour' }];
    const said = {
      tenant: 'acme',
      lines: 3,
      created: 2,
      joined: 0,
      already_members: 0,
      names_taken: 0,
      refused: 1,
      problems,
    };
    expect(await report('--dry-run')).toEqual({ code: 1, json: { ...said, dry_run: true } });
    expect(await report()).toEqual({ code: 1, json: { ...said, dry_run: false } });
    expect(await report()).toMatchObject({ code: 1, json: { created: 0, already_members: 2, refused: 1 } });
    expect(await answered('show', '--tenant', 'acme', 'ann@cli.imported.test')).toMatchObject({ roles: ['user'] });
  });

  it('tells a person the same in words', async () => {
    const { code, output } = await poort('import', '--tenant', 'acme', file);
    expect(code).toBe(1);
    expect(output).toContain('already members  2');
    expect(output).toContain('line 2: fields are missing, unknown or of another kind (unknown colour)');
  });

  it('reads standard input', async () => {
    const commandLine = ['user', 'import', '--tenant', 'acme', '-', '--json'];
    const { code, output } = await runPoort(installation, commandLine, '{"email":"dan@cli.imported.test"}\n');
    expect(code).toBe(0);
    expect(JSON.parse(output)).toMatchObject({ lines: 1, created: 1, refused: 0, problems: [] });
  });

  it('takes no name for another: bytes that are no UTF-8 refuse their line, and a character may lie on both sides of a chunk', async () => {
    const latin = join(installation.dataDirectory, 'latin.ndjson');
    const filler = Array.from({ length: 4000 }, (_, index) => `{"email":"x","given_name":"é${index}"}`).join('\n');
    const lines = `{"email":"eva@cli.imported.test","given_name":"Zoé"}\n{"email":"fay@cli.imported.test","given_name":"Zo`;
    await writeFile(latin, Buffer.concat([Buffer.from(`${filler}\n${lines}`), Buffer.from([0xe9]), Buffer.from('"}')]));
    const { output } = await poort('import', '--tenant', 'acme', latin, '--json');
    const json = JSON.parse(output);
    expect(json).toMatchObject({ lines: 4002, created: 1, refused: 4001 });
    expect(json.problems).toHaveLength(1000);
    expect(new Set(json.problems.map(({ reason }: { reason: string }) => reason))).toEqual(new Set(['email']));
    expect(await answered('show', '--tenant', 'acme', 'eva@cli.imported.test')).toMatchObject({ given_name: 'Zoé' });
    const person = await poort('import', '--tenant', 'acme', latin);
    expect(person.output).toMatch(/\nand 3001 more$/m);
  });

  it.each([
    ['a file that is not there', 'acme', 'missing.ndjson', 'unreadable_file'],
    ['a tenant that is not there', 'nobody', 'people.ndjson', 'unknown_tenant'],
  ])('is refused for %s', async (_what, tenant, name, code) => {
    const path = join(installation.dataDirectory, name);
    const finished = await poort('import', '--tenant', tenant, path, '--json');
    expect(finished.code).toBe(1);
    expect(JSON.parse(finished.output)).toMatchObject({ error: { code } });
  });
});
