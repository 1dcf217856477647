import { Secret } from '#src/foundation/secret.ts';
import { createMailServer, type MailServer, type OutgoingMail, type SendOutcome } from '#src/gateways/mail_server.ts';
import { createCertificateAuthority } from '#test/support/certificates.ts';
import { readMail, type SmtpServer, startSmtpServer } from '#test/support/smtp_server.ts';

const authority = createCertificateAuthority();
const certificate = authority.issue('localhost');
const opened: { close(): unknown }[] = [];

afterEach(async () => {
  for (const each of opened.splice(0)) await each.close();
});

async function start(options: Parameters<typeof startSmtpServer>[0] = {}): Promise<SmtpServer> {
  const server = await startSmtpServer(options);
  opened.push(server);
  return server;
}

function connect(url: string, { timeLimitSeconds = 10, trusting = true } = {}): MailServer {
  const server = createMailServer({
    url: new Secret(url),
    clientName: 'id.example.org',
    timeLimitSeconds,
    ...(trusting ? { certificateAuthorities: [authority.certificate] } : {}),
  });
  opened.push(server);
  return server;
}

const ordinary: OutgoingMail = {
  messageId: '019ab@id.example.org',
  date: new Date('2026-11-25T10:00:00Z'),
  from: { name: 'Zorggroep De Linde', address: 'no-reply@example.org' },
  to: { name: '', address: 'ada@example.org' },
  subject: 'Uw code',
  text: 'Uw code is 123456.\n',
  html: '<p>Uw code is 123456.</p>',
};

const accepted: SendOutcome = { outcome: 'accepted' };

describe('a mail', () => {
  it('arrives with both parts, its date and identifier, and the words that keep machines from answering', async () => {
    const server = await start();
    expect(await connect(server.url).send(ordinary)).toEqual(accepted);
    const [received] = server.mails;
    expect(received).toMatchObject({ sender: 'no-reply@example.org', recipients: ['ada@example.org'] });
    const mail = readMail(received?.raw ?? '');
    expect(mail.text.trim()).toBe('Uw code is 123456.');
    expect(mail.html.trim()).toBe('<p>Uw code is 123456.</p>');
    expect(mail.header('From')).toBe('Zorggroep De Linde <no-reply@example.org>');
    expect(mail.header('Message-ID')).toBe('<019ab@id.example.org>');
    expect(new Date(mail.header('Date'))).toEqual(ordinary.date);
    expect(mail.header('Auto-Submitted')).toBe('auto-generated');
    expect(mail.headers.map(([name]) => name.toLowerCase())).not.toContain('list-unsubscribe');
    expect(server.commands[0]).toBe('EHLO id.example.org');
  });

  it('takes its turn on a few connections', async () => {
    const server = await start();
    const client = connect(server.url);
    await Promise.all(Array.from({ length: 20 }, () => client.send(ordinary)));
    expect(server.mails).toHaveLength(20);
    expect(server.commands.filter((command) => command.startsWith('EHLO')).length).toBeLessThanOrEqual(4);
  });
});

describe('what somebody wrote into a name, an address or a subject', () => {
  const attacks = [
    'Ada\r\nBcc: everyone@example.org',
    'Ada\nBcc: everyone@example.org',
    'Ada\rBcc: everyone@example.org',
    'Ada\r\n\r\n<script>body</script>',
    'Ada\r\n.\r\nMAIL FROM:<eve@example.org>',
    'Ada" <eve@example.org>, "',
    'Ada>, <eve@example.org',
    'Ada\0Bcc: everyone@example.org',
    'Ada\u2028Bcc: everyone@example.org',
    '=?utf-8?Q?=0D=0ABcc:_everyone=40example.org?=',
    'Ada\u000b\u000cBcc: everyone@example.org',
    'Ada, eve@example.org;',
    'undisclosed: eve@example.org;',
  ];

  it.each(attacks)('adds no header and no recipient as a name: %j', async (attack) => {
    const server = await start();
    const names = { from: { ...ordinary.from, name: attack }, to: { ...ordinary.to, name: attack } };
    await connect(server.url).send({ ...ordinary, ...names, subject: attack });
    expect(server.mails).toHaveLength(1);
    const [received] = server.mails;
    expect(received).toMatchObject({ sender: 'no-reply@example.org', recipients: ['ada@example.org'] });
    const { headers } = readMail(received?.raw ?? '');
    expect(headers.map(([name]) => name.toLowerCase()).sort()).toEqual(ordinaryHeaders);
    expect(server.commands.filter((command) => /^(MAIL|RCPT)/.test(command))).toHaveLength(2);
    expect(received?.raw).not.toMatch(/\r\n\.\r\n|\0/);
  });

  it.each(attacks)('reaches nobody else as an address: %j', async (attack) => {
    const server = await start();
    await connect(server.url).send({ ...ordinary, to: { name: '', address: attack } });
    const reached = server.mails.flatMap(({ recipients }) => recipients);
    expect(reached.filter((address) => /^(eve|everyone)@example\.org$/.test(address))).toEqual([]);
    for (const { raw } of server.mails) {
      expect(
        readMail(raw)
          .headers.map(([name]) => name.toLowerCase())
          .sort(),
      ).toEqual(ordinaryHeaders);
    }
    for (const command of server.commands) expect(command).not.toMatch(/[\r\n\0]/);
  });
});

const ordinaryHeaders = [
  'auto-submitted',
  'content-type',
  'date',
  'from',
  'message-id',
  'mime-version',
  'subject',
  'to',
  'x-auto-response-suppress',
].sort();

describe('an answer of the mail server', () => {
  it.each([
    ['RCPT', '450 4.2.1 <ada@example.org> is greylisted', { permanent: false, problem: 'RCPT TO: 450 4.2.1' }],
    ['RCPT', '550 5.1.1 <ada@example.org> unknown', { permanent: true, problem: 'RCPT TO: 550 5.1.1' }],
    ['RCPT', '550 no', { permanent: true, problem: 'RCPT TO: 550' }],
    ['.', '554 5.7.1 spam, says ada@example.org', { permanent: true, problem: 'DATA: 554 5.7.1' }],
    ['.', '451 4.3.0 later', { permanent: false, problem: 'DATA: 451 4.3.0' }],
    ['DATA', '503 5.5.1 order', { permanent: false, problem: 'DATA: 503 5.5.1' }],
    // About us, and not about this mail: an operator can repair it.
    ['MAIL', '550 5.7.1 not from you', { permanent: false, problem: 'MAIL FROM: 550 5.7.1' }],
    ['connect', '554 5.3.2 closed', { permanent: false, problem: expect.stringMatching(/554/) }],
    ['connect', '421 4.3.2 busy', { permanent: false, problem: expect.stringMatching(/421/) }],
  ])('to %s of %j is understood, and not repeated', async (when, answer, expected) => {
    const server = await start();
    server.behave((command) => (command.startsWith(when) ? answer : undefined));
    const outcome = await connect(server.url).send(ordinary);
    expect(outcome).toEqual({ outcome: 'failed', ...expected });
    expect(JSON.stringify(outcome)).not.toContain('ada@example.org');
    expect(server.mails).toEqual([]);
  });

  it.each(['connect', 'EHLO', 'RCPT', 'DATA', '.'])('that does not come after %s is not waited for', async (when) => {
    const server = await start();
    server.behave((command) => (command.startsWith(when) ? 'hang' : undefined));
    const before = performance.now();
    expect(await connect(server.url, { timeLimitSeconds: 1 }).send(ordinary)).toEqual({
      outcome: 'failed',
      permanent: false,
      problem: 'no answer within 1 seconds',
    });
    expect(performance.now() - before).toBeLessThan(3000);
  });

  it.each(['connect', 'RCPT', '.'])('that is a broken connection after %s is a failure of the moment', async (when) => {
    const server = await start();
    server.behave((command) => (command.startsWith(when) ? 'drop' : undefined));
    const outcome = await connect(server.url).send(ordinary);
    expect(outcome).toMatchObject({ outcome: 'failed', permanent: false });
    server.behave(() => undefined);
    expect(await connect(server.url).send(ordinary)).toEqual(accepted);
  });

  it('that never comes because nobody listens is a failure of the moment', async () => {
    const server = await start();
    const { url } = server;
    await server.close();
    const problem = 'CONN: ECONNREFUSED';
    expect(await connect(url).send(ordinary)).toEqual({ outcome: 'failed', permanent: false, problem });
  });
});

describe('TLS', () => {
  it('is taken when the server offers it', async () => {
    const server = await start({ certificate });
    expect(await connect(server.url).send(ordinary)).toEqual(accepted);
    expect(server.mails).toMatchObject([{ encrypted: true }]);
  });

  it('is there from the first byte with smtps', async () => {
    const server = await start({ certificate, implicitTls: true });
    expect(await connect(server.url.replace('//', '//ada:pass%40word@')).send(ordinary)).toEqual(accepted);
    expect(server.mails).toMatchObject([{ encrypted: true }]);
    const plain = Buffer.from('\0ada\0pass@word').toString('base64');
    expect(server.commands).toContain(`AUTH PLAIN ${plain}`);
  });

  it.each([true, false])(
    'with a certificate that nobody vouches for is refused (from the first byte: %s)',
    async (implicitTls) => {
      const server = await start({ certificate, implicitTls });
      const outcome = await connect(server.url, { trusting: false }).send(ordinary);
      const problem = 'CONN: UNABLE_TO_VERIFY_LEAF_SIGNATURE';
      expect(outcome).toEqual({ outcome: 'failed', permanent: false, problem });
      expect(server.mails).toEqual([]);
      expect(server.commands.filter((command) => /^(MAIL|AUTH)/.test(command))).toEqual([]);
    },
  );

  it('is waited for before credentials are said', async () => {
    const server = await start();
    const outcome = await connect(server.url.replace('//', '//ada:password@')).send(ordinary);
    expect(outcome).toMatchObject({ outcome: 'failed', permanent: false });
    expect(server.commands.join(' ')).not.toMatch(/AUTH|MAIL/);
    expect(JSON.stringify(outcome)).not.toContain('password');
  });

  it('for another host is refused', async () => {
    const server = await start({ certificate: authority.issue('elsewhere.test') });
    expect(await connect(server.url).send(ordinary)).toMatchObject({ outcome: 'failed' });
    expect(server.mails).toEqual([]);
  });
});
