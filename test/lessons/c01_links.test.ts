/**
 * Row C1, links that lead to an attacker (CVE-2023-49097, CVE-2025-64101, GHSA-pfrf-9r5f-73f5): whatever a request says of its host, no byte
 * of it comes back in a page, a header or a mail. Every way of saying it, at every page whose deed is a mail.
 */
import { canary, formType } from '#test/support/attack_surface.ts';
import { mailsOf } from '#test/support/mailbox.ts';
import { poisonings } from '#test/support/poisonings.ts';
import { sendRaw } from '#test/support/raw_http.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createVisitor, goodPassword, newAddress, proofFor, registered } from '#test/support/visitor.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;

beforeAll(async () => {
  const plenty = 100_000;
  server = await startTestServer({
    change: (config) => ({ ...config, signIn: { ...config.signIn, maximumPerAddress: plenty } }),
  });
  acme = await createTestTenant(server, 'acme');
});

afterAll(async () => {
  expect(server.log).toEqual([]);
  await server.close();
});

const pages = ['signup', 'forgot', 'verify', 'reset', 'invite'] as const;

describe.each(poisonings)('C1: $name', ({ refused, headers, target = (path) => path, version }) => {
  const request = (method: 'GET' | 'POST', path: string, more: { evil: string; cookie?: string; body?: string }) =>
    sendRaw(server.config.http.port, {
      method,
      target: target(path, more.evil),
      headers: [
        ...headers(new URL(server.origin).host, more.evil),
        ['Accept', 'text/html'],
        ...(more.cookie === undefined ? [] : ([['Cookie', more.cookie]] as const)),
        ...(more.body === undefined ? [] : ([formType] as const)),
      ],
      ...(more.body === undefined ? {} : { body: more.body }),
      ...(version === undefined ? {} : { version }),
    });

  it('comes back in no page', async () => {
    for (const page of pages) {
      const evil = `${canary()}.example`;
      const answer = await request('GET', `/t/acme/${page}`, { evil });
      if (refused !== undefined) expect(refused).toContain(answer.status);
      expect(JSON.stringify([answer.headers, answer.body])).not.toContain(evil);
    }
  });

  it.each(['signup', 'forgot'] as const)('is in no mail that %s sends, nor in where it leads', async (page) => {
    const evil = `${canary()}.example`;
    const email = page === 'forgot' ? (await registered(server, acme)).email : newAddress();
    const { agent, open } = createVisitor(server, acme);
    const csrf = /name="csrf" value="([^"]*)"/.exec((await open(page)).body)?.[1] ?? '';
    const before = (await mailsOf(server, acme)).length;
    const fields = page === 'forgot' ? { csrf, email } : { csrf, email, password: goodPassword };
    const body = new URLSearchParams(fields).toString();
    const answer = await request('POST', `/t/acme/${page}`, { evil, cookie: agent.cookies().join('; '), body });
    expect(JSON.stringify([answer.headers, answer.body])).not.toContain(evil);
    const mails = (await mailsOf(server, acme)).slice(before);
    if (refused !== undefined) {
      expect(refused).toContain(answer.status);
      expect(mails).toEqual([]);
      return;
    }
    expect(answer.status).toBe(303);
    expect(answer.header('location')).toMatch(new RegExp(`^${server.origin}/t/acme/(verify|reset)$`));
    expect(mails).toHaveLength(1);
    expect(JSON.stringify(mails)).not.toContain(evil);
    expect((await proofFor(server, acme, email)).link.startsWith(`${acme.issuer}/`)).toBe(true);
  });
});
