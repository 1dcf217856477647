/**
 * Row C23 of the lessons: server-side request forgery. Every target is tried against the real client; where a connection would be
 * made, a real server listens there and must hear nothing.
 */
import { execFile } from 'node:child_process';
import { createServer as createPlainServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createEgress, type Egress, type EgressSettings, type EgressSurroundings } from '#src/gateways/egress.ts';
import { createCertificateAuthority } from '#test/support/certificates.ts';

const settings: EgressSettings = { allowed: [], timeLimitSeconds: 5, maximumBodyBytes: 2_000, maximumPerHost: 2 };
const authority = createCertificateAuthority();
const started: Server[] = [];
const heard: string[] = [];

function listen(server: Server): Promise<number> {
  started.push(server);
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      if (typeof address === 'object' && address !== null) resolve(address.port);
    });
  });
}

const answer: RequestListener = (request, response) => {
  heard.push(`${request.method} ${request.headers.host}${request.url}`);
  response.end('{"here":true}');
};

const startPlain = (listener: RequestListener = answer): Promise<number> => listen(createPlainServer(listener));
const startSecure = (name: string): Promise<number> => {
  const { certificate, key } = authority.issue(name);
  return listen(createSecureServer({ cert: certificate, key }, answer));
};

let plainPort: number;
let securePort: number;

beforeAll(async () => {
  plainPort = await startPlain();
  securePort = await startSecure('app.example');
});

beforeEach(() => {
  heard.length = 0;
});

afterAll(async () => {
  await Promise.all(
    started.map((server) => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    }),
  );
});

const egress = (change: Partial<EgressSettings> = {}, surroundings: EgressSurroundings = {}): Egress =>
  createEgress({ ...settings, ...change }, { certificateAuthorities: [authority.certificate], ...surroundings });

/** A name server that gives these answers, one after the other. */
const resolving = (...answers: readonly (readonly string[])[]): EgressSurroundings & { readonly asked: string[] } => {
  const asked: string[] = [];
  return {
    asked,
    resolve: async (host) => {
      asked.push(host);
      return answers[Math.min(asked.length, answers.length) - 1] ?? [];
    },
  };
};

/** Hosts that are addresses of something else than a server of the Internet; the port is a living server's. */
const specialHosts = [
  '0.0.0.0',
  '0.255.1.2',
  '10.0.0.1',
  '10.255.255.255',
  '100.64.0.1',
  '100.127.255.254',
  '127.0.0.1',
  '127.1.2.3',
  '169.254.169.254',
  '169.254.0.1',
  '172.16.0.1',
  '172.31.255.255',
  '192.0.0.1',
  '192.0.0.192',
  '192.0.2.7',
  '192.31.196.1',
  '192.52.193.1',
  '192.88.99.1',
  '192.168.0.1',
  '192.168.255.255',
  '192.175.48.1',
  '198.18.0.1',
  '198.19.255.255',
  '198.51.100.1',
  '203.0.113.200',
  '224.0.0.1',
  '239.255.255.250',
  '240.0.0.1',
  '255.255.255.255',
  '[::]',
  '[::1]',
  '[::7f00:1]',
  '[::ffff:7f00:1]',
  '[::ffff:a00:1]',
  '[::ffff:808:808]',
  '[64:ff9b::7f00:1]',
  '[64:ff9b::a00:1]',
  '[64:ff9b:1::1]',
  '[100::1]',
  '[2001::1]',
  '[2001:0:4136:e378:8000:63bf:3fff:fdd2]',
  '[2001:2::1]',
  '[2001:10::1]',
  '[2001:db8::1]',
  '[2002:7f00:1::]',
  '[2002:a00:1::1]',
  '[2620:4f:8000::1]',
  '[3fff::1]',
  '[5f00::1]',
  '[fc00::1]',
  '[fd00:ec2::254]',
  '[fe80::1]',
  '[fec0::1]',
  '[ff02::1]',
  'localhost',
  'app.localhost',
];

/** Spellings that one reader takes for a public name and another for something else. */
const oddSpellings = [
  'https://2130706433/',
  'https://017700000001/',
  'https://0x7f000001/',
  'https://0177.0.0.1/',
  'https://0x7f.0.0.1/',
  'https://127.1/',
  'https://127.0.1/',
  'https://127.0.0.1./',
  'https://localhost./',
  'https://app.example./',
  'https://[::ffff:127.0.0.1]/',
  'https://[0:0:0:0:0:0:0:1]/',
  'https://[fe80::1%25lo]/',
  'https://user@app.example/',
  'https://user:word@127.0.0.1/',
  'https://app.example@127.0.0.1/',
  'https://app.example\\@127.0.0.1/',
  'https://127.0.0.1#@app.example/',
  'https://app.example/#fragment',
  'https://APP.example/',
  'https://аpp.example/',
  'https://①②⑦.⓪.⓪.①/',
  'https://127。0。0。1/',
  'https://app.example:0/',
  'https://app.example:65536/',
  'https://app.example:/',
  'https://app.example:0443/',
  'https:///app.example/',
  'https:app.example/',
  'https:/\\app.example/',
  ' https://app.example/',
  'https://app.example/\r\nX-Injected: 1',
  'https://app.example/ HTTP/1.1',
  'https://',
  '//app.example/',
  'HTTPS://app.example/',
  'ftp://app.example/',
  'file:///etc/passwd',
  'gopher://127.0.0.1:6379/_FLUSHALL',
  'data:text/plain,hello',
  'unix:/var/run/docker.sock',
  'http+unix://%2fvar%2frun%2fdocker.sock/',
];

describe('C23: an outgoing call', () => {
  it.each(specialHosts)('is not made to %s', async (host) => {
    for (const [scheme, port] of [
      ['https', securePort],
      ['http', plainPort],
    ] as const) {
      const outcome = await egress().call({ url: `${scheme}://${host}:${port}/` });
      expect(outcome).toEqual({ outcome: 'refused', reason: 'special_address' });
    }
    expect(heard).toEqual([]);
  });

  it.each(oddSpellings)('is not made to the odd spelling %j', async (url) => {
    const names = resolving(['93.184.215.14']);
    expect(await egress({}, names).call({ url })).toMatchObject({
      outcome: 'refused',
      reason: expect.stringMatching(/^(malformed|credentials|special_address)$/),
    });
    expect(names.asked).toEqual([]);
  });

  it.each(specialHosts.filter((host) => !host.endsWith('localhost')))(
    'is not made to a name that resolves to %s',
    async (host) => {
      const names = resolving([host.replace(/^\[(.*)\]$/, '$1')]);
      const outcome = await egress({}, names).call({ url: `https://app.example:${securePort}/` });
      expect(outcome).toEqual({ outcome: 'refused', reason: 'special_address' });
      expect(heard).toEqual([]);
    },
  );

  it.each([
    [['93.184.215.14', '127.0.0.1']],
    [['127.0.0.1', '93.184.215.14']],
    [['2606:4700::1111', '::1']],
    [['93.184.215.14', 'fe80::1%lo']],
    [['not an address']],
  ])('is not made when one of several answers is not public: %j', async (answers) => {
    const outcome = await egress({}, resolving(answers)).call({ url: 'https://app.example/' });
    expect(outcome).toEqual({ outcome: 'refused', reason: 'special_address' });
  });

  it('goes to the addresses that were judged, whatever the name server says next (DNS rebinding)', async () => {
    // Allowed by address: if the connection asked again, it would get an address that is not.
    const names = resolving(['127.0.0.1'], ['127.0.0.2'], ['10.0.0.1']);
    const allowed = ['127.0.0.1/32'];
    const outcome = await egress({ allowed }, names).call({ url: `https://app.example:${securePort}/keys` });
    expect(outcome).toMatchObject({ outcome: 'answered', status: 200 });
    expect(names.asked).toEqual(['app.example']);
    expect(heard).toEqual([`GET app.example:${securePort}/keys`]);
    const again = await egress({ allowed }, resolving(['127.0.0.2'])).call({
      url: `https://app.example:${securePort}/`,
    });
    expect(again).toEqual({ outcome: 'refused', reason: 'special_address' });
  });

  it('is made to what the operator allowed, by name or by network, and then by plain http too', async () => {
    const url = `http://127.0.0.1:${plainPort}/`;
    expect(await egress({ allowed: ['127.0.0.0/8'] }).call({ url })).toMatchObject({ outcome: 'answered' });
    const named = egress({ allowed: ['app.internal'] }, resolving(['127.0.0.1']));
    expect(await named.call({ url: `http://app.internal:${plainPort}/` })).toMatchObject({ outcome: 'answered' });
    expect(await named.call({ url })).toEqual({ outcome: 'refused', reason: 'special_address' });
  });

  it('is not made by plain http to anybody else', async () => {
    const names = resolving(['93.184.215.14']);
    for (const allowed of [[], ['10.0.0.0/8']]) {
      const outcome = await egress({ allowed }, names).call({ url: 'http://app.example/' });
      expect(outcome).toEqual({ outcome: 'refused', reason: 'insecure_http' });
    }
  });

  it('believes a certificate only for the name that was asked for, and of an authority it knows', async () => {
    const here = { allowed: ['127.0.0.0/8'] };
    const other = await egress(here, resolving(['127.0.0.1'])).call({ url: `https://other.example:${securePort}/` });
    expect(other).toMatchObject({ outcome: 'failed', reason: 'untrusted_certificate' });
    const stranger = createEgress({ ...settings, ...here }, resolving(['127.0.0.1']));
    expect(await stranger.call({ url: `https://app.example:${securePort}/` })).toMatchObject({
      outcome: 'failed',
      reason: 'untrusted_certificate',
    });
    expect(heard).toEqual([]);
  });

  it('takes no proxy from the environment', async () => {
    const port = await startPlain((request, response) => void response.end(request.url));
    const proxy = `http://127.0.0.1:${plainPort}`;
    const script = `
      import { createEgress } from '#src/gateways/egress.ts';
      const settings = { allowed: ['127.0.0.1/32'], timeLimitSeconds: 5, maximumBodyBytes: 2000, maximumPerHost: 2 };
      const answer = await createEgress(settings).call({ url: 'http://127.0.0.1:${port}/direct' });
      console.log(String(answer.body));`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script], {
      cwd: fileURLToPath(new URL('../..', import.meta.url)),
      env: { NODE_USE_ENV_PROXY: '1', HTTP_PROXY: proxy, http_proxy: proxy, HTTPS_PROXY: proxy, ALL_PROXY: proxy },
    });
    expect(stdout.trim()).toBe('/direct');
    expect(heard).toEqual([]);
  });

  it('follows no redirect', async () => {
    const port = await startPlain((_request, response) => {
      response.writeHead(307, { location: `http://127.0.0.1:${plainPort}/secret` }).end();
    });
    const outcome = await egress({ allowed: ['127.0.0.1/32'] }).call({ url: `http://127.0.0.1:${port}/` });
    expect(outcome).toMatchObject({ outcome: 'answered', status: 307 });
    expect(heard).toEqual([]);
  });

  it('reads no more of the answer than it has room for', async () => {
    const endless = await startPlain((_request, response) => {
      const more = (): void => void response.write('x'.repeat(1_000), () => response.destroyed || more());
      more();
    });
    const packed = await startPlain((_request, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' }).end('x');
    });
    const verbose = await startPlain((_request, response) => {
      response.writeHead(200, { 'x-long': 'x'.repeat(20_000) }).end();
    });
    const here = egress({ allowed: ['127.0.0.1/32'] });
    expect(await here.call({ url: `http://127.0.0.1:${endless}/` })).toMatchObject({ reason: 'answer_too_large' });
    expect(await here.call({ url: `http://127.0.0.1:${packed}/` })).toMatchObject({ reason: 'answer_encoded' });
    expect(await here.call({ url: `http://127.0.0.1:${verbose}/` })).toMatchObject({ reason: 'unreachable' });
  });

  it('has an end: for a name that does not resolve, a server that says nothing and one that drips', async () => {
    const silent = await startPlain(() => undefined);
    const drip = await startPlain((_request, response) => {
      const timer = setInterval(() => response.write('.'), 20);
      response.on('close', () => clearInterval(timer));
    });
    const short = { allowed: ['127.0.0.1/32'], timeLimitSeconds: 0.2 };
    for (const port of [silent, drip])
      expect(await egress(short).call({ url: `http://127.0.0.1:${port}/` })).toMatchObject({ reason: 'timed_out' });
    const never = egress(short, { resolve: () => new Promise(() => undefined) });
    expect(await never.call({ url: 'https://app.example/' })).toMatchObject({ reason: 'timed_out' });
    const unknown = egress(short, { resolve: () => Promise.reject(new Error('ENOTFOUND')) });
    expect(await unknown.call({ url: 'https://app.example/' })).toMatchObject({ reason: 'unknown_host' });
  });

  it('is told when the other side hangs up, before and in the middle of its answer', async () => {
    const before = await startPlain((request) => void request.socket.destroy());
    const within = await startPlain((request, response) => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('x', () => request.socket.destroy());
    });
    const upgrade = await startPlain((_request, response) => {
      response.writeHead(101, { upgrade: 'other', connection: 'upgrade' }).end();
    });
    for (const port of [before, within, upgrade]) {
      const outcome = await egress({ allowed: ['127.0.0.1/32'] }).call({ url: `http://127.0.0.1:${port}/` });
      expect(outcome).toMatchObject({ outcome: 'failed', reason: 'unreachable' });
    }
  });

  it('waits for its turn at one host, and holds up no other', async () => {
    const held: (() => void)[] = [];
    let most = 0;
    let now = 0;
    const slow = await startPlain((_request, response) => {
      now += 1;
      most = Math.max(most, now);
      held.push(() => {
        now -= 1;
        response.end();
      });
      if (held.length === 2) reached.resolve();
    });
    const reached = Promise.withResolvers<void>();
    const here = egress({ allowed: ['127.0.0.0/8', '::1/128'] });
    const calls = Array.from({ length: 5 }, () => here.call({ url: `http://127.0.0.1:${slow}/` }));
    await reached.promise;
    const elsewhere = egress({ allowed: ['app.internal', '127.0.0.0/8'] }, resolving(['127.0.0.1']));
    expect(await elsewhere.call({ url: `http://app.internal:${plainPort}/` })).toMatchObject({ outcome: 'answered' });
    const settled = Promise.all(calls);
    let isDone = false;
    void settled.then(() => {
      isDone = true;
    });
    while (!isDone) {
      held.shift()?.();
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect((await settled).map(({ outcome }) => outcome)).toEqual(Array(5).fill('answered'));
    expect(most).toBe(2);
  });

  it('looks like fetch to the engine, and ignores the way out that the engine would choose', async () => {
    const requests: IncomingMessage[] = [];
    const port = await startPlain((request, response) => {
      requests.push(request);
      response.writeHead(request.url === '/empty' ? 204 : 200, { 'content-type': 'application/json' });
      response.end(request.url === '/empty' ? undefined : '{"keys":[]}');
    });
    const { fetch } = egress({ allowed: ['127.0.0.1/32'] });
    const options = {
      method: 'POST',
      headers: new Headers({ accept: 'application/json' }),
      body: new URLSearchParams({ a: 'b' }),
      signal: AbortSignal.timeout(2_500),
      dispatcher: { dispatch: () => heard.push('dispatched') } as never,
    };
    const response = await fetch(`http://127.0.0.1:${port}/keys`, options);
    expect(await response.json()).toEqual({ keys: [] });
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(requests[0]?.headers['accept']).toBe('application/json');
    expect((await fetch(`http://127.0.0.1:${port}/empty`)).status).toBe(204);
    expect(heard).toEqual([]);
    await expect(fetch('http://10.0.0.1/')).rejects.toThrow('fetch failed');
    await expect(fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.abort() })).rejects.toThrow('fetch failed');
  });
});
