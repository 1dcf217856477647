import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { connect } from '#test/support/sql.ts';
import { freePort } from '#test/support/test_server.ts';
import {
  callPoort,
  type Finished,
  type Installation,
  type RunningPoort,
  runPoort,
  startPoort,
} from './poort_process.ts';

type Json = Readonly<Record<string, unknown>>;

interface Demo {
  readonly public_url: string;
  readonly operator: { readonly email: string; readonly password: string };
  readonly tenants: readonly {
    readonly slug: string;
    readonly issuer: string;
    readonly users: readonly Json[];
    readonly clients: readonly {
      readonly name: string;
      readonly type: string;
      readonly client_id: string;
      readonly client_secret?: string;
      readonly redirect_uris: readonly string[];
    }[];
    readonly apis: readonly {
      readonly audience: string;
      readonly scopes: readonly string[];
      readonly token_format: string;
    }[];
  }[];
}

const pathHas = (program: string): boolean =>
  (process.env['PATH'] ?? '').split(delimiter).some((folder) => existsSync(join(folder, program)));
const whereThereIsCurl = pathHas('curl') ? '' : ' skipped: curl is not on the PATH';

let directory: string;

/** Asks until the answer is the one hoped for: other processes hear of a change within a second, and never at a given moment. */
async function settles<Value>(question: () => Promise<Value>, hoped: (value: Value) => boolean): Promise<Value> {
  const until = performance.now() + 5_000;
  for (;;) {
    const value = await question();
    if (hoped(value) || performance.now() > until) return value;
  }
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'poort-cli-'));
});

afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
});

describe('the command line on its own', () => {
  let untouched: Installation;

  beforeAll(() => {
    untouched = { dataDirectory: join(directory, 'untouched') };
  });

  it.each([
    { commandLine: ['--help'] },
    { commandLine: ['client', 'create', '--help'] },
    { commandLine: ['doctor', '--help'] },
  ])('explains itself for $commandLine and touches nothing', async ({ commandLine }) => {
    const { code, output } = await callPoort(untouched, commandLine);
    expect(code).toBe(0);
    expect(output).toContain('Usage: poort');
    expect(existsSync(untouched.dataDirectory)).toBe(false);
  });

  it('ends its process with the exit code', async () => {
    const environment = { POORT_PORT: 'many' };
    const finished = await Promise.all([
      runPoort(untouched, ['--version']),
      runPoort(untouched, ['db', 'url']),
      runPoort(untouched, ['tenants']),
      runPoort({ ...untouched, environment }, ['tenant', 'list']),
    ]);
    expect(finished.map(({ code }) => code)).toEqual([0, 1, 2, 78]);
  });

  it.each([
    { why: 'an unknown command', commandLine: ['tenants'] },
    { why: 'a noun without a verb', commandLine: ['tenant'] },
    { why: 'an unknown option', commandLine: ['tenant', 'list', '--tenent', 'acme'] },
    { why: 'a missing argument', commandLine: ['tenant', 'create', '--name', 'Acme'] },
    { why: 'a missing option', commandLine: ['user', 'list'] },
    { why: 'an argument too many', commandLine: ['tenant', 'show', 'acme', 'globex'] },
    { why: 'an unknown client type', commandLine: ['client', 'create', '--tenant', 'a', '--name', 'b', '--type', 'c'] },
    { why: 'nobody to disable', commandLine: ['user', 'disable', '--tenant', 'acme'] },
    {
      why: 'two passwords',
      commandLine: ['user', 'create', '--tenant', 'a', '--email', 'a@b.example', '--password', 'x', '--password-stdin'],
    },
  ])('calls $why wrong usage', async ({ commandLine }) => {
    const { code, output, errors } = await callPoort(untouched, commandLine);
    expect(code).toBe(2);
    expect(output).toBe('');
    expect(errors).not.toBe('');
  });

  it('says wrong usage to a program as JSON', async () => {
    const { code, output } = await callPoort(untouched, ['user', 'list', '--json']);
    expect(code).toBe(2);
    expect(JSON.parse(output)).toMatchObject({ error: { code: 'wrong_usage' } });
  });

  it('names every faulty setting at once', async () => {
    const environment = { POORT_PORT: 'many', POORT_LOG_LEVEL: 'loud' };
    const { code, errors } = await callPoort({ ...untouched, environment }, ['tenant', 'list']);
    expect(code).toBe(78);
    expect(errors).toContain('POORT_PORT');
    expect(errors).toContain('POORT_LOG_LEVEL');
  });

  it('shows the settings without their secrets', async () => {
    const environment = { POORT_DATABASE_URL: 'postgres://owner:hunter2@127.0.0.1:1/poort', POORT_PORT: '4567' };
    const { code, output } = await callPoort({ dataDirectory: join(directory, 'settings'), environment }, [
      'config',
      '--json',
    ]);
    const { settings } = JSON.parse(output) as { settings: Json[] };
    expect(code).toBe(0);
    expect(settings).toContainEqual({ name: 'POORT_PORT', value: '4567', source: 'environment' });
    expect(output).not.toContain('hunter2');
  });

  it('says what is wrong with a database that is not there', async () => {
    const environment = { POORT_DATABASE_URL: 'postgres://owner:hunter2@127.0.0.1:1/poort' };
    const installation = { dataDirectory: join(directory, 'unreachable'), environment };
    const listed = await callPoort(installation, ['tenant', 'list', '--json']);
    expect(listed.code).toBe(78);
    expect(JSON.parse(listed.output)).toMatchObject({ error: { problems: [{ setting: 'POORT_DATABASE_URL' }] } });
    const examined = await callPoort(installation, ['doctor']);
    expect(examined.code).toBe(1);
    expect(examined.output).toMatch(/✗ database .*POORT_DATABASE_URL/);
    expect(listed.output + listed.errors + examined.output + examined.errors).not.toContain('hunter2');
  });

  it('gives no address of an embedded database that does not run', async () => {
    const { code, output } = await callPoort(untouched, ['db', 'url', '--json']);
    expect(code).toBe(1);
    expect(JSON.parse(output)).toMatchObject({ error: { code: 'database_not_running' } });
  });
});

describe('the command line beside a running npm start', () => {
  let installation: Installation;
  let running: RunningPoort;
  let demo: Demo;

  const run = (commandLine: readonly string[]): Promise<Finished> => callPoort(installation, commandLine);
  /** Runs with `--json` and expects it to be done. */
  async function done(commandLine: readonly string[]): Promise<Json> {
    const { code, output, errors } = await run([...commandLine, '--json']);
    expect({ code, errors }).toEqual({ code: 0, errors: '' });
    expect(output.trim().split('\n')).toHaveLength(1);
    return JSON.parse(output) as Json;
  }
  async function refused(commandLine: readonly string[]): Promise<unknown> {
    const { code, output } = await run([...commandLine, '--json']);
    expect(code).toBe(1);
    const { error } = JSON.parse(output) as { error: { code: string; message: string } };
    expect(error.message).not.toBe('');
    return error.code;
  }
  const issuerOf = (slug: string): string => `${installation.environment?.['POORT_PUBLIC_URL']}/t/${slug}`;
  const readDemo = async (): Promise<Demo> =>
    JSON.parse(await readFile(join(installation.dataDirectory, 'demo.json'), 'utf8')) as Demo;
  const requestToken = (slug: string, client: Json, fields: Readonly<Record<string, string>> = {}): Promise<Response> =>
    fetch(`${issuerOf(slug)}/token`, {
      method: 'POST',
      headers: { authorization: `Basic ${btoa(`${client['client_id']}:${client['client_secret']}`)}` },
      body: new URLSearchParams({ grant_type: 'client_credentials', ...fields }),
    });
  const start = (): Promise<RunningPoort> => startPoort(installation, ['start'], 'A first token');

  beforeAll(async () => {
    const port = await freePort();
    installation = {
      dataDirectory: join(directory, 'running'),
      environment: { POORT_PORT: String(port), POORT_PUBLIC_URL: `http://localhost:${port}` },
    };
    running = await start();
    demo = await readDemo();
  }, 60_000);

  afterAll(async () => {
    await running.end('SIGKILL');
  });

  describe('the demo', () => {
    it('is written where only its owner reads, with one client of each type in both tenants', async () => {
      const { mode } = await stat(join(installation.dataDirectory, 'demo.json'));
      expect((mode & 0o777).toString(8)).toBe('600');
      expect((await readdir(installation.dataDirectory)).filter((name) => name.includes('tmp'))).toEqual([]);
      expect(Object.keys(demo)).toEqual(['public_url', 'operator', 'tenants']);
      expect(demo.tenants.map(({ slug, issuer }) => [slug, issuer])).toEqual([
        ['demo', issuerOf('demo')],
        ['acme', issuerOf('acme')],
      ]);
      for (const tenant of demo.tenants) {
        const types = ['web', 'spa', 'native', 'device', 'machine', 'resource_server'];
        expect(tenant.clients.map(({ name, type }) => [name, type])).toEqual(types.map((type) => [type, type]));
        const withSecret = tenant.clients.filter((client) => client.client_secret !== undefined);
        expect(withSecret.map(({ type }) => type)).toEqual(['web', 'machine', 'resource_server']);
        expect(tenant.apis.map((api) => api.token_format)).toEqual(['jwt', 'opaque']);
        expect(tenant.users.every((user) => user['totp_secret'] === null)).toBe(true);
      }
    });

    it('has one person in both tenants with one password, and someone only in each', () => {
      const [one = [], other = []] = demo.tenants.map((tenant) => tenant.users);
      const shared = one.filter((user) => other.some(({ email }) => email === user['email']));
      expect(shared).toHaveLength(1);
      expect(other.find(({ email }) => email === shared[0]?.['email'])?.['password']).toBe(shared[0]?.['password']);
      expect(one.length).toBeGreaterThan(1);
      expect(other.length).toBeGreaterThan(1);
      expect(one.find(({ email }) => email === demo.operator.email)?.['roles']).toEqual(['admin']);
    });

    it('prints every address', async () => {
      const printed = running.printed();
      for (const slug of ['demo', 'acme'])
        expect(printed).toContain(`${issuerOf(slug)}/.well-known/openid-configuration`);
      expect(printed).toContain('/health/ready');
      expect(printed).toContain(`${demo.operator.email} with ${demo.operator.password}`);
      const application = /Demo application +(\S+)/.exec(printed)?.[1] ?? '';
      expect((await fetch(application)).status).toBe(200);
      expect(demo.tenants[0]?.clients[0]?.redirect_uris).toEqual([`${application}/callback/demo`]);
    });

    (whereThereIsCurl === '' ? it : it.skip)(`prints a curl line that gives a token${whereThereIsCurl}`, async () => {
      const line = /^ *(curl .*)$/m.exec(running.printed())?.[1] ?? '';
      const { stdout } = await promisify(execFile)('sh', ['-c', line]);
      expect(JSON.parse(stdout)).toMatchObject({ token_type: 'Bearer', scope: 'readings:read' });
    });

    it('keeps every secret and every address over a restart, whichever way it ended', async () => {
      const application = /Demo application +(\S+)/.exec(running.printed())?.[1] ?? '';
      expect(await running.end('SIGTERM')).toBe(0);
      await expect(fetch(application)).rejects.toThrow('fetch failed');
      running = await start();
      expect(await readDemo()).toEqual(demo);

      await running.end('SIGKILL');
      const answers = (): Promise<boolean> =>
        fetch(application).then(
          () => true,
          () => false,
        );
      expect(await settles(answers, (isThere) => !isThere)).toBe(false);
      running = await start();
      expect(await readDemo()).toEqual(demo);
      const machine = demo.tenants[0]?.clients.find((client) => client.type === 'machine') ?? {};
      expect((await requestToken('demo', machine)).status).toBe(200);
    }, 60_000);

    it('is not started twice', async () => {
      const { code, errors } = await runPoort(installation, ['start']);
      expect(code).toBe(78);
      expect(errors).toContain(String(running.processId));
    });
  });

  describe('a tenant', () => {
    it('has the addresses of the server that runs, whatever port the command was told', async () => {
      const { POORT_PORT: _port, POORT_PUBLIC_URL: _url, ...environment } = installation.environment ?? {};
      const { output } = await runPoort({ ...installation, environment }, ['tenant', 'show', 'demo', '--json']);
      expect(JSON.parse(output)).toMatchObject({ slug: 'demo', issuer: issuerOf('demo') });
    });

    it('is served as soon as it is made, and refused while it is suspended', async () => {
      const created = await done(['tenant', 'create', 'globex', '--name', 'Globex']);
      expect(created).toMatchObject({ slug: 'globex', name: 'Globex', status: 'active', issuer: issuerOf('globex') });
      const discovery = `${issuerOf('globex')}/.well-known/openid-configuration`;
      const status = async (): Promise<number> => (await fetch(discovery)).status;
      expect(await status()).toBe(200);

      expect(await done(['tenant', 'suspend', 'globex'])).toMatchObject({ status: 'suspended', changed: true });
      expect(await settles(status, (code) => code !== 200)).not.toBe(200);
      expect(await done(['tenant', 'suspend', 'globex'])).toMatchObject({ changed: false });
      expect(await done(['tenant', 'resume', 'globex'])).toMatchObject({ status: 'active', changed: true });
      expect(await settles(status, (code) => code === 200)).toBe(200);
      const { tenants } = await done(['tenant', 'list']);
      expect((tenants as Json[]).map(({ slug }) => slug)).toEqual(['acme', 'demo', 'globex']);
    });

    it.each([
      ['tenant', 'create', 'demo', '--name', 'Another'],
      ['tenant', 'create', 'Demo', '--name', 'Capital'],
      ['tenant', 'create', 'admin', '--name', 'Reserved'],
      ['tenant', 'show', 'nobody'],
      ['user', 'list', '--tenant', "x' or '1'='1"],
    ])('is refused for `%s %s %s …`', async (...commandLine) => {
      expect(await refused(commandLine)).toMatch(/^(slug_taken|slug_syntax|slug_reserved|unknown_tenant)$/);
    });
  });

  describe('a person', () => {
    it('is made with a password from standard input, which comes back nowhere', async () => {
      const password = 'correct horse battery staple';
      const create = [
        'user',
        'create',
        '--tenant',
        'demo',
        '--email',
        'Linus@Example.test',
        '--role',
        'user',
        '--verified',
      ];
      const finished = await runPoort(
        installation,
        [...create, '--password-stdin', '--json'],
        `${password}\r\nand nothing of this line`,
      );
      const created = JSON.parse(finished.output) as Json;
      expect(created).toMatchObject({
        email: 'Linus@example.test',
        roles: ['user'],
        email_verified: true,
        outcome: 'created',
      });
      const shown = await run(['user', 'show', '--tenant', 'demo', 'linus@example.test', '--json']);
      const listed = await run(['user', 'list', '--tenant', 'demo', '--json']);
      expect(JSON.parse(shown.output)).toMatchObject({ id: created['id'], status: 'active' });
      expect(shown.output + listed.output).not.toMatch(/argon2|password|battery/);
      const joined = ['user', 'create', '--tenant', 'acme', '--email', 'linus@example.test', '--password', password];
      expect(await done(joined)).toMatchObject({ id: created['id'], outcome: 'joined' });
    });

    it('is disabled and enabled by address and by id', async () => {
      const email = 'grace@example.test';
      const disabled = await done(['user', 'disable', '--tenant', 'demo', email]);
      expect(disabled).toMatchObject({ email, status: 'disabled', changed: true });
      const id = String(disabled['id']);
      expect(await done(['user', 'show', '--tenant', 'demo', id])).toMatchObject({ status: 'disabled' });
      expect(await done(['user', 'enable', '--tenant', 'demo', '--email', email])).toMatchObject({ status: 'active' });
    });

    it.each([
      {
        why: 'a member of another tenant only',
        commandLine: ['user', 'show', '--tenant', 'acme', 'grace@example.test'],
        code: 'unknown_user',
      },
      { why: 'no address', commandLine: ['user', 'create', '--tenant', 'demo', '--email', 'ada'], code: 'email' },
      {
        why: 'a member already',
        commandLine: ['user', 'create', '--tenant', 'demo', '--email', 'ada@example.test'],
        code: 'already_a_member',
      },
      {
        why: 'given a role that is not there',
        commandLine: ['user', 'create', '--tenant', 'demo', '--email', 'new@example.test', '--role', 'king'],
        code: 'unknown_role',
      },
      {
        why: 'given a short password',
        commandLine: ['user', 'create', '--tenant', 'demo', '--email', 'new@example.test', '--password', 'short'],
        code: 'password_too_short',
      },
    ])('is refused when they are $why', async ({ commandLine, code }) => {
      expect(await refused(commandLine)).toBe(code);
    });
  });

  describe('a client', () => {
    const create = ['client', 'create', '--tenant', 'demo'];

    it('is told its secret once, and the secret is good at once', async () => {
      const client = await done([...create, '--name', 'Importer', '--type', 'machine', '--scope', 'readings:write']);
      expect(client).toMatchObject({
        type: 'machine',
        name: 'Importer',
        redirect_uris: [],
        scopes: ['readings:write'],
      });
      const resource = demo.tenants[0]?.apis[0]?.audience ?? '';
      expect((await requestToken('demo', client, { resource, scope: 'readings:write' })).status).toBe(200);
      expect((await requestToken('acme', client)).status).toBe(401);

      const show = ['client', 'show', '--tenant', 'demo', '--client-id', String(client['client_id']), '--json'];
      const outputs = (await run(show)).output + (await run(['client', 'list', '--tenant', 'demo', '--json'])).output;
      expect(outputs).toContain(String(client['client_id']));
      expect(outputs).not.toContain(String(client['client_secret']));
      expect(outputs).not.toContain('client_secret"');
    });

    it('has two valid secrets after a rotation, and none after it is disabled', async () => {
      const client = await done([...create, '--name', 'Rotating', '--type', 'machine']);
      const named = ['--tenant', 'demo', '--client-id', String(client['client_id'])];
      const rotated = await done(['client', 'rotate-secret', ...named]);
      expect(rotated['live_secrets']).toBe(2);
      const statusOf = (secret: Json) => async (): Promise<number> => (await requestToken('demo', secret)).status;
      for (const secret of [client, rotated]) {
        expect(await settles(statusOf(secret), (code) => code === 200)).toBe(200);
      }
      expect(await done(['client', 'disable', ...named])).toMatchObject({ status: 'disabled', changed: true });
      for (const secret of [client, rotated]) {
        expect(await settles(statusOf(secret), (code) => code === 401)).toBe(401);
      }
    });

    it('has no secret when it cannot keep one', async () => {
      const redirect = ['--redirect-uri', 'https://app.example.org/callback', '--first-party'];
      const client = await done([...create, '--name', 'Shop', '--type', 'spa', ...redirect]);
      expect(client).toMatchObject({ token_endpoint_auth_method: 'none', first_party: true });
      expect(client).not.toHaveProperty('client_secret');
      const named = ['--tenant', 'demo', '--client-id', String(client['client_id'])];
      expect(await refused(['client', 'rotate-secret', ...named])).toBe('without_secret');
    });

    it('is changed, and shows what it has beyond its type', async () => {
      const settingsFile = join(directory, 'client.json');
      await writeFile(settingsFile, JSON.stringify({ default_max_age: 3600, id_token_signed_response_alg: 'ES256' }));
      const redirect = ['--redirect-uri', 'https://app.example.org/callback'];
      const created = await done([
        ...[...create, '--name', 'Portal', '--type', 'spa', ...redirect, '--dpop-bound', '--refresh-grace', '0'],
        ...['--allowed-origin', 'https://preview.example.org', '--settings-file', settingsFile],
      ]);
      const settings = {
        default_max_age: 3600,
        id_token_signed_response_alg: 'ES256',
        dpop_bound_access_tokens: true,
        refresh_grace_seconds: 0,
        allowed_origins: ['https://preview.example.org'],
      };
      expect(created).toMatchObject({ settings, redirect_uris: ['https://app.example.org/callback'] });
      const named = ['--tenant', 'demo', '--client-id', String(created['client_id'])];

      const update = ['client', 'update', ...named, '--name', 'Shop', '--require-par', '--unset', 'default_max_age'];
      const { default_max_age: _unset, ...kept } = settings;
      const after = { name: 'Shop', settings: { ...kept, require_pushed_authorization_requests: true } };
      const updated = await done(update);
      expect(updated).toMatchObject({ ...after, changed: true });
      expect(updated['settings']).not.toHaveProperty('default_max_age');
      expect(await done(update)).toMatchObject({ ...after, changed: false });
      const { output } = await run(['client', 'show', ...named]);
      expect(output).toContain('dpop_bound_access_tokens = true');
      expect(output).toContain('allowed_origins = https://preview.example.org');

      expect(await refused(['client', 'update', ...named, '--auth-method', 'client_secret_basic'])).toBe(
        'invalid_client',
      );
      expect((await run(['client', 'update', ...named, '--unset', 'nonsense'])).code).toBe(2);
      expect((await run(['client', 'update', ...named, '--refresh-grace', 'soon'])).code).toBe(2);
      expect(await refused(['client', 'update', ...named, '--refresh-grace', '61'])).toBe('invalid_client');
    });

    it('gets what a switched-off extension gives only after its tenant switched it on', async () => {
      const signed = join(directory, 'signed.json');
      await writeFile(signed, JSON.stringify({ authorization_signed_response_alg: 'ES256' }));
      const redirect = ['--redirect-uri', 'https://app.example.org/callback', '--settings-file', signed];
      const wanted = [...create, '--name', 'Signed', '--type', 'web', ...redirect];
      expect(await refused(wanted)).toBe('invalid_client');

      const configure = ['tenant', 'configure', 'demo', '--set', 'protocol.jarm=on'];
      expect(await done(configure)).toMatchObject({ protocol: { jarm: true, jar: false }, changed: true });
      expect(await done(configure)).toMatchObject({ changed: false });
      expect(await done(['tenant', 'show', 'acme'])).toMatchObject({ protocol: { jarm: false, token_exchange: true } });
      expect(await done(wanted)).toMatchObject({ settings: { authorization_signed_response_alg: 'ES256' } });

      const metadata = async (): Promise<string> =>
        (await fetch(`${issuerOf('demo')}/.well-known/openid-configuration`)).text();
      expect(await settles(metadata, (text) => text.includes('query.jwt'))).toContain('query.jwt');
      expect(await done(['tenant', 'configure', 'demo', '--set', 'protocol.jarm=default'])).toMatchObject({
        protocol: { jarm: false },
        changed: true,
      });
      for (const setting of ['protocol.jarm', 'protocol.nonsense=on', 'protocol.jarm=perhaps'])
        expect((await run(['tenant', 'configure', 'demo', '--set', setting])).code).toBe(2);
    });

    it('is not there for another tenant', async () => {
      const foreign = demo.tenants[1]?.clients[0]?.client_id ?? '';
      for (const verb of ['show', 'update', 'rotate-secret', 'disable']) {
        expect(await refused(['client', verb, '--tenant', 'demo', '--client-id', foreign])).toBe('unknown_client');
      }
    });

    it('is refused with the field that is wrong', async () => {
      const wrong = [...create, '--name', 'Shop', '--type', 'web', '--redirect-uri', 'http://shop.example.org/cb'];
      const { code, errors } = await run(wrong);
      expect(code).toBe(1);
      expect(errors).toContain('redirect_uris: insecure http');
    });
  });

  it('registers APIs and roles, and lists them with the keys', async () => {
    const audience = 'urn:demo:meters';
    const scopes = ['--scope', 'meters:read=See your meters', '--scope', 'meters:write'];
    const api = ['api', 'create', '--tenant', 'demo', '--audience', audience, '--token-format', 'opaque', ...scopes];
    expect(await done(api)).toMatchObject({
      audience,
      token_format: 'opaque',
      scopes: ['meters:read', 'meters:write'],
    });
    expect(await refused(api)).toBe('audience_taken');
    expect((await done(['api', 'list', '--tenant', 'demo']))['apis']).toHaveLength(3);
    const ofApi = ['--tenant', 'demo', '--audience', audience];
    expect(await done(['api', 'disable', ...ofApi])).toEqual({ audience, status: 'disabled', changed: true });
    expect(await done(['api', 'disable', ...ofApi])).toMatchObject({ changed: false });
    expect(await done(['api', 'enable', ...ofApi])).toEqual({ audience, status: 'active', changed: true });
    expect(await refused(['api', 'disable', '--tenant', 'demo', '--audience', 'urn:nobody'])).toBe('unknown_api');

    const role = ['role', 'create', '--tenant', 'demo', '--name', 'reader', '--permission', 'meters:read'];
    expect(await done([...role, '--inherits', 'user'])).toMatchObject({ name: 'reader', inherits: 'user' });
    expect(await refused(role)).toBe('name_taken');
    const { roles } = await done(['role', 'list', '--tenant', 'demo']);
    expect((roles as Json[]).map(({ name }) => name)).toEqual(['admin', 'editor', 'user', 'viewer', 'reader']);

    const { keys } = await done(['keys', 'list', '--tenant', 'demo']);
    expect((keys as Json[]).map(({ alg, status }) => [alg, status])).toEqual([
      ['ES256', 'active'],
      ['RS256', 'active'],
      ['ES256', 'next'],
      ['RS256', 'next'],
    ]);
  });

  it('rotates and retires signing keys, and says when a key will sign', async () => {
    const tenant = ['--tenant', 'acme'];
    const list = async (): Promise<readonly Json[]> => (await done(['keys', 'list', ...tenant]))['keys'] as Json[];
    const [active, , next] = await list();
    expect(await done(['keys', 'rotate', ...tenant])).toMatchObject({
      tenant: 'acme',
      rotated: false,
      keys: [{ alg: 'ES256', rotated: false, kid: next?.['kid'], replaces: active?.['kid'] }, { alg: 'RS256' }],
    });
    // It is not changed by asking again, and the list tells the same moment.
    const asked = await done(['keys', 'rotate', ...tenant]);
    const signsFrom = (await list())[2]?.['signs_from'];
    expect((asked['keys'] as Json[])[0]?.['signs_from']).toBe(signsFrom);

    const { output, code } = await run(['keys', 'rotate', ...tenant, '--now']);
    expect([code, output]).toEqual([0, expect.stringContaining(`ES256: ${next?.['kid']} signs now`)]);
    const retire = ['keys', 'retire', ...tenant, '--kid', String(next?.['kid'])];
    const replacement = (await list())[2]?.['kid'];
    expect(await done(retire)).toMatchObject({ alg: 'ES256', retired: true, replaced_by: replacement });
    expect(await refused(retire)).toBe('unknown_key');
    expect((await list()).map(({ status }) => status)).toEqual([
      'active',
      'active',
      'next',
      'next',
      'retired',
      'retired',
    ]);
    expect((await run(['keys', 'retire', ...tenant])).code).toBe(2);
    expect((await run(['keys', 'rotate'])).code).toBe(2);
    expect(await refused(['keys', 'rotate', '--tenant', 'nobody'])).toBe('unknown_tenant');
    expect(await done(['keys', 'reseal'])).toMatchObject({ tenants: 0, sealed_with_older_key: 0 });
  });

  it.each([
    { role: [], name: 'poort_owner' },
    { role: ['--role', 'app'], name: 'poort_app' },
    { role: ['--role', 'platform'], name: 'poort_platform' },
  ])('gives an address at which one is $name', async ({ role, name }) => {
    const { code, output } = await run(['db', 'url', ...role]);
    expect(code).toBe(0);
    const connection = await connect(output.trim());
    try {
      expect((await connection.query('select current_user as name')).rows).toEqual([{ name }]);
    } finally {
      await connection.end();
    }
  });

  it('finds nothing wrong with a healthy installation, and nothing to migrate', async () => {
    const { ok, checks } = await done(['doctor']);
    expect(ok).toBe(true);
    expect((checks as Json[]).map(({ name }) => name)).toEqual(
      expect.arrayContaining(['settings', 'database', 'roles', 'migrations', 'isolation', 'keys', 'passwords', 'port']),
    );
    expect(await done(['migrate'])).toEqual({ applied: [], pending: [] });
  });

  it('finds a table without isolation', async () => {
    const owner = await connect((await run(['db', 'url'])).output.trim());
    try {
      await owner.query('create table notes (tenant_id uuid not null, text text)');
      const { code, output } = await run(['doctor']);
      expect(code).toBe(1);
      expect(output).toMatch(/✗ isolation .*notes does not force row level security/);
      expect(output).toContain('fix:');
    } finally {
      await owner.query('drop table if exists notes');
      await owner.end();
    }
  });

  it('has a worker that waits until it is told to stop', async () => {
    const worker = await startPoort(installation, ['worker'], 'the worker is ready');
    expect(await worker.end('SIGTERM')).toBe(0);
  });
});
