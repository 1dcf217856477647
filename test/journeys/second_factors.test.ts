/**
 * Second factors as people meet them, in a browser without script: set up because the organisation asks for one, changed on their own
 * pages, asked for again, and taken away by an operator.
 */
import * as jose from 'jose';
import type { UserId } from '#src/domain/user.ts';
import { resetSecondFactor } from '#src/flows/factors/reset_second_factor.ts';
import { addMember } from '#src/flows/people/manage_people.ts';
import { configureTenant } from '#src/flows/tenants/manage_tenants.ts';
import { openInteraction } from '#test/support/attack_surface.ts';
import { openOwnPage, shownCodesOf, shownSecretOf } from '#test/support/own_pages.ts';
import { giveTotp, newPersonWithTotp, totpCode } from '#test/support/second_factor.ts';
import { queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import {
  authorizationRequest,
  createUserAgent,
  exchangeCode,
  type Page,
  type UserAgent,
} from '#test/support/user_agent.ts';
import { callbackUri, createTestTenant, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;
/** Asks everybody for a second factor. */
let strict: TestTenant;
let lastPerson = 0;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  strict = await createTestTenant(server, 'strict');
  const changes = [{ name: 'second_factor.policy', value: 'required' } as const];
  expect(await configureTenant(server.context, { id: strict.id, changes })).toEqual({ outcome: 'changed' });
  // The server hears of it a moment later.
  for (;;) {
    const { agent, page } = await openSignIn(strict);
    if ((await agent.submit(page, credentials(strict.person))).body.includes('totp-secret')) break;
  }
}, 30_000);

beforeEach(() => queryAsSuperuser(server.database, 'delete from sign_in_attempts'));

afterAll(async () => {
  expect(server.log).toEqual([]);
  await server.close();
});

interface Person {
  readonly id: UserId;
  readonly email: string;
  readonly password: string;
}

async function newPerson(tenant: TestTenant): Promise<Person> {
  lastPerson += 1;
  const email = `one-step-${lastPerson}@${tenant.slug}.test`;
  const password = `correct horse ${email}`;
  const added = await addMember(server.context, { tenantId: tenant.id, email, password, roles: [], verified: true });
  if (added.outcome === 'refused') throw new Error(added.reason);
  return { id: added.userId, email, password };
}

const now = (): Date => new Date();
/** The code after the present one, for who has used that up already. */
const soon = (): Date => new Date(Date.now() + 30_000);

async function openSignIn(
  tenant: TestTenant,
  extra: Readonly<Record<string, string>> = {},
  agent: UserAgent = createUserAgent(server.origin),
): Promise<{ readonly agent: UserAgent; readonly page: Page; readonly url: string }> {
  const { page, url } = await openInteraction(server, { tenant, agent, extra });
  return { agent, page, url };
}

const credentials = ({ email, password }: Person) => ({ email, password });
const hasCode = ({ url }: Page): boolean => url.startsWith(callbackUri) && new URL(url).searchParams.has('code');
const errorOf = ({ url }: Page): string | null => new URL(url).searchParams.get('error');

/** What an application learns of a sign-in that has arrived. */
async function claimsOf(tenant: TestTenant, arrived: Page, verifier: string): Promise<jose.JWTPayload> {
  const code = new URL(arrived.url).searchParams.get('code') ?? '';
  const authorized = { code, verifier, callback: new URL(arrived.url) };
  const { json } = await exchangeCode(tenant, tenant.clients.web, authorized);
  return jose.decodeJwt(String(json['id_token']));
}

describe('where everybody needs a second factor', () => {
  it('one is set up at sign-in, and the sign-in goes on once the codes are put away', async () => {
    const person = await newPerson(strict);
    const request = authorizationRequest(strict, strict.clients.web);
    const agent = createUserAgent(server.origin);
    const setUp = await agent.submit(await agent.follow(request.url), credentials(person));
    const secret = shownSecretOf(setUp);
    expect(setUp.body).toContain('<svg role="img"');
    expect(setUp.body).toMatch(/href="otpauth:\/\/totp\/Strict:[^"]*issuer=Strict/);
    // The secret is shown, and travels in no field and no address of ours.
    for (const [form] of setUp.body.matchAll(/<form.*?<\/form>/gs)) expect(form).not.toContain(secret);
    expect(setUp.url).not.toContain(secret);

    const wrong = await agent.submit(setUp, { code: '000000' });
    expect([wrong.status, shownSecretOf(wrong)]).toEqual([400, secret]);
    expect((await agent.submit(wrong, { code: '' })).status).toBe(400);
    const shown = await agent.submit(wrong, { code: totpCode(secret, now()) });
    const codes = shownCodesOf(shown);
    expect(new Set(codes).size).toBe(10);
    expect(decodeURIComponent(/href="data:text\/plain[^"]*"/.exec(shown.body)?.[0] ?? '')).toContain(
      codes.join('\r\n'),
    );

    const arrived = await agent.submit(shown, { saved: 'yes' });
    expect(await claimsOf(strict, arrived, request.verifier)).toMatchObject({
      acr: 'urn:poort:acr:mfa',
      amr: ['mfa', 'otp', 'pwd'],
    });
    const events = await readEvents(server.database, { tenantId: strict.id, types: ['mfa.enrolled'] });
    expect(events.map(({ target_id, data }) => [target_id, data?.['method']])).toContainEqual([person.id, 'totp']);
    // The next time it is asked for, and a backup code does as well.
    const next = await openSignIn(strict);
    const second = await next.agent.submit(next.page, credentials(person));
    expect(hasCode(await next.agent.submit(second, { backup_code: codes[3] ?? '' }))).toBe(true);
  });

  it('nobody gets past it: not by the way back, not by consent, not to their own pages', async () => {
    const person = await newPerson(strict);
    const { agent, page, url } = await openSignIn(strict);
    const setUp = await agent.submit(page, credentials(person));
    const resume = url.replace('/interaction/', '/authorize/');
    for (const [where, form] of [
      [setUp, { saved: 'yes', set: '' }],
      [setUp, { decision: 'allow' }],
      [setUp, { send: 'email_code' }],
      [setUp, { backup_code: '7K3M-9QXA-0ZTF-R2BC' }],
      [setUp, {}],
    ] as const)
      expect(hasCode(await agent.submit(where, form))).toBe(false);
    expect(hasCode(await agent.follow(resume))).toBe(false);
    expect((await agent.follow(`${strict.issuer}/account/second-factor`)).body).toContain('name="password"');
    const silent = await agent.follow(authorizationRequest(strict, strict.clients.web, { prompt: 'none' }).url);
    expect(errorOf(silent)).toBe('login_required');
  });

  it('whoever is interrupted before putting the codes away comes back to new ones, and to them alone', async () => {
    const person = await newPerson(strict);
    const { agent, page, url } = await openSignIn(strict);
    const setUp = await agent.submit(page, credentials(person));
    const shown = await agent.submit(setUp, { code: totpCode(shownSecretOf(setUp), now()) });
    const again = await agent.follow(url);
    expect(shownCodesOf(again)).toHaveLength(10);
    expect(shownCodesOf(again)).not.toEqual(shownCodesOf(shown));
    // The page from before holds codes that count no more: nobody goes on with those.
    const stale = await agent.submit(shown, { saved: 'yes' });
    expect(stale.status).toBe(400);
    expect(stale.body).toContain('vervangen');
    expect((await agent.submit(stale, {})).status).toBe(400);
    const last = await agent.follow(url);
    expect(hasCode(await agent.submit(last, { saved: 'yes' }))).toBe(true);
  });

  it('a secret that somebody else was shown is never the one that counts', async () => {
    const person = await newPerson(strict);
    const thief = await openSignIn(strict);
    const theirs = await thief.agent.submit(thief.page, credentials(person));
    const owner = await openSignIn(strict);
    const mine = await owner.agent.submit(owner.page, credentials(person));
    expect(shownSecretOf(mine)).not.toBe(shownSecretOf(theirs));
    expect((await thief.agent.submit(theirs, { code: totpCode(shownSecretOf(theirs), now()) })).status).toBe(400);
    // The thief's page has shown a new one meanwhile; the owner is shown another again, and confirms that.
    const afresh = await owner.agent.follow(owner.url);
    const shown = await owner.agent.submit(afresh, { code: totpCode(shownSecretOf(afresh), now()) });
    expect(shownCodesOf(shown)).toHaveLength(10);
    // From then on a password alone sets up nothing.
    const late = await thief.agent.follow(thief.url);
    const answer = await thief.agent.submit(late, {
      code: late.body.includes('totp-secret') ? totpCode(shownSecretOf(late), now()) : '000000',
    });
    expect(shownCodesOf(answer)).toEqual([]);
    const [factor] = await queryAsSuperuser<{ count: string }>(
      server.database,
      "select count(*) from totp_factors where user_id = $1 and state = 'active'",
      [person.id],
    );
    expect(factor?.count).toBe('1');
  });

  it('two confirmations at the same moment are one', async () => {
    const person = await newPerson(strict);
    const { agent, page } = await openSignIn(strict);
    const setUp = await agent.submit(page, credentials(person));
    const code = totpCode(shownSecretOf(setUp), now());
    const answers = await Promise.all([agent.submit(setUp, { code }), agent.submit(setUp, { code })]);
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
    const events = await readEvents(server.database, { tenantId: strict.id, types: ['mfa.enrolled'] });
    expect(events.filter(({ target_id: id }) => id === person.id)).toHaveLength(1);
  });
});

describe('an application that asks for both factors', () => {
  const both = { acr_values: 'urn:poort:acr:mfa' };

  it('lets somebody without one set it up, and is told the truth', async () => {
    const person = await newPerson(acme);
    const request = authorizationRequest(acme, acme.clients.web, both);
    const agent = createUserAgent(server.origin);
    const setUp = await agent.submit(await agent.follow(request.url), credentials(person));
    const shown = await agent.submit(setUp, { code: totpCode(shownSecretOf(setUp), now()) });
    const claims = await claimsOf(acme, await agent.submit(shown, { saved: 'yes' }), request.verifier);
    expect(claims['acr']).toBe('urn:poort:acr:mfa');
  });

  it('asks only for the second in a session of one, and an old session must show who it is before anything is set up', async () => {
    const person = await newPerson(acme);
    const { agent, page } = await openSignIn(acme);
    await agent.submit(page, credentials(person));
    const fresh = await agent.follow(authorizationRequest(acme, acme.clients.web, both).url);
    expect(fresh.body).toContain('totp-secret');
    await ageSession(person, 301);
    const old = await agent.follow(authorizationRequest(acme, acme.clients.web, both).url);
    expect(old.body).not.toContain('totp-secret');
    expect(old.body).toContain('name="password"');

    const secret = await giveTotp(server, acme, person.id);
    const second = await agent.follow(authorizationRequest(acme, acme.clients.web, both).url);
    expect(second.body).not.toContain('name="password"');
    expect(hasCode(await agent.submit(second, { code: totpCode(secret, now()) }))).toBe(true);
  });
});

const ageSession = (person: Person, seconds: number) =>
  queryAsSuperuser(
    server.database,
    `update artifacts set payload = jsonb_set(payload::jsonb, '{loginTs}', to_jsonb((payload ->> 'loginTs')::bigint - $2::bigint))::json
      where kind = 'Session' and account_id = $1`,
    [person.id, seconds],
  );

describe('asked to sign in again', () => {
  it('the page says why and whom it knows', async () => {
    const person = await newPerson(acme);
    const { agent, page } = await openSignIn(acme);
    await agent.submit(page, credentials(person));
    for (const extra of [{ prompt: 'login' }, { max_age: '0' }]) {
      const again = await agent.follow(authorizationRequest(acme, acme.clients.web, extra).url);
      expect(again.body).toContain('<h1>Bevestig dat u het bent</h1>');
      expect(again.body).toContain(`name="email" type="email" value="${person.email}"`);
      expect(hasCode(await agent.submit(again, credentials(person)))).toBe(true);
    }
  });

  it('with another account the first one is signed out, as the page had said', async () => {
    const [ada, ben] = [await newPerson(acme), await newPerson(acme)];
    const { agent, page } = await openSignIn(acme);
    await agent.submit(page, credentials(ada));
    const again = await agent.follow(authorizationRequest(acme, acme.clients.web, { prompt: 'login' }).url);
    expect(again.body).toContain(`wordt ${ada.email} hier uitgelogd`);
    const between = await agent.submit(again, credentials(ben));
    // Without script the engine's own page waits for a press.
    expect(between.body).toContain('<noscript>');
    const arrived = await agent.submit(between, {});
    expect(hasCode(arrived)).toBe(true);
  });
});

describe('on their own pages', () => {
  it('a person sets an app up, sees it, and takes it away again, after showing that it is them', async () => {
    const person = await newPerson(acme);
    const { agent, page } = await openOwnPage(server, acme, { person });
    expect(page.body).toContain('U hebt geen authenticator-app ingesteld.');
    const setUp = await agent.follow(`${acme.issuer}/account/second-factor/app`);
    const secret = shownSecretOf(setUp);
    const shown = await agent.submit(setUp, { code: totpCode(secret, now()) });
    expect(shownCodesOf(shown)).toHaveLength(10);
    const overview = await agent.submit(shown, { saved: 'yes' });
    expect(overview.body).toContain('Uw back-upcodes zijn klaar voor gebruik.');
    expect(overview.body).toContain('10 ongebruikte codes');

    // The session was opened with a password alone: a second factor is asked for before one goes.
    const step = await agent.follow(`${acme.issuer}/account/second-factor/app/remove`);
    expect(step.url).toContain('/interaction/');
    const elsewhere = await openOwnPage(server, acme, { person: { ...person, secret }, at: soon() });
    const ask = await agent.submit(step, { backup_code: shownCodesOf(shown)[0] ?? '' });
    expect(ask.body).toContain('App verwijderen');
    const removed = await agent.submit(ask, {});
    expect(removed.body).toContain('is verwijderd');
    expect(removed.body).toContain('U hebt geen authenticator-app ingesteld.');
    const left = await queryAsSuperuser(
      server.database,
      'select user_id from totp_factors where user_id = $1 union all select user_id from backup_codes where user_id = $1',
      [person.id],
    );
    expect(left).toEqual([]);

    // What was opened with it is over everywhere else, and this session is worth a password and no more.
    expect((await elsewhere.agent.follow(`${acme.issuer}/account/second-factor`)).body).toContain('name="password"');
    const silent = { prompt: 'none', acr_values: 'urn:poort:acr:mfa' };
    const claimed = await agent.follow(authorizationRequest(acme, acme.clients.web, silent).url);
    expect(errorOf(claimed)).toBe('unmet_authentication_requirements');
    const request = authorizationRequest(acme, acme.clients.web, { prompt: 'none' });
    expect(await claimsOf(acme, await agent.follow(request.url), request.verifier)).toMatchObject({
      acr: 'urn:poort:acr:password',
      amr: ['pwd'],
    });
    const mails = await queryAsSuperuser<{ kind: string }>(
      server.database,
      "select kind from mails where kind like 'second_factor%' order by id desc limit 2",
    );
    expect(mails.map(({ kind }) => kind)).toEqual(['second_factor_removed', 'second_factor_added']);
  });

  it('nothing changes how somebody gets in when the sign-in is five minutes old, not even by its form', async () => {
    const person = await newPersonWithTotp(server, acme);
    const { agent } = await openOwnPage(server, acme, { person });
    const pages = await Promise.all(
      ['app', 'app/remove', 'backup-codes', 'passkeys', 'passkeys/new'].map((path) =>
        agent.request(`${acme.issuer}/account/second-factor/${path}`),
      ),
    );
    expect(pages.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    await ageSession(person, 301);
    for (const page of pages) {
      expect((await agent.follow(page.url)).body).toContain('name="password"');
      if (!page.body.includes('<form')) continue;
      expect((await agent.submit(page, {})).body).toContain('name="password"');
    }
    const events = await readEvents(server.database, {
      tenantId: acme.id,
      types: ['mfa.removed', 'backup_code.renewed'],
    });
    expect(events.filter(({ target_id: id }) => id === person.id)).toEqual([]);
    // Looking is still allowed.
    expect((await agent.follow(`${acme.issuer}/account/second-factor`)).body).toContain('Ingesteld op');
  });

  it('the only second factor stays where one is required; renewing it is possible, and ends what the old one opened', async () => {
    const person = await newPersonWithTotp(server, strict);
    const { agent } = await openOwnPage(server, strict, { person });
    const remove = await agent.follow(`${strict.issuer}/account/second-factor/app/remove`);
    const refused = await agent.submit(remove, {});
    expect(refused.status).toBe(400);
    expect(refused.body).toContain('vraagt om een tweede stap');
    const elsewhere = await openOwnPage(server, strict, { person, at: soon() });
    const setUp = await agent.follow(`${strict.issuer}/account/second-factor/app`);
    const secret = shownSecretOf(setUp);
    expect(shownCodesOf(await agent.submit(setUp, { code: totpCode(secret, now()) }))).toHaveLength(10);
    expect((await elsewhere.agent.follow(`${strict.issuer}/account/second-factor`)).body).toContain('name="password"');
    const { agent: next, page } = await openSignIn(strict);
    const second = await next.submit(page, credentials(person));
    const old = await next.submit(second, { code: totpCode(person.secret, soon()) });
    expect(hasCode(old)).toBe(false);
    expect(hasCode(await next.submit(second, { code: totpCode(secret, soon()) }))).toBe(true);
  });

  it('new backup codes take the place of all old ones', async () => {
    const person = await newPersonWithTotp(server, acme);
    const { agent } = await openOwnPage(server, acme, { person });
    const path = `${acme.issuer}/account/second-factor/backup-codes`;
    const first = shownCodesOf(await agent.submit(await agent.follow(path), {}));
    const second = shownCodesOf(await agent.submit(await agent.follow(path), {}));
    const tried = await openSignIn(acme);
    const step = await tried.agent.submit(tried.page, credentials(person));
    expect(hasCode(await tried.agent.submit(step, { backup_code: first[0] ?? '' }))).toBe(false);
    expect(hasCode(await tried.agent.submit(step, { backup_code: second[0] ?? '' }))).toBe(true);
  });

  it('sign-in leads back to one of them and nowhere else, whatever the address says', async () => {
    const person = await newPerson(acme);
    const { agent } = await openOwnPage(server, acme, { person });
    const states = [
      'https://evil.example/',
      '//evil.example',
      '/account/../../evil',
      '/account/second-factor/../../authorize',
      'javascript:alert(1)',
      '',
    ];
    for (const state of states) {
      const back = await agent.request(`${acme.issuer}/account/signed-in?${new URLSearchParams({ state })}`);
      expect(back.headers.get('location')).toBe(`${acme.issuer}/account`);
    }
    const known = new URLSearchParams({ state: '/account/second-factor' });
    const back = await agent.request(`${acme.issuer}/account/signed-in?${known}`);
    expect(back.headers.get('location')).toBe(`${acme.issuer}/account/second-factor`);
    // Somebody who is not signed in, or came back with a refusal, is told so and not sent in circles.
    const nobody = createUserAgent(server.origin);
    expect((await nobody.request(`${acme.issuer}/account/signed-in`)).status).toBe(400);
    expect((await agent.request(`${acme.issuer}/account/signed-in?error=access_denied`)).status).toBe(400);
  });

  it('a browser is listed and forgotten, one’s own alone', async () => {
    const [ada, ben] = [await newPerson(acme), await newPerson(acme)];
    const mine = await openOwnPage(server, acme, { person: ada });
    const theirs = await openOwnPage(server, acme, { person: ben });
    expect(mine.page.body).toContain('Dit apparaat');
    const idOf = (page: Page) => /name="device" value="([^"]+)"/.exec(page.body)?.[1] ?? '';
    await mine.agent.submit(mine.page, { device: idOf(theirs.page) });
    expect((await theirs.agent.follow(theirs.page.url)).body).toContain('Dit apparaat');
    const forgotten = await mine.agent.submit(mine.page, {});
    expect(forgotten.body).toContain('Er zijn geen onthouden apparaten.');
  });
});

describe('an operator who takes all factors away', () => {
  it('ends everything, says why, and reaches nobody of another tenant unless they may', async () => {
    const person = await newPersonWithTotp(server, acme);
    const { agent } = await openOwnPage(server, acme, { person });
    const input = { tenantId: acme.id, userId: person.id, reason: 'lost the phone', acrossTenants: false };
    await addMember(server.context, { tenantId: strict.id, email: person.email, roles: [], verified: true });
    expect(await resetSecondFactor(server.context, input)).toEqual({ outcome: 'member_elsewhere' });
    const reset = await resetSecondFactor(server.context, { ...input, acrossTenants: true });
    expect(reset).toEqual({ outcome: 'reset', had: true });
    expect((await agent.follow(`${acme.issuer}/account/second-factor`)).body).toContain('name="password"');
    const [event] = (await readEvents(server.database, { tenantId: acme.id, types: ['mfa.reset'] })).slice(-1);
    expect(event).toMatchObject({ reason: 'lost the phone', target_id: person.id, actor_type: 'operator' });
    const mails = await queryAsSuperuser(server.database, "select 1 from mails where kind = 'second_factor_reset'");
    expect(mails).toHaveLength(1);
    const elsewhere = { ...input, tenantId: strict.id, userId: acme.person.id };
    expect(await resetSecondFactor(server.context, elsewhere)).toEqual({ outcome: 'unknown' });
  });
});
