/**
 * Row C16, one tenant taken for another (Zitadel GHSA-g2pf-ww5m-2r9m, Keycloak CVE-2026-1529 and CVE-2026-2366, Casdoor
 * CVE-2025-61524): the tenant is what the address says, and nothing that somebody sends changes that; what one tenant gave is worth
 * nothing at the other, also to who belongs to both; and no check is an `assert`, which a build or a flag could leave out.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInvitation } from '#src/flows/people/manage_invitations.ts';
import { beginPairing, createPairer, deviceNameOn, pollFor } from '#test/support/device_pairing.ts';
import { lastMailTo, proofIn } from '#test/support/mailbox.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { createMovableClock, startTestServer, type TestServer } from '#test/support/test_server.ts';
import {
  authorizationRequest,
  authorize,
  callEndpoint,
  createUserAgent,
  exchangeCode,
  introspect,
  type Page,
  readForm,
  refresh,
} from '#test/support/user_agent.ts';
import { createTestTenant, type NewPerson, newPerson, type TestTenant } from '#test/support/world.ts';

const wrong = 'This code is not right or has been used already. Wait for a new code and try again.';
const time = createMovableClock();

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;
/** Belongs to both. */
let both: NewPerson;

beforeAll(async () => {
  server = await startTestServer({ clock: time.clock });
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
  both = await newPerson(server, acme, globex);
}, 30_000);

afterAll(() => server.close());

afterEach(() => queryAsSuperuser(server.database, 'delete from sign_in_attempts'));

const english = () => createUserAgent(server.origin, { 'accept-language': 'en' });

const someoneAt = (tenant: TestTenant, person = both) => createPairer(server, tenant, { person, agent: english() });

/** Whatever a request could say about a tenant beside its address. */
const wishes = (tenant: TestTenant) => ({
  tenant: tenant.slug,
  tenant_id: tenant.id,
  issuer: tenant.issuer,
  iss: tenant.issuer,
});
const wishHeaders = (tenant: TestTenant) => ({
  'x-tenant': tenant.slug,
  'x-tenant-id': tenant.id,
  'x-forwarded-prefix': `/t/${tenant.slug}`,
  'x-original-url': `/t/${tenant.slug}/device`,
  forwarded: `host=${tenant.slug}.example`,
});

describe('C16: a code of another tenant', () => {
  it('is answered like one that is not there, and goes on waiting where it belongs', async () => {
    const begun = await beginPairing(globex);
    const guess = 'BCDF-GHJK';
    const shape = ({ status, body }: Page): object => ({
      status,
      body: body.replaceAll(/name="csrf" value="[^"]*"/g, '').replaceAll(/(name="user_code"[^>]*value=")[^"]*/g, '$1'),
    });
    const unknown = await someoneAt(acme).type(guess);
    expect(unknown.body).toContain(wrong);
    expect(shape(await someoneAt(acme).type(begun.user_code))).toEqual(shape(unknown));
    expect((await pollFor(globex, begun)).json['error']).toBe('authorization_pending');
    expect((await someoneAt(globex).compare(begun.user_code)).body).toContain(begun.user_code);
  });

  it('that two tenants have at once leads each person to the device of their own, and a short address nowhere', async () => {
    const [mine, theirs] = [
      await beginPairing(acme, { form: { device_name: 'Device of Acme' } }),
      await beginPairing(globex, { form: { device_name: 'Device of Globex' } }),
    ];
    await queryAsSuperuser(
      server.database,
      'update artifacts set user_code_hash = sha256($1) where tenant_id = $2 and user_code_hash = sha256($3)',
      [mine.user_code.replace('-', ''), globex.id, theirs.user_code.replace('-', '')],
    );
    expect(deviceNameOn(await someoneAt(acme).compare(mine.user_code))).toBe('Device of Acme');
    expect(deviceNameOn(await someoneAt(globex).compare(mine.user_code))).toBe('Device of Globex');
    expect((await english().request(mine.verification_uri_complete)).status).toBe(404);
  });

  it('is found by its short address at its own tenant, whatever else the request says', async () => {
    const begun = await beginPairing(globex);
    const link = `${begun.verification_uri_complete}?${new URLSearchParams(wishes(acme))}`;
    const page = await english().request(link, { headers: wishHeaders(acme) });
    expect(page.headers.get('location')).toBe(`${globex.issuer}/device?user_code=${begun.user_code.replace('-', '')}`);
  });

  it('cannot be reached through a form that names the tenant, nor by the cookie or the form of the other one', async () => {
    const begun = await beginPairing(globex);
    const entry = await english().request(`${acme.issuer}/device`);
    for (const [name, value] of Object.entries(wishes(globex))) {
      const agent = english();
      const page = await agent.follow(`${acme.issuer}/device`);
      expect((await agent.submit(page, { user_code: begun.user_code, [name]: value })).status).toBe(400);
    }
    const claimed = someoneAt(globex);
    const compared = await claimed.compare(begun.user_code);
    const atAcme = someoneAt(acme);
    await atAcme.signIn(await atAcme.agent.follow(`${acme.issuer}/account`));
    const cookies = [
      ...atAcme.agent.cookies(`${acme.issuer}/device/confirm`).filter((cookie) => !cookie.startsWith('poort_pairing')),
      ...claimed.agent
        .cookies(`${globex.issuer}/device/confirm`)
        .filter((cookie) => cookie.startsWith('poort_pairing')),
    ];
    expect(cookies.some((cookie) => cookie.startsWith('poort_pairing='))).toBe(true);
    const shown = await fetch(`${acme.issuer}/device/confirm`, {
      headers: { cookie: cookies.join('; '), accept: 'text/html', 'accept-language': 'en' },
    });
    expect(shown.status).toBe(400);
    expect(await shown.text()).toContain(wrong);
    const sent = await fetch(`${acme.issuer}/device/confirm`, {
      method: 'POST',
      redirect: 'manual',
      headers: { cookie: cookies.join('; '), 'sec-fetch-site': 'same-origin' },
      body: new URLSearchParams({ ...readForm(compared).hidden, decision: 'allow', device_name: 'x' }),
    });
    expect(sent.status).toBe(403);
    expect(entry.headers.getSetCookie().every((cookie) => cookie.includes(`path=/t/acme`))).toBe(true);
    time.advance(10);
    expect((await pollFor(globex, begun)).json['error']).toBe('authorization_pending');
  });
});

describe('C16: what one tenant gave', () => {
  it('is no session at the other, also for who belongs to both', async () => {
    const begun = await beginPairing(globex);
    const person = someoneAt(globex);
    await person.signIn(await person.agent.follow(`${acme.issuer}/account`));
    expect((await person.type(begun.user_code)).body).toContain('name="password"');
  });

  it('is no device code, token or device there', async () => {
    const begun = await beginPairing(acme);
    await someoneAt(acme).answer(begun.user_code, 'allow');
    const stranger = { ...globex, clients: { ...globex.clients, device: acme.clients.device } };
    for (const tenant of [globex, stranger])
      expect((await pollFor(tenant, begun)).json['error']).toMatch(/^invalid_(grant|client)$/);
    const { json } = await pollFor(acme, begun);
    const [access, renewal] = [String(json['access_token']), String(json['refresh_token'])];
    expect((await introspect(globex, globex.clients.resource_server, access)).json).toEqual({ active: false });
    expect((await refresh(globex, globex.clients.device, renewal)).json['error']).toBe('invalid_grant');
    const userinfo = await fetch(`${globex.issuer}/userinfo`, { headers: { authorization: `Bearer ${access}` } });
    expect(userinfo.status).toBe(401);
    const rows = await queryAsSuperuser<{ tenant_id: string }>(
      server.database,
      'select tenant_id from devices where user_id = $1',
      [both.id],
    );
    expect(rows).toEqual([{ tenant_id: acme.id }]);
    expect((await refresh(acme, acme.clients.device, renewal)).status).toBe(200);
  });

  it('is no invitation there', async () => {
    const email = 'invited@people.test';
    const invitation = { tenant: acme, policy: server.config.people, email, roles: [], locale: 'en' } as const;
    await createInvitation({ ...server.context, publicUrl: server.origin }, invitation);
    const { link } = proofIn(await lastMailTo(server, acme, email));
    const elsewhere = await english().follow(link.replace('/t/acme/', '/t/globex/'));
    expect(elsewhere.body).not.toContain('name="new_password"');
    expect((await english().follow(link)).body).toContain('name="new_password"');
  });
});

describe('C16: the tenant of a sign-in', () => {
  it('is what the address says: a hint, a scope or a header names nobody elsewhere', async () => {
    const { web } = acme.clients;
    const agent = english();
    const wished = {
      login_hint: globex.person.email,
      scope: `openid urn:zitadel:iam:org:id:${globex.id} organization:${globex.slug}`,
      ...wishes(globex),
    };
    const request = authorizationRequest(acme, web, { ...wished, scope: 'openid' });
    const page = await agent.follow(request.url, { headers: wishHeaders(globex) });
    expect(page.url.startsWith(`${acme.issuer}/interaction/`)).toBe(true);
    // A person of the other tenant is nobody here.
    const refused = await agent.submit(page, { email: globex.person.email, password: globex.person.password });
    expect(refused.status).toBe(400);
    const organisation = await english().follow(authorizationRequest(acme, web, wished).url);
    expect(organisation.url).not.toContain('/t/globex');

    const authorized = await authorize(english(), { tenant: acme, client: web, person: both });
    expect(authorized.callback.searchParams.get('iss')).toBe(acme.issuer);
    const stolen = await callEndpoint(globex.issuer, '/token', {
      client: globex.clients.web,
      form: {
        grant_type: 'authorization_code',
        code: authorized.code,
        code_verifier: authorized.verifier,
        redirect_uri: 'http://localhost:9/callback',
      },
    });
    expect(stolen.json['error']).toBe('invalid_grant');
    const { json } = await exchangeCode(acme, web, authorized);
    expect((await introspect(acme, web, String(json['access_token']))).json).toMatchObject({
      tenant: 'acme',
      tenant_id: acme.id,
      iss: acme.issuer,
    });
  });
});

describe('C16: the product', () => {
  it('checks nothing by an assertion, which a build could leave out', () => {
    const root = new URL('../../', import.meta.url).pathname;
    const sources = ['src', 'adapters', 'config'].flatMap((room) =>
      readdirSync(join(root, room), { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.ts'))
        .map((name) => join(root, room, name)),
    );
    expect(sources.length).toBeGreaterThan(100);
    const asserting = sources.filter((path) => /from '(node:)?assert|console\.assert/.test(readFileSync(path, 'utf8')));
    expect(asserting).toEqual([]);
  });
});
