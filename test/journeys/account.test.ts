/** The person's own pages as a browser without scripts walks them, and what must not work: other people's things, other tenants, old sign-ins. */
import { configureTenant } from '#src/flows/tenants/manage_tenants.ts';
import { accountAreas } from '#src/http/pages/account/account_frame.ts';
import { giveTotp, totpCode } from '#test/support/second_factor.ts';
import { queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import {
  authorizationRequest,
  authorize,
  createUserAgent,
  exchangeCode,
  introspect,
  type Page,
  readForm,
  refresh,
  type UserAgent,
} from '#test/support/user_agent.ts';
import { newAddress, proofFor } from '#test/support/visitor.ts';
import { createTestTenant, type NewPerson, newPerson, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
});

afterAll(() => server.close());

const newPassword = 'seven violet otters at noon';

/** At one of the pages, signed in on the way. */
async function visit(
  path: string,
  person: NewPerson,
  { tenant = acme, agent = createUserAgent(server.origin, { 'user-agent': chrome }) } = {},
): Promise<{ agent: UserAgent; page: Page }> {
  const page = await agent.follow(`${tenant.issuer}/account${path}`);
  if (!page.body.includes('name="password"')) return { agent, page };
  return { agent, page: await agent.submit(page, { email: person.email, password: person.password }) };
}

const chrome =
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36';
const pathOf = ({ url }: Page): string => new URL(url).pathname;
const textOf = ({ body }: Page): string =>
  body
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ')
    .trim();

async function tokensOf(person: NewPerson, tenant = acme, agent = createUserAgent(server.origin)) {
  const { web } = tenant.clients;
  const { json } = await exchangeCode(tenant, web, await authorize(agent, { tenant, client: web, person }));
  return { access: String(json['access_token']), refresh: String(json['refresh_token']) };
}

const isActive = async (token: string, tenant = acme): Promise<unknown> =>
  (await introspect(tenant, tenant.clients.web, token)).json['active'];

/** As if every session had begun so long ago. */
async function ageSignIns(seconds: number): Promise<void> {
  await queryAsSuperuser(
    server.database,
    `update artifacts set payload = jsonb_set(payload::jsonb, '{loginTs}', to_jsonb((payload ->> 'loginTs')::int - $1))::json
      where kind = 'Session' and payload ->> 'loginTs' is not null`,
    [seconds],
  );
}

/** The hidden fields of every form on a page, and where it goes. */
function formsOf(page: Page): readonly ReturnType<typeof readForm>[] {
  return [...page.body.matchAll(/<form.*?<\/form>/gs)].map(([body]) => readForm({ ...page, body }));
}

describe('the account', () => {
  it('is reached through sign-in, and every page leads to every other that is there', async () => {
    const ada = await newPerson(server, acme);
    const { agent, page } = await visit('', ada);
    expect([page.status, pathOf(page)]).toEqual([200, '/t/acme/account']);
    expect(textOf(page)).toContain(ada.email);
    for (const area of accountAreas) {
      expect(page.body).toContain(`href="/t/acme/account${area === 'overview' ? '' : `/${area}`}"`);
    }
    for (const area of ['profile', 'email', 'password', 'sessions', 'applications', 'activity', 'export', 'delete']) {
      const other = await agent.follow(`${acme.issuer}/account/${area}`);
      expect([area, other.status, pathOf(other)]).toEqual([area, 200, `/t/acme/account/${area}`]);
      expect(other.headers.get('cache-control')).toBe('no-store');
      expect(other.body).toContain('aria-current="page"');
    }
  });

  it('is closed to who is half signed in, and to a session of another tenant', async () => {
    const ada = await newPerson(server, acme, globex);
    await giveTotp(server, acme, ada.id);
    const { agent, page } = await visit('', ada);
    expect(page.body).toContain('name="code"');
    for (const area of ['', '/profile', '/sessions', '/activity', '/export', '/delete']) {
      const tried = await agent.request(`${acme.issuer}/account${area}`);
      expect([area, tried.status]).toEqual([area, 303]);
      expect(tried.headers.get('location')).toContain('/t/acme/authorize?');
    }
    const grace = await newPerson(server, acme, globex);
    const atGlobex = await visit('', grace, { tenant: globex });
    expect(atGlobex.page.status).toBe(200);
    const moved = await fetch(`${acme.issuer}/account`, {
      redirect: 'manual',
      headers: { cookie: atGlobex.agent.cookies().join('; ') },
    });
    expect([moved.status, moved.headers.get('location')]).toEqual([303, expect.stringContaining('/t/acme/authorize?')]);
  });

  it('speaks the language of the profile, unless another was chosen in this browser', async () => {
    const ada = await newPerson(server, acme);
    const { agent, page } = await visit('/profile', ada);
    expect(page.body).toContain('<html lang="nl">');
    const saved = await agent.submit(page, { given_name: 'Ada', family_name: '', locale: 'en' });
    expect(saved.body).toContain('<html lang="en">');
    expect(textOf(saved)).toContain('Your profile has been saved.');
    const elsewhere = await visit('', ada);
    expect(elsewhere.page.body).toContain('<html lang="en">');
    expect(textOf(elsewhere.page)).toContain('Ada');
    const chosen = await elsewhere.agent.follow(`${acme.issuer}/account?ui_locales=nl`);
    expect(chosen.body).toContain('<html lang="nl">');
  });
});

describe('the profile', () => {
  it('keeps what was typed when something is wrong with it, and in another language', async () => {
    const tenant = await createTestTenant(server, 'names');
    await configureTenant(server.context, { id: tenant.id, changes: [{ name: 'people.usernames', value: true }] });
    const ada = await newPerson(server, tenant);
    const { agent, page } = await visit('/profile', ada, { tenant });
    const typed = { given_name: 'Augusta', family_name: 'King', username: 'a b', locale: 'nl' };
    const refused = await agent.submit(page, typed);
    expect(refused.status).toBe(400);
    expect(refused.body).toContain('value="Augusta"');
    expect(refused.body).toContain('aria-invalid="true"');
    const translated = await agent.submit(refused, { ...typed, ui_locales: 'en' });
    expect(translated.body).toContain('<html lang="en">');
    expect(translated.body).toContain('value="a b"');
    await agent.submit(translated, { ...typed, username: 'augusta' });
    const signIn = await agent.follow(authorizationRequest(tenant, tenant.clients.web, { prompt: 'login' }).url);
    const arrived = await agent.submit(signIn, { email: 'augusta', password: ada.password });
    expect(new URL(arrived.url).searchParams.get('code')).toBeTruthy();
  });

  it('changes nothing but what it asks for, whatever else is sent (C18)', async () => {
    const ada = await newPerson(server, acme);
    const { agent, page } = await visit('/profile', ada);
    const columns = await queryAsSuperuser<{ name: string }>(
      server.database,
      `select column_name::text as name from information_schema.columns where table_name in ('users', 'memberships')
        and table_schema = 'public' and column_name not in ('given_name', 'family_name', 'locale', 'username')`,
    );
    expect(columns.length).toBeGreaterThan(12);
    const row = () =>
      queryAsSuperuser(
        server.database,
        'select u.*, m.* from users u join memberships m on m.user_id = u.id where u.id = $1',
        [ada.id],
      );
    const before = await row();
    for (const { name } of columns) {
      const answer = await agent.submit(page, { given_name: 'Mallory', [name]: 'true' });
      expect({ name, status: answer.status }).toEqual({ name, status: 400 });
    }
    expect(await row()).toEqual(before);
  });
});

describe('another address', () => {
  it('counts once it is proven; until then the old one does, and the history names neither', async () => {
    const ada = await newPerson(server, acme);
    const { agent, page } = await visit('/email', ada);
    const email = newAddress();
    const asked = await agent.submit(page, { email });
    expect(pathOf(asked)).toBe('/t/acme/verify');
    expect((await visit('', ada)).page.status).toBe(200);
    const { code } = await proofFor(server, acme, email);
    expect((await agent.submit(asked, { code })).status).toBe(200);
    expect((await visit('', ada)).page.status).toBe(400);
    const moved = await visit('', { ...ada, email });
    expect([moved.page.status, textOf(moved.page).includes(email)]).toEqual([200, true]);
    const types = ['email.change_requested', 'email.changed'];
    const events = await readEvents(server.database, { tenantId: acme.id, types });
    expect(events.filter(({ target_id: target }) => target === ada.id).map(({ type }) => type)).toEqual(types);
    expect(JSON.stringify(events)).not.toContain(email);
  });

  it('that is somebody else’s gets the same answer as one that is free', async () => {
    const [ada, grace] = [await newPerson(server, acme), await newPerson(server, globex)];
    const { agent, page } = await visit('/email', ada);
    const [taken, free] = [
      await agent.submit(page, { email: grace.email }),
      await agent.submit(await agent.follow(page.url), { email: newAddress() }),
    ];
    expect([taken.status, pathOf(taken)]).toEqual([free.status, pathOf(free)]);
  });

  it.each([
    ['', 'Vul een e-mailadres in.'],
    ['ada@', 'geen e-mailadres'],
  ])('is refused when it is none: %j', async (email, words) => {
    const { agent, page } = await visit('/email', await newPerson(server, acme));
    const refused = await agent.submit(page, { email });
    expect([refused.status, textOf(refused).includes(words)]).toEqual([400, true]);
  });
});

describe('a new password', () => {
  it('ends everything the old one opened, everywhere, but this browser, which gets another identifier', async () => {
    const ada = await newPerson(server, acme, globex);
    const elsewhere = [await tokensOf(ada), await tokensOf(ada, globex)] as const;
    const { agent, page } = await visit('/password', ada);
    const own = await tokensOf(ada, acme, agent);
    const before = agent.cookies(acme.issuer);
    const sessionCookie = (cookies: readonly string[]) => cookies.find((cookie) => cookie.startsWith('_session='));
    const shown = await agent.follow(page.url);
    const changed = await agent.submit(shown, { password: ada.password, new_password: newPassword });
    expect([changed.status, changed.url]).toEqual([200, `${acme.issuer}/account/password?done=changed`]);
    expect(await isActive(elsewhere[0].access)).toBe(false);
    expect(await isActive(elsewhere[1].access, globex)).toBe(false);
    expect((await refresh(globex, globex.clients.web, elsewhere[1].refresh)).status).toBe(400);
    expect(await isActive(own.access)).toBe(true);
    // C26: whoever had the cookie has nothing.
    expect(sessionCookie(agent.cookies(acme.issuer))).not.toBe(sessionCookie(before));
    const old = await fetch(`${acme.issuer}/account`, { redirect: 'manual', headers: { cookie: before.join('; ') } });
    expect(old.status).toBe(303);
    expect((await visit('', { ...ada, password: newPassword })).page.status).toBe(200);
    expect((await visit('', ada)).page.status).toBe(400);
    // The form that changed it is of no use again.
    const again = await agent.submit(shown, { password: newPassword, new_password: `${newPassword} again` });
    expect(again.status).toBe(403);
  });

  it.each([
    ['without the one in use', { password: '', new_password: newPassword }, 'password'],
    ['without a new one', { password: 'x', new_password: '' }, 'new_password'],
    ['with a wrong one', { password: 'wrong', new_password: newPassword }, 'password'],
  ])('is refused %s', async (_name, fields, field) => {
    const ada = await newPerson(server, acme);
    const { agent, page } = await visit('/password', ada);
    const refused = await agent.submit(page, fields);
    expect(refused.status).toBe(400);
    expect(refused.body).toContain(`id="${field}-error"`);
    expect(refused.body).not.toContain(newPassword);
    expect((await visit('', ada)).page.status).toBe(200);
  });

  it('is judged as everywhere, and says why it is refused', async () => {
    const ada = await newPerson(server, acme);
    const { agent, page } = await visit('/password', ada);
    for (const [password, words] of [
      ['short', 'te kort'],
      ['passwordpassword', 'gelekte'],
    ] as const) {
      const refused = await agent.submit(page, { password: ada.password, new_password: password });
      expect([refused.status, textOf(refused).includes(words)]).toEqual([400, true]);
    }
  });

  it('is no place to guess the old one: tries are counted with those of sign-in', async () => {
    const ada = await newPerson(server, acme);
    const { agent, page } = await visit('/password', ada);
    const statuses: number[] = [];
    for (let tries = 0; tries < 7; tries += 1)
      statuses.push((await agent.submit(page, { password: `guess ${tries}`, new_password: newPassword })).status);
    expect(statuses.slice(0, 4)).toEqual([400, 400, 400, 400]);
    expect(statuses.at(-1)).toBe(429);
    const right = await agent.submit(page, { password: ada.password, new_password: newPassword });
    expect([right.status, Number(right.headers.get('retry-after')) > 0]).toEqual([429, true]);
    // And the owner hears of it, once.
    const types = ['user.sign_in_failed', 'user.locked'];
    const events = await readEvents(server.database, { tenantId: acme.id, types });
    const own = events.filter(({ target_id: target }) => target === ada.id);
    expect(own.map(({ reason }) => reason)).toEqual([...Array(5).fill('wrong_password'), null]);
  });

  it('of two that are sent at the same moment is one', async () => {
    const ada = await newPerson(server, acme);
    const { agent, page } = await visit('/password', ada);
    const wishes = [newPassword, `${newPassword} too`];
    await Promise.all(wishes.map((wish) => agent.submit(page, { password: ada.password, new_password: wish })));
    const events = await readEvents(server.database, { tenantId: acme.id, types: ['password.changed'] });
    expect(events.filter(({ target_id: target }) => target === ada.id)).toHaveLength(1);
  });
});

describe('sensitive pages', () => {
  it.each(['/email', '/password', '/export', '/delete'])(
    '%s asks again after five minutes, and says why',
    async (path) => {
      const ada = await newPerson(server, acme);
      const { agent } = await visit('', ada);
      expect((await agent.follow(`${acme.issuer}/account${path}`)).url).toBe(`${acme.issuer}/account${path}`);
      const opened = await agent.follow(`${acme.issuer}/account${path}`);
      await ageSignIns(301);
      const asked = await agent.follow(`${acme.issuer}/account${path}`);
      expect(asked.body).toContain('name="password"');
      expect(textOf(asked)).toContain('vragen wij u toch opnieuw in te loggen');
      // The form that is still open does nothing either.
      const fields: Readonly<Record<string, Record<string, string>>> = {
        '/email': { email: newAddress() },
        '/password': { password: ada.password, new_password: newPassword },
        '/export': {},
        '/delete': { decision: 'delete', confirm: 'yes' },
      };
      const sent = await agent.submit(opened, fields[path] ?? {});
      expect(sent.body).toContain('name="password"');
      expect(pathOf(sent)).toContain('/interaction/');
      const back = await agent.submit(asked, { email: ada.email, password: ada.password });
      expect([back.status, back.url]).toEqual([200, `${acme.issuer}/account${path}`]);
    },
  );

  it('ask for both factors of who has two, also in a session of one', async () => {
    const ada = await newPerson(server, acme);
    const { agent } = await visit('', ada);
    const secret = await giveTotp(server, acme, ada.id);
    const asked = await agent.follow(`${acme.issuer}/account/export`);
    expect(asked.body).toContain('name="code"');
    const there = await agent.submit(asked, { code: totpCode(secret, new Date()) });
    expect([there.status, there.url]).toEqual([200, `${acme.issuer}/account/export`]);
  });
});

describe('the list of sessions', () => {
  it('marks this device, names browsers, and signs one out', async () => {
    const ada = await newPerson(server, acme);
    const tokens = await tokensOf(ada);
    const { agent, page } = await visit('/sessions', ada);
    expect(textOf(page)).toContain('Chrome op Windows Dit apparaat');
    expect(textOf(page)).toContain('Onbekende browser');
    expect(page.body).not.toContain('Mozilla');
    expect(await isActive(tokens.access)).toBe(true);
    const ended = await agent.submit(page, {});
    expect(textOf(ended)).toContain('Die browser is uitgelogd.');
    expect(await isActive(tokens.access)).toBe(false);
    expect(textOf(await agent.submit(page, {}))).toContain('was al uitgelogd');
  });

  it('signs all others out and keeps this one', async () => {
    const ada = await newPerson(server, acme);
    const others = [await tokensOf(ada), await tokensOf(ada)];
    const { agent, page } = await visit('/sessions', ada);
    const form = formsOf(page).at(-1);
    expect(form?.hidden['others']).toBe('yes');
    const after = await agent.submit({ ...page, body: page.body.slice(page.body.lastIndexOf('<form')) }, {});
    expect([after.status, after.url]).toEqual([200, `${acme.issuer}/account/sessions?done=others_ended`]);
    for (const { access } of others) expect(await isActive(access)).toBe(false);
  });

  it('ends no session of somebody else, and shows none of another tenant', async () => {
    const [ada, grace] = [await newPerson(server, acme, globex), await newPerson(server, acme)];
    const tokens = await tokensOf(grace);
    const atGlobex = await tokensOf(ada, globex);
    await tokensOf(ada);
    const [session] = await queryAsSuperuser<{ session_uid: string }>(
      server.database,
      "select session_uid from artifacts where kind = 'Session' and account_id = $1",
      [grace.id],
    );
    const { agent, page } = await visit('/sessions', ada);
    expect(formsOf(page).filter(({ hidden }) => 'session' in hidden)).toHaveLength(1);
    const tried = await agent.submit(page, { session: session?.session_uid ?? '' });
    expect(textOf(tried)).toContain('was al uitgelogd');
    expect(await isActive(tokens.access)).toBe(true);
    expect(await isActive(atGlobex.access, globex)).toBe(true);
  });
});

describe('the list of applications', () => {
  it('says what each may do, and takes it back with every token', async () => {
    const ada = await newPerson(server, acme);
    const { third } = acme.clients;
    const elsewhere = createUserAgent(server.origin);
    const asked = { tenant: acme, client: third, person: ada, extra: { scope: 'openid email' } };
    const { json } = await exchangeCode(acme, third, await authorize(elsewhere, asked));
    const { agent, page } = await visit('/applications', ada);
    expect(textOf(page)).toContain('Somebody else');
    expect(textOf(page)).toContain('uw e-mailadres zien');
    const revoked = await agent.submit(page, {});
    expect(textOf(revoked)).toContain('De toegang is ingetrokken.');
    expect((await introspect(acme, third, String(json['access_token']))).json['active']).toBe(false);
    expect(textOf(await agent.submit(page, {}))).toContain('had geen toegang meer');
    const events = await readEvents(server.database, { tenantId: acme.id, types: ['consent.revoked'] });
    expect(events.filter(({ actor_id: actor }) => actor === ada.id)).toHaveLength(1);
  });

  it('takes nothing back from somebody else', async () => {
    const [ada, grace] = [await newPerson(server, acme), await newPerson(server, acme)];
    const { third } = acme.clients;
    const { json } = await exchangeCode(
      acme,
      third,
      await authorize(createUserAgent(server.origin), { tenant: acme, client: third, person: grace }),
    );
    const own = { tenant: acme, client: acme.clients.web, person: ada };
    await authorize(createUserAgent(server.origin), own);
    const { agent, page } = await visit('/sessions', ada);
    const { hidden } = readForm(await agent.follow(`${acme.issuer}/account/profile`));
    expect(page.status).toBe(200);
    const sent = await agent.request(`${acme.issuer}/account/applications`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({ csrf: hidden['csrf'] ?? '', application: third.clientId }).toString(),
    });
    // The token of one page is none of another.
    expect(sent.status).toBe(403);
    expect((await introspect(acme, third, String(json['access_token']))).json['active']).toBe(true);
  });
});

describe('activity', () => {
  it('tells in words what happened, page by page, and nothing of anybody else', async () => {
    const ada = await newPerson(server, acme);
    for (let count = 0; count < 30; count += 1) {
      const agent = createUserAgent(server.origin, { 'user-agent': chrome });
      await authorize(agent, { tenant: acme, client: acme.clients.web, person: ada });
      await agent.follow(`${acme.issuer}/logout`);
      await visit('', ada, { agent });
    }
    const { agent, page } = await visit('/activity', ada);
    const rows = (shown: Page): number => shown.body.match(/<tr>/g)?.length ?? 0;
    expect(textOf(page)).toMatch(/Ingelogd(: web)? Chrome op Windows 127\.0\.0\.1/);
    expect(page.body).not.toMatch(/account_activity\.|user\.signed_in/);
    expect(rows(page)).toBe(26);
    const older = /href="([^"]*before=[^"]*)"/.exec(page.body)?.[1] ?? '';
    const next = await agent.follow(new URL(older, server.origin).href);
    expect(rows(next)).toBeGreaterThan(1);
    const grace = await newPerson(server, acme);
    const theirs = await visit(`/activity`, grace);
    const foreign = await theirs.agent.follow(new URL(older, server.origin).href);
    expect(textOf(foreign)).not.toContain(': web');
    for (const before of ['x', "'; select 1", 'ffffffff-ffff-ffff-ffff-ffffffffffff'])
      expect((await agent.follow(`${acme.issuer}/account/activity?${new URLSearchParams({ before })}`)).status).toBe(
        200,
      );
  });
});

describe('a download', () => {
  it('is a file with what is known of this person at this tenant', async () => {
    const ada = await newPerson(server, acme, globex);
    await tokensOf(ada, globex);
    const { agent, page } = await visit('/export', ada);
    const file = await agent.submit(page, {});
    expect(file.headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(file.headers.get('content-disposition')).toBe('attachment; filename="acme-account.json"');
    expect(file.headers.get('cache-control')).toBe('no-store');
    expect(JSON.parse(file.body)).toMatchObject({ profile: { email: ada.email }, tenant: { issuer: acme.issuer } });
    expect(file.body).not.toContain('globex');
    expect(file.body).not.toMatch(/argon2|csrf/);
  });
});

describe('leaving', () => {
  it('signs out everywhere, writes to the person, and can be undone by signing in again', async () => {
    const ada = await newPerson(server, acme);
    const tokens = await tokensOf(ada);
    const { agent, page } = await visit('/delete', ada);
    const unconfirmed = await agent.submit(page, { decision: 'delete' });
    expect([unconfirmed.status, await isActive(tokens.access)]).toEqual([400, true]);
    const left = await agent.submit(page, { decision: 'delete', confirm: 'yes' });
    expect(left.status).toBe(200);
    expect(textOf(left)).toContain('Uw account wordt verwijderd');
    expect(await isActive(tokens.access)).toBe(false);
    expect((await agent.request(`${acme.issuer}/account`)).status).toBe(303);

    const back = await visit('', ada, { agent });
    expect(textOf(back.page)).toContain('Uw account wordt verwijderd op');
    const pending = await agent.follow(`${acme.issuer}/account/delete`);
    const kept = await agent.submit(pending, { decision: 'withdraw' });
    expect(kept.url).toBe(`${acme.issuer}/account?done=deletion_withdrawn`);
    expect(textOf(kept)).toContain('Uw account blijft.');
    const events = await readEvents(server.database, {
      tenantId: acme.id,
      types: ['user.deletion_requested', 'user.deletion_withdrawn'],
    });
    expect(events.filter(({ target_id: target }) => target === ada.id).map(({ type }) => type)).toEqual([
      'user.deletion_requested',
      'user.deletion_withdrawn',
    ]);
  });

  it('is an administrator’s to do where the tenant says so, and the page says whom to ask', async () => {
    const hosts = await createTestTenant(server, 'hosts');
    await configureTenant(server.context, {
      id: hosts.id,
      changes: [
        { name: 'people.account_deletion', value: 'administrator' },
        { name: 'links.help', value: 'https://help.example/' },
      ],
    });
    const ada = await newPerson(server, hosts);
    const { agent, page } = await visit('/delete', ada, { tenant: hosts });
    expect(page.body).toContain('href="https://help.example/"');
    expect(formsOf(page)).toEqual([]);
    const { hidden } = readForm(await agent.follow(`${hosts.issuer}/account/profile`));
    const forced = await agent.request(`${hosts.issuer}/account/delete`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({ csrf: hidden['csrf'] ?? '', decision: 'delete', confirm: 'yes' }).toString(),
    });
    expect(forced.status).toBe(403);
    expect((await visit('', ada, { tenant: hosts })).page.status).toBe(200);
  });
});
