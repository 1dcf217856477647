/** How people get in again who forgot their password, through the pages and their mailbox. */
import { changeMembershipStatus } from '#src/flows/people/manage_people.ts';
import { mailsOf } from '#test/support/mailbox.ts';
import { newPersonWithTotp, totpCode } from '#test/support/second_factor.ts';
import { readEvents } from '#test/support/superuser.ts';
import { createMovableClock, startTestServer, type TestServer } from '#test/support/test_server.ts';
import {
  authorizationRequest,
  authorize,
  callEndpoint,
  createUserAgent,
  exchangeCode,
} from '#test/support/user_agent.ts';
import { canSignIn, createVisitor, goodPassword, newAddress, proofFor, registered } from '#test/support/visitor.ts';
import { callbackUri, createTestTenant, type TestTenant } from '#test/support/world.ts';

const time = createMovableClock();
const another = 'zeehond paraplu driehoek';
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

describe('a reset', () => {
  it('sets a password by the link, in any browser, and signs nobody in', async () => {
    const person = await registered(server, acme);
    const asked = await createVisitor(server, acme).send('forgot', { email: person.email });
    expect(asked.url).toBe(`${acme.issuer}/reset`);
    const { link } = await proofFor(server, acme, person.email);
    const elsewhere = createUserAgent(server.origin);
    const done = await elsewhere.submit(await elsewhere.follow(link), { new_password: another });
    expect(done.url).toContain('/reset?done=reset');
    expect(elsewhere.cookies().some((cookie) => cookie.startsWith('_session'))).toBe(false);
    expect(await canSignIn(server, acme, person)).toBe(false);
    expect(await canSignIn(server, acme, { ...person, password: another })).toBe(true);
    expect((await elsewhere.follow(link)).status).toBe(400);
    const told = (await mailsOf(server, acme)).filter(({ to }) => to === person.email).map(({ kind }) => kind);
    expect(told).toEqual(['verify_email', 'reset_password', 'password_changed']);
  });

  it('is done with the code in the browser that asked, and in no other', async () => {
    const person = await registered(server, acme);
    const visitor = createVisitor(server, acme);
    const page = await visitor.send('forgot', { email: person.email });
    const { code } = await proofFor(server, acme, person.email);
    const stranger = await createVisitor(server, acme).open('reset');
    expect(stranger.status).toBe(400);
    const weak = await visitor.agent.submit(page, { code, new_password: 'Welkom2026!' });
    expect(weak.status).toBe(400);
    expect(weak.body).toContain('href="#new_password"');
    const done = await visitor.agent.submit(weak, { code, new_password: another });
    expect(done.url).toContain('done=reset');
    expect(await canSignIn(server, acme, { ...person, password: another })).toBe(true);
  });

  it('tells whoever has no code nothing about the person: the code is looked at first', async () => {
    const email = newAddress();
    const visitor = createVisitor(server, acme);
    const signUp = await visitor.signUp({ email, given_name: 'Wilhelmina', family_name: 'Drucker' });
    await visitor.agent.submit(signUp, { code: (await proofFor(server, acme, email)).code });
    const page = await visitor.send('forgot', { email });
    const answer = await visitor.agent.submit(page, { code: '00000000', new_password: 'wilhelminadrucker' });
    expect(answer.body).toContain('Deze code klopt niet');
    expect(answer.body).not.toContain('href="#new_password"');
  });

  it('ends every session and token, and every other link', async () => {
    const person = await registered(server, acme);
    const client = acme.clients.web;
    const agent = createUserAgent(server.origin);
    const tokens = await exchangeCode(acme, client, await authorize(agent, { tenant: acme, client, person }));
    const refresh_token = String(tokens.json['refresh_token']);
    const visitor = createVisitor(server, acme);
    await visitor.send('forgot', { email: person.email });
    const first = await proofFor(server, acme, person.email);
    await visitor.send('forgot', { email: person.email });
    const second = await proofFor(server, acme, person.email);
    expect((await visitor.agent.follow(first.link)).status).toBe(400);
    await visitor.agent.submit(await visitor.agent.follow(second.link), { new_password: another });
    const form = { grant_type: 'refresh_token', refresh_token };
    expect((await callEndpoint(acme.issuer, '/token', { client, form })).json).toMatchObject({
      error: 'invalid_grant',
    });
    const again = await agent.follow(authorizationRequest(acme, client).url);
    expect(again.body).toContain('name="password"');
  });

  it('does not stand in for the second factor', async () => {
    const person = await newPersonWithTotp(server, acme);
    const visitor = createVisitor(server, acme);
    await visitor.send('forgot', { email: person.email });
    const { link } = await proofFor(server, acme, person.email);
    await visitor.agent.submit(await visitor.agent.follow(link), { new_password: another });
    const agent = createUserAgent(server.origin);
    const signIn = await agent.follow(authorizationRequest(acme, acme.clients.web).url);
    const asked = await agent.submit(signIn, { email: person.email, password: another });
    expect(asked.body).toContain('name="code"');
    const { url } = await agent.submit(asked, { code: totpCode(person.secret, time.clock()) });
    expect(url).toContain(`${callbackUri}?code=`);
  });

  it('is over after a quarter of an hour', async () => {
    const person = await registered(server, acme);
    const visitor = createVisitor(server, acme);
    await visitor.send('forgot', { email: person.email });
    const { link } = await proofFor(server, acme, person.email);
    expect((await visitor.agent.follow(link)).status).toBe(200);
    time.advance(901);
    expect((await visitor.agent.follow(link)).status).toBe(400);
  });

  it('works while sign-in is throttled, and lets its owner try again', async () => {
    const person = await registered(server, acme);
    const agent = createUserAgent(server.origin);
    let page = await agent.follow(authorizationRequest(acme, acme.clients.web).url);
    for (let guess = 0; guess < 6; guess += 1)
      page = await agent.submit(page, { email: person.email, password: `wrong guess ${guess}` });
    expect(page.status).toBe(429);
    expect(await canSignIn(server, acme, person)).toBe(false);
    const visitor = createVisitor(server, acme);
    await visitor.send('forgot', { email: person.email });
    const { link } = await proofFor(server, acme, person.email);
    await visitor.agent.submit(await visitor.agent.follow(link), { new_password: another });
    expect(await canSignIn(server, acme, { ...person, password: another })).toBe(true);
  });

  it.each(['nobody', 'disabled', 'of another tenant'] as const)('of somebody who is %s sends no mail', async (who) => {
    const stranger = who === 'of another tenant' ? await registered(server, globex) : { email: newAddress() };
    if (who === 'disabled') {
      const { email } = await registered(server, acme, stranger.email);
      await changeMembershipStatus(server.context, { tenantId: acme.id, email, status: 'disabled' });
    }
    const before = await mailsOf(server, acme);
    const asked = await createVisitor(server, acme).send('forgot', { email: stranger.email });
    expect(asked.url).toBe(`${acme.issuer}/reset`);
    expect(asked.status).toBe(200);
    expect(await mailsOf(server, acme)).toEqual(before);
    const requests = await readEvents(server.database, { tenantId: acme.id, types: ['password.reset_requested'] });
    expect(requests.at(-1)).toMatchObject({
      outcome: 'failure',
      reason: who === 'disabled' ? 'disabled' : 'unknown_account',
    });
  });
});

describe('whoever has not proven their address', () => {
  it('is asked to by mail when they sign in with the right password, and is told nothing', async () => {
    const email = newAddress();
    const { addMember } = await import('#src/flows/people/manage_people.ts');
    await addMember(server.context, { tenantId: acme.id, email, password: goodPassword, roles: [], verified: false });
    const before = (await mailsOf(server, acme)).length;
    expect(await canSignIn(server, acme, { email, password: 'not this one at all' })).toBe(false);
    expect((await mailsOf(server, acme)).length).toBe(before);
    expect(await canSignIn(server, acme, { email, password: goodPassword })).toBe(false);
    const { link } = await proofFor(server, acme, email);
    const agent = createUserAgent(server.origin);
    const page = await agent.follow(link);
    const done = await agent.submit(page, { password: goodPassword });
    expect(done.url).toContain('done=verified');
    expect(await canSignIn(server, acme, { email, password: goodPassword })).toBe(true);
  });
});

describe('a lock', () => {
  it('is told to its owner by mail, with a link that ends it, by a button and not by looking', async () => {
    const person = await registered(server, acme);
    const agent = createUserAgent(server.origin);
    let page = await agent.follow(authorizationRequest(acme, acme.clients.web).url);
    for (let guess = 0; guess < 6; guess += 1)
      page = await agent.submit(page, { email: person.email, password: `wrong guess ${guess}` });
    expect(page.status).toBe(429);
    const mails = (await mailsOf(server, acme)).filter(({ to }) => to === person.email).map(({ kind }) => kind);
    expect(mails).toEqual(['verify_email', 'account_locked']);
    const { link } = await proofFor(server, acme, person.email);
    const elsewhere = createUserAgent(server.origin);
    const button = await elsewhere.follow(link);
    expect(await canSignIn(server, acme, person)).toBe(false);
    const done = await elsewhere.submit(button, {});
    expect(done.url).toContain('done=unlocked');
    expect(await canSignIn(server, acme, person)).toBe(true);
    expect((await elsewhere.follow(link)).status).toBe(400);
  });
});
