/** What examples/web-app remembers of a request in order to show it: everything but what would let a reader act as somebody. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { browserExchange, type Exchange, mask, record, recordingFetch } from '../../examples/web-app/exchanges.ts';

const accessToken = 'at_the-access-token-that-nobody-may-read';
const refreshToken = 'rt_the-refresh-token-that-nobody-may-read';
const secret = 'the-client-secret-that-nobody-may-read';

describe('a recorded exchange', () => {
  let server: Server;
  let origin: string;
  let answer: { status: number; body: string; headers?: Record<string, string> };

  beforeAll(async () => {
    server = createServer((_request, response) => {
      response.writeHead(answer.status, {
        'Content-Type': 'application/json',
        'X-Inner': 'not shown',
        ...answer.headers,
      });
      response.end(answer.body);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`; // a TCP server's address has this shape
  });

  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  async function exchange(url: string, options: Parameters<typeof recordingFetch>[1]): Promise<Exchange> {
    const exchanges: Exchange[] = [];
    await record(exchanges, () => recordingFetch(url, options));
    const [only] = exchanges;
    if (only === undefined || exchanges.length !== 1) throw new Error(`${exchanges.length} exchanges`);
    return only;
  }

  it('shows names and cuts secrets and tokens short, in what was sent and in what came back', async () => {
    answer = {
      status: 200,
      body: JSON.stringify({
        access_token: accessToken,
        refresh_token: refreshToken,
        id_token: 'short',
        expires_in: 900,
      }),
    };
    const {
      title,
      request,
      answer: shown,
    } = await exchange(`${origin}/token`, {
      method: 'POST',
      headers: { authorization: `Basic ${Buffer.from(`the%20client:${secret}`).toString('base64')}` },
      body: new URLSearchParams({
        grant_type: 'authorization_code',
        code: 'ac_a-code-that-nobody-may-read',
        code_verifier: 'a-verifier-that-nobody-may-read',
        client_secret: secret,
        refresh_token: refreshToken,
        token: accessToken,
        redirect_uri: 'http://localhost/callback',
      }),
    });
    expect(title).toBe('POST /token → 200');
    expect(request).toContain('the client:••••');
    expect(request).toContain('grant_type=authorization_code');
    expect(request).toContain('redirect_uri=http://localhost/callback');
    expect(shown).toContain('"expires_in": 900');
    expect(shown).toContain('"id_token": "••••"');
    expect(request + shown).not.toContain('nobody-may-read');
    expect(request + shown).not.toContain(Buffer.from(secret).toString('base64').slice(0, 20));
    expect(shown).not.toContain('X-Inner');
  });

  it('cuts a bearer token short, and says nothing of a body that is not JSON', async () => {
    answer = {
      status: 401,
      body: `<p>${accessToken}</p>`,
      headers: { 'WWW-Authenticate': 'Bearer error="invalid_token"' },
    };
    const { request, answer: shown } = await exchange(`${origin}/userinfo`, {
      headers: { authorization: `Bearer ${accessToken}` },
    });
    expect(request).toContain(`Authorization: Bearer ${accessToken.slice(0, 10)}…`);
    expect(shown).toContain('www-authenticate: Bearer error="invalid_token"');
    expect(shown).toContain('characters that are not JSON');
    expect(request + shown).not.toContain(accessToken);
  });

  it('cuts what the browser carries short as well', () => {
    const url = new URL(`https://issuer.example/logout?state=bye&id_token_hint=${accessToken}`);
    const { request } = browserExchange('The browser leaves', url, '');
    expect(request).toContain('state=bye');
    expect(request).not.toContain(accessToken);
  });

  it('is kept when nobody answers, and only for whoever asked', async () => {
    answer = { status: 200, body: '{}' };
    const [mine, theirs]: [Exchange[], Exchange[]] = [[], []];
    await Promise.all([
      record(mine, () => recordingFetch(`${origin}/mine`)),
      record(theirs, () => recordingFetch(`${origin}/theirs`)),
      recordingFetch(`${origin}/unrecorded`),
    ]);
    await expect(record(mine, () => recordingFetch('http://127.0.0.1:1/nobody'))).rejects.toThrow();
    expect(mine.map(({ title }) => title)).toEqual(['GET /mine → 200', 'GET /nobody → no answer']);
    expect(theirs.map(({ title }) => title)).toEqual(['GET /theirs → 200']);
  });

  it('never shows so much of a value that it could be used', () => {
    expect(mask('short')).toBe('••••');
    expect(mask('x'.repeat(16))).toBe('••••');
    expect(mask(accessToken)).toBe(`at_the-acc… (${accessToken.length} characters)`);
  });
});
