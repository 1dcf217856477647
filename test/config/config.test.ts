/** What the settings become: defaults, precedence, forms of values, derived values, and how they are shown. */

import { isAbsolute, join } from 'node:path';
import { inspect } from 'node:util';
import { type ConfigResult, loadConfig } from '#config/config.ts';
import { createWorkspace, goodProduction, masterKey, type Workspace } from './support.ts';

let workspace: Workspace;

beforeEach(async () => {
  workspace = await createWorkspace();
});
afterEach(async () => {
  await workspace.remove();
});

function loaded(result: ConfigResult): Extract<ConfigResult, { outcome: 'loaded' }> {
  if (result.outcome !== 'loaded') {
    throw new Error(JSON.stringify(result.faults));
  }
  return result;
}

describe('settings of a machine where nothing was set', () => {
  it('are those of a development server with everything embedded', async () => {
    const config = await workspace.config();
    expect(config).toMatchObject({
      env: 'development',
      http: {
        port: 3000,
        host: '127.0.0.1',
        publicUrl: 'http://localhost:3000',
        trustedProxies: [],
        bodyLimitBytes: 65_536,
        drainSeconds: 10,
      },
      dataDirectory: join(workspace.directory, '.poort'),
      databaseUrl: undefined,
      redisUrl: undefined,
      mail: { smtpUrl: undefined, from: 'Poort <no-reply@localhost>' },
      grpc: { port: 50_051, host: '127.0.0.1' },
      metricsPort: 9464,
      processes: 1,
      egressAllow: [],
      log: { level: 'info', format: 'pretty' },
      sentryDsn: undefined,
      otlpEndpoint: undefined,
      demo: { enabled: true, port: 3100 },
    });
  });

  it('hold the lifetimes and limits that the interface promises', async () => {
    const { lifetimes, signIn, passwordHashing, mail } = await workspace.config();
    const day = 86_400;
    expect(lifetimes).toEqual({
      accessTokenSeconds: 900,
      idTokenSeconds: 900,
      authorizationCodeSeconds: 60,
      interactionSeconds: 3600,
      parSeconds: 60,
      session: { idleSeconds: 3 * day, absoluteSeconds: 14 * day },
      refreshToken: {
        idleSeconds: 7 * day,
        deviceIdleSeconds: 90 * day,
        absoluteSeconds: { web: 90 * day, spa: 30 * day, native: 180 * day, device: 5 * 365 * day },
        graceSeconds: 10,
        deviceGraceSeconds: day,
      },
    });
    expect(signIn).toEqual({
      windowSeconds: 900,
      maximumPerIdentifierAndAddress: 5,
      maximumPerIdentifier: 50,
      maximumPerAddress: 100,
      maximumPerKnownDevice: 5,
      maximumPerTenant: 10_000,
      tenantWindowSeconds: 60,
      firstLockSeconds: 900,
      longestLockSeconds: 1800,
      perIdentifier: {
        code: 5,
        backup_code: 5,
        email_code: 5,
        passkey: 50,
        proof: 20,
        reset: 20,
        registration: 20,
        invitation: 20,
        user_code: 50,
      },
      userCodes: { maximumPerAddress: 20, maximumPerTenant: 400, maximumOfShortAddresses: 100 },
    });
    expect(mail).toEqual({
      smtpUrl: undefined,
      from: 'Poort <no-reply@localhost>',
      timeLimitSeconds: 60,
      retry: { maximumAttempts: 8, firstRetrySeconds: 60, maximumRetrySeconds: 3600 },
      budgets: {
        requested: { perRecipientAndHour: 5, perRecipientAndDay: 20, perTenantAndHour: 1000 },
        entitled: { perRecipientAndHour: 10, perRecipientAndDay: 40, perTenantAndHour: 2000 },
        notice: { perRecipientAndHour: 20, perRecipientAndDay: 100, perTenantAndHour: 10_000 },
        lock: { perRecipientAndHour: 2, perRecipientAndDay: 6, perTenantAndHour: 10_000 },
      },
      developmentMailboxSize: 200,
    });
    expect(passwordHashing).toEqual({
      memoryKibibytes: 19_456,
      passes: 2,
      lanes: 1,
      queueLength: 64,
      concurrency: undefined,
    });
  });

  it('come from the product itself when no folder is named', async () => {
    const result = await loadConfig({ POORT_MASTER_KEY: masterKey() }, { workingDirectory: workspace.directory });
    expect(loaded(result).config.http.port).toBe(3000);
  });

  it('are frozen to the last leaf', async () => {
    const config = await workspace.config();
    const leaves: unknown[] = [config];
    for (const value of leaves) {
      expect(Object.isFrozen(value)).toBe(true);
      leaves.push(...Object.values(value as object).filter((child) => typeof child === 'object' && child !== null));
    }
    expect(leaves.length).toBeGreaterThan(15);
  });
});

describe('the defaults that depend on other settings', () => {
  it('differ in production: every address, JSON, no demo', async () => {
    const config = await workspace.config(goodProduction);
    expect(config).toMatchObject({
      env: 'production',
      http: { host: '0.0.0.0', publicUrl: 'https://id.example.org' },
      log: { format: 'json' },
      demo: { enabled: false },
      mail: { from: 'Poort <no-reply@id.example.org>' },
    });
  });

  it('are those of development in a test, but for the format of the log', async () => {
    const config = await workspace.config({ POORT_ENV: 'test' });
    expect(config).toMatchObject({
      env: 'test',
      demo: { enabled: true },
      http: { host: '127.0.0.1' },
      log: { format: 'json' },
    });
    expect(config.masterKeys).toHaveLength(1);
  });

  it('put the demo off where a database is given, unless it is asked for', async () => {
    const withDatabase = { POORT_DATABASE_URL: 'postgres://owner@db/poort', POORT_MASTER_KEY: masterKey() };
    expect((await workspace.config(withDatabase)).demo.enabled).toBe(false);
    expect((await workspace.config({ ...withDatabase, POORT_DEMO: 'on' })).demo.enabled).toBe(true);
  });

  it('follow the port', async () => {
    expect(await workspace.config({ POORT_PORT: '8080' })).toMatchObject({
      http: { port: 8080, publicUrl: 'http://localhost:8080' },
      demo: { port: 8180 },
    });
    expect((await workspace.config({ POORT_PORT: '80' })).http.publicUrl).toBe('http://localhost');
    expect((await workspace.config({ POORT_PORT: '65500' })).demo.port).toBe(65_400);
    expect((await workspace.config({ POORT_PORT: '0' })).demo.port).toBe(0);
  });
});

describe('precedence', () => {
  it('is environment, then the file of the environment, then the defaults', async () => {
    await workspace.write('config/test.yaml', 'http:\n  port: 4000\nprocesses: 2\n');
    const config = await workspace.config({ POORT_ENV: 'test', POORT_PORT: '5000' });
    expect([config.http.port, config.processes, config.grpc.port]).toEqual([5000, 2, 50_051]);
  });

  it('is told for every setting', async () => {
    await workspace.write('config/test.yaml', 'processes: 2\n');
    await workspace.write('secrets/redis', 'redis://cache\n');
    const result = loaded(
      await workspace.load({ POORT_ENV: 'test', POORT_PORT: '5000', POORT_REDIS_URL_FILE: 'secrets/redis' }),
    );
    const sources = Object.fromEntries(result.settings.map(({ name, source }) => [name, source]));
    expect(sources).toMatchObject({
      POORT_ENV: 'environment',
      POORT_PORT: 'environment',
      POORT_REDIS_URL: 'file',
      POORT_PROCESSES: 'config/test.yaml',
      POORT_GRPC_PORT: 'config/default.yaml',
      'lifetimes.access_token_seconds': 'config/default.yaml',
      POORT_PUBLIC_URL: 'default',
      POORT_MASTER_KEY: 'generated',
    });
  });

  it('lets a list replace a list', async () => {
    await workspace.write('config/development.yaml', 'http:\n  trusted_proxies: [10.0.0.0/8, 192.168.0.1]\n');
    expect((await workspace.config()).http.trustedProxies).toEqual(['10.0.0.0/8', '192.168.0.1/32']);
    expect((await workspace.config({ POORT_TRUSTED_PROXIES: '::1' })).http.trustedProxies).toEqual(['::1/128']);
  });

  it('takes an empty variable for none', async () => {
    expect((await workspace.config({ POORT_PORT: '', POORT_PORT_FILE: '', POORT_ENV: '' })).http.port).toBe(3000);
  });
});

describe('a value', () => {
  const accepted = [
    ['POORT_PORT', '0', (config) => config.http.port, 0],
    ['POORT_PORT', '65535', (config) => config.http.port, 65_535],
    ['POORT_PUBLIC_URL', 'https://ID.Example.org/', (config) => config.http.publicUrl, 'https://id.example.org'],
    ['POORT_PUBLIC_URL', 'https://id.example.org:443', (config) => config.http.publicUrl, 'https://id.example.org'],
    ['POORT_PUBLIC_URL', 'http://[::1]:3000', (config) => config.http.publicUrl, 'http://[::1]:3000'],
    ['POORT_HOST', '::', (config) => config.http.host, '::'],
    [
      'POORT_DATABASE_URL',
      'postgresql://o:p%40@h:5433/d?sslmode=require',
      (c) => c.databaseUrl?.reveal(),
      'postgresql://o:p%40@h:5433/d?sslmode=require',
    ],
    [
      'POORT_DATABASE_URL',
      'postgres:///poort?host=/run/postgresql',
      (c) => c.databaseUrl?.reveal(),
      'postgres:///poort?host=/run/postgresql',
    ],
    [
      'POORT_REDIS_URL',
      'rediss://:pw@cache:6380/1',
      (config) => config.redisUrl?.reveal(),
      'rediss://:pw@cache:6380/1',
    ],
    ['POORT_SMTP_URL', 'smtp://localhost:1025', (config) => config.mail.smtpUrl?.reveal(), 'smtp://localhost:1025'],
    ['POORT_MAIL_FROM', 'Acme <id@acme.test>', (config) => config.mail.from, 'Acme <id@acme.test>'],
    [
      'POORT_SENTRY_DSN',
      'https://key@sentry.test/1',
      (config) => config.sentryDsn?.reveal(),
      'https://key@sentry.test/1',
    ],
    ['POORT_OTLP_ENDPOINT', 'http://127.0.0.1:4318', (config) => config.otlpEndpoint, 'http://127.0.0.1:4318'],
    [
      'POORT_TRUSTED_PROXIES',
      ' 10.0.0.0/8 , fd00::/8,',
      (config) => config.http.trustedProxies,
      ['10.0.0.0/8', 'fd00::/8'],
    ],
    [
      'POORT_EGRESS_ALLOW',
      'LDAP.internal,10.1.0.0/16',
      (config) => config.egressAllow,
      ['ldap.internal', '10.1.0.0/16'],
    ],
    ['POORT_DEMO', 'off', (config) => config.demo.enabled, false],
    ['POORT_DEMO', 'false', (config) => config.demo.enabled, false],
    ['POORT_DEMO', 'true', (config) => config.demo.enabled, true],
    [
      'POORT_DATA_DIR',
      'state',
      (config) => isAbsolute(config.dataDirectory) && config.dataDirectory.endsWith('/state'),
      true,
    ],
    ['POORT_LOG_LEVEL', 'silent', (config) => config.log.level, 'silent'],
    ['POORT_PROCESSES', '4', (config) => config.processes, 4],
    ['POORT_GRPC_PORT', '0', (config) => config.grpc.port, 0],
  ] as const satisfies readonly (readonly [
    string,
    string,
    (config: Awaited<ReturnType<Workspace['config']>>) => unknown,
    unknown,
  ])[];

  it.each(accepted)('of %s may be %s', async (variable, text, read, expected) => {
    const config = await workspace.config({ POORT_MASTER_KEY: masterKey(), [variable]: text });
    expect(read(config)).toEqual(expected);
  });

  it('comes from a file with its last line break dropped', async () => {
    const path = await workspace.write('secrets/database', 'postgres://owner:p@db/poort\r\n');
    const config = await workspace.config({ POORT_DATABASE_URL_FILE: path, POORT_MASTER_KEY: masterKey() });
    expect(config.databaseUrl?.reveal()).toBe('postgres://owner:p@db/poort');
  });

  it('of any variable may come from a file, the environment itself included', async () => {
    await workspace.write('env', 'test\n');
    expect((await workspace.config({ POORT_ENV_FILE: 'env' })).env).toBe('test');
  });
});

describe('old names', () => {
  it('are accepted, each with a warning that names the new one', async () => {
    const result = loaded(
      await workspace.load({
        POORT_MASTER_KEY: masterKey(),
        AUTH_SERVICE_PORT: '8080',
        AUTH_DB_CONNECTION_STRING: 'postgres://owner:hunter2@db/auth',
        AUTH_ACCESS_TOKEN_TTL_MINUTES: '20',
        AUTH_REFRESH_TOKEN_TTL_HOURS: '168',
      }),
    );
    expect(result.config.http.port).toBe(8080);
    expect(result.config.databaseUrl?.reveal()).toBe('postgres://owner:hunter2@db/auth');
    expect(result.config.lifetimes.accessTokenSeconds).toBe(1200);
    expect(result.config.lifetimes.refreshToken.idleSeconds).toBe(604_800);
    expect(result.warnings).toEqual([
      'AUTH_SERVICE_PORT is an old name: use POORT_PORT instead',
      'AUTH_DB_CONNECTION_STRING is an old name: use POORT_DATABASE_URL instead',
      'AUTH_ACCESS_TOKEN_TTL_MINUTES is an old name: set lifetimes.access_token_seconds: 1200 in config/<POORT_ENV>.yaml instead',
      'AUTH_REFRESH_TOKEN_TTL_HOURS is an old name: set lifetimes.refresh_token.idle_seconds: 604800 in config/<POORT_ENV>.yaml instead',
    ]);
  });

  it('may repeat what the new name says, and come from a file', async () => {
    const path = await workspace.write('port', '8080\n');
    expect((await workspace.config({ POORT_PORT: '8080', AUTH_SERVICE_PORT_FILE: path })).http.port).toBe(8080);
  });

  it('are a fault when they contradict the new name', async () => {
    const faults = await workspace.faults({ POORT_PORT: '3000', AUTH_SERVICE_PORT: '8080' });
    expect(faults).toEqual([
      { setting: 'AUTH_SERVICE_PORT', problem: 'it contradicts POORT_PORT', fix: 'Remove AUTH_SERVICE_PORT.' },
    ]);
  });

  it('with a unit are a fault when they are no whole number', async () => {
    const [fault] = await workspace.faults({ AUTH_ACCESS_TOKEN_TTL_MINUTES: '15m' });
    expect(fault).toMatchObject({
      setting: 'AUTH_ACCESS_TOKEN_TTL_MINUTES',
      problem: expect.stringContaining('"15m" is not a whole number'),
      fix: expect.stringContaining('lifetimes.access_token_seconds'),
    });
  });

  it('of an issuer are used when they are an origin, and ignored with a warning when not', async () => {
    const used = loaded(await workspace.load({ AUTH_JWT_ISSUER: 'https://id.example.org' }));
    expect(used.config.http.publicUrl).toBe('https://id.example.org');
    expect(used.warnings[0]).toContain('use POORT_PUBLIC_URL=https://id.example.org instead');

    const ignored = loaded(await workspace.load({ AUTH_JWT_ISSUER: 'expense-insights-auth' }));
    expect(ignored.config.http.publicUrl).toBe('http://localhost:3000');
    expect(ignored.warnings[0]).toContain('is ignored');
    expect(ignored.warnings[0]).toContain('/t/{slug}');

    const both = { AUTH_JWT_ISSUER: 'https://a.example', POORT_PUBLIC_URL: 'https://b.example' };
    expect((await workspace.faults(both))[0]?.setting).toBe('AUTH_JWT_ISSUER');
  });

  it.each(['JWT_SECRET', 'REFRESH_SECRET', 'JWT_SECRET_FILE'])('refuse %s with the reason', async (name) => {
    const faults = await workspace.faults({ [name]: 'a-shared-secret' });
    expect(faults).toHaveLength(1);
    expect(faults[0]?.setting).toBe(name);
    expect(faults[0]?.problem).toMatch(/asymmetric|not signed/);
    expect(JSON.stringify(faults)).not.toContain('a-shared-secret');
  });
});

describe('a warning', () => {
  const warned = [
    ['a production that forgot to say so', { NODE_ENV: 'production' }, 'POORT_ENV=production'],
    ['a free port without a public URL', { POORT_PORT: '0' }, 'port 0'],
    ['plain http beyond this machine', { POORT_PUBLIC_URL: 'http://id.example.org' }, 'plain http'],
    ['an address in the public URL', { POORT_PUBLIC_URL: 'http://127.0.0.1:3000' }, 'passkeys need a host name'],
    [
      'certificates that nobody is believed about',
      { POORT_CLIENT_CERTIFICATE_HEADER: 'Client-Cert' },
      'has no effect without POORT_TRUSTED_PROXIES',
    ],
    ['proxies that are everybody', { POORT_TRUSTED_PROXIES: '0.0.0.0/0' }, 'trusts every address'],
    ['a shared database with a private key', { POORT_DATABASE_URL: 'postgres://o@db/p' }, 'POORT_MASTER_KEY is not'],
    ['a part that comes later', { POORT_OTLP_ENDPOINT: 'http://127.0.0.1:4318' }, 'POORT_OTLP_ENDPOINT has no effect'],
    ['an idle limit beyond the absolute one', { AUTH_REFRESH_TOKEN_TTL_HOURS: '1000' }, 'which decides'],
  ] as const satisfies readonly (readonly [string, Record<string, string>, string])[];

  it.each(warned)('is given for %s', async (_, environment, words) => {
    const { warnings } = loaded(await workspace.load(environment));
    expect(warnings.join('\n')).toContain(words);
  });

  it('is not given where nothing is odd', async () => {
    expect(loaded(await workspace.load()).warnings).toEqual([]);
    const production = { ...goodProduction, POORT_SMTP_URL: 'smtps://mail.example.org' };
    expect(loaded(await workspace.load(production)).warnings).toEqual([]);
  });

  it('is given for a production that sends no mail', async () => {
    const { warnings } = loaded(await workspace.load(goodProduction));
    expect(warnings).toEqual([expect.stringContaining('POORT_SMTP_URL is not given')]);
  });
});

describe('what is shown of the settings', () => {
  const secretive = {
    POORT_DATABASE_URL: 'postgres://owner:hunter-pg@db.example:5432/poort?sslmode=require&password=hunter-query',
    POORT_REDIS_URL: 'redis://:hunter-redis@cache.example:6379/0',
    POORT_SMTP_URL: 'smtps://mailer:hunter-smtp@mail.example:465',
    POORT_SENTRY_DSN: 'https://hunterkey@sentry.example/7',
    POORT_MASTER_KEY: `${masterKey(1)},${masterKey(2)}`,
  };

  it('keeps the hosts and hides the secrets', async () => {
    const { settings } = loaded(await workspace.load(secretive));
    const shown = Object.fromEntries(settings.map(({ name, value }) => [name, value]));
    expect(shown).toMatchObject({
      POORT_DATABASE_URL: 'postgres://owner:***@db.example:5432/poort?***',
      POORT_REDIS_URL: 'redis://:***@cache.example:6379/0',
      POORT_SMTP_URL: 'smtps://mailer:***@mail.example:465',
      POORT_SENTRY_DSN: 'https://***@sentry.example/7',
      POORT_MASTER_KEY: '[secret], [secret]',
      POORT_DEMO: 'off',
      POORT_OTLP_ENDPOINT: 'none',
      POORT_DATA_DIR: join(workspace.directory, '.poort'),
    });
  });

  it('has no secret anywhere in the result, printed in any way', async () => {
    const result = loaded(await workspace.load(secretive));
    for (const printed of [JSON.stringify(result), inspect(result, { depth: 20, showHidden: true })]) {
      expect(printed).not.toContain('hunter');
      expect(printed).not.toContain(masterKey(1));
      expect(printed).not.toContain(masterKey(2));
    }
  });
});
