/**
 * Row C13, lockout and policy that hold on the page and not on another grant (Keycloak CVE-2026-9798 by CIBA, CVE-2026-9792 by the
 * password grant, authentik CVE-2024-38371 by a device, Zitadel GHSA-25rw-g6ff-fmg8). The grants are read from the metadata of a tenant
 * that has everything on, the doors from the sources: one that is not answered for here fails the test.
 */
import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { deviceGrantType } from '#src/domain/device_grant.ts';
import { ATTEMPT_KINDS } from '#src/domain/sign_in_throttle.ts';
import { tokenExchangeGrantType } from '#src/domain/token_exchange.ts';
import { countAttempt } from '#src/flows/sign_in/attempts.ts';
import { registerHelpDesk } from '#test/support/help_desk.ts';
import { switchOn } from '#test/support/protocol.ts';
import { queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { callEndpoint, createUserAgent } from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

let server: TestServer;
let acme: TestTenant;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  await switchOn(server, acme, 'ciba');
  await switchOn(server, acme, 'token_exchange');
});

afterAll(() => server.close());

/**
 * What somebody who guesses at a grant would have to guess. Values of 256 random bits need no limit: a client that asks a billion times a
 * second has no chance in the age of the universe. What a person chose or can type needs one.
 */
const grants: Readonly<Record<string, 'random' | 'person'>> = {
  // The code: after a sign-in on the page, which counts.
  authorization_code: 'random',
  refresh_token: 'random',
  // The client's secret or key.
  client_credentials: 'random',
  [tokenExchangeGrantType]: 'random',
  // The device code; the person types a user code on a page, which counts, and signs in there.
  [deviceGrantType]: 'random',
  // The auth_req_id; the person answers on a page behind the same sign-in.
  'urn:openid:params:grant-type:ciba': 'random',
};

describe('C13: a grant', () => {
  it('is known here, whichever the product offers', async () => {
    const discovery = await fetch(`${acme.issuer}/.well-known/openid-configuration`);
    const { grant_types_supported: offered } = (await discovery.json()) as { grant_types_supported: string[] };
    expect(offered.sort()).toEqual(Object.keys(grants).sort());
    expect(Object.values(grants)).not.toContain('person');
  });

  it.each(Object.keys(grants))('of type %s judges no password, right or wrong', async (grantType) => {
    const { person, clients } = acme;
    for (const password of [person.password, 'wrong']) {
      const form = { grant_type: grantType, username: person.email, email: person.email, password, scope: 'openid' };
      const { status, json } = await callEndpoint(acme.issuer, '/token', { client: clients.web, form });
      expect(status).toBeGreaterThanOrEqual(400);
      expect(json).not.toHaveProperty('access_token');
    }
    const types = ['user.signed_in', 'user.sign_in_failed'];
    expect(await readEvents(server.database, { tenantId: acme.id, types })).toEqual([]);
  });

  it.each(['password', 'urn:ietf:params:oauth:grant-type:jwt-bearer', 'urn:ietf:params:oauth:grant-type:saml2-bearer'])(
    'of type %s does not exist',
    async (grantType) => {
      const form = { grant_type: grantType, username: acme.person.email, password: acme.person.password };
      const { json } = await callEndpoint(acme.issuer, '/token', { client: acme.clients.web, form });
      expect(json).toMatchObject({ error: 'unsupported_grant_type' });
    },
  );
});

describe('C13: a lock', () => {
  it('holds at every page where a person signs in, whatever they came for', async () => {
    const { person } = acme;
    const services = { database: server.context.database, settings: server.config.signIn };
    const attempt = { tenantId: acme.id, kind: 'password', identifier: person.email, address: '127.0.0.1' } as const;
    for (let count = 0; count < 6; count += 1)
      await countAttempt(services, { ...attempt, now: server.context.clock() });
    const client = await registerHelpDesk(server, acme, [server.config.http.port]);
    const asked = await callEndpoint(acme.issuer, '/bc-authorize', {
      client,
      form: { scope: 'openid', login_hint: person.email },
    });
    expect(asked.status).toBe(200);
    // Answering at another device goes through the same sign-in.
    const agent = createUserAgent(server.origin);
    const page = await agent.follow(`${acme.issuer}/approvals`);
    const refused = await agent.submit(page, { email: person.email, password: person.password });
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    // And no session came of it.
    expect(
      await queryAsSuperuser(
        server.database,
        `select from artifacts where kind = 'Session' and account_id is not null`,
      ),
    ).toEqual([]);
  });
});

/** Flows that look at something a stranger can guess, and why those that do not count need not. */
const uncounted: Readonly<Record<string, string>> = {
  'src/flows/people/judge_password.ts':
    'compares a new password with earlier ones, for somebody who was let in to change it',
  'src/flows/people/manage_people.ts': 'an administrator adds somebody: nobody is signed in by it',
  'src/flows/sign_in/enrol_at_sign_in.ts':
    'goes on with what continueWith or a counted password has proven, and a code of the secret just shown',
  'src/flows/factors/set_up_factors.ts': 'compares a code with the secret that was just shown to whoever types it',
  'src/flows/proofs/verify.ts':
    'each proof has five tries of its own, counted before it is looked at (flows/proofs/proofs.ts)',
  'src/flows/tenants/seed_demo.ts': 'the demo looks whether its own password is still the one in demo.json',
};

describe('C13: a flow that looks at what can be guessed', () => {
  const sources = globSync('src/{flows,http,oidc,grpc}/**/*.ts', { cwd: root }).map((file) => ({
    file,
    text: readFileSync(root + file, 'utf8'),
  }));
  const looks = /\bpasswords\.verify\(|\btotpStepOf\(|\bverifyAuthenticationResponse\(/;
  const counts = /\bcountAttempt\(|\bcontinueWith\(/;

  it('counts the attempt before, or says here why it need not', () => {
    const looking = sources.filter(({ text }) => looks.test(text));
    expect(looking.map(({ file }) => file)).toContain('src/flows/sign_in/sign_in.ts');
    const forgetful = looking.filter(({ file, text }) => !counts.test(text) && !(file in uncounted));
    expect(forgetful.map(({ file }) => file)).toEqual([]);
  });

  it('is the only way to an authentication', () => {
    // Everything that signs somebody in ends in one of these two (src/flows/sign_in/authentication_steps.ts).
    const doors = sources.filter(
      ({ file, text }) => /\b(?:proceed|finish)\(services\b/.test(text) && !file.endsWith('authentication_steps.ts'),
    );
    expect(doors.length).toBeGreaterThan(0);
    for (const { file, text } of doors)
      expect({ file, counts: counts.test(text) || file in uncounted }).toEqual({ file, counts: true });
  });

  it('and counts is one of the kinds that have limits', () => {
    const kinds = sources.flatMap(({ text }) =>
      [...text.matchAll(/\bkind: '(\w+)'(?: as const)?,[^}]*\bidentifier\b/g)].map((found) => found[1]),
    );
    for (const kind of kinds) expect(ATTEMPT_KINDS).toContain(kind);
    expect(kinds).toContain('password');
  });
});
