/** How people come in by themselves, through the pages and their mailbox, without a script. */
import { configureTenant } from '#src/flows/tenants/manage_tenants.ts';
import { mailsOf } from '#test/support/mailbox.ts';
import { eventually } from '#test/support/sql.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { createMovableClock, startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorizationRequest, createUserAgent } from '#test/support/user_agent.ts';
import {
  canSignIn,
  createVisitor,
  goodPassword,
  newAddress,
  personOf,
  proofFor,
  registered,
} from '#test/support/visitor.ts';
import { callbackUri, createTestTenant, type TestTenant } from '#test/support/world.ts';

const time = createMovableClock();
let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;

beforeAll(async () => {
  server = await startTestServer({ clock: time.clock });
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
});

afterAll(async () => {
  expect(server.log).toEqual([]);
  await server.close();
});

describe('a registration', () => {
  it('makes nobody before the address is proven, and signs nobody in afterwards', async () => {
    const email = newAddress();
    const visitor = createVisitor(server, acme);
    const asked = await visitor.signUp({ email, given_name: 'Grace', family_name: 'Hopper' });
    expect(asked.url).toBe(`${acme.issuer}/verify`);
    expect(asked.body).toContain(email);
    expect(await personOf(server, email)).toBeUndefined();
    expect(await canSignIn(server, acme, { email, password: goodPassword })).toBe(false);

    const { code } = await proofFor(server, acme, email);
    const done = await visitor.agent.submit(asked, { code: `${code.slice(0, 4)} ${code.slice(4)}` });
    expect(done.url).toBe(`${acme.issuer}/verify?done=registered`);
    expect(await personOf(server, email)).toMatchObject({ email_verified: true });
    expect(visitor.agent.cookies().some((cookie) => cookie.startsWith('_session'))).toBe(false);
    expect(await canSignIn(server, acme, { email, password: goodPassword })).toBe(true);
    const events = await queryAsSuperuser<{ type: string }>(
      server.database,
      `select type from events where tenant_id = $1 and target_id = (select id::text from users where email_canonical = $2) order by id`,
      [acme.id, email],
    );
    expect(events.map(({ type }) => type)).toEqual(['user.registered', 'email.verified', 'user.signed_in']);
  });

  it('is finished by the link in the browser in which it was begun, with one click', async () => {
    const email = newAddress();
    const visitor = createVisitor(server, acme);
    await visitor.signUp({ email });
    const { link } = await proofFor(server, acme, email);
    const page = await visitor.agent.follow(link);
    expect(page.status).toBe(200);
    expect(page.body).not.toContain('type="password"');
    const done = await visitor.agent.submit(page, {});
    expect(done.url).toContain('done=registered');
    expect(await canSignIn(server, acme, { email, password: goodPassword })).toBe(true);
  });

  it('is finished by the link in another browser together with the password, and by nothing less', async () => {
    const email = newAddress();
    await createVisitor(server, acme).signUp({ email });
    const { link } = await proofFor(server, acme, email);
    const elsewhere = createUserAgent(server.origin);
    const page = await elsewhere.follow(link);
    expect(page.body).toContain('type="password"');
    const without = await elsewhere.submit(page, {});
    expect(without.status).toBe(400);
    const wrong = await elsewhere.submit(without, { password: 'something else entirely' });
    expect(wrong.status).toBe(400);
    expect(await personOf(server, email)).toBeUndefined();
    const done = await elsewhere.submit(wrong, { password: goodPassword });
    expect(done.url).toContain('done=registered');
    expect(await canSignIn(server, acme, { email, password: goodPassword })).toBe(true);
  });

  it('is not finished by looking: scanners of mail follow links', async () => {
    const email = newAddress();
    const visitor = createVisitor(server, acme);
    await visitor.signUp({ email });
    const { link } = await proofFor(server, acme, email);
    for (const method of ['GET', 'HEAD', 'GET'] as const) {
      const answer = await createUserAgent(server.origin).request(link, { method });
      expect(answer.status).toBe(200);
    }
    expect(await personOf(server, email)).toBeUndefined();
    const done = await visitor.agent.submit(await visitor.agent.follow(link), {});
    expect(done.url).toContain('done=registered');
    // Once.
    expect((await visitor.agent.follow(link)).status).toBe(400);
    expect((await visitor.open('verify')).status).toBe(400);
  });

  it('is over after a day, and not because somebody else began one for the same address', async () => {
    const email = newAddress();
    const [first, second] = [createVisitor(server, acme), createVisitor(server, acme)];
    await first.signUp({ email, password: `${goodPassword} eerst` });
    const own = await proofFor(server, acme, email);
    await second.signUp({ email, password: `${goodPassword} later` });
    expect((await first.agent.follow(own.link)).status).toBe(200);
    const other = await proofFor(server, acme, email);
    time.advance(86_400 + 1);
    for (const [visitor, proof] of [
      [first, own],
      [second, other],
    ] as const)
      expect((await visitor.agent.follow(proof.link)).status).toBe(400);
    expect(await personOf(server, email)).toBeUndefined();
  });

  it('that was begun before the tenant closed its door makes nobody', async () => {
    const email = newAddress();
    const visitor = createVisitor(server, globex);
    await visitor.signUp({ email });
    const { link } = await proofFor(server, globex, email);
    const configure = (value: 'closed' | undefined) =>
      configureTenant(server.context, { id: globex.id, changes: [{ name: 'people.registration', value }] });
    await configure('closed');
    await eventually('the door is closed', async () => (await visitor.open('signup')).body.includes('<form') === false);
    await visitor.agent.submit(await visitor.agent.follow(link), {});
    expect(await personOf(server, email)).toBeUndefined();
    await configure(undefined);
    await eventually('the door is open', async () => (await visitor.open('signup')).body.includes('<form'));
  });

  it('takes five guesses at the code, and then no more', async () => {
    const email = newAddress();
    const visitor = createVisitor(server, acme);
    let page = await visitor.signUp({ email });
    const { code, link } = await proofFor(server, acme, email);
    const wrong = code === '00000000' ? '00000001' : '00000000';
    for (let guess = 0; guess < 5; guess += 1) {
      page = await visitor.agent.submit(page, { code: wrong });
      expect(page.status).toBe(400);
      expect(page.body).toContain('Deze code klopt niet');
    }
    const right = await visitor.agent.submit(page, { code });
    expect([400, 429]).toContain(right.status);
    const byLink = await visitor.agent.submit(await visitor.agent.follow(link), {});
    expect(byLink.status).toBe(400);
    expect(await personOf(server, email)).toBeUndefined();
  });

  it('keeps what was typed and tells why a password will not do', async () => {
    const email = newAddress();
    const refused = await createVisitor(server, acme).signUp({ email, password: 'Welkom2026!', given_name: 'Grace' });
    expect(refused.status).toBe(400);
    expect(refused.body).toContain(email);
    expect(refused.body).toContain('Grace');
    expect(refused.body).toContain('href="#password"');
    expect(refused.body).not.toContain('Welkom2026!');
    expect(refused.body).toMatch(/<title>(Fout|Error)/);
  });

  it('leads back to the sign-in that it was begun from', async () => {
    const email = newAddress();
    const agent = createUserAgent(server.origin);
    const signIn = await agent.follow(authorizationRequest(acme, acme.clients.web).url);
    const path = /href="([^"]*\/signup\?interaction=[^"]*)"/.exec(signIn.body)?.[1] ?? '';
    const form = await agent.follow(new URL(path, server.origin).href);
    const asked = await agent.submit(form, { email, password: goodPassword });
    const { code } = await proofFor(server, acme, email);
    const done = await agent.submit(asked, { code });
    const back = /class="button" href="([^"]*)"/.exec(done.body)?.[1] ?? '';
    expect(back).toMatch(/\/t\/acme\/interaction\/[A-Za-z0-9_-]+\?sign_in$/);
    const returned = await agent.follow(new URL(back, server.origin).href);
    expect(returned.body).toContain(`value="${email}"`);
    const { url } = await agent.submit(returned, { email, password: goodPassword });
    expect(url).toContain(`${callbackUri}?code=`);
  });

  it('is begun at once by an application that asks for it (prompt=create)', async () => {
    const metadata = await fetch(`${acme.issuer}/.well-known/openid-configuration`);
    expect(await metadata.json()).toMatchObject({ prompt_values_supported: expect.arrayContaining(['create']) });
    const email = newAddress();
    const agent = createUserAgent(server.origin);
    const form = await agent.follow(authorizationRequest(acme, acme.clients.web, { prompt: 'create' }).url);
    expect(new URL(form.url).pathname).toBe('/t/acme/signup');
    const asked = await agent.submit(form, { email, password: goodPassword });
    const { code } = await proofFor(server, acme, email);
    const done = await agent.submit(asked, { code });
    const back = /class="button" href="([^"]*)"/.exec(done.body)?.[1] ?? '';
    const returned = await agent.follow(new URL(back, server.origin).href);
    const { url } = await agent.submit(returned, { email, password: goodPassword });
    expect(url).toContain(`${callbackUri}?code=`);
  });
});

describe('somebody who is known', () => {
  it('gets the same page and another mail', async () => {
    const before = await mailsOf(server, acme);
    const answer = await createVisitor(server, acme).signUp({ email: acme.person.email });
    expect(answer.url).toBe(`${acme.issuer}/verify`);
    expect((await mailsOf(server, acme)).slice(before.length)).toMatchObject([
      { kind: 'already_registered', to: acme.person.email },
    ]);
  });

  it('joins a second tenant with the account they have; what was typed here is forgotten', async () => {
    const { email, password } = await registered(server, acme);
    const visitor = createVisitor(server, globex);
    await visitor.signUp({ email, password: `${goodPassword} anders` });
    const { link } = await proofFor(server, globex, email);
    const elsewhere = createUserAgent(server.origin);
    const page = await elsewhere.follow(link);
    expect(page.body).toContain('Lid worden van Globex');
    const done = await elsewhere.submit(page, {});
    expect(done.url).toContain('done=joined');
    expect(await canSignIn(server, globex, { email, password: `${goodPassword} anders` })).toBe(false);
    expect(await canSignIn(server, globex, { email, password })).toBe(true);
  });
});

describe('a tenant', () => {
  it.each(['invitation', 'closed'] as const)('that says %s makes no accounts by itself', async (value) => {
    const closed = await createTestTenant(server, `shut-${value}`);
    await configureTenant(server.context, { id: closed.id, changes: [{ name: 'people.registration', value }] });
    const agent = createUserAgent(server.origin);
    await eventually('the page says so', async () => {
      const { body } = await agent.follow(`${closed.issuer}/signup`);
      return body.includes('Hier kunt u geen account maken');
    });
    const signIn = await agent.follow(authorizationRequest(closed, closed.clients.web).url);
    expect(signIn.body).not.toContain('/signup');
    expect(signIn.body).toContain('/forgot?interaction=');
    const token = /name="csrf" value="([^"]*)"/.exec(signIn.body)?.[1] ?? '';
    const email = newAddress();
    const form = new URLSearchParams({ csrf: token, email, password: goodPassword });
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const posted = await agent.request(`${closed.issuer}/signup`, { method: 'POST', headers, body: form.toString() });
    expect(posted.status).toBe(403);
    expect(await mailsOf(server, closed)).toEqual([]);
  });
});
