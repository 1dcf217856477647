/** `poort invitation …`, and `poort user create` for somebody whose address nobody vouches for. */
import { rm } from 'node:fs/promises';
import { mailsOf } from '#test/support/mailbox.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createUserAgent } from '#test/support/user_agent.ts';
import { canSignIn, goodPassword, proofFor } from '#test/support/visitor.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';
import { besideServer, callPoort, type Installation } from './poort_process.ts';

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

async function poort(
  ...commandLine: string[]
): Promise<{ readonly code: number | null; readonly json: Record<string, unknown> }> {
  const { code, output } = await callPoort(installation, [...commandLine, '--tenant', 'acme', '--json']);
  return { code, json: JSON.parse(output) };
}

describe('poort invitation', () => {
  it('asks somebody in, whose link is in the mail and nowhere else', async () => {
    const email = 'grace@cli.test';
    const { code, json } = await poort('invitation', 'create', '--email', email, '--role', 'editor');
    expect({ code, json }).toMatchObject({ code: 0, json: { email, roles: ['editor'], mailed: true, tenant: 'acme' } });
    const { link } = await proofFor(server, acme, email);
    expect(link.startsWith(`${acme.issuer}/invite?token=`)).toBe(true);
    expect(JSON.stringify(json)).not.toContain(new URL(link).searchParams.get('token'));
    const agent = createUserAgent(server.origin);
    const done = await agent.submit(await agent.follow(link), { new_password: goodPassword });
    expect(done.url).toContain('done=invited');
    expect(await canSignIn(server, acme, { email, password: goodPassword })).toBe(true);
    expect((await poort('invitation', 'list')).json).toMatchObject({ invitations: [{ email, status: 'accepted' }] });
  });

  it('takes one back, once', async () => {
    const { json } = await poort('invitation', 'create', '--email', 'linus@cli.test');
    const id = String(json['id']);
    expect(await poort('invitation', 'revoke', id)).toMatchObject({ code: 0, json: { id, revoked: true } });
    expect(await poort('invitation', 'revoke', id)).toMatchObject({
      code: 1,
      json: { error: { code: 'unknown_invitation' } },
    });
  });

  it('refuses a role that there is not, and what is no address', async () => {
    const wrong = await poort('invitation', 'create', '--email', 'x@cli.test', '--role', 'emperor');
    expect(wrong).toMatchObject({ code: 1, json: { error: { code: 'unknown_role' } } });
    expect(await poort('invitation', 'create', '--email', 'nobody')).toMatchObject({
      json: { error: { code: 'email' } },
    });
  });
});

describe('poort user create', () => {
  it('asks whoever is not verified to confirm their address, and says so', async () => {
    const email = 'ada.l@cli.test';
    const { json } = await poort('user', 'create', '--email', email, '--password', goodPassword);
    expect(json).toMatchObject({ outcome: 'created', email_verified: false, verification_sent: true });
    const agent = createUserAgent(server.origin);
    const page = await agent.follow((await proofFor(server, acme, email)).link);
    expect((await agent.submit(page, { password: goodPassword })).url).toContain('done=verified');
    expect(await canSignIn(server, acme, { email, password: goodPassword })).toBe(true);
    const before = await mailsOf(server, acme);
    await poort('user', 'create', '--email', 'sure@cli.test', '--verified');
    expect(await mailsOf(server, acme)).toEqual(before);
  });
});
