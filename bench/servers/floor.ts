/**
 * Server (a), the floor: the least a server with Poort's promises can do. Bare `node:http` and `pg`; Basic authentication
 * by SHA-256; one indexed read under row-level security, as a role that owns nothing, through a function that sets the
 * tenant and reads in one round trip (a named statement). Below this no design of Poort's can get.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import pg from 'pg';

const { port, databaseUrl, tenantId, clientId, clientSecretHash } = JSON.parse(process.argv[2] ?? '{}') as {
  readonly port: number;
  readonly databaseUrl: string;
  readonly tenantId: string;
  readonly clientId: string;
  readonly clientSecretHash: string;
};

const expectedSecretHash = Buffer.from(clientSecretHash, 'base64url');
const pool = new pg.Pool({ connectionString: databaseUrl, max: 10 });
pool.on('error', () => undefined);

const server = createServer(async (request, response) => {
  try {
    const form = new URLSearchParams(await readBody(request));
    if (!isAuthenticated(request.headers.authorization)) {
      response.writeHead(401, { 'www-authenticate': 'Basic' }).end();
      return;
    }
    const { rows } = await pool.query<{ readonly payload: string }>({
      name: 'find_token',
      text: 'select payload from find_token($1, $2)',
      values: [tenantId, sha256(form.get('token') ?? '')],
    });
    const payload = rows[0]?.payload;
    const body = JSON.stringify(payload === undefined ? { active: false } : { active: true, ...JSON.parse(payload) });
    response.writeHead(200, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      'cache-control': 'no-store',
    });
    response.end(body);
  } catch (error) {
    response.writeHead(500).end(String(error));
  }
});
server.listen(port, '127.0.0.1', () => process.stdout.write('{"ready":true}\n'));

for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(0));

function isAuthenticated(authorization: string | undefined): boolean {
  if (authorization?.startsWith('Basic ') !== true) return false;
  const [name = '', secret = ''] = Buffer.from(authorization.slice(6), 'base64').toString().split(':');
  return (
    decodeURIComponent(name) === clientId && timingSafeEqual(sha256(decodeURIComponent(secret)), expectedSecretHash)
  );
}

function sha256(value: string): Buffer {
  return createHash('sha256').update(value).digest();
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}
