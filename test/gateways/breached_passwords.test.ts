/** The shipped list as it is, a larger one on disk, and the range API of Have I Been Pwned played by a real server over TLS. */
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage, RequestListener } from 'node:http';
import { createServer, type Server } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '#src/foundation/logger.ts';
import { createBreachedPasswords } from '#src/gateways/breached_passwords.ts';
import { createEgress } from '#src/gateways/egress.ts';
import { createCertificateAuthority } from '#test/support/certificates.ts';
import { makeKnownPasswords } from '../../bin/known_passwords.ts';

const authority = createCertificateAuthority();
const sha1 = (password: string): string => createHash('sha1').update(password).digest('hex').toUpperCase();

let log: Record<string, unknown>[];
let heard: IncomingMessage[];
let respond: RequestListener;
let server: Server;
let port: number;
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'poort-breached-'));
  const { certificate, key } = authority.issue('pwned.example');
  server = createServer({ cert: certificate, key }, (request, response) => {
    heard.push(request);
    respond(request, response);
  });
  port = await new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      if (typeof address === 'object' && address !== null) resolve(address.port);
    });
  });
});

beforeEach(() => {
  log = [];
  heard = [];
});

afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await rm(directory, { recursive: true, force: true });
});

const passwords = (options: { largerListFile?: string; allowed?: readonly string[]; timeLimitSeconds?: number } = {}) =>
  createBreachedPasswords({
    egress: createEgress(
      {
        allowed: options.allowed ?? ['127.0.0.0/8'],
        timeLimitSeconds: options.timeLimitSeconds ?? 5,
        maximumBodyBytes: 100_000,
        maximumPerHost: 4,
      },
      { certificateAuthorities: [authority.certificate], resolve: async () => ['127.0.0.1'] },
    ),
    logger: createLogger({ level: 'debug', format: 'json' }, { write: (line) => void log.push(JSON.parse(line)) }),
    rangeApi: `https://pwned.example:${port}/range/`,
    ...(options.largerListFile === undefined ? {} : { largerListFile: options.largerListFile }),
  });

describe('the shipped list', () => {
  it('is what its script makes of its source, to the byte', async () => {
    const shipped = await readFile(new URL('../../config/known_passwords.bin', import.meta.url));
    expect(shipped.equals(makeKnownPasswords())).toBe(true);
    expect(shipped.length).toBeLessThan(300_000);
  });

  it.each([
    'password',
    'Password1',
    'P@ssw0rd2026!',
    'welkom01',
    'Welkom2026!',
    'iloveyou!!',
    'QWERTYUIOP',
    '1q2w3e4r5t',
    'trustno1',
  ])('has %j', async (password) => {
    expect(await passwords().isKnown(password, { askRangeApi: false })).toBe(true);
  });

  it.each([
    'correct horse battery staple',
    'Tg7#mQ2!vX9b',
    '8305123456117024',
    'x'.repeat(1024),
    '密码很长而且没有人会猜到',
  ])('does not have %j', async (password) => {
    expect(await passwords().isKnown(password, { askRangeApi: false })).toBe(false);
  });

  it('takes hardly a random password for a known one', async () => {
    const judge = passwords();
    for (let number = 0; number < 2000; number += 1) {
      const random = createHash('sha256').update(`nobody's password ${number}`).digest('base64url');
      expect(await judge.isKnown(random, { askRangeApi: false })).toBe(false);
    }
  });
});

describe('a larger list', () => {
  const known = Array.from({ length: 5000 }, (_, number) => `a known password ${number}`);
  let file: string;

  beforeAll(async () => {
    file = join(directory, 'pwned.txt');
    const lines = known.map((password, number) => `${sha1(password)}:${number}`).toSorted();
    await writeFile(file, lines.join('\r\n'));
  });

  it('is looked through by halves, from its first line to its last', async () => {
    const judge = passwords({ largerListFile: file });
    for (const password of known) {
      if (!(await judge.isKnown(password, { askRangeApi: false }))) throw new Error(`${password} is not found`);
    }
    for (let number = 0; number < 500; number += 1)
      expect(await judge.isKnown(`an unknown password ${number}`, { askRangeApi: false })).toBe(false);
    expect(log).toEqual([]);
  });

  it.each([
    ['is not there', 'missing.txt', undefined],
    ['is of something else', 'novel.txt', 'x'.repeat(10_000)],
  ])('that %s stops nobody, and is told to the operator', async (_what, name, content) => {
    const path = join(directory, name);
    if (content !== undefined) await writeFile(path, content);
    expect(await passwords({ largerListFile: path }).isKnown('a known password 1', { askRangeApi: false })).toBe(false);
    expect(log).toMatchObject([{ level: 'error' }]);
    expect(JSON.stringify(log)).not.toContain('a known password');
  });

  it('may be empty or short', async () => {
    const path = join(directory, 'short.txt');
    await writeFile(path, '');
    expect(await passwords({ largerListFile: path }).isKnown('a known password 1', { askRangeApi: false })).toBe(false);
    await writeFile(path, `${sha1('a known password 1')}:3\n`);
    expect(await passwords({ largerListFile: path }).isKnown('a known password 1', { askRangeApi: false })).toBe(true);
    expect(log).toEqual([]);
  });
});

describe('Have I Been Pwned', () => {
  const password = 'kapotte lantaarn eet vrijdags';
  const hash = sha1(password);
  const answering =
    (count: number): RequestListener =>
    (_request, response) => {
      response.end(`${'0'.repeat(35)}:7\r\n${hash.slice(5)}:${count}\r\n${'F'.repeat(35)}:0\r\n`);
    };

  it('is not asked unless the tenant wishes it', async () => {
    respond = answering(3);
    expect(await passwords().isKnown(password, { askRangeApi: false })).toBe(false);
    expect(heard).toEqual([]);
  });

  it('learns five characters of a hash and asks for padding', async () => {
    respond = answering(3);
    expect(await passwords().isKnown(password, { askRangeApi: true })).toBe(true);
    expect(heard).toHaveLength(1);
    expect(heard[0]?.url).toBe(`/range/${hash.slice(0, 5)}`);
    expect(heard[0]?.headers['add-padding']).toBe('true');
    const everything = JSON.stringify([heard[0]?.url, heard[0]?.headers]);
    expect(everything).not.toContain(hash.slice(5));
    expect(everything).not.toContain('lantaarn');
    expect(log).toEqual([]);
  });

  it('is asked about the form that is hashed', async () => {
    respond = answering(3);
    expect(await passwords().isKnown('\uff4b\uff41potte lantaarn eet vrijdags', { askRangeApi: true })).toBe(true);
  });

  it('is believed about padding: what occurs zero times is not known', async () => {
    respond = answering(0);
    expect(await passwords().isKnown(password, { askRangeApi: true })).toBe(false);
  });

  it.each<[string, RequestListener]>([
    ['answers with a fault', (_request, response) => response.writeHead(503).end(`${hash.slice(5)}:3`)],
    ['sends somebody elsewhere', (_request, response) => response.writeHead(302, { location: '/' }).end()],
    ['sends without end', (_request, response) => response.end('0'.repeat(200_000))],
    ['hangs up', (request) => request.socket.destroy()],
  ])('that %s keeps nobody from a password; the log says so and not which', async (_what, listener) => {
    respond = listener;
    expect(await passwords().isKnown(password, { askRangeApi: true })).toBe(false);
    expect(log).toMatchObject([{ level: 'warn' }]);
    expect(JSON.stringify(log)).not.toMatch(new RegExp(`lantaarn|${hash.slice(0, 5)}`));
  });

  it('that does not answer is given up in time', async () => {
    respond = () => undefined;
    expect(await passwords({ timeLimitSeconds: 1 }).isKnown(password, { askRangeApi: true })).toBe(false);
    expect(log).toMatchObject([{ level: 'warn', reason: 'timed_out' }]);
  });

  it('is reached through the one way out, by its rules', async () => {
    respond = answering(3);
    expect(await passwords({ allowed: [] }).isKnown(password, { askRangeApi: true })).toBe(false);
    expect(heard).toEqual([]);
    expect(log).toHaveLength(1);
  });
});
