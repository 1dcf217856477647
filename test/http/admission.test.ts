/** Who is let in while many come at once, and when the others are to come back. */
import { connect, type Socket } from 'node:net';
import { createAdmission } from '#src/http/admission.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { callEndpoint } from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

describe('an admission', () => {
  it('lets in as many as there are places, sends the others away at once, and lets in again who comes later', async () => {
    const draws = [3, 7];
    const admission = createAdmission({ places: 2, spreadSeconds: 10, draw: () => draws.shift() ?? 0 });
    const { promise: answered, resolve: answer } = Promise.withResolvers<void>();
    const inside = [admission.admit(() => answered), admission.admit(() => answered)];
    expect(await admission.admit(async () => undefined)).toEqual({ retryAfterSeconds: 3 });
    expect(await admission.admit(async () => undefined)).toEqual({ retryAfterSeconds: 7 });
    answer();
    expect(await Promise.all(inside)).toEqual([undefined, undefined]);
    expect(await admission.admit(async () => undefined)).toBeUndefined();
  });

  it('gives a place back when the work in it fails', async () => {
    const admission = createAdmission({ places: 1, spreadSeconds: 10, draw: () => 1 });
    const fail = async (): Promise<void> => {
      throw new Error('a fault');
    };
    for (let count = 0; count < 3; count += 1) await expect(admission.admit(fail)).rejects.toThrow('a fault');
    expect(await admission.admit(async () => undefined)).toBeUndefined();
  });
});

describe('the token endpoint', () => {
  let server: TestServer;
  let acme: TestTenant;

  beforeAll(async () => {
    server = await startTestServer();
    acme = await createTestTenant(server, 'acme');
  });

  afterAll(() => server.close());

  const token = () =>
    callEndpoint(acme.issuer, '/token', {
      client: acme.clients.machine,
      form: { grant_type: 'client_credentials', resource: acme.jwtApi, scope: 'readings:read' },
    });

  it('sends away who is too many, with a moment to come back at, and serves all who come back', async () => {
    const answers = await Promise.all(Array.from({ length: 300 }, token));
    const away = answers.filter(({ status }) => status === 503);
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(300 - away.length);
    for (const { headers, json } of away) {
      expect(Number(headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
      expect(Number(headers.get('retry-after'))).toBeLessThanOrEqual(10);
      expect(json).toMatchObject({ code: 'temporarily_unavailable' });
    }
    expect((await token()).status).toBe(200);
  });

  it('gives no place to who sends a request byte by byte', async () => {
    const { port } = new URL(server.origin);
    const slow: Socket[] = [];
    for (let count = 0; count < 200; count += 1) {
      const socket = connect(Number(port), '127.0.0.1');
      socket.on('error', () => undefined);
      const head = `POST /t/acme/token HTTP/1.1\r\nhost: localhost:${port}\r\ncontent-length: 500\r\n`;
      await new Promise((resolve) =>
        socket.write(`${head}content-type: application/x-www-form-urlencoded\r\n\r\ngrant_type=`, resolve),
      );
      slow.push(socket);
    }
    expect((await token()).status).toBe(200);
    for (const socket of slow) socket.destroy();
  });
});
