/**
 * A person’s own account over REST: coming in, getting in again, second factors, names, sessions, devices, consents, leaving. Whose it is
 * comes from the token; what changes how somebody gets in needs more than a token.
 */
import { configureTenant } from '#src/flows/tenants/manage_tenants.ts';
import { callApi, personToken } from '#test/support/api_calls.ts';
import { readMailbox } from '#test/support/mails.ts';
import { callAuth, cookieIn, logIn, type RestSession, sessionIn } from '#test/support/rest.ts';
import { newPersonWithTotp, totpCode } from '#test/support/second_factor.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { createMovableClock, startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorize, createUserAgent } from '#test/support/user_agent.ts';
import { canSignIn, createVisitor, goodPassword, newAddress, personOf, proofFor } from '#test/support/visitor.ts';
import { createTestTenant, newPerson, type TestTenant } from '#test/support/world.ts';

const time = createMovableClock();

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;
/** Whoever registers is in at once. */
let open: TestTenant;

beforeAll(async () => {
  server = await startTestServer({
    clock: time.clock,
    change: (config) => ({
      ...config,
      signIn: { ...config.signIn, maximumPerAddress: 100_000, maximumPerTenant: 1_000_000 },
    }),
  });
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
  open = await createTestTenant(server, 'open');
  const changes = [{ name: 'people.email_verification', value: 'optional' }] as const;
  await configureTenant(server.context, { id: open.id, changes });
});

afterAll(async () => {
  expect(server.log).toEqual([]);
  await server.close();
});

type Json = Readonly<Record<string, unknown>>;

const codeOf = ({ json }: { readonly json: Json }): unknown => json['code'];
const user = (token: string, path: string, method: 'GET' | 'PUT' | 'POST' | 'DELETE' = 'GET', body?: object) =>
  callApi(acme.issuer, `/user${path}`, { token, method, body });

/** What of an answer is the same for everybody. */
function said({ status, json, headers }: { readonly status: number; readonly json: Json; readonly headers: Headers }) {
  const { instance, request_id, ...rest } = json;
  const names = [...headers.keys()].sort();
  const cookies = headers.getSetCookie().map((cookie) => cookie.replace(/=[^;]*/, ''));
  return { status, rest, names, cookies };
}

describe('registering over REST', () => {
  it('sends a mail, whose code makes the account in the browser that asked', async () => {
    const email = newAddress();
    const body = { email, password: goodPassword, full_name: 'Grace Brewster Hopper' };
    const asked = await callAuth(acme, '/register', body);
    expect([asked.status, asked.json]).toEqual([202, { status: 'verification_sent' }]);
    expect(await personOf(server, email)).toBeUndefined();
    const cookie = `poort_verify=${cookieIn(asked, 'poort_verify')?.value}`;
    const { code } = await proofFor(server, acme, email);
    expect(codeOf(await callAuth(acme, '/email/verify', { code: '00000000' }, { headers: { cookie } }))).toBe(
      'invalid_code',
    );
    expect(codeOf(await callAuth(acme, '/email/verify', { code }))).toBe('proof_over');
    const verified = await callAuth(acme, '/email/verify', { code }, { headers: { cookie } });
    expect([verified.status, verified.json]).toEqual([200, { status: 'verified', outcome: 'registered' }]);
    const { accessToken } = await logIn(acme, { email, password: goodPassword });
    expect((await user(accessToken, '/profile')).json).toMatchObject({
      given_name: 'Grace',
      family_name: 'Brewster Hopper',
      name: 'Grace Brewster Hopper',
      roles: ['user'],
    });
  });

  it('is finished elsewhere with the link and the password, and with a handle by a program', async () => {
    for (const how of ['link', 'handle'] as const) {
      const email = newAddress();
      const body = { email, password: goodPassword, first_name: 'Grace', last_name: 'Hopper', token_delivery: 'body' };
      const asked = await callAuth(acme, '/register', body);
      expect(asked.headers.getSetCookie()).toEqual([]);
      const { link, code } = await proofFor(server, acme, email);
      const token = new URL(link).searchParams.get('token');
      const shown = how === 'link' ? { token } : { code, handle: asked.json['handle'] };
      if (how === 'link')
        expect((await callAuth(acme, '/email/verify', shown)).json).toMatchObject({
          errors: [{ pointer: '#/password', code: 'missing' }],
        });
      const done = await callAuth(acme, '/email/verify', how === 'link' ? { ...shown, password: goodPassword } : shown);
      expect(done.json).toMatchObject({ outcome: 'registered' });
      // Once.
      expect(codeOf(await callAuth(acme, '/email/verify', { ...shown, password: goodPassword }))).toBe('proof_over');
    }
  });

  it('is answered alike for an address that is new, known here, known elsewhere, or not proven yet', async () => {
    const asked = newAddress();
    await callAuth(acme, '/register', { email: asked, password: goodPassword });
    const addresses = [newAddress(), acme.person.email, globex.person.email, asked, acme.person.email.toUpperCase()];
    const answers = [];
    for (const email of addresses) {
      const trips = server.context.database.roundTrips();
      const answer = said(await callAuth(acme, '/register', { email, password: goodPassword }));
      answers.push({ ...answer, trips: server.context.database.roundTrips() - trips });
    }
    for (const answer of answers) expect(answer).toEqual(answers[0]);
    expect(answers[0]).toMatchObject({
      status: 202,
      rest: { status: 'verification_sent' },
      cookies: [expect.stringContaining('poort_verify')],
    });
  });

  it('gives tokens at once where the tenant asks for no proof, and to nobody who does not know a known one’s password', async () => {
    const email = newAddress();
    const made = await callAuth(open, '/register', { email, password: goodPassword, token_delivery: 'body' });
    expect(made.status).toBe(201);
    expect(made.json).toMatchObject({ data: { user: { email, email_verified: false, roles: ['user'] } } });
    expect((await callApi(open.issuer, '/auth/me', { token: sessionIn(made).accessToken })).status).toBe(200);
    const another = await callAuth(open, '/register', {
      email,
      password: `${goodPassword} anders`,
      token_delivery: 'body',
    });
    expect([another.status, Object.keys(another.json)]).toEqual([202, ['status', 'handle']]);
    expect(codeOf(await callAuth(open, '/login', { email, password: `${goodPassword} anders` }))).toBe(
      'invalid_credentials',
    );
  });

  it('counts what is tried together with the hosted pages', async () => {
    const email = newAddress();
    for (let times = 0; times < 10; times += 1) await createVisitor(server, acme).signUp({ email });
    const statuses = [];
    for (let times = 0; times < 11; times += 1)
      statuses.push((await callAuth(acme, '/register', { email, password: goodPassword })).status);
    expect(statuses.slice(-1)).toEqual([429]);
  });

  it('takes nothing that a person does not say of themselves', async () => {
    const before = await queryAsSuperuser(server.database, 'select count(*) from users');
    for (const more of [
      { email_verified: true },
      { roles: ['admin'] },
      { permissions: ['users:write'] },
      { id: acme.person.id },
      { user_id: acme.person.id },
      { tenant_id: globex.id },
      { status: 'active' },
      { password_hash: 'x' },
      { __proto__: { email_verified: true }, constructor: {} },
    ]) {
      const answer = await callAuth(open, '/register', { email: newAddress(), password: goodPassword, ...more });
      expect([more, answer.status]).toEqual([more, 400]);
    }
    expect(await queryAsSuperuser(server.database, 'select count(*) from users')).toEqual(before);
  });

  it('says what is wrong with a password, and that nobody may', async () => {
    const weak = await callAuth(acme, '/register', { email: newAddress(), password: 'kort' });
    expect([weak.status, weak.json['errors']]).toEqual([
      400,
      [expect.objectContaining({ pointer: '#/password', code: 'too_short' })],
    ]);
    const closed = await createTestTenant(server, 'closed');
    const changes = [{ name: 'people.registration', value: 'closed' }] as const;
    await configureTenant(server.context, { id: closed.id, changes });
    const refused = await callAuth(closed, '/register', { email: newAddress(), password: goodPassword });
    expect([refused.status, codeOf(refused)]).toEqual([403, 'registration_closed']);
  });
});

describe('a forgotten password over REST', () => {
  it('is replaced with the mailed code or link, once, and ends what the old one opened', async () => {
    for (const how of ['link', 'code'] as const) {
      const person = await newPerson(server, acme);
      const session = await logIn(acme, person);
      const asked = await callAuth(acme, '/password/forgot', { email: person.email });
      expect([asked.status, asked.json]).toEqual([202, { status: 'reset_sent' }]);
      const headers = { cookie: `poort_reset=${cookieIn(asked, 'poort_reset')?.value}` };
      const { link, code } = await proofFor(server, acme, person.email);
      const shown = how === 'link' ? { token: new URL(link).searchParams.get('token') } : { code };
      const more = how === 'link' ? {} : { headers };
      const weak = await callAuth(acme, '/password/reset', { ...shown, new_password: 'kort' }, more);
      expect(weak.json).toMatchObject({ errors: [{ pointer: '#/new_password', code: 'too_short' }] });
      const done = await callAuth(acme, '/password/reset', { ...shown, new_password: goodPassword }, more);
      expect([done.status, done.json]).toEqual([200, { status: 'password_reset' }]);
      expect(codeOf(await callAuth(acme, '/password/reset', { ...shown, new_password: goodPassword }, more))).toBe(
        'proof_over',
      );
      expect((await callApi(acme.issuer, '/auth/me', { token: session.accessToken })).status).toBe(401);
      expect((await callAuth(acme, '/login', { email: person.email, password: person.password })).status).toBe(401);
      expect(await canSignIn(server, acme, { email: person.email, password: goodPassword })).toBe(true);
    }
  });

  it('is asked for in the same words by whoever is known and whoever is not', async () => {
    const answers = [];
    for (const email of [acme.person.email, newAddress(), globex.person.email]) {
      const trips = server.context.database.roundTrips();
      const answer = said(await callAuth(acme, '/password/forgot', { email }));
      answers.push({ ...answer, trips: server.context.database.roundTrips() - trips });
    }
    for (const answer of answers) expect(answer).toEqual(answers[0]);
  });

  it('is not replaced with a link of another tenant, or of another purpose', async () => {
    const person = await newPerson(server, acme, globex);
    await callAuth(acme, '/password/forgot', { email: person.email });
    const token = new URL((await proofFor(server, acme, person.email)).link).searchParams.get('token');
    const new_password = goodPassword;
    expect(codeOf(await callAuth(globex, '/password/reset', { token, new_password }))).toBe('proof_over');
    expect(codeOf(await callAuth(acme, '/email/verify', { token }))).toBe('proof_over');
    expect((await callAuth(acme, '/password/reset', { token, new_password })).status).toBe(200);
  });
});

describe('a second factor over REST', () => {
  async function setUp(session: RestSession, body?: object) {
    const shown = await callAuth(acme, '/mfa/setup', body, { token: session.accessToken });
    return { status: shown.status, json: shown.json, secret: String(shown.json['secret']) };
  }

  it('is set up with a secret to type or to scan, counts from its first code on, and brings backup codes once', async () => {
    const person = await newPerson(server, acme);
    const session = await logIn(acme, person);
    const { status, json, secret } = await setUp(session);
    expect(status).toBe(200);
    expect(json['otpauth_uri']).toMatch(
      new RegExp(`^otpauth://totp/Acme:${encodeURIComponent(person.email)}\\?secret=${secret}`),
    );
    expect(json['qr_svg']).toMatch(/^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" viewBox="0 0 (\d+) \1".*<\/svg>$/);
    // Not before its first code.
    expect((await callAuth(acme, '/login', { email: person.email, password: person.password })).json).toHaveProperty(
      'data',
    );
    const wrong = await callAuth(acme, '/mfa/confirm', { code: '000000' }, { token: session.accessToken });
    expect([wrong.status, codeOf(wrong)]).toEqual([401, 'invalid_code']);
    const code = totpCode(secret, time.clock());
    // In another session it was never begun.
    const elsewhere = await logIn(acme, person);
    expect(codeOf(await callAuth(acme, '/mfa/confirm', { code }, { token: elsewhere.accessToken }))).toBe('proof_over');
    const confirmed = await callAuth(acme, '/mfa/confirm', { code }, { token: session.accessToken });
    expect(confirmed.json).toEqual({ status: 'enrolled', backup_codes: expect.any(Array) });
    const [backup = ''] = confirmed.json['backup_codes'] as readonly string[];
    const begun = await callAuth(acme, '/login', { email: person.email, password: person.password });
    expect(begun.json).toMatchObject({ mfa_required: true, methods: ['totp', 'backup_code'] });
    const done = await callAuth(acme, '/mfa/verify', { mfa_token: begun.json['mfa_token'], backup_code: backup });
    expect(done.status).toBe(200);
  });

  it('is taken away with a code of it and not with a token alone, however fresh', async () => {
    const person = await newPersonWithTotp(server, acme);
    const begun = await callAuth(acme, '/login', {
      email: person.email,
      password: person.password,
      token_delivery: 'body',
    });
    const session = sessionIn(
      await callAuth(acme, '/mfa/verify', {
        mfa_token: begun.json['mfa_token'],
        code: totpCode(person.secret, time.clock()),
      }),
    );
    const remove = (body?: object) => callAuth(acme, '/mfa', body, { method: 'DELETE', token: session.accessToken });
    const bare = await remove();
    expect([bare.status, codeOf(bare)]).toEqual([401, 'insufficient_user_authentication']);
    expect(bare.headers.get('www-authenticate')).toContain('error="insufficient_user_authentication", max_age=300');
    // The password is no second factor, and the code of the sign-in was used.
    expect((await remove({ password: person.password })).status).toBe(401);
    expect(codeOf(await remove({ code: totpCode(person.secret, time.clock()) }))).toBe('invalid_code');
    time.advance(30);
    expect((await remove({ code: totpCode(person.secret, time.clock()) })).status).toBe(204);
    expect((await callAuth(acme, '/login', { email: person.email, password: person.password })).json).toHaveProperty(
      'data',
    );
    expect(codeOf(await remove({ code: '000000' }))).toBe('no_second_factor');
  });

  it('has its guesses counted with those of sign-in', async () => {
    const person = await newPersonWithTotp(server, acme);
    const token = await personTokenWithTotp(person);
    const tried = [];
    for (let guesses = 0; guesses < 6; guesses += 1)
      tried.push((await callAuth(acme, '/mfa', { code: '000000' }, { method: 'DELETE', token })).status);
    expect(tried).toEqual([401, 401, 401, 401, 401, 429]);
    const begun = await callAuth(acme, '/login', { email: person.email, password: person.password });
    time.advance(30);
    const code = totpCode(person.secret, time.clock());
    expect((await callAuth(acme, '/mfa/verify', { mfa_token: begun.json['mfa_token'], code })).status).toBe(429);
  });

  async function personTokenWithTotp(person: { email: string; password: string; secret: string }): Promise<string> {
    const { email, password } = person;
    const begun = await callAuth(acme, '/login', { email, password, token_delivery: 'body' });
    const code = totpCode(person.secret, time.clock());
    return sessionIn(await callAuth(acme, '/mfa/verify', { mfa_token: begun.json['mfa_token'], code })).accessToken;
  }

  it('gets new backup codes from who has just signed in with it, or brings a code', async () => {
    const person = await newPersonWithTotp(server, acme);
    const token = await personTokenWithTotp(person);
    const renew = (body?: object) => callAuth(acme, '/mfa/backup-codes', body, { token });
    const first = await renew();
    expect([first.status, (first.json['backup_codes'] as readonly string[]).length]).toEqual([200, 10]);
    time.advance(301);
    expect(codeOf(await renew())).toBe('insufficient_user_authentication');
    expect((await renew({ code: totpCode(person.secret, time.clock()) })).status).toBe(200);
    const without = await newPerson(server, acme);
    const { accessToken } = await logIn(acme, without);
    expect(codeOf(await callAuth(acme, '/mfa/backup-codes', undefined, { token: accessToken }))).toBe(
      'no_second_factor',
    );
  });

  it('is set up by nobody who found an old token: not without the password', async () => {
    const person = await newPerson(server, acme);
    const session = await logIn(acme, person);
    time.advance(301);
    expect((await setUp(session)).status).toBe(401);
    expect((await setUp(session, { password: 'not it' })).status).toBe(400);
    expect((await setUp(session, { password: person.password })).status).toBe(200);
  });

  it('is set up while signing in, where the tenant asks for one: nothing is given before', async () => {
    const strict = await createTestTenant(server, 'strict');
    const changes = [{ name: 'second_factor.policy', value: 'required' }] as const;
    await configureTenant(server.context, { id: strict.id, changes });
    const { email, password } = strict.person;
    const begun = await callAuth(strict, '/login', { email, password, token_delivery: 'body' });
    expect([begun.status, begun.json]).toEqual([
      200,
      { mfa_required: true, mfa_token: expect.any(String), methods: [], enrolment_required: true },
    ]);
    const mfa_token = begun.json['mfa_token'];
    expect(codeOf(await callAuth(strict, '/mfa/verify', { mfa_token, code: '000000' }))).toBe('sign_in_over');
    const shown = await callAuth(strict, '/mfa/setup', { mfa_token });
    const code = totpCode(String(shown.json['secret']), time.clock());
    expect(codeOf(await callAuth(acme, '/mfa/confirm', { mfa_token, code }))).toBe('sign_in_over');
    const done = await callAuth(strict, '/mfa/confirm', { mfa_token, code });
    expect(done.json).toMatchObject({ data: { user: { email } }, backup_codes: expect.any(Array) });
    expect(codeOf(await callAuth(strict, '/mfa/confirm', { mfa_token, code }))).toBe('sign_in_over');
    const { accessToken: token } = sessionIn(done);
    expect((await callApi(strict.issuer, '/auth/me', { token })).json).toMatchObject({ mfa_verified: true });
    // It has to stay.
    const [backup_code] = done.json['backup_codes'] as readonly string[];
    const removed = await callAuth(strict, '/mfa', { backup_code }, { method: 'DELETE', token });
    expect([removed.status, codeOf(removed)]).toEqual([409, 'second_factor_stays']);
  });
});

describe('one’s own profile over REST', () => {
  it('is what the person says of themselves, and what is not said stays', async () => {
    const person = await newPerson(server, acme);
    const { accessToken: token } = await logIn(acme, person);
    expect(
      (await user(token, '/profile', 'PUT', { first_name: 'Grace', last_name: 'Hopper', locale: 'en' })).json,
    ).toMatchObject({
      given_name: 'Grace',
      family_name: 'Hopper',
      locale: 'en',
    });
    expect((await user(token, '/profile', 'PUT', { given_name: 'Amazing', locale: null })).json).toMatchObject({
      name: 'Amazing Hopper',
      locale: null,
    });
    expect((await user(token, '/profile', 'PUT', { family_name: null })).json).toMatchObject({
      name: 'Amazing',
      family_name: null,
    });
    expect((await user(token, '/profile')).json).toMatchObject({ id: person.id, name: 'Amazing', email: person.email });
  });

  it('takes nothing that others decide: every column there is, and every claim', async () => {
    const person = await newPerson(server, acme);
    const { accessToken: token } = await logIn(acme, person);
    const columns = await queryAsSuperuser<{ column_name: string }>(
      server.database,
      "select distinct column_name from information_schema.columns where table_name in ('users', 'memberships', 'membership_roles')",
    );
    const own = new Set(['given_name', 'family_name', 'locale', 'username']);
    const names = [
      ...columns.map(({ column_name: name }) => name),
      'roles',
      'permissions',
      'is_active',
      'tenant',
      'sub',
      'email',
    ];
    const rows = `select row_to_json(u) as u, row_to_json(m) as m from users u join memberships m on m.user_id = u.id where u.id = $1`;
    const before = await queryAsSuperuser(server.database, rows, [person.id]);
    expect(names.length).toBeGreaterThan(15);
    for (const name of names.filter((candidate) => !own.has(candidate)))
      for (const value of [true, 'active', globex.person.id, ['admin']])
        expect({ name, ...(await user(token, '/profile', 'PUT', { [name]: value })) }).toMatchObject({
          name,
          status: 400,
        });
    expect(await queryAsSuperuser(server.database, rows, [person.id])).toEqual(before);
  });

  it('is nobody’s but the caller’s own, at an application of the tenant', async () => {
    const third = await personToken(server, acme, { client: acme.clients.third });
    for (const path of ['/profile', '/sessions', '/consents', '/export']) {
      const answer = await user(third, path);
      expect([path, answer.status, codeOf(answer)]).toEqual([path, 403, 'wrong_kind_of_caller']);
      expect((await callApi(globex.issuer, `/user${path}`, { token: third })).status).toBe(401);
    }
    expect((await callApi(acme.issuer, '/auth/me', { token: third })).status).toBe(403);
    expect((await user(third, '', 'DELETE')).status).toBe(403);
    expect((await user(await personToken(server, acme), '/profile')).json).toMatchObject({ id: acme.person.id });
  });
});

describe('one’s own password over REST', () => {
  it('is changed by who knows the old one, ends every other session and keeps this one', async () => {
    const person = await newPerson(server, acme);
    const [session, other] = [await logIn(acme, person), await logIn(acme, person)];
    const change = (body: object) => user(session.accessToken, '/change-password', 'POST', body);
    const wrong = await change({ current_password: 'not it', new_password: goodPassword });
    expect(wrong.json).toMatchObject({ status: 400, errors: [{ pointer: '#/current_password', code: 'wrong' }] });
    const weak = await change({ old_password: person.password, new_password: 'kort' });
    expect(weak.json).toMatchObject({ status: 400, errors: [{ pointer: '#/new_password', code: 'too_short' }] });
    expect((await change({ new_password: goodPassword })).status).toBe(400);
    const done = await change({ old_password: person.password, new_password: goodPassword });
    expect([done.status, done.json]).toEqual([200, { status: 'password_changed' }]);
    expect((await user(session.accessToken, '/profile')).status).toBe(200);
    expect((await callAuth(acme, '/refresh', { refresh_token: session.refreshToken })).status).toBe(200);
    expect((await user(other.accessToken, '/profile')).status).toBe(401);
    expect((await callAuth(acme, '/refresh', { refresh_token: other.refreshToken })).status).toBe(401);
    expect(await canSignIn(server, acme, { email: person.email, password: goodPassword })).toBe(true);
    const mails = await readMailbox(server, person.email);
    expect(mails.map(({ kind }) => kind)).toContain('password_changed');
  });

  it('is guessed at as little as at sign-in', async () => {
    const person = await newPerson(server, acme);
    const { accessToken: token } = await logIn(acme, person);
    const statuses = [];
    for (let times = 0; times < 6; times += 1)
      statuses.push(
        (await user(token, '/change-password', 'POST', { current_password: 'x', new_password: goodPassword })).status,
      );
    expect(statuses).toEqual([400, 400, 400, 400, 400, 429]);
    expect((await callAuth(acme, '/login', { email: person.email, password: person.password })).status).toBe(429);
  });
});

describe('one’s own sessions and consents over REST', () => {
  it('are listed and ended one by one, or all but the one that asks', async () => {
    const person = await newPerson(server, acme);
    const [session, second, third] = [await logIn(acme, person), await logIn(acme, person), await logIn(acme, person)];
    const ids = async () =>
      (await user(session.accessToken, '/sessions')).json['data'] as readonly { id: string; current: boolean }[];
    const all = await ids();
    expect(all.map(({ current }) => current).filter(Boolean)).toHaveLength(1);
    const secondId = (await callApi(acme.issuer, '/auth/me', { token: second.accessToken })).json['session'] as {
      id: string;
    };
    expect((await user(session.accessToken, `/sessions/${secondId.id}`)).json).toMatchObject({
      id: secondId.id,
      current: false,
    });
    expect((await user(session.accessToken, `/sessions/${secondId.id}`, 'DELETE')).status).toBe(204);
    expect((await user(second.accessToken, '/profile')).status).toBe(401);
    expect((await user(session.accessToken, `/sessions/${secondId.id}`, 'DELETE')).status).toBe(404);
    expect((await user(session.accessToken, '/sessions', 'DELETE')).status).toBe(204);
    expect((await user(third.accessToken, '/profile')).status).toBe(401);
    expect(await ids()).toHaveLength(1);
  });

  it('are not others’: whoever asks for one hears that there is none', async () => {
    const [mine, yours] = [
      await logIn(acme, await newPerson(server, acme)),
      await logIn(acme, await newPerson(server, acme)),
    ];
    const { id } = (await callApi(acme.issuer, '/auth/me', { token: yours.accessToken })).json['session'] as {
      id: string;
    };
    for (const method of ['GET', 'DELETE'] as const)
      expect((await user(mine.accessToken, `/sessions/${id}`, method)).status).toBe(404);
    expect((await user(yours.accessToken, '/profile')).status).toBe(200);
  });

  it('are what an application of somebody else was allowed, until it is taken back', async () => {
    const person = await newPerson(server, acme);
    const { third } = acme.clients;
    await authorize(createUserAgent(server.origin), { tenant: acme, client: third, person });
    const { accessToken: token } = await logIn(acme, person);
    const consent = {
      id: third.clientId,
      name: 'Somebody else',
      rights: expect.arrayContaining([{ name: 'email', description: null }]),
    };
    expect((await user(token, '/consents')).json).toMatchObject({ data: [consent], next_cursor: null });
    expect((await user(token, `/consents/${third.clientId}`)).json).toMatchObject(consent);
    expect((await user(token, `/consents/${acme.clients.web.clientId}`, 'DELETE')).status).toBe(404);
    expect((await user(token, `/consents/${third.clientId}`, 'DELETE')).status).toBe(204);
    expect((await user(token, '/consents')).json).toEqual({ data: [], next_cursor: null });
    expect((await user(token, '/consents', 'DELETE')).status).toBe(204);
  });
});

describe('taking along and leaving over REST', () => {
  it('gives everything that is known, to who has just signed in', async () => {
    const person = await newPerson(server, acme);
    const { accessToken: token } = await logIn(acme, person);
    const exported = await user(token, '/export');
    expect(exported.json).toMatchObject({
      tenant: { issuer: acme.issuer },
      profile: { sub: person.id, email: person.email },
      sessions: [expect.objectContaining({ authentication_methods: ['pwd'] })],
    });
    expect(JSON.stringify(exported.json)).not.toMatch(/argon2|rt_|at_[\w-]{43}/);
    time.advance(301);
    expect(codeOf(await user(token, '/export'))).toBe('insufficient_user_authentication');
  });

  it('ends everything at once, and the account when the time to think is over', async () => {
    const person = await newPerson(server, acme);
    const session = await logIn(acme, person);
    time.advance(301);
    expect(codeOf(await user(session.accessToken, '', 'DELETE'))).toBe('insufficient_user_authentication');
    expect((await user(session.accessToken, '', 'DELETE', { password: 'not it' })).status).toBe(400);
    const left = await user(session.accessToken, '', 'DELETE', { password: person.password });
    expect([left.status, left.json]).toEqual([202, { status: 'deletion_requested', due_at: expect.any(String) }]);
    expect((await user(session.accessToken, '/profile')).status).toBe(401);
    expect((await callAuth(acme, '/refresh', { refresh_token: session.refreshToken })).status).toBe(401);
  });

  it('is for an administrator where the tenant says so', async () => {
    const kept = await createTestTenant(server, 'kept');
    const changes = [{ name: 'people.account_deletion', value: 'administrator' }] as const;
    await configureTenant(server.context, { id: kept.id, changes });
    const { accessToken: token } = await logIn(kept, kept.person);
    const answer = await callApi(kept.issuer, '/user', { token, method: 'DELETE' });
    expect([answer.status, codeOf(answer)]).toEqual([403, 'administrator_decides']);
  });
});
