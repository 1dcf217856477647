/**
 * Row C10, a second factor that is skipped on a side path (Casdoor CVE-2026-9091, Keycloak CVE-2025-3910, authentik CVE-2026-49443): every
 * form there is, in every order, with and without what belongs in it, at a running server. Whatever comes, nobody is signed in who
 * has not proven what the organisation asks for.
 */
import fc from 'fast-check';
import { addMember } from '#src/flows/people/manage_people.ts';
import { configureTenant } from '#src/flows/tenants/manage_tenants.ts';
import { openInteraction } from '#test/support/attack_surface.ts';
import { giveBackupCodes, newPersonWithTotp, totpCode } from '#test/support/second_factor.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorizationRequest, createUserAgent, type Page, type UserAgent } from '#test/support/user_agent.ts';
import { callbackUri, createTestTenant, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;
let strict: TestTenant;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  strict = await createTestTenant(server, 'strict');
  const changes = [
    { name: 'second_factor.policy', value: 'required' },
    { name: 'second_factor.email_code', value: true },
    { name: 'second_factor.remember_device_days', value: 30 },
  ] as const;
  expect(await configureTenant(server.context, { id: strict.id, changes })).toEqual({ outcome: 'changed' });
  // The server hears of it a moment later.
  for (;;) {
    const { agent, page } = await openInteraction(server, { tenant: strict });
    const { email, password } = strict.person;
    if ((await agent.submit(page, { email, password })).body.includes('totp-secret')) break;
  }
}, 30_000);

afterAll(async () => {
  expect(server.log).toEqual([]);
  await server.close();
});

/** What can be sent, beside a token that is right. What is right about it, is right for the person whose password is known. */
const moves = {
  nothing: () => ({}),
  'an empty code': () => ({ code: '' }),
  'a wrong code': () => ({ code: '000000' }),
  'a code of another app': ({ others }: Known) => ({ code: others() }),
  'an empty backup code': () => ({ backup_code: '' }),
  'a wrong backup code': () => ({ backup_code: '7K3M-9QXA-0ZTF-R2BC' }),
  'a backup code of somebody else': ({ foreignCode }: Known) => ({ backup_code: foreignCode }),
  'a wrong code by mail': () => ({ email_code: '12345678' }),
  'a wish for a code by mail': () => ({ send: 'email_code' }),
  'a passkey of nobody': () => ({ passkey: '{}' }),
  'a passkey of nobody at the start': () => ({ email: '', passkey: '{}' }),
  'codes that were put away': () => ({ saved: 'yes', set: '' }),
  consent: () => ({ decision: 'allow' }),
  'a wish to be remembered': () => ({ remember_device: 'yes', code: '' }),
  'the right password': ({ email, password }: Known) => ({ email, password }),
  'the right password with codes': ({ email, password }: Known) => ({ email, password, code: '000000' }),
  'a wrong password': ({ email }: Known) => ({ email, password: 'wrong' }),
  'another language': () => ({ ui_locales: 'en' }),
  'a field that no form has': () => ({ step: 'done', acr: 'urn:poort:acr:mfa' }),
} as const satisfies Readonly<Record<string, (known: Known) => Readonly<Record<string, string>>>>;

/** Where somebody may go in between. */
const places = [
  'the way back',
  'the page',
  'from the start',
  'their account',
  'a new request',
  'a silent request',
] as const;

interface Known {
  readonly email: string;
  readonly password: string;
  readonly others: () => string;
  readonly foreignCode: string;
}

type Step = { readonly send: keyof typeof moves } | { readonly go: (typeof places)[number] };

const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    {
      weight: 3,
      arbitrary: fc.constantFrom(...(Object.keys(moves) as (keyof typeof moves)[])).map((send) => ({ send })),
    },
    { weight: 1, arbitrary: fc.constantFrom(...places).map((go) => ({ go })) },
  ),
  { minLength: 1, maxLength: 8 },
);

let lastPerson = 0;

/** Somebody whose password is known to whoever tries, with or without a second factor. */
async function newVictim(tenant: TestTenant, hasFactor: boolean): Promise<Known> {
  const other = await newPersonWithTotp(server, tenant);
  const [foreignCode = ''] = await giveBackupCodes(server, tenant, other.id);
  const others = () => totpCode(other.secret, new Date());
  if (hasFactor) {
    const { id, email, password } = await newPersonWithTotp(server, tenant);
    await giveBackupCodes(server, tenant, id, 1);
    return {
      email,
      password,
      others,
      foreignCode: (await giveBackupCodes(server, tenant, other.id))[5] ?? foreignCode,
    };
  }
  lastPerson += 1;
  const email = `no-factor-${lastPerson}@${tenant.slug}.test`;
  const password = `correct horse ${email}`;
  const added = await addMember(server.context, { tenantId: tenant.id, email, password, roles: [], verified: true });
  if (added.outcome === 'refused') throw new Error(added.reason);
  return { email, password, others, foreignCode };
}

const isSignedIn = async (agent: UserAgent, tenant: TestTenant): Promise<boolean> => {
  const silent = await agent.follow(authorizationRequest(tenant, tenant.clients.web, { prompt: 'none' }).url);
  return new URL(silent.url).searchParams.has('code');
};

async function walk(tenant: TestTenant, known: Known, path: readonly Step[]): Promise<void> {
  const agent = createUserAgent(server.origin);
  let opened = await openInteraction(server, { tenant, agent });
  const check = (page: Page): void => {
    const arrived = page.url.startsWith(callbackUri) ? new URL(page.url).searchParams : undefined;
    if (arrived?.has('code') === true) throw new Error(`signed in at ${page.url}`);
    if (page.url.includes('/account/') && page.status === 200 && !page.body.includes('name="password"'))
      if (!page.url.includes('/interaction/')) throw new Error(`let in at ${page.url}`);
  };
  for (const step of path) {
    if ('send' in step) {
      check(await agent.submit(opened.page, moves[step.send](known)));
      continue;
    }
    switch (step.go) {
      case 'the way back':
        check(await agent.follow(opened.url.replace('/interaction/', '/authorize/')));
        break;
      case 'the page':
        check(await agent.follow(opened.url));
        break;
      case 'from the start':
        check(await agent.follow(`${opened.url}?again`));
        break;
      case 'their account':
        check(await agent.follow(`${tenant.issuer}/account/second-factor`));
        break;
      case 'a new request':
        opened = await openInteraction(server, { tenant, agent });
        break;
      case 'a silent request':
        check(await agent.follow(authorizationRequest(tenant, tenant.clients.web, { prompt: 'none' }).url));
        break;
      default: {
        const never: never = step.go;
        throw new Error(never);
      }
    }
  }
  if (await isSignedIn(agent, tenant)) throw new Error('there is a session');
}

describe('C10: whatever is sent in whatever order', () => {
  it.each([
    ['where the person has a second factor', () => acme, true],
    ['where one is required, and the person has one', () => strict, true],
    ['where one is required, and the person has none', () => strict, false],
  ] as const)(
    'signs nobody in without it: %s',
    async (_name, tenantOf, hasFactor) => {
      const tenant = tenantOf();
      const known = await newVictim(tenant, hasFactor);
      await fc.assert(
        fc.asyncProperty(steps, async (path) => {
          // Limits are not what is shown here.
          await queryAsSuperuser(server.database, 'delete from sign_in_attempts');
          await walk(tenant, known, [{ send: 'the right password' }, ...path]);
          await walk(tenant, known, path);
        }),
        { numRuns: 40 },
      );
    },
    120_000,
  );

  it('and with it somebody is signed in: the walk would notice', async () => {
    const person = await newPersonWithTotp(server, acme);
    const { agent, page } = await openInteraction(server, { tenant: acme });
    const { email, password } = person;
    const second = await agent.submit(page, { email, password });
    await agent.submit(second, { code: totpCode(person.secret, new Date()) });
    expect(await isSignedIn(agent, acme)).toBe(true);
  });
});
