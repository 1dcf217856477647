import { userId } from '#src/domain/user.ts';
import { requestEmailChange } from '#src/flows/people/change_email.ts';
import { changePassword } from '#src/flows/people/change_password.ts';
import type { VisitorContext } from '#src/flows/proofs/visitor_context.ts';
import { revokePersonSessions } from '#src/flows/sessions/manage_sessions.ts';
import { mailsOf } from '#test/support/mailbox.ts';
import { defaultPeopleSettings } from '#test/support/people_settings.ts';
import { signInServicesOf } from '#test/support/sign_in.ts';
import { queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import { createMovableClock, startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createUserAgent, type UserAgent } from '#test/support/user_agent.ts';
import {
  canSignIn,
  createVisitor,
  goodPassword,
  newAddress,
  personOf,
  proofFor,
  registered,
} from '#test/support/visitor.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

const time = createMovableClock();
let server: TestServer;
let acme: TestTenant;

beforeAll(async () => {
  server = await startTestServer({ clock: time.clock });
  acme = await createTestTenant(server, 'acme');
});

afterAll(async () => {
  expect(server.log).toEqual([]);
  await server.close();
});

async function ask(email: string, newEmail: string) {
  const id = userId((await personOf(server, email))?.id ?? '');
  const context: VisitorContext = { ...server.context, ...signInServicesOf(server), origin: {} };
  const tenant = { ...acme, name: 'Acme', policy: server.config.people, locale: 'nl' } as const;
  return requestEmailChange(context, { tenant, userId: id, newEmail });
}

/** The browser in which it was asked for. */
function browserWith(handle: string): UserAgent {
  return createUserAgent(server.origin, { cookie: `poort_verify=${handle}` });
}

async function kindsTo(email: string): Promise<readonly string[]> {
  return (await mailsOf(server, acme)).filter(({ to }) => to === email).map(({ kind }) => kind);
}

describe('another address', () => {
  it('counts when its owner has proven it with the password, and both addresses are told', async () => {
    const person = await registered(server, acme);
    const newEmail = newAddress();
    expect(await ask(person.email, newEmail)).toMatchObject({ outcome: 'sent' });
    expect(await canSignIn(server, acme, { ...person, email: newEmail })).toBe(false);
    const agent = createUserAgent(server.origin);
    const page = await agent.follow((await proofFor(server, acme, newEmail)).link);
    expect((await agent.submit(page, {})).status).toBe(400);
    const done = await agent.submit(page, { password: person.password });
    expect(done.url).toContain('done=email_changed');
    expect(await canSignIn(server, acme, { ...person, email: newEmail })).toBe(true);
    expect(await personOf(server, person.email)).toBeUndefined();
    expect((await kindsTo(person.email)).at(-1)).toBe('email_changed');
    expect(await kindsTo(newEmail)).toEqual(['email_change', 'email_changed']);
    const events = await readEvents(server.database, {
      tenantId: acme.id,
      types: ['email.change_requested', 'email.changed'],
    });
    expect(events.map(({ type }) => type)).toEqual(['email.change_requested', 'email.changed']);
    expect(JSON.stringify(events)).not.toContain('@');
  });

  it('counts with the code in the browser in which it was asked for', async () => {
    const person = await registered(server, acme);
    const newEmail = newAddress();
    const asked = await ask(person.email, newEmail);
    const handle = asked.outcome === 'sent' ? asked.handle : '';
    const visitor = createVisitor(server, acme);
    const link = await visitor.agent.follow((await proofFor(server, acme, newEmail)).link);
    expect(link.body).toContain('type="password"');
    const here = browserWith(handle);
    expect((await here.follow(`${acme.issuer}/verify`)).body).toContain('name="code"');
  });

  it('that is somebody else’s gets the same answer; they are told, and nothing changes', async () => {
    const [person, holder] = [await registered(server, acme), await registered(server, acme)];
    const free = await ask(person.email, newAddress());
    const taken = await ask(person.email, holder.email);
    expect(Object.keys(taken).toSorted()).toEqual(Object.keys(free).toSorted());
    expect(taken.outcome).toBe('sent');
    expect((await kindsTo(holder.email)).at(-1)).toBe('already_registered');
    expect(await canSignIn(server, acme, person)).toBe(true);
    expect(await canSignIn(server, acme, holder)).toBe(true);
  });

  it('does not count when somebody else has got it meanwhile', async () => {
    const person = await registered(server, acme);
    const newEmail = newAddress();
    await ask(person.email, newEmail);
    const { link } = await proofFor(server, acme, newEmail);
    await registered(server, acme, newEmail, `${goodPassword} van een ander`);
    const agent = createUserAgent(server.origin);
    const answer = await agent.submit(await agent.follow(link), { password: person.password });
    expect(answer.status).toBe(400);
    expect(await canSignIn(server, acme, person)).toBe(true);
  });

  it('ends what was mailed to the old one: a link that sets a password opens nothing afterwards', async () => {
    const person = await registered(server, acme);
    await createVisitor(server, acme).send('forgot', { email: person.email });
    const old = await proofFor(server, acme, person.email);
    const newEmail = newAddress();
    await ask(person.email, newEmail);
    const agent = createUserAgent(server.origin);
    await agent.submit(await agent.follow((await proofFor(server, acme, newEmail)).link), {
      password: person.password,
    });
    expect((await agent.follow(old.link)).status).toBe(400);
  });

  it('is asked for once: the earlier wish is over, and so is any after a day', async () => {
    const person = await registered(server, acme);
    const [first, second] = [newAddress(), newAddress()];
    await ask(person.email, first);
    const old = await proofFor(server, acme, first);
    await ask(person.email, second);
    const agent = createUserAgent(server.origin);
    expect((await agent.follow(old.link)).status).toBe(400);
    time.advance(86_401);
    expect((await agent.follow((await proofFor(server, acme, second)).link)).status).toBe(400);
  });

  it('that a thief has asked for is over with the password, and with every session of the person', async () => {
    for (const end of ['password', 'sessions'] as const) {
      const person = await registered(server, acme);
      const newEmail = newAddress();
      const asked = await ask(person.email, newEmail);
      const { code, link } = await proofFor(server, acme, newEmail);
      const owner = userId((await personOf(server, person.email))?.id ?? '');
      if (end === 'sessions') await revokePersonSessions(server.context, { tenantId: acme.id, userId: owner });
      else {
        const { breachedPasswords } = server.server.house;
        const change = {
          tenantId: acme.id,
          userId: owner,
          password: 'seven violet otters at noon',
          hasSecondFactor: false,
        };
        const changed = await changePassword(
          { ...server.context, breachedPasswords },
          { ...change, settings: defaultPeopleSettings, event: 'password.changed' },
        );
        expect(changed.outcome).toBe('changed');
      }
      const thief = browserWith(asked.outcome === 'sent' ? asked.handle : '');
      const page = await thief.follow(`${acme.issuer}/verify`);
      if (page.body.includes('name="code"')) expect((await thief.submit(page, { code })).status).toBe(400);
      expect((await thief.follow(link)).status).toBe(400);
      expect(await personOf(server, person.email)).toBeDefined();
    }
  });

  it('has to be one, and another', async () => {
    const person = await registered(server, acme);
    const before = await queryAsSuperuser(server.database, 'select id from proofs');
    expect(await ask(person.email, 'nobody')).toEqual({ outcome: 'invalid' });
    expect(await ask(person.email, person.email)).toEqual({ outcome: 'unchanged' });
    expect(await queryAsSuperuser(server.database, 'select id from proofs')).toEqual(before);
  });
});
