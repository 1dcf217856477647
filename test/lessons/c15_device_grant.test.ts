/**
 * Row C15, the device grant: a client that poses as another (Keycloak CVE-2023-2585), an approval that somebody else's browser gives or
 * takes over (better-auth CVE-2026-45337), and codes that are sent to people (Storm-2372, FusionAuth #2228). A device code is its
 * client's, a user code is the browser's that typed it, an answer is given once, and nobody is led past the comparison. Guesses are
 * counted before anything is looked at.
 */
import { DEVICE_CODE_SECONDS } from '#src/domain/device_grant.ts';
import { parseUserCode, USER_CODE_LENGTH, USER_CODE_LETTERS, USER_CODE_SPACE } from '#src/domain/user_code.ts';
import { createClient, disableClient } from '#src/flows/clients/manage_clients.ts';
import { changeMembershipStatus } from '#src/flows/people/manage_people.ts';
import { countAttempt } from '#src/flows/sign_in/attempts.ts';
import { configureTenant } from '#src/flows/tenants/manage_tenants.ts';
import { type BegunPairing, beginPairing, createPairer, type Pairer, pollFor } from '#test/support/device_pairing.ts';
import { newPersonWithTotp } from '#test/support/second_factor.ts';
import { queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import { createMovableClock, startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createUserAgent, type Page, readForm } from '#test/support/user_agent.ts';
import { createTestTenant, newPerson, type TestClient, type TestTenant } from '#test/support/world.ts';

const wrong = 'Deze code klopt niet of is al gebruikt. Wacht op een nieuwe code en probeer opnieuw.';
const time = createMovableClock();

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;
let addresses = 0;
let tenants = 0;

beforeAll(async () => {
  server = await startTestServer({ clock: time.clock, environment: { POORT_TRUSTED_PROXIES: '127.0.0.0/8,::1/128' } });
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
}, 30_000);

afterAll(() => server.close());

function newAddress(): string {
  addresses += 1;
  return `198.18.${addresses >> 8}.${addresses & 255}`;
}

/** Somebody in a browser and at an address of their own. */
function someone({
  tenant = acme,
  address = newAddress(),
  ...more
}: {
  tenant?: TestTenant;
  address?: string;
  person?: { email: string; password: string; secret?: string };
} = {}): Pairer {
  const headers = { 'x-forwarded-for': address, 'accept-language': 'nl' };
  return createPairer(server, tenant, { agent: createUserAgent(server.origin, headers), ...more });
}

/** A tenant that nobody has asked for anything yet, so that nothing of it is remembered. */
async function tenantWith(changes: Parameters<typeof configureTenant>[1]['changes']): Promise<TestTenant> {
  tenants += 1;
  const tenant = await createTestTenant(server, `strict-${tenants}`);
  expect(await configureTenant(server.context, { id: tenant.id, changes })).toEqual({ outcome: 'changed' });
  return tenant;
}

async function deviceClientOf(tenant: TestTenant, name: string): Promise<TestClient> {
  const client = { name, type: 'device', scopes: [] } as const;
  const created = await createClient(server.context, { tenantId: tenant.id, client });
  if (created.outcome !== 'created') throw new Error(JSON.stringify(created.problems));
  return { clientId: created.clientId, clientSecret: '' };
}

const isPending = async (begun: BegunPairing, tenant = acme, client?: TestClient): Promise<boolean> => {
  time.advance(10);
  return (await pollFor(tenant, begun, client)).json['error'] === 'authorization_pending';
};

/** What a person is told of a code, without what differs between any two pages. */
const told = ({ status, body }: Page): object => ({
  status,
  body: body.replaceAll(/name="csrf" value="[^"]*"/g, '').replaceAll(/(name="user_code"[^>]*value=")[^"]*/g, '$1'),
});

function newCode(): string {
  const letter = (): string => USER_CODE_LETTERS[Math.floor(Math.random() * USER_CODE_LETTERS.length)] ?? 'B';
  return Array.from({ length: USER_CODE_LENGTH }, letter).join('');
}

describe('C15: a device code', () => {
  it('is redeemed by the client that asked for it, and by no other device', async () => {
    const begun = await beginPairing(acme);
    await someone().answer(begun.user_code, 'allow');
    const other = await deviceClientOf(acme, 'Spoof');
    expect(await pollFor(acme, begun, other)).toMatchObject({ status: 400, json: { error: 'invalid_grant' } });
    expect(await pollFor(acme, begun, acme.clients.web)).toMatchObject({ status: 400 });
    expect((await pollFor(acme, begun)).status).toBe(200);
  });

  it('shows whose it is by its registration, whatever the device calls itself', async () => {
    const client = await deviceClientOf(acme, 'Registered name');
    const form = { client_name: 'Bank', device_name: 'Bank\u202eapp', device_model: '"><svg onload=alert(1)>' };
    const begun = await beginPairing(acme, { client, form });
    const page = await someone().compare(begun.user_code);
    expect(page.body).toContain('Registered name');
    expect(page.body).toContain('&#34;&gt;&lt;svg onload=alert(1)&gt;');
    expect(page.body).not.toContain('<svg onload');
    expect(page.body).not.toContain('Bank');
  });

  it('is for clients that are registered as devices, and asks for nothing they may not have', async () => {
    for (const client of [acme.clients.web, acme.clients.spa, acme.clients.native, acme.clients.machine])
      await expect(beginPairing(acme, { client })).rejects.toThrow('400');
    const client = await deviceClientOf(acme, 'Narrow');
    const form = { scope: 'openid readings:write', resource: acme.jwtApi };
    const begun = await beginPairing(acme, { client, form });
    const page = await someone().compare(begun.user_code);
    expect(page.body).not.toContain('readings:write');
  });
});

describe('C15: a user code', () => {
  it('belongs to the browser that typed it: another one is told what it is told of a code that is not there', async () => {
    const begun = await beginPairing(acme);
    const owner = someone();
    const page = await owner.compare(begun.user_code);
    const unknown = await someone().type(newCode());
    expect(unknown.status).toBe(400);
    expect(unknown.body).toContain(wrong);
    expect(told(await someone().type(begun.user_code))).toEqual(told(unknown));
    // Once more in the first one: whoever goes back has not lost it.
    expect((await owner.type(begun.user_code)).url).toBe(page.url);
    expect((await owner.agent.submit(page, { decision: 'allow', device_name: 'Mine' })).status).toBe(200);
    expect((await pollFor(acme, begun)).status).toBe(200);
  });

  it('is kept in a cookie that no script reads and no other page or tenant gets', async () => {
    const { user_code: userCode } = await beginPairing(acme);
    const { agent } = someone();
    const entry = await agent.follow(`${acme.issuer}/device`);
    const claimed = await agent.request(entry.url, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', 'sec-fetch-site': 'same-origin' },
      body: new URLSearchParams({ ...readForm(entry).hidden, user_code: userCode }).toString(),
    });
    const cookie = claimed.headers.getSetCookie().find((line) => line.startsWith('poort_pairing='));
    expect(cookie).toMatch(/; path=\/t\/acme\/device; samesite=lax; httponly$/i);
    // What the database knows of it is a hash.
    const value = cookie?.slice('poort_pairing='.length, 'poort_pairing='.length + 43) ?? '';
    const rows = await queryAsSuperuser(
      server.database,
      `select row_to_json(a)::text as row from artifacts a where kind = 'DeviceCodeClaim'`,
    );
    expect(JSON.stringify(rows)).not.toContain(value);
  });

  it('goes to one of many browsers that type it at the same moment', async () => {
    const begun = await beginPairing(acme);
    const pages = await Promise.all(Array.from({ length: 8 }, () => someone().type(begun.user_code)));
    expect(pages.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(pages.filter(({ body }) => body.includes(wrong))).toHaveLength(7);
  });

  it('is told of in one way whatever is wrong with it', async () => {
    const unknown = told(await someone().type(newCode()));
    const [expired, used, refused, foreign] = [
      await beginPairing(acme),
      await beginPairing(acme),
      await beginPairing(acme),
      await beginPairing(globex),
    ];
    await someone().answer(used.user_code, 'allow');
    await someone().answer(refused.user_code, 'deny');
    await queryAsSuperuser(
      server.database,
      `update artifacts set payload = jsonb_set(payload::jsonb, '{exp}', '1')::json where user_code_hash = sha256($1)`,
      [expired.user_code.replace('-', '')],
    );
    for (const userCode of [
      ...[expired, used, refused, foreign].map(({ user_code }) => user_code),
      'AEIO-UAEI',
      'BCDF-GHJ',
      'BCDF-GHJK-L',
      '"><svg onload=alert(1)>',
      '~',
      '\u212a'.repeat(8),
      'x'.repeat(1500),
    ])
      expect(told(await someone().type(userCode))).toEqual(unknown);
  });

  it('may be written in every way in which people write one', async () => {
    for (const write of [
      (code: string) => code.toLowerCase(),
      (code: string) => code.replace('-', ''),
      (code: string) => ` ${code.replace('-', ' ')} \t`,
      (code: string) => code.replace('-', '\u2013'),
      (code: string) => [...code].join(' '),
      (code: string) =>
        [...code.replace('-', '')].map((letter) => String.fromCodePoint(letter.charCodeAt(0) + 0xfee0)).join(''),
    ]) {
      const { user_code: userCode } = await beginPairing(acme);
      expect(parseUserCode(write(userCode))).toBe(userCode.replace('-', ''));
      expect((await someone().compare(write(userCode))).body).toContain(userCode);
    }
  });

  it('is forgotten with the next one that is typed: one approval waits in a browser', async () => {
    const [first, second] = [await beginPairing(acme), await beginPairing(acme)];
    const person = someone();
    const page = await person.compare(first.user_code);
    await person.type(second.user_code);
    // The form of the first is nobody's any more, and the page shows the second.
    expect((await person.agent.submit(page, { decision: 'allow', device_name: 'x' })).status).toBe(403);
    expect((await person.agent.follow(page.url)).body).toContain(second.user_code);
    expect(await isPending(first)).toBe(true);
  });
});

describe('C15: an approval', () => {
  it('is given in the browser that typed the code, by the person who saw the comparison', async () => {
    const begun = await beginPairing(acme);
    const owner = someone();
    const page = await owner.compare(begun.user_code);
    const answer = { decision: 'allow', device_name: 'Theirs' };

    // Another browser, with the form: without a code of its own, and with one.
    const attacker = someone({ person: await newPerson(server, acme) });
    expect((await attacker.agent.submit(page, answer)).status).toBe(403);
    await attacker.compare((await beginPairing(acme)).user_code);
    expect((await attacker.agent.submit(page, answer)).status).toBe(403);
    // The same browser, but somebody else has signed in meanwhile.
    const other = someone({ person: await newPerson(server, acme) });
    const theirs = await other.compare((await beginPairing(acme)).user_code);
    const cookies = owner.agent.cookies(page.url).filter((cookie) => !cookie.startsWith('poort_pairing='));
    const stolen = other.agent.cookies(page.url).filter((cookie) => cookie.startsWith('poort_pairing='));
    const { action, hidden } = readForm(theirs);
    const swapped = await fetch(action, {
      method: 'POST',
      redirect: 'manual',
      headers: {
        cookie: [...cookies, ...stolen].join('; '),
        'content-type': 'application/x-www-form-urlencoded',
        'sec-fetch-site': 'same-origin',
      },
      body: new URLSearchParams({ ...hidden, ...answer }),
    });
    expect(swapped.status).toBe(403);
    // From a page of another site.
    const crossSite = await fetch(page.url, {
      method: 'POST',
      redirect: 'manual',
      headers: { cookie: owner.agent.cookies(page.url).join('; '), 'sec-fetch-site': 'cross-site' },
      body: new URLSearchParams({ ...readForm(page).hidden, ...answer }),
    });
    expect(crossSite.status).toBe(403);
    expect(await isPending(begun)).toBe(true);
    expect((await owner.agent.submit(page, answer)).status).toBe(200);
    expect((await pollFor(acme, begun)).status).toBe(200);
  });

  it('takes no field that a person has no say in', async () => {
    const begun = await beginPairing(acme);
    const owner = someone();
    const page = await owner.compare(begun.user_code);
    const other = await newPerson(server, acme);
    for (const forged of [
      { account_id: other.id },
      { client_id: acme.clients.web.clientId },
      { scope: 'readings:write' },
      { device_id: '00000000-0000-7000-8000-000000000001' },
      { user_code: 'BCDFGHJK' },
      { tenant: 'globex' },
    ])
      expect((await owner.agent.submit(page, { decision: 'allow', device_name: 'x', ...forged })).status).toBe(400);
    expect((await owner.agent.submit(page, { decision: 'perhaps', device_name: 'x' })).status).toBe(400);
    expect(await isPending(begun)).toBe(true);
  });

  it('counts once, whoever answers at the same moment and however often the form is sent again', async () => {
    const client = await deviceClientOf(acme, 'Answered once');
    const begun = await beginPairing(acme, { client });
    const owner = someone();
    const page = await owner.compare(begun.user_code);
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, turn) =>
        owner.agent.submit(page, { decision: turn % 2 === 0 ? 'allow' : 'deny', device_name: `Turn ${turn}` }),
      ),
    );
    expect(answers.filter(({ status }) => status >= 500)).toEqual([]);
    for (const decision of ['deny', 'allow'])
      expect((await owner.agent.submit(page, { decision, device_name: 'Replayed' })).body).not.toContain('Replayed');
    const types = ['device.approved', 'device.denied', 'consent.granted'];
    const events = (await readEvents(server.database, { tenantId: acme.id, types }))
      .filter(({ client_id: by }) => by === client.clientId)
      .map(({ type }) => type);
    expect([['device.denied'], ['consent.granted', 'device.approved']]).toContainEqual(events);
    const grants = await queryAsSuperuser(
      server.database,
      `select from artifacts where kind = 'Grant' and client_id = $1`,
      [client.clientId],
    );
    expect(grants).toHaveLength(events.length - 1);
    // And it stays what it was: the device hears one thing.
    const [first, again] = [await pollFor(acme, begun, client), await pollFor(acme, begun, client)];
    expect([first.status, again.status]).toEqual(events.length === 2 ? [200, 200] : [400, 400]);
  });

  it.each([
    ['expires', (begun: BegunPairing) => expire(begun)],
    ['loses its client', async (_begun: BegunPairing, client: TestClient) => void (await disable(client))],
  ])('is not given any more when the code %s between the comparison and the answer', async (_name, happen) => {
    const client = await deviceClientOf(acme, 'Short-lived');
    const begun = await beginPairing(acme, { client });
    const owner = someone();
    const page = await owner.compare(begun.user_code);
    await happen(begun, client);
    const answered = await owner.agent.submit(page, { decision: 'allow', device_name: 'Late' });
    expect(answered.status).toBe(400);
    expect(answered.body).toContain(wrong);
    expect((await pollFor(acme, begun, client)).status).not.toBe(200);
  });

  it.each([
    ['the client is disabled', async (client: TestClient) => void (await disable(client)), 'invalid_client'],
    [
      'the person is shut out',
      async (_client: TestClient, email: string) => {
        await changeMembershipStatus(server.context, { tenantId: acme.id, email, status: 'disabled' });
      },
      'invalid_grant',
    ],
    [
      'the person is removed from the tenant',
      async (_client: TestClient, email: string) => {
        await queryAsSuperuser(
          server.database,
          'delete from memberships where tenant_id = $1 and user_id = (select id from users where email = $2)',
          [acme.id, email],
        );
      },
      'invalid_grant',
    ],
  ])('is worth nothing when %s before the device comes for its tokens', async (_name, happen, error) => {
    const client = await deviceClientOf(acme, 'Late');
    const person = await newPerson(server, acme);
    const begun = await beginPairing(acme, { client });
    expect((await someone({ person }).answer(begun.user_code, 'allow')).status).toBe(200);
    await happen(client, person.email);
    let answer = await pollFor(acme, begun, client);
    // The cache of clients hears of it a moment later.
    while (error === 'invalid_client' && answer.json['error'] !== error) answer = await pollFor(acme, begun, client);
    expect(answer.json['error']).toBe(error);
    const rows = await queryAsSuperuser(server.database, 'select from devices where client_id = $1', [client.clientId]);
    expect(rows).toEqual([]);
  });
});

async function expire({ user_code: userCode }: BegunPairing): Promise<void> {
  await queryAsSuperuser(
    server.database,
    `update artifacts set payload = jsonb_set(payload::jsonb, '{exp}', '1')::json, expires_at = now() where user_code_hash = sha256($1)`,
    [userCode.replace('-', '')],
  );
}

async function disable({ clientId }: TestClient): Promise<void> {
  await disableClient(server.context, { tenantId: acme.id, clientId });
}

describe('C15: a code that somebody was sent', () => {
  it('is never approved by an address: it is filled in, and the person still types on, signs in and compares', async () => {
    const begun = await beginPairing(acme, { address: '203.0.113.9' });
    const victim = someone();
    await victim.agent.follow(`${acme.issuer}/account`).then((page) => victim.signIn(page));
    const page = await victim.agent.follow(begun.verification_uri_complete);
    expect(page.url).toBe(`${acme.issuer}/device?user_code=${begun.user_code.replace('-', '')}`);
    expect(page.body).toContain('Heeft iemand u deze code gestuurd');
    expect(page.body).not.toContain('name="decision"');
    for (let turn = 0; turn < 3; turn += 1) await victim.agent.request(page.url, { method: 'HEAD' });
    expect(await isPending(begun)).toBe(true);
    // Nothing was claimed by looking: the one whose device it is can still type it.
    const compared = await victim.agent.submit(page, { user_code: begun.user_code });
    expect(compared.url).toBe(`${acme.issuer}/device/confirm`);
    expect(compared.body).toContain(begun.user_code);
    expect(compared.body).toContain('203.0.113.9');
    expect(compared.body).toContain('Het apparaat zit op een ander netwerk dan u.');
    expect(await isPending(begun)).toBe(true);
  });

  it('meets a warning before anything else, and refusing is first, as large, and where Enter leads', async () => {
    const begun = await beginPairing(acme);
    const { body, headers } = await someone().compare(begun.user_code);
    const places = ['class="warning"', 'class="user-code"', '<form', 'value="deny"', 'value="allow"'].map((part) =>
      body.indexOf(part),
    );
    expect(places).toEqual(places.toSorted((one, other) => one - other));
    expect(places).not.toContain(-1);
    const buttons = [...body.matchAll(/<button class="([^"]*)"[^>]*name="decision"/g)].map(([, style]) => style);
    expect(new Set(buttons).size).toBe(1);
    expect(body).not.toMatch(/autofocus/);
    expect(headers.get('x-frame-options')).toBe('DENY');
    expect(headers.get('referrer-policy')).toBe('same-origin');
    expect(headers.get('cache-control')).toBe('no-store');
  });

  it.each([
    'javascript:alert(1)',
    '%3Csvg%20onload=alert(1)%3E',
    '%2F%2Fevil.example',
    'BCDFGHJK%0d%0aLocation:%20https://evil.example',
    '..%2F..%2Fadmin',
    '%00',
    '%',
  ])('leads nowhere when its address holds %s', async (code) => {
    for (const address of [`${server.origin}/d/${code}`, `${acme.issuer}/device?user_code=${code}`]) {
      const response = await fetch(address, {
        redirect: 'manual',
        headers: { accept: 'text/html', 'x-forwarded-for': newAddress() },
      });
      expect([200, 400, 404]).toContain(response.status);
      expect(response.headers.get('location')).toBeNull();
      const body = await response.text();
      for (const part of ['javascript:', '<svg onload', 'evil.example']) expect(body).not.toContain(part);
    }
  });

  it('leads to an address of the configuration, whatever host and next step the link asks for', async () => {
    const begun = await beginPairing(acme);
    const address = `${begun.verification_uri_complete}?return_to=https://evil.example&issuer=https://evil.example`;
    const page = await someone().agent.request(address, { headers: { 'x-forwarded-host': 'evil.example' } });
    expect(page.status).toBe(303);
    expect(page.headers.get('location')).toBe(`${acme.issuer}/device?user_code=${begun.user_code.replace('-', '')}`);
    const signedIn = await someone().agent.request(
      `${acme.issuer}/device/signed-in?code=x&state=https://evil.example&iss=https://evil.example`,
    );
    expect(signedIn.headers.get('location') ?? '').not.toContain('evil.example');
  });
});

describe('C15: what a tenant demands', () => {
  it('is a second factor, and the code is still there after it', async () => {
    const strict = await tenantWith([{ name: 'devices.approval_second_factor', value: true }]);
    const person = await newPersonWithTotp(server, strict);
    const begun = await beginPairing(strict);
    const pairer = someone({ tenant: strict, person });
    const answered = await pairer.answer(begun.user_code, 'allow');
    expect(answered.status).toBe(200);
    const { json } = await pollFor(strict, begun);
    const claims = JSON.parse(Buffer.from(String(json['id_token']).split('.')[1] ?? '', 'base64url').toString());
    expect(claims).toMatchObject({ sub: person.id, acr: 'urn:poort:acr:mfa' });
  });

  it('is asked again at the answer: a page that was opened before the tenant demanded it opens nothing', async () => {
    const strict = await tenantWith([{ name: 'devices.maximum_per_person', value: 5 }]);
    const begun = await beginPairing(strict);
    const pairer = someone({ tenant: strict });
    const page = await pairer.compare(begun.user_code);
    const changes = [{ name: 'devices.approval_second_factor', value: true } as const];
    await configureTenant(server.context, { id: strict.id, changes });
    let seen = page;
    while (seen.url === page.url) seen = await pairer.agent.follow(page.url);
    // Whoever has no second factor sets one up first; the answer waits.
    const answered = await pairer.agent.submit(page, { decision: 'allow', device_name: 'x' });
    expect(answered.url).toContain('/interaction/');
    expect(answered.body).toContain('totp-secret');
    expect(await isPending(begun, strict)).toBe(true);
  });

  it('is a fresh sign-in, before the comparison and before the answer', async () => {
    const strict = await tenantWith([{ name: 'devices.approval_max_age_minutes', value: 5 }]);
    const age = () =>
      queryAsSuperuser(
        server.database,
        `update artifacts set payload = jsonb_set(payload::jsonb, '{loginTs}', to_jsonb((payload ->> 'loginTs')::int - 301))::json
          where tenant_id = $1 and kind = 'Session' and payload ->> 'loginTs' is not null`,
        [strict.id],
      );
    const begun = await beginPairing(strict);
    const pairer = someone({ tenant: strict });
    await pairer.signIn(await pairer.agent.follow(`${strict.issuer}/account`));
    await age();
    const asked = await pairer.type(begun.user_code);
    expect(asked.body).toContain('name="password"');
    const page = await pairer.signIn(asked);
    expect(page.body).toContain(begun.user_code);
    await age();
    const again = await pairer.agent.submit(page, { decision: 'allow', device_name: 'x' });
    expect(again.body).toContain('name="password"');
    expect(await isPending(begun, strict)).toBe(true);
    const compared = await pairer.signIn(again);
    await pairer.agent.submit(compared, { decision: 'allow', device_name: 'x' });
    time.advance(10);
    expect((await pollFor(strict, begun)).status).toBe(200);
  });

  it('is a role, at the approval and again when the device comes for its tokens', async () => {
    const strict = await tenantWith([{ name: 'devices.approval_roles', value: ['editor'] }]);
    const [refused, taken, given] = [
      await beginPairing(strict),
      await beginPairing(strict),
      await beginPairing(strict),
    ];
    const visitor = await newPerson(server, strict);
    const page = await someone({ tenant: strict, person: visitor }).compare(refused.user_code);
    expect(page.status).toBe(403);
    expect(page.body).not.toContain('name="decision"');
    expect(await isPending(refused, strict)).toBe(true);

    const editor = await newPerson(server, strict);
    const role = (change: string) => queryAsSuperuser(server.database, change, [strict.id, editor.id]);
    await role(`insert into membership_roles (tenant_id, user_id, role_id)
                select $1, $2, id from roles where tenant_id = $1 and name = 'editor'`);
    await someone({ tenant: strict, person: editor }).answer(given.user_code, 'allow');
    expect((await pollFor(strict, given)).status).toBe(200);
    await someone({ tenant: strict, person: editor }).answer(taken.user_code, 'allow');
    await role('delete from membership_roles where tenant_id = $1 and user_id = $2');
    for (let turn = 0; turn < 2; turn += 1)
      expect(await pollFor(strict, taken)).toMatchObject({ status: 400, json: { error: 'access_denied' } });
  });

  it('is a number of devices, with those that are approved and have not come yet', async () => {
    const strict = await tenantWith([{ name: 'devices.maximum_per_person', value: 1 }]);
    const [first, second] = [await beginPairing(strict), await beginPairing(strict)];
    const refusedAt = async (): Promise<void> => {
      const page = await someone({ tenant: strict }).compare((await beginPairing(strict)).user_code);
      expect(page.status).toBe(403);
      expect(page.body).toContain('U hebt al te veel apparaten');
    };
    const waiting = someone({ tenant: strict });
    const page = await waiting.compare(second.user_code);
    await someone({ tenant: strict }).answer(first.user_code, 'allow');
    await refusedAt();
    expect((await pollFor(strict, first)).status).toBe(200);
    await refusedAt();
    expect((await waiting.agent.submit(page, { decision: 'allow', device_name: 'x' })).status).toBe(403);
    expect(await isPending(second, strict)).toBe(true);
  });
});

describe('C15: guesses', () => {
  const guess = (pairer: Pairer): Promise<Page> => pairer.type(newCode());

  it('are five in a browser; then the right code is not looked at either, and everybody else goes on', async () => {
    const { user_code: userCode } = await beginPairing(acme);
    const guesser = someone();
    for (let turn = 0; turn < 5; turn += 1) expect((await guess(guesser)).status).toBe(400);
    for (const code of [newCode(), userCode]) {
      const { status, headers, body } = await guesser.type(code);
      expect(status).toBe(429);
      expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
      expect(body).toContain('Te veel pogingen');
    }
    expect((await someone().compare(userCode)).body).toContain(userCode);
  });

  it.each([
    ['an address', () => '192.0.2.77'],
    [
      'an IPv6 network, however many addresses it has',
      () => `2001:db8:1:2::${Math.floor(Math.random() * 0xffff).toString(16)}`,
    ],
  ])('are twenty from %s, in however many browsers', async (_name, address) => {
    const { user_code: userCode } = await beginPairing(acme);
    for (let turn = 0; turn < server.config.signIn.userCodes.maximumPerAddress; turn += 1)
      expect((await guess(someone({ address: address() }))).status).toBe(400);
    const alarms = async (): Promise<number> =>
      (await readEvents(server.database, { tenantId: acme.id, types: ['device.guesses_refused'] })).length;
    const before = await alarms();
    for (let turn = 0; turn < 3; turn += 1)
      expect((await someone({ address: address() }).type(userCode)).status).toBe(429);
    expect(await alarms()).toBe(before + 1);
    expect((await someone().type(userCode)).status).toBe(200);
  });

  it('by short addresses are counted as well, and those that lead to a device are not', async () => {
    const begun = await beginPairing(acme);
    const address = newAddress();
    const follow = (link: string, from = address): Promise<Page> => someone({ address: from }).agent.request(link);
    for (let turn = 0; turn < 3; turn += 1) expect((await follow(begun.verification_uri_complete)).status).toBe(303);
    const answers = new Set<string>();
    for (let turn = 0; turn < server.config.signIn.userCodes.maximumPerAddress; turn += 1) {
      const { status, body } = await follow(`${server.origin}/d/${newCode()}`);
      expect(status).toBe(404);
      answers.add(body);
    }
    expect([...answers].every((body) => body.includes(wrong))).toBe(true);
    const refused = await follow(begun.verification_uri_complete);
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await follow(begun.verification_uri_complete, newAddress())).status).toBe(303);
  });

  it('are so few of a million in the life of a code that one in ten thousand such attacks hits anything', async () => {
    const tenant = await tenantWith([{ name: 'devices.maximum_per_person', value: 5 }]);
    const { signIn, deviceCodes } = server.config;
    const services = { database: server.context.database, settings: signIn };
    const total = 1_000_000;
    const began = new Date('2031-05-06T07:08:09Z');
    let lookedAt = 0;
    // From more addresses than anybody has, spread over the ten minutes that a code lives.
    for (let sent = 0; sent < total; sent += 1) {
      const now = new Date(began.getTime() + Math.floor((sent * DEVICE_CODE_SECONDS * 1000) / total));
      const address = `${1 + (sent >> 16)}.${(sent >> 8) & 255}.${sent & 255}.1`;
      const attempt = { kind: 'user_code', identifier: `browser ${sent}`, address, tenantId: tenant.id } as const;
      if ((await countAttempt(services, { ...attempt, now })).outcome === 'allowed') lookedAt += 1;
    }
    expect(lookedAt).toBe(signIn.userCodes.maximumPerTenant);

    // At worst the life of a code reaches into two windows, of the guesses at the page, of those by short addresses, and of the codes.
    const windows = 2;
    const guesses = windows * (lookedAt + signIn.userCodes.maximumOfShortAddresses);
    const waiting = windows * deviceCodes.maximumPerTenant;
    const hit = 1 - (1 - waiting / USER_CODE_SPACE) ** guesses;
    expect(hit).toBeLessThan(1e-4);
    // And one code that somebody wants to hit withstands a million that are all looked at.
    expect(1 - (1 - 1 / USER_CODE_SPACE) ** total).toBeLessThan(1e-4);
  }, 120_000);
});

describe('C15: devices that begin', () => {
  it('are so many of one client at one address, and of one tenant; the next is told when to come back', async () => {
    const limits = { maximumPerClientAndAddress: 2, maximumPerTenant: 4 };
    const beside = await startTestServer({
      clock: time.clock,
      environment: { POORT_TRUSTED_PROXIES: '127.0.0.0/8,::1/128' },
      change: (config) => ({ ...config, deviceCodes: limits }),
    });
    const small = await createTestTenant(beside, 'small');
    const begin = async (address: string): Promise<unknown> => {
      const form = new URLSearchParams({ client_id: small.clients.device.clientId, scope: 'openid' });
      const headers = { 'x-forwarded-for': address };
      const response = await fetch(`${small.issuer}/device_authorization`, { method: 'POST', headers, body: form });
      const { error } = (await response.json()) as { error?: string };
      return [response.status, error, Number(response.headers.get('retry-after')) > 0];
    };
    const begun = [200, undefined, false];
    const refused = [429, 'temporarily_unavailable', true];
    expect([await begin('192.0.2.1'), await begin('192.0.2.1')]).toEqual([begun, begun]);
    expect(await begin('192.0.2.1')).toEqual(refused);
    expect([await begin('2001:db8::1'), await begin('2001:db8::2')]).toEqual([begun, begun]);
    expect(await begin('2001:db8::3')).toEqual(refused);
    expect(await begin('192.0.2.2')).toEqual(refused);
    const rows = await queryAsSuperuser(beside.database, `select from artifacts where kind = 'DeviceCode'`);
    expect(rows).toHaveLength(4);
    time.advance(DEVICE_CODE_SECONDS);
    expect(await begin('192.0.2.2')).toEqual(begun);
    await beside.close();
  });
});
