import { HtmlValidate } from 'html-validate';
import { linksOf } from '#src/domain/mail.ts';
import { mailCode, mailsOfEveryKind, queueAt, readMailbox } from '#test/support/mails.ts';
import { startSmtpServer } from '#test/support/smtp_server.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { startTestServer, type TestServer, type TestServerOptions } from '#test/support/test_server.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

describe('the development mailbox', () => {
  let server: TestServer;
  let acme: TestTenant;
  let globex: TestTenant;

  beforeAll(async () => {
    server = await startTestServer({ environment: { POORT_MAIL_FROM: 'no-reply@id.test' } });
    acme = await createTestTenant(server, 'acme');
    globex = await createTestTenant(server, 'globex');
  });

  afterAll(() => server.close());

  const get = async (path: string) => {
    const answer = await fetch(`${server.origin}${path}`);
    return { status: answer.status, headers: answer.headers, body: await answer.text() };
  };

  it('shows what has just been written, of all tenants, the latest first, without anybody waiting', async () => {
    const link = `${acme.issuer}/reset?token=x&y=z`;
    const mail = { kind: 'reset_password', link, code: mailCode } as const;
    await queueAt(server, { tenant: acme, to: 'Ada@Acme.test', mail });
    await readMailbox(server);
    await queueAt(server, {
      tenant: globex,
      to: 'bob@globex.test',
      mail: { kind: 'email_code', code: '123456' },
      locale: 'en',
    });
    const [latest, earlier] = await readMailbox(server);
    expect(latest).toMatchObject({
      to: 'bob@globex.test',
      tenant: 'globex',
      kind: 'email_code',
      subject: 'Your code for Globex',
      code: '123456',
    });
    expect(earlier).toMatchObject({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      to: 'Ada@acme.test',
      from: 'Acme <no-reply@id.test>',
      subject: 'Nieuw wachtwoord voor Acme',
      tenant: 'acme',
      kind: 'reset_password',
      code: mailCode,
      links: [link, acme.issuer],
    });
    expect(Math.abs(Date.parse(earlier?.at ?? '') - Date.now())).toBeLessThan(60_000);
    expect(earlier?.text).toContain(link);
    expect(earlier?.html).toContain('Kies een nieuw wachtwoord');
  });

  it('shows a mail with its links to follow, and its HTML where nothing runs', async () => {
    const link = `${acme.issuer}/unlock?token=a&b=c`;
    await queueAt(server, { tenant: acme, to: 'linked@acme.test', mail: { kind: 'unlock', link } });
    const [mail] = await readMailbox(server, 'linked@acme.test');
    const list = await get('/dev/mail');
    expect(list.status).toBe(200);
    expect(list.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(list.body).toContain(`href="/dev/mail/${mail?.id}"`);
    const one = await get(`/dev/mail/${mail?.id}`);
    expect(one.body).toContain(`<a href="${link.replaceAll('&', '&amp;')}">`);
    const html = await get(`/dev/mail/${mail?.id}/html`);
    expect(html.body).toBe(mail?.html);
    expect(html.headers.get('content-security-policy')).toMatch(
      /^default-src 'none'; style-src 'unsafe-inline';.*sandbox/,
    );
    for (const page of [list, one]) {
      expect(page.headers.get('content-security-policy')).not.toContain('unsafe');
      expect(page.headers.get('cache-control')).toBe('no-store');
      const report = await new HtmlValidate({
        extends: ['html-validate:recommended'],
        rules: { 'require-sri': 'off', 'no-trailing-whitespace': 'off', 'long-title': 'off' },
      }).validateString(page.body);
      expect(report.results.flatMap(({ messages }) => messages.map(({ message }) => message))).toEqual([]);
    }
    expect((await get('/dev/mail/019ab000-0000-7000-8000-000000000000')).status).toBe(404);
  });

  it('shows every kind of mail with its links', async () => {
    const mails = mailsOfEveryKind(acme.issuer);
    for (const [index, mail] of mails.entries())
      await queueAt(server, { tenant: acme, to: `kind-${index}@acme.test`, mail });
    const shown = await readMailbox(server);
    for (const [index, mail] of mails.entries()) {
      const entry = shown.find(({ to }) => to === `kind-${index}@acme.test`);
      expect(entry?.kind).toBe(mail.kind);
      for (const link of linksOf(mail)) expect(entry?.links).toContain(link);
    }
  });

  it('keeps what it shows sealed', async () => {
    const [{ text } = { text: '' }] = await queryAsSuperuser<{ text: string }>(
      server.database,
      `select string_agg(m::text || ' ' || coalesce(encode(m.sealed, 'escape'), ''), ' ') as text from mails m`,
    );
    for (const secret of [mailCode, 'acme.test', 'token=']) expect(text).not.toContain(secret);
  });

  it('keeps the latest of each tenant, and no more than it was told', async () => {
    const small = await startTestServer({
      change: (config) => ({ ...config, mail: { ...config.mail, developmentMailboxSize: 3 } }),
    });
    const mail = { kind: 'email_code', code: mailCode } as const;
    const first = await createTestTenant(small, 'acme');
    const second = await createTestTenant(small, 'globex');
    await queueAt(small, { tenant: second, to: 'kept@globex.test', mail });
    for (let index = 0; index < 6; index += 1) {
      await queueAt(small, { tenant: first, to: `kept-${index}@acme.test`, mail });
      await readMailbox(small);
    }
    const kept = (await readMailbox(small)).map(({ to }) => to);
    expect(kept).toEqual(['kept-5@acme.test', 'kept-4@acme.test', 'kept-3@acme.test', 'kept@globex.test']);
    await small.close();
  });
});

describe('there is no development mailbox', () => {
  const addresses = ['/dev/mail', '/dev/mail.json', '/dev/mail/019ab000-0000-7000-8000-000000000000'];

  async function statuses(options: TestServerOptions): Promise<readonly number[]> {
    const server = await startTestServer(options);
    try {
      const acme = await createTestTenant(server, 'acme');
      await queueAt(server, { tenant: acme, to: 'ada@acme.test', mail: { kind: 'email_code', code: mailCode } });
      const answers: number[] = [];
      for (const address of addresses) answers.push((await fetch(`${server.origin}${address}`)).status);
      return answers;
    } finally {
      await server.close();
    }
  }

  it('in production', async () => {
    expect(await statuses({ change: (config) => ({ ...config, env: 'production' }) })).toEqual([404, 404, 404]);
  });

  it('where there is a mail server', async () => {
    const smtp = await startSmtpServer();
    expect(await statuses({ environment: { POORT_SMTP_URL: smtp.url } })).toEqual([404, 404, 404]);
    expect(smtp.mails).toEqual([]);
    await smtp.close();
  });
});
