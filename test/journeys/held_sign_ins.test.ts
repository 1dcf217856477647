/** A sign-in that was judged and is held back: what ends a person's sessions ends it too, whoever was signed in there before. */
import { decodeJwt } from 'jose';
import { changePassword } from '#src/flows/people/change_password.ts';
import { signIn } from '#src/flows/sign_in/sign_in.ts';
import { defaultPeopleSettings } from '#test/support/people_settings.ts';
import { newPersonWithTotp, totpCode } from '#test/support/second_factor.ts';
import { placeAt, signInServicesOf } from '#test/support/sign_in.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import {
  authorizationRequest,
  authorize,
  createUserAgent,
  exchangeCode,
  type Page,
  readForm,
  type UserAgent,
} from '#test/support/user_agent.ts';
import { callbackUri, createTestTenant, newPerson, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
});

afterAll(() => server.close());

/** Sends a form and does not go where it leads. */
async function hold(agent: UserAgent, page: Page, fields: Readonly<Record<string, string>>): Promise<string> {
  const form = readForm(page);
  const answer = await agent.request(new URL(form.action, page.url).href, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', origin: server.origin },
    body: new URLSearchParams({ ...form.hidden, ...fields }).toString(),
  });
  return new URL(answer.headers.get('location') ?? '', server.origin).href;
}

const newPassword = 'seven violet otters at noon';

function change(userId: TestTenant['person']['id']) {
  const input = { tenantId: acme.id, userId, password: newPassword, hasSecondFactor: false, isUnjudged: true } as const;
  const { breachedPasswords } = server.server.house;
  return changePassword(
    { ...server.context, breachedPasswords },
    { ...input, settings: defaultPeopleSettings, event: 'password.reset' },
  );
}

/** Behind the flow's back, which would end what is held: this is for the engine to notice. */
async function setStatus(id: string, status: 'active' | 'disabled'): Promise<void> {
  await queryAsSuperuser(server.database, 'update memberships set status = $2 where user_id = $1', [id, status]);
}

describe('a sign-in that is held back', () => {
  it.each([false, true])(
    'ends with the password that opened it, in a browser where somebody else was signed in: %s',
    async (isTaken) => {
      const [victim, thief] = [await newPerson(server, acme), await newPerson(server, acme)];
      const agent = createUserAgent(server.origin);
      if (isTaken) await authorize(agent, { tenant: acme, client: acme.clients.web, person: thief });
      const page = await agent.follow(authorizationRequest(acme, acme.clients.web, { prompt: 'login' }).url);
      const held = await hold(agent, page, { email: victim.email, password: victim.password });
      expect(await change(victim.id)).toMatchObject({ outcome: 'changed' });

      let resumed = await agent.follow(held);
      if (resumed.status === 200 && resumed.body.includes('<form')) resumed = await agent.submit(resumed, {});
      expect(resumed.url.startsWith(callbackUri)).toBe(false);
      expect((await agent.follow(`${acme.issuer}/account`)).body).not.toContain(victim.email);
    },
  );

  it('of somebody who was shut out meanwhile leads back to the sign-in, and to no fault', async () => {
    const [gone, other] = [await newPerson(server, acme), await newPerson(server, acme)];
    for (const isTaken of [false, true]) {
      const agent = createUserAgent(server.origin);
      if (isTaken) await authorize(agent, { tenant: acme, client: acme.clients.web, person: other });
      const page = await agent.follow(authorizationRequest(acme, acme.clients.web, { prompt: 'login' }).url);
      const held = await hold(agent, page, { email: gone.email, password: gone.password });
      await setStatus(gone.id, 'disabled');
      let resumed = await agent.follow(held);
      if (resumed.body.includes('logout')) resumed = await agent.submit(resumed, {});
      expect(resumed.status).toBeLessThan(500);
      expect(resumed.url.startsWith(callbackUri)).toBe(false);
      await setStatus(gone.id, 'active');
    }
    expect(server.log.filter(({ level }) => level === 'error')).toEqual([]);
  });

  it('is none when the password was changed while it was compared', async () => {
    const victim = await newPerson(server, acme);
    const services = signInServicesOf(server);
    const slow = {
      ...services.passwords,
      async verify(hash: string | undefined, password: string) {
        const verified = await services.passwords.verify(hash, password);
        expect(await change(victim.id)).toMatchObject({ outcome: 'changed' });
        return verified;
      },
    };
    const { email, password } = victim;
    const place = placeAt(acme);
    expect(await signIn({ ...services, passwords: slow }, { ...place, email, password })).toEqual({
      outcome: 'expired',
    });
    expect(await signIn(services, { ...placeAt(acme), email, password: newPassword })).toMatchObject({
      outcome: 'signed_in',
    });
  });
});

describe('a session that becomes stronger', () => {
  it('becomes no fresher: it is as old as the sign-in that began it', async () => {
    const person = await newPersonWithTotp(server, acme);
    const agent = createUserAgent(server.origin);
    // Signed in where no second factor was asked for: by another of the same tenant's policies, an hour ago.
    const first = await agent.follow(authorizationRequest(acme, acme.clients.web).url);
    const second = await agent.submit(first, { email: person.email, password: person.password });
    await agent.submit(second, { code: totpCode(person.secret, new Date()) });
    const began = Math.floor(Date.now() / 1000) - 3_600;
    await queryAsSuperuser(
      server.database,
      `update artifacts set payload = (payload::jsonb || jsonb_build_object('loginTs', $2::int, 'amr', '["pwd"]'::jsonb, 'acr', 'urn:poort:acr:password'))::json
        where kind = 'Session' and account_id = $1`,
      [person.id, began],
    );
    await queryAsSuperuser(server.database, 'update totp_factors set last_step = 0 where user_id = $1', [person.id]);
    const request = authorizationRequest(acme, acme.clients.web, { acr_values: 'urn:poort:acr:mfa' });
    const asked = await agent.follow(request.url);
    const done = await agent.submit(asked, { code: totpCode(person.secret, new Date()) });
    const code = new URL(done.url).searchParams.get('code') ?? '';
    const { json } = await exchangeCode(acme, acme.clients.web, {
      code,
      verifier: request.verifier,
      callback: new URL(done.url),
    });
    expect(decodeJwt(String(json['id_token']))).toMatchObject({ acr: 'urn:poort:acr:mfa', auth_time: began });
  });
});
