/**
 * Row C29, WebAuthn checks that were missing (Keycloak CVE-2026-8830, CVE-2026-6856, #49920, #49921): origin, relying party, user
 * verification, the challenge's single use and purpose, the counter, the algorithm, whose credential it is. An authenticator that
 * lies about each of them, at the running product.
 */
import { generateKeyPairSync } from 'node:crypto';
import { openInteraction } from '#test/support/attack_surface.ts';
import { type Authenticator, createAuthenticator, type Lies, passkeyOptionsOf } from '#test/support/authenticator.ts';
import { openOwnPage } from '#test/support/own_pages.ts';
import { newPersonWithTotp } from '#test/support/second_factor.ts';
import { queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import { createMovableClock, startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createUserAgent, type Page, type UserAgent } from '#test/support/user_agent.ts';
import { callbackUri, createTestTenant, type TestTenant } from '#test/support/world.ts';

const time = createMovableClock();
let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;

beforeAll(async () => {
  server = await startTestServer({ clock: time.clock });
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
}, 30_000);

beforeEach(() => queryAsSuperuser(server.database, 'delete from sign_in_attempts'));

afterAll(async () => {
  expect(server.log).toEqual([]);
  await server.close();
});

const newPasskeyPath = '/account/second-factor/passkeys/new';

interface Owner {
  readonly agent: UserAgent;
  readonly authenticator: Authenticator;
  readonly email: string;
  readonly password: string;
}

/** Registers a passkey on the person's own pages. */
async function newOwner(
  tenant: TestTenant = acme,
  authenticator: Authenticator = createAuthenticator(server.origin),
  lies: Lies = {},
): Promise<Owner & { readonly answer: Page }> {
  const person = await newPersonWithTotp(server, tenant);
  const { agent, page } = await openOwnPage(server, tenant, { person, path: newPasskeyPath });
  const passkey = authenticator.ask(passkeyOptionsOf(page)).register(lies);
  return { agent, authenticator, ...person, answer: await agent.submit(page, { name: 'Key', passkey }) };
}

async function signInPage(tenant: TestTenant = acme): Promise<{ readonly agent: UserAgent; readonly page: Page }> {
  const agent = createUserAgent(server.origin);
  const { page } = await openInteraction(server, { tenant, agent });
  return { agent, page };
}

/** Whether the answer signs in without a password. */
async function signsIn(authenticator: Authenticator, lies: Lies = {}, tenant: TestTenant = acme): Promise<boolean> {
  const { agent, page } = await signInPage(tenant);
  authenticator.ask(passkeyOptionsOf(page));
  const answer = await agent.submit(page, { email: '', passkey: authenticator.assert(lies) });
  return answer.url.startsWith(callbackUri) && new URL(answer.url).searchParams.has('code');
}

const evil = 'https://evil.example';
const ownPort = (): string => `http://localhost:${server.config.http.port + 1}`;

describe('C29: a passkey at sign-in', () => {
  let owner: Owner;

  beforeAll(async () => {
    owner = await newOwner();
  });

  it('signs in by itself, with what two factors are worth', async () => {
    expect(await signsIn(owner.authenticator)).toBe(true);
    const events = await readEvents(server.database, { tenantId: acme.id, types: ['user.signed_in'] });
    expect(events.at(-1)?.data).toEqual({ amr: ['hwk', 'mfa', 'user'] });
  });

  const lies: readonly (readonly [name: string, lies: () => Lies])[] = [
    ['from another origin', () => ({ origin: evil })],
    ['from another port of the same host', () => ({ origin: ownPort() })],
    ['from the same origin by another scheme', () => ({ origin: server.origin.replace('http:', 'https:') })],
    ['for another relying party', () => ({ rpId: 'evil.example' })],
    ['for a part of our host', () => ({ rpId: 'host' })],
    ['from a page in a frame', () => ({ crossOrigin: true })],
    ['that was made by registering', () => ({ type: 'webauthn.create' })],
    ['for which its owner was not verified', () => ({ userVerified: false })],
    ['for which nobody was there', () => ({ userPresent: false })],
    ['to a challenge of its own', () => ({ challenge: Buffer.alloc(32, 7).toString('base64url') })],
    ['by another key', () => ({ key: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey })],
    ['that names nobody', () => ({ userHandle: null })],
    ['that names somebody else', () => ({ userHandle: Buffer.from(acme.person.id).toString('base64url') })],
  ];

  it.each(lies)('refuses an answer %s', async (_name, lie) => {
    expect(await signsIn(owner.authenticator, lie())).toBe(false);
    expect(await signsIn(owner.authenticator)).toBe(true);
  });

  it('refuses a counter that goes back, writes it down, and takes one that always says nothing', async () => {
    const { authenticator } = await newOwner();
    expect(await signsIn(authenticator, { signCount: 7 })).toBe(true);
    for (const signCount of [7, 6, 0]) expect(await signsIn(authenticator, { signCount })).toBe(false);
    const failed = await readEvents(server.database, { tenantId: acme.id, types: ['user.sign_in_failed'] });
    expect(failed.slice(-3).map(({ reason }) => reason)).toEqual(Array(3).fill('counter_went_back'));
    expect(await signsIn(authenticator, { signCount: 8 })).toBe(true);
    const silent = (await newOwner()).authenticator;
    for (let uses = 0; uses < 3; uses += 1) expect(await signsIn(silent, { signCount: 0 })).toBe(true);
  });

  it('takes an answer once, also when it is brought twice at the same moment', async () => {
    const { agent, page } = await signInPage();
    const passkey = owner.authenticator.ask(passkeyOptionsOf(page)).assert();
    const answers = await Promise.all([1, 2].map(() => agent.submit(page, { email: '', passkey })));
    expect(answers.filter(({ url }) => url.startsWith(callbackUri))).toHaveLength(1);
  });

  it('takes an answer only to the question of this sign-in', async () => {
    const [mine, other] = [await signInPage(), await signInPage()];
    const passkey = owner.authenticator.ask(passkeyOptionsOf(other.page)).assert();
    expect((await mine.agent.submit(mine.page, { email: '', passkey })).status).toBe(400);
    // There it still counts: nothing was used up by trying it elsewhere.
    expect((await other.agent.submit(other.page, { email: '', passkey })).url).toMatch(callbackUri);
  });

  it('takes no answer to a question of another purpose', async () => {
    const registration = await openOwnPage(server, acme, { person: owner, path: newPasskeyPath, agent: owner.agent });
    const { agent, page } = await signInPage();
    const passkey = owner.authenticator.ask(passkeyOptionsOf(registration.page)).assert();
    expect((await agent.submit(page, { email: '', passkey })).status).toBe(400);
    // Nor is what answers a sign-in a new passkey.
    const made = createAuthenticator(server.origin).ask({
      ...passkeyOptionsOf(page),
      user: passkeyOptionsOf(registration.page).user,
    });
    const added = await owner.agent.submit(registration.page, { name: 'Other', passkey: made.register() });
    expect(added.status).toBe(400);
  });

  it('takes no answer after five minutes', async () => {
    const { agent, page } = await signInPage();
    const passkey = owner.authenticator.ask(passkeyOptionsOf(page)).assert();
    time.advance(301);
    expect((await agent.submit(page, { email: '', passkey })).status).toBe(400);
    // The engine's own clock has stood still.
    time.advance(-301);
  });

  it('of somebody who is no member looks like one that nobody has', async () => {
    const stranger = (await newOwner(globex)).authenticator;
    const nobody = createAuthenticator(server.origin);
    const answers = await Promise.all(
      [stranger, nobody].map(async (authenticator) => {
        const { agent, page } = await signInPage();
        const answer = await agent.submit(page, {
          email: '',
          passkey: authenticator.ask(passkeyOptionsOf(page)).assert(),
        });
        const noise = /[\w-]{43}|[0-9a-f]{8}-[0-9a-f-]{27}/g;
        return { status: answer.status, body: answer.body.replaceAll(noise, '…') };
      }),
    );
    expect(answers[0]).toEqual(answers[1]);
    expect(answers[0]?.status).toBe(400);
    const failed = await readEvents(server.database, { tenantId: acme.id, types: ['user.sign_in_failed'] });
    expect(failed.slice(-2).map(({ reason, target_id }) => [reason, target_id])).toEqual([
      ['wrong_passkey', null],
      ['wrong_passkey', null],
    ]);
  });

  it('of somebody who is shut out signs nobody in', async () => {
    const { authenticator, email } = await newOwner();
    await queryAsSuperuser(server.database, "update users set status = 'disabled' where email = $1", [email]);
    expect(await signsIn(authenticator)).toBe(false);
  });

  it.each(['', '{}', 'null', '[]', '{"id":1}', 'x'.repeat(15_000), '{"id":"a","rawId":"b","type":"public-key"}'])(
    'takes no nonsense: %.20s',
    async (passkey) => {
      const { agent, page } = await signInPage();
      const answer = await agent.submit(page, { email: '', passkey });
      expect(answer.status).toBe(400);
      expect(answer.body).toContain('name="password"');
    },
  );
});

describe('C29: a passkey as the second factor', () => {
  async function secondStep(owner: Owner): Promise<{ readonly agent: UserAgent; readonly page: Page }> {
    const { agent, page } = await signInPage();
    return { agent, page: await agent.submit(page, { email: owner.email, password: owner.password }) };
  }

  it('follows the password of its owner, also without verification, and of nobody else', async () => {
    const [owner, other] = [await newOwner(), await newOwner()];
    const theirs = await secondStep(owner);
    const options = passkeyOptionsOf(theirs.page);
    expect(options.allowCredentials?.map(({ id }) => id)).toEqual([
      owner.authenticator.credentialId.toString('base64url'),
    ]);
    const stolen = other.authenticator.ask(options).assert();
    const refused = await theirs.agent.submit(theirs.page, { passkey: stolen });
    expect(refused.status).toBe(400);
    // What was asked is used up: the page asks anew.
    const passkey = owner.authenticator
      .ask(passkeyOptionsOf(refused))
      .assert({ userVerified: false, userHandle: null });
    expect((await theirs.agent.submit(refused, { passkey })).url).toMatch(callbackUri);
  });

  it('is not proven by an answer to the page before', async () => {
    const owner = await newOwner();
    const { agent, page } = await signInPage();
    const early = owner.authenticator.ask(passkeyOptionsOf(page)).assert();
    const second = await agent.submit(page, { email: owner.email, password: owner.password });
    expect((await agent.submit(second, { passkey: early })).status).toBe(400);
  });
});

describe('C29: a new passkey', () => {
  it.each<readonly [string, () => Lies]>([
    ['from another origin', () => ({ origin: evil })],
    ['for another relying party', () => ({ rpId: 'evil.example' })],
    ['to a challenge of its own', () => ({ challenge: Buffer.alloc(32, 7).toString('base64url') })],
    ['for which nobody was there', () => ({ userPresent: false })],
    ['that was made by signing in', () => ({ type: 'webauthn.get' })],
  ])('is refused %s', async (_name, lie) => {
    const { answer, authenticator } = await newOwner(acme, createAuthenticator(server.origin), lie());
    expect(answer.status).toBe(400);
    expect(await signsIn(authenticator)).toBe(false);
  });

  it('is refused with an algorithm that is not asked for', async () => {
    const { answer } = await newOwner(acme, createAuthenticator(server.origin, { algorithm: 'ES384' }));
    expect(answer.status).toBe(400);
  });

  it('is refused when somebody has it already', async () => {
    const { authenticator } = await newOwner();
    const { answer } = await newOwner(acme, authenticator);
    expect(answer.status).toBe(400);
    expect(answer.body).toContain('al toegevoegd');
  });

  it('that can be on other devices is told apart', async () => {
    const { authenticator } = await newOwner(acme, createAuthenticator(server.origin, { synced: true }));
    expect(await signsIn(authenticator)).toBe(true);
    const events = await readEvents(server.database, { tenantId: acme.id, types: ['user.signed_in'] });
    expect(events.at(-1)?.data).toEqual({ amr: ['mfa', 'swk', 'user'] });
  });
});
