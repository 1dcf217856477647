/** What is wrong with settings: that it is found, all of it at once, and told without repeating a secret. */

import { rm } from 'node:fs/promises';
import { exitCodeFaultySettings, fileFault, formatFaults } from '#config/faults.ts';
import { createWorkspace, goodProduction, masterKey, type Workspace } from './support.ts';

let workspace: Workspace;

beforeEach(async () => {
  workspace = await createWorkspace();
});
afterEach(async () => {
  await workspace.remove();
});

describe('a wrong value', () => {
  it.each([
    ['POORT_ENV', 'prod'],
    ['POORT_PORT', '3000abc'],
    ['POORT_PORT', '65536'],
    ['POORT_PORT', '-1'],
    ['POORT_PORT', ' 3000'],
    ['POORT_PORT', '3e3'],
    ['POORT_PORT', '0x10'],
    ['POORT_HOST', 'http://localhost'],
    ['POORT_HOST', '256.0.0.1'],
    ['POORT_PUBLIC_URL', 'id.example.org'],
    ['POORT_PUBLIC_URL', 'ftp://id.example.org'],
    ['POORT_PUBLIC_URL', 'https:id.example.org'],
    ['POORT_PUBLIC_URL', 'https://id.example.org/auth'],
    ['POORT_PUBLIC_URL', 'https://id.example.org/?'],
    ['POORT_PUBLIC_URL', 'https://id.example.org#x'],
    ['POORT_PUBLIC_URL', 'https://user@id.example.org'],
    ['POORT_PUBLIC_URL', 'https://id.example.org\n'],
    ['POORT_DATABASE_URL', 'mysql://db/poort'],
    ['POORT_DATABASE_URL', 'postgres://'],
    ['POORT_DATABASE_URL', 'postgres://owner:pa/ss@db/poort'],
    ['POORT_DATABASE_URL', 'postgres://owner:12/34@db/poort'],
    ['POORT_DATABASE_URL', 'postgres://owner:12#34@db/poort'],
    ['POORT_REDIS_URL', 'http://cache'],
    ['POORT_SMTP_URL', 'mail.example.org:25'],
    ['POORT_MAIL_FROM', 'nobody'],
    ['POORT_MAIL_FROM', 'A <a@b.test>\r\nBcc: everyone@b.test'],
    ['POORT_GRPC_PORT', 'off'],
    ['POORT_METRICS_PORT', '1.5'],
    ['POORT_PROCESSES', '0'],
    ['POORT_CLIENT_CERTIFICATE_HEADER', 'Client Cert'],
    ['POORT_CLIENT_CERTIFICATE_HEADER', 'Client-Cert:'],
    ['POORT_CLIENT_CERTIFICATE_HEADER', 'Authorization'],
    ['POORT_CLIENT_CERTIFICATE_HEADER', 'X-Forwarded-Client-Cert'],
    ['POORT_CLIENT_CERTIFICATE_VERIFIED_HEADER', 'DPoP'],
    ['POORT_TRUSTED_PROXIES', '10.0.0.0/33'],
    ['POORT_TRUSTED_PROXIES', '10.0.0.0/8;192.168.0.0/16'],
    ['POORT_TRUSTED_PROXIES', 'proxy.internal'],
    ['POORT_TRUSTED_PROXIES', '::/129'],
    ['POORT_EGRESS_ALLOW', '*.internal'],
    ['POORT_EGRESS_ALLOW', 'ldap.internal:389'],
    ['POORT_LOG_LEVEL', 'verbose'],
    ['POORT_LOG_FORMAT', 'xml'],
    ['POORT_SENTRY_DSN', 'https://sentry.example.org/1'],
    ['POORT_OTLP_ENDPOINT', 'grpc://collector'],
    ['POORT_OTLP_ENDPOINT', 'https://user:pw@collector'],
    ['POORT_DEMO', 'yes'],
    ['POORT_MASTER_KEY', 'not base64!'],
    ['POORT_MASTER_KEY', 'c2hvcnQ='],
    ['POORT_MASTER_KEY', `${masterKey()},${masterKey()}`],
    ['POORT_MASTER_KEY', ` , `],
    ['POORT_DATA_DIR', '  '],
  ])('of %s as in %j is refused with what belongs there', async (variable, text) => {
    const faults = await workspace.faults({ [variable]: text });
    expect(faults).toHaveLength(1);
    expect(faults[0]?.setting).toBe(variable);
    expect(faults[0]?.problem).not.toBe('');
    expect(faults[0]?.fix).toContain(`Set ${variable} to `);
  });

  it('of a secret is never repeated', async () => {
    const environment = {
      POORT_DATABASE_URL: 'mysql://owner:hunter2@db',
      POORT_REDIS_URL: 'redis://:hunter2@ca che',
      POORT_SMTP_URL: 'hunter2',
      POORT_SENTRY_DSN: 'hunter2',
      POORT_MASTER_KEY: 'hunter2',
      POORT_PUBLIC_URL: 'https://me:hunter2@id.example.org',
      POORT_OTLP_ENDPOINT: 'otlp://me:hunter2@collector',
      AUTH_JWT_ISSUER: 'https://me:hunter2@id.example.org',
    };
    const faults = await workspace.faults(environment);
    expect(faults).toHaveLength(7);
    expect(JSON.stringify(faults)).not.toContain('hunter2');
  });

  it('is told once, although the defaults hold a good one', async () => {
    expect(await workspace.faults({ POORT_PORT: 'x', POORT_PUBLIC_URL: 'y', POORT_GRPC_PORT: 'z' })).toHaveLength(3);
  });
});

describe('a file that a variable names', () => {
  it('is a fault when the variable itself is given as well', async () => {
    const path = await workspace.write('port', '4000');
    const faults = await workspace.faults({ POORT_PORT: '3000', POORT_PORT_FILE: path });
    expect(faults).toEqual([
      {
        setting: 'POORT_PORT',
        problem: 'both POORT_PORT and POORT_PORT_FILE are given',
        fix: 'Keep one and remove the other.',
      },
    ]);
  });

  it('is a fault when it does not exist, is a directory, or is empty', async () => {
    await workspace.write('empty', '\n');
    const faults = await workspace.faults({
      POORT_DATABASE_URL_FILE: 'nowhere',
      POORT_REDIS_URL_FILE: 'config',
      POORT_SMTP_URL_FILE: 'empty',
    });
    expect(faults.map(({ setting, problem }) => `${setting}: ${problem}`)).toEqual([
      expect.stringMatching(/^POORT_DATABASE_URL_FILE: .*nowhere does not exist$/),
      expect.stringMatching(/^POORT_REDIS_URL_FILE: .*config is a directory$/),
      expect.stringMatching(/^POORT_SMTP_URL_FILE: .*empty is empty$/),
    ]);
  });

  it('is a fault when this user may not read it', () => {
    // Made by hand: where the tests run as root, the operating system refuses nothing.
    const fault = fileFault('POORT_PORT_FILE', '/run/secrets/port', { code: 'EACCES' });
    expect(fault.problem).toBe('the file /run/secrets/port may not be read by this process');
  });

  it('is named in the fault when its content is wrong', async () => {
    const path = await workspace.write('port', 'x');
    const [fault] = await workspace.faults({ POORT_PORT_FILE: path });
    expect(fault).toMatchObject({ setting: 'POORT_PORT_FILE', fix: expect.stringContaining('into the file') });
  });
});

describe('an unknown variable', () => {
  it.each([
    ['POORT_PROT', 'POORT_PORT'],
    ['POORT_DB_URL', 'POORT_DATABASE_URL'],
    ['POORT_BASE_URL', 'POORT_PUBLIC_URL'],
    ['POORT_MASTERKEY', 'POORT_MASTER_KEY'],
    ['POORT_PUBLIC_URI', 'POORT_PUBLIC_URL'],
    ['POORT_MASTER_KEYS_FILE', 'POORT_MASTER_KEY_FILE'],
  ])('such as %s is refused with a guess at %s', async (given, meant) => {
    const faults = await workspace.faults({ [given]: 'x' });
    expect(faults).toEqual([
      { setting: given, problem: 'there is no such setting', fix: expect.stringContaining(`Did you mean ${meant}?`) },
    ]);
  });

  it('that resembles nothing is refused with the page that lists them all', async () => {
    const [fault] = await workspace.faults({ POORT_XYZZY_QUUX: '' });
    expect(fault?.fix).toBe('Remove it. The settings are listed in docs/settings.md.');
  });

  it('that Kubernetes made for a Service is refused with the way to stop it', async () => {
    const faults = await workspace.faults({
      POORT_PORT: 'tcp://10.0.0.1:3000',
      POORT_SERVICE_HOST: '10.0.0.1',
      POORT_PORT_3000_TCP_ADDR: '10.0.0.1',
    });
    expect(faults).toHaveLength(3);
    expect(faults.every(({ fix }) => fix.includes('enableServiceLinks'))).toBe(true);
  });

  it('without our prefix, or of the test suite, is nobody’s business here', async () => {
    expect(await workspace.faults({ PATH: '/bin', PORT: '1', POORT_TEST_CHROMIUM: '/usr/bin/chromium' })).toEqual([]);
  });
});

describe('a YAML file', () => {
  it('with unknown keys is refused with path, place and a guess', async () => {
    await workspace.write(
      'config/development.yaml',
      'lifetimes:\n  acess_token_seconds: 60\nhttp:\n  prot: 1\nnonsense_of_some_kind: 1\n',
    );
    expect(await workspace.faults()).toEqual([
      {
        setting: 'lifetimes.acess_token_seconds',
        problem: 'there is no such setting (config/development.yaml line 2, column 3)',
        fix: 'Did you mean lifetimes.access_token_seconds?',
      },
      {
        setting: 'http.prot',
        problem: 'there is no such setting (config/development.yaml line 4, column 3)',
        fix: 'Did you mean http.port?',
      },
      {
        setting: 'nonsense_of_some_kind',
        problem: 'there is no such setting (config/development.yaml line 5, column 1)',
        fix: expect.stringContaining('Known at the top: http, data_directory'),
      },
    ]);
  });

  it('with wrong values is refused with the place of each', async () => {
    await workspace.write(
      'config/development.yaml',
      'http:\n  port: 70000\n  trusted_proxies:\n    - nowhere\nlog: loud\nprocesses:\nlifetimes:\n  par_seconds: 1.5\n',
    );
    expect((await workspace.faults()).map(({ setting, problem }) => [setting, problem])).toEqual([
      ['http.port', '70000 is not between 0 and 65535 (config/development.yaml line 2, column 9)'],
      ['http.trusted_proxies', expect.stringContaining('config/development.yaml line 4, column 5')],
      ['log', 'a group of settings is expected here (config/development.yaml line 5, column 6)'],
      ['processes', expect.stringMatching(/^it has no value \(config\/development\.yaml line [67]/)],
      ['lifetimes.par_seconds', '1.5 is not a whole number (config/development.yaml line 8, column 16)'],
    ]);
  });

  it.each([
    ['a secret', 'database_url: postgres://owner:hunter2@db/poort\n', 'POORT_DATABASE_URL_FILE'],
    ['a master key', `master_key: ${masterKey()}\n`, 'POORT_MASTER_KEY_FILE'],
    ['the environment', 'env: production\n', 'POORT_ENV'],
  ])('with %s is refused with where it belongs', async (_, content, where) => {
    await workspace.write('config/development.yaml', content);
    const faults = await workspace.faults();
    expect(faults).toHaveLength(1);
    expect(faults[0]?.fix).toContain(where);
    expect(JSON.stringify(faults)).not.toContain('hunter2');
  });

  it.each([
    ['broken', 'http:\n  port: [1\n'],
    ['ambiguous', 'processes: 1\nprocesses: 2\n'],
    ['a list', '- http\n'],
    ['several documents', 'processes: 1\n---\nprocesses: 2\n'],
  ])('that is %s is refused with the line', async (_, content) => {
    await workspace.write('config/development.yaml', content);
    const faults = await workspace.faults();
    expect(faults[0]?.setting).toBe('config/development.yaml');
    expect(faults[0]?.problem).toMatch(/line \d+, column \d+/);
  });

  it('may be empty, absent, or have groups with every line commented out', async () => {
    await workspace.write('config/development.yaml', '# nothing\nhttp:\n  # port: 1\n');
    expect((await workspace.config()).http.port).toBe(3000);
    await workspace.write('config/development.yaml', '');
    expect((await workspace.config()).http.port).toBe(3000);
    await rm(`${workspace.directory}/config/development.yaml`);
    expect((await workspace.config()).log.format).toBe('json');
  });

  it('of defaults must be there, and complete', async () => {
    await workspace.write('config/default.yaml', 'http:\n  port: 3000\n');
    const incomplete = await workspace.faults();
    expect(incomplete.map(({ setting }) => setting)).toContain('lifetimes.access_token_seconds');
    expect(incomplete.map(({ setting }) => setting)).not.toContain('http.port');
    await rm(`${workspace.directory}/config/default.yaml`);
    expect((await workspace.faults({ POORT_PORT: 'x' })).map(({ setting }) => setting)).toEqual([
      'POORT_PORT',
      'config/default.yaml',
    ]);
  });
});

describe('doors', () => {
  it('on one port are refused before they fail to listen', async () => {
    const faults = await workspace.faults({ POORT_GRPC_PORT: '3000', POORT_METRICS_PORT: '3000' });
    expect(faults.map(({ setting }) => setting)).toEqual(['POORT_GRPC_PORT', 'POORT_METRICS_PORT']);
    expect(await workspace.faults({ POORT_GRPC_PORT: '0', POORT_METRICS_PORT: '0' })).toEqual([]);
  });

  it('are not compared with a port that was refused', async () => {
    const faults = await workspace.faults({ POORT_PORT: 'x', POORT_GRPC_PORT: '3000' });
    expect(faults.map(({ setting }) => setting)).toEqual(['POORT_PORT']);
  });
});

describe('production', () => {
  it('refuses everything that is wrong with it at once', async () => {
    const faults = await workspace.faults({ POORT_ENV: 'production', POORT_DEMO: 'on' });
    expect(faults.map(({ setting }) => setting)).toEqual([
      'POORT_PUBLIC_URL',
      'POORT_DATABASE_URL',
      'POORT_DEMO',
      'POORT_MASTER_KEY',
    ]);
  });

  it('refuses plain http', async () => {
    const faults = await workspace.faults({ ...goodProduction, POORT_PUBLIC_URL: 'http://id.example.org' });
    expect(faults).toEqual([
      expect.objectContaining({ setting: 'POORT_PUBLIC_URL', problem: expect.stringContaining('plain http') }),
    ]);
  });

  it('tells a faulty value once and not as missing too', async () => {
    const faults = await workspace.faults({
      POORT_ENV: 'production',
      POORT_PUBLIC_URL: 'nonsense',
      POORT_DATABASE_URL: 'nonsense',
      POORT_MASTER_KEY: 'nonsense',
    });
    expect(faults.map(({ setting }) => setting)).toEqual([
      'POORT_PUBLIC_URL',
      'POORT_DATABASE_URL',
      'POORT_MASTER_KEY',
    ]);
  });

  it.each([
    ['shorter than 32 bytes', Buffer.alloc(31, 7).toString('base64'), '31 bytes'],
    ['longer than 32 bytes', Buffer.alloc(33, 7).toString('base64'), '33 bytes'],
    ['one byte over and over', Buffer.alloc(32, 7).toString('base64'), 'pattern'],
    ['a row of bytes', Buffer.from(Array.from({ length: 32 }, (_, index) => index)).toString('base64'), 'pattern'],
    ['two halves of few bytes', Buffer.from('00ff11ee'.repeat(8), 'hex').toString('base64'), 'repeats itself'],
    ['a phrase', Buffer.from('correct horse battery staple 42!').toString('base64'), 'text'],
    ['hexadecimal text', Buffer.from('0123456789abcdef0123456789abcdef').toString('base64'), 'text'],
    ['twice in the list', `${masterKey()} ${masterKey().replace('=', '')}`, 'same as key 1'],
  ])('refuses a master key that is %s', async (_, key, words) => {
    const faults = await workspace.faults({ ...goodProduction, POORT_MASTER_KEY: key });
    expect(faults).toEqual([
      expect.objectContaining({ setting: 'POORT_MASTER_KEY', problem: expect.stringContaining(words) }),
    ]);
    expect(JSON.stringify(faults)).not.toContain(key);
  });

  it('looks at every key of a list', async () => {
    const weak = Buffer.alloc(32, 7).toString('base64');
    const faults = await workspace.faults({ ...goodProduction, POORT_MASTER_KEY: `${masterKey()},${weak}` });
    expect(faults.map(({ problem }) => problem)).toEqual([expect.stringMatching(/^key 2 of 2 /)]);
  });

  it('warns about what it bears', async () => {
    await workspace.write('config/production.yaml', 'password_hashing:\n  memory_kibibytes: 1024\n');
    const result = await workspace.load({ ...goodProduction, POORT_LOG_LEVEL: 'debug' });
    const warnings = result.outcome === 'loaded' ? result.warnings.join('\n') : '';
    expect(warnings).toContain('POORT_LOG_LEVEL is debug');
    expect(warnings).toContain('OWASP');
  });
});

describe('the start-up text', () => {
  it('lists every fault with its fix', () => {
    const text = formatFaults([
      { setting: 'POORT_PORT', problem: '"x" is not a whole number', fix: 'Set POORT_PORT to a port.' },
      { setting: 'http.prot', problem: 'there is no such setting', fix: 'Did you mean http.port?' },
    ]);
    expect(text).toBe(
      [
        'Poort cannot start: 2 settings are faulty.',
        '',
        '  POORT_PORT',
        '    problem: "x" is not a whole number',
        '    fix:     Set POORT_PORT to a port.',
        '',
        '  http.prot',
        '    problem: there is no such setting',
        '    fix:     Did you mean http.port?',
      ].join('\n'),
    );
    expect(exitCodeFaultySettings).toBe(78);
  });
});
