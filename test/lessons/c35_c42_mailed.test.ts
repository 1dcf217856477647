/**
 * Row C35, secrets in logs, addresses and referrers (CVE-2026-7571): the token of a link, the code beside it, the handle of a browser and a
 * password are in the mail, in the form and in the cookie, and nowhere else: not in a log, an event, a redirect or the database.
 */
import { mailsOf } from '#test/support/mailbox.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import type { Page } from '#test/support/user_agent.ts';
import { createVisitor, goodPassword, newAddress, proofFor } from '#test/support/visitor.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

const another = 'zeehond paraplu driehoek';
let server: TestServer;
let acme: TestTenant;

beforeAll(async () => {
  server = await startTestServer({ logLevel: 'debug' });
  acme = await createTestTenant(server, 'acme');
});

afterAll(() => server.close());

describe('C35: what is mailed', () => {
  it('is in no log, event or redirect, and not in the database as it is', async () => {
    const email = newAddress();
    const visitor = createVisitor(server, acme);
    const answers: Page[] = [await visitor.signUp({ email, password: goodPassword })];
    const registration = await proofFor(server, acme, email);
    const shown = await visitor.agent.follow(registration.link);
    answers.push(shown, await visitor.agent.submit(shown, {}), await visitor.send('forgot', { email }));
    const reset = await proofFor(server, acme, email);
    const form = await visitor.agent.follow(reset.link);
    const handles = visitor.agent.cookies().map((cookie) => cookie.slice(cookie.indexOf('=') + 1));
    answers.push(form, await visitor.agent.submit(form, { new_password: another }));

    const tokens = [registration, reset].flatMap(({ link, code }) => [
      new URL(link).searchParams.get('token') ?? '',
      code,
    ]);
    const secrets = [...tokens, ...handles, goodPassword, another];
    expect(secrets.every((secret) => secret.length >= 8)).toBe(true);
    expect(server.log.length).toBeGreaterThan(5);
    const dump = await queryAsSuperuser<{ text: string }>(
      server.database,
      `select (select string_agg(p::text, ' ') from proofs p) || (select string_agg(e::text, ' ') from events e)
           || (select string_agg(u::text, ' ') from users u) as text`,
    );
    const places = { log: JSON.stringify(server.log), database: JSON.stringify(dump) };
    for (const [place, text] of Object.entries(places))
      for (const secret of secrets) expect({ place, found: text.includes(secret) }).toEqual({ place, found: false });
    for (const { url, headers } of answers.filter(({ url }) => !url.includes('?token=')))
      for (const secret of tokens) expect(url + String(headers.get('location'))).not.toContain(secret);
    expect(server.log.filter(({ level }) => Number(level) >= 40)).toEqual([]);
  });

  it('goes to nobody as a referrer, and is kept by no cache', async () => {
    const email = newAddress();
    await createVisitor(server, acme).signUp({ email });
    const page = await createVisitor(server, acme).agent.follow((await proofFor(server, acme, email)).link);
    expect(page.headers.get('referrer-policy')).toBe('same-origin');
    expect(page.headers.get('cache-control')).toBe('no-store');
    const elsewhere = [...page.body.matchAll(/(?:src|href|action)="(https?:[^"]*)"/g)].map(
      ([, address]) => address ?? '',
    );
    expect(elsewhere.filter((address) => !address.startsWith(`${server.origin}/`))).toEqual([]);
  });
});

describe('C42: an address that strangers ask mail for', () => {
  it('gets five in an hour, whatever is asked; who asks cannot tell, and the last link that was sent stays good', async () => {
    const email = newAddress();
    const visitor = createVisitor(server, acme);
    const page = await visitor.signUp({ email });
    await visitor.agent.submit(page, { code: (await proofFor(server, acme, email)).code });
    const answers: Page[] = [];
    for (let times = 0; times < 4; times += 1)
      for (const form of ['forgot', 'signup'] as const) {
        const fields = form === 'forgot' ? { email } : { email, password: goodPassword };
        answers.push(await createVisitor(server, acme).send(form, fields));
      }
    expect(answers.every(({ status }) => status === 200)).toBe(true);
    const received = (await mailsOf(server, acme)).filter(({ to }) => to === email);
    expect(received).toHaveLength(5);
    const reset = received.filter(({ kind }) => kind === 'reset_password').at(-1);
    const link = reset?.mail.kind === 'reset_password' ? reset.mail.link : '';
    expect((await visitor.agent.follow(link)).status).toBe(200);
  });

  it.each([
    'ada@acme.test\r\nBcc: everyone@acme.test',
    'ada@acme.test\n',
    'ada@acme.test, eve@acme.test',
    'Ada <ada@acme.test>',
    '"ada\r\n"@acme.test',
  ])('is one address: %j is told to be none', async (email) => {
    const before = await mailsOf(server, acme);
    for (const [form, fields] of [
      ['signup', { email, password: goodPassword }],
      ['forgot', { email }],
    ] as const)
      expect((await createVisitor(server, acme).send(form, fields)).status).toBe(400);
    expect(await mailsOf(server, acme)).toEqual(before);
  });
});
