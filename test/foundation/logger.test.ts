import { createLogger, type LoggerSettings } from '#src/foundation/logger.ts';
import { Secret } from '#src/foundation/secret.ts';

function logTo(format: LoggerSettings['format']) {
  const lines: string[] = [];
  const logger = createLogger({ level: 'debug', format, colours: false }, { write: (line) => lines.push(line) });
  return { logger, text: () => lines.join(''), records: () => lines.map((line) => JSON.parse(line)) };
}

const CANARY = 'canary-5f0c';
const NAMES = [
  'password',
  'new_password',
  'code',
  'token',
  'access_token',
  'refresh_token',
  'client_secret',
  'authorization',
  'cookie',
  'set-cookie',
  'secret',
  'csrf',
  'newPassword',
  'Set-Cookie',
  'AUTHORIZATION',
  'accessToken',
];

describe('a log line', () => {
  it('says level, time and message in words', () => {
    const { logger, records } = logTo('json');
    logger.info({ request_id: 'r1' }, 'listening');
    expect(records()).toEqual([
      {
        level: 'info',
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
        pid: process.pid,
        request_id: 'r1',
        message: 'listening',
      },
    ]);
  });

  it.each(NAMES)('never shows %s, however deep', (name) => {
    for (const format of ['json', 'pretty'] as const) {
      const { logger, text } = logTo(format);
      const bearer = { [name]: CANARY };
      logger.info(bearer, 'top');
      logger.info({ a: bearer, list: [bearer, { b: { c: { d: bearer } } }] }, 'deep');
      logger.info({ a: { [name]: [CANARY, { x: CANARY }] } }, 'a list under the name');
      logger.child(bearer).child({ headers: bearer }).info('in the bindings of a child');
      expect(text()).not.toContain(CANARY);
      expect(text()).toContain('[redacted]');
    }
  });

  it('keeps what is no secret', () => {
    const { logger, records } = logTo('json');
    logger.info({ status: 'active', encoded: 'yes', cookies_seen: 2, at: new Date(0), size: 3n }, 'plain');
    expect(records()[0]).toMatchObject({
      status: 'active',
      encoded: 'yes',
      cookies_seen: 2,
      at: '1970-01-01T00:00:00.000Z',
      size: '3',
    });
  });

  it.each([
    `hr_${'Ab1-_z7'.repeat(7)}`,
    `at_${'a'.repeat(43)}`,
    `rt_${'-_z'.repeat(15)}`,
    'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl',
    'Bearer 0123456789abcdefghij',
    'Basic dXNlcjpwYXNzd29yZDEyMzQ=',
  ])('recognises a credential by its looks: %s', (credential) => {
    const { logger, text } = logTo('json');
    logger.warn({ note: `got "${credential}" there` }, `in ${credential}.`);
    logger.error(new Error(`refused ${credential}`));
    const value = credential.split(' ').at(-1);
    expect(text()).not.toContain(value);
  });

  it('hides credentials in addresses but not the addresses', () => {
    const { logger, records } = logTo('json');
    logger.info('GET https://rp.example/cb?code=abc123&state=xyz&page=2 from postgres://poort:hunter2@db:5432/poort');
    expect(records()[0].message).toBe(
      'GET https://rp.example/cb?code=[redacted]&state=[redacted]&page=2 from postgres://poort:[redacted]@db:5432/poort',
    );
  });

  it('shows Secrets and buffers as such', () => {
    const { logger, records } = logTo('json');
    logger.info({ master: new Secret(CANARY), digest: Buffer.from(CANARY) }, 'start');
    expect(records()[0]).toMatchObject({ master: '[secret]', digest: '[11 bytes]' });
  });

  it('survives circles, great depth, and objects that answer themselves', () => {
    const { logger, records } = logTo('json');
    const circle: Record<string, unknown> = {};
    circle['self'] = circle;
    const deep: Record<string, unknown> = {};
    let end = deep;
    for (let depth = 0; depth < 1000; depth += 1) {
      const next: Record<string, unknown> = {};
      end['next'] = next;
      end = next;
    }
    const selfish = { name: 'x', toJSON: () => selfish };
    logger.info({ circle, deep, selfish }, 'odd');
    expect(records()[0].circle).toEqual({ self: '[circular]' });
    expect(records()[0].message).toBe('odd');
  });
});

describe('an error in a log line', () => {
  const fault = () =>
    Object.assign(new Error('cannot save', { cause: new TypeError('no such column') }), {
      code: '23505',
      constraint: 'users_email_key',
      detail: `Key (email)=(${CANARY}) already exists.`,
      parameters: [CANARY],
      config: { headers: { 'x-custom': CANARY } },
    });

  it.each(['err', 'error', 'anything'])('has type, stack and cause under the key %s', (name) => {
    const { logger, records } = logTo('json');
    logger.error({ [name]: fault() }, 'request failed');
    expect(records()[0][name]).toMatchObject({
      type: 'Error',
      message: 'cannot save',
      stack: expect.stringContaining('logger.test.ts'),
      code: '23505',
      constraint: 'users_email_key',
      cause: { type: 'TypeError', message: 'no such column' },
    });
  });

  it('quotes no row and no request', () => {
    for (const format of ['json', 'pretty'] as const) {
      const { logger, text } = logTo(format);
      logger.error(fault());
      logger.error({ err: fault() }, 'again');
      logger.error({ deep: [{ err: fault() }] }, 'and again');
      expect(text()).not.toContain(CANARY);
      expect(text()).toContain('cannot save');
    }
  });
});

describe('a hostile text', () => {
  const HOSTILE = 'curl\r\n[12:00:00] INFO: forged\u001b[2J\u001b]0;title\u0007\0\u009b31m\u2028\u202eevil\u007f';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are the subject
  const DANGEROUS = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028-\u202e]/;

  it.each(['json', 'pretty'] as const)('stays on its line without control characters in %s', (format) => {
    for (const write of [
      (logger: ReturnType<typeof createLogger>) => logger.info(HOSTILE),
      (logger: ReturnType<typeof createLogger>) => logger.info({ user_agent: HOSTILE }, 'request'),
      (logger: ReturnType<typeof createLogger>) => logger.info({ [HOSTILE]: 1, deep: { x: [HOSTILE] } }, 'request'),
      (logger: ReturnType<typeof createLogger>) => logger.child({ ua: HOSTILE }).info('agent %s', HOSTILE),
    ]) {
      const { logger, text } = logTo(format);
      write(logger);
      expect(text()).not.toMatch(DANGEROUS);
      expect(text().trimEnd().split('\n')).toHaveLength(1);
    }
  });

  it('cannot begin a line through the message of an error', () => {
    const { logger, text } = logTo('pretty');
    logger.error(new Error(HOSTILE));
    expect(text()).not.toMatch(DANGEROUS);
    expect(text()).not.toMatch(/^\[12:00:00\] INFO: forged/m);
  });

  it('is kept byte for byte in JSON', () => {
    const { logger, records } = logTo('json');
    logger.info({ user_agent: HOSTILE }, 'request');
    expect(records()[0].user_agent).toBe(HOSTILE);
  });
});

describe('the level', () => {
  it('silences what lies below, and "silent" everything', () => {
    const lines: string[] = [];
    const destination = { write: (line: string) => lines.push(line) };
    createLogger({ level: 'warn', format: 'json' }, destination).info('unheard');
    createLogger({ level: 'silent', format: 'json' }, destination).fatal('unheard');
    expect(lines).toEqual([]);
  });
});
