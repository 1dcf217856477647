/**
 * Row C28, telling who has an account (CVE-2023-39522, CVE-2026-4633, CVE-2026-9794): registering, recovering and inviting are answered
 * alike for somebody new, a member, somebody of another tenant, somebody shut out, and an address that was written to too often. The
 * same status, headers and pages; the same statements, rows and hashes; and, by the clock, the same time.
 */

import { createInvitation } from '#src/flows/people/manage_invitations.ts';
import { changeMembershipStatus } from '#src/flows/people/manage_people.ts';
import { requestReset } from '#src/flows/proofs/recover.ts';
import { requestRegistration } from '#src/flows/proofs/register.ts';
import type { VisitorContext } from '#src/flows/proofs/visitor_context.ts';
import { signInServicesOf } from '#test/support/sign_in.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import type { Page } from '#test/support/user_agent.ts';
import { createVisitor, goodPassword, newAddress, registered } from '#test/support/visitor.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;

beforeAll(async () => {
  const plenty = 100_000;
  server = await startTestServer({
    change: (config) => ({
      ...config,
      signIn: {
        ...config.signIn,
        maximumPerAddress: plenty,
        maximumPerIdentifierAndAddress: plenty,
        perIdentifier: { ...config.signIn.perIdentifier, registration: plenty, reset: plenty },
      },
    }),
  });
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
});

afterAll(async () => {
  expect(server.log).toEqual([]);
  await server.close();
});

/** Everybody who could be told apart, each fresh. */
const people = {
  'somebody new': async () => newAddress(),
  'a member': async () => (await registered(server, acme)).email,
  'a member of another tenant': async () => (await registered(server, globex)).email,
  'a member who is shut out': async () => {
    const { email } = await registered(server, acme);
    await changeMembershipStatus(server.context, { tenantId: acme.id, email, status: 'disabled' });
    return email;
  },
  'somebody who was written to too often': async () => {
    const email = newAddress();
    for (let times = 0; times < 6; times += 1) await createVisitor(server, acme).signUp({ email });
    return email;
  },
} as const;

/** With hashes counted. */
function counting(): { readonly context: VisitorContext; readonly hashes: () => number } {
  let hashes = 0;
  const { passwords } = server.server.house;
  const context = {
    ...server.context,
    ...signInServicesOf(server),
    origin: {},
    passwords: {
      ...passwords,
      hash(password: string) {
        hashes += 1;
        return passwords.hash(password);
      },
      verify(hash: string | undefined, password: string) {
        hashes += 1;
        return passwords.verify(hash, password);
      },
    },
  };
  return { context, hashes: () => hashes };
}

const visited = () => ({ ...acme, name: 'Acme', policy: server.config.people, locale: 'nl' }) as const;

const deeds = {
  'a registration': (context: VisitorContext, email: string) =>
    requestRegistration(context, {
      tenant: visited(),
      email,
      password: goodPassword,
      givenName: '',
      familyName: '',
      username: '',
    }),
  'a reset': (context: VisitorContext, email: string) => requestReset(context, { tenant: visited(), email }),
  'an invitation': (context: VisitorContext, email: string) =>
    createInvitation(
      { ...server.context, ...context, actor: { type: 'operator', id: 'test' } },
      { tenant: acme, policy: server.config.people, email, roles: ['viewer'], locale: 'nl' },
    ),
} as const;

async function rows(): Promise<Readonly<Record<string, number>>> {
  const tables = ['proofs', 'mails', 'events', 'users', 'memberships', 'membership_roles'];
  const counts = tables.map((table) => `(select count(*)::int from ${table}) as ${table}`).join(', ');
  return (await queryAsSuperuser<Record<string, number>>(server.database, `select ${counts}`))[0] ?? {};
}

const shapeOf = (outcome: object) => Object.keys(outcome).toSorted();

describe.each(Object.entries(deeds))('C28: %s', (name, deed) => {
  it('costs the same statements, rows and hashes, whoever it is for', async () => {
    const costs: { readonly who: string; readonly cost: object }[] = [];
    for (const [who, make] of Object.entries(people)) {
      const email = await make();
      const { context, hashes } = counting();
      const before = await rows();
      const trips = server.context.database.roundTrips();
      const outcome = await deed(context, email);
      const statements = server.context.database.roundTrips() - trips;
      const after = await rows();
      const written = Object.fromEntries(
        Object.entries(after).map(([table, count]) => [table, count - (before[table] ?? 0)]),
      );
      costs.push({ who, cost: { outcome: shapeOf(outcome), statements, written, hashes: hashes() } });
    }
    const [first] = costs;
    for (const { who, cost } of costs) expect({ who, cost }).toEqual({ who, cost: first?.cost });
    expect(first?.cost).toMatchObject({ written: { proofs: 1, mails: 1 }, hashes: name === 'a registration' ? 1 : 0 });
  });

  it('takes as long for somebody who is known as for somebody who is not', async () => {
    const { context } = counting();
    const { email: known } = await registered(server, acme);
    const timed = async (email: string): Promise<number> => {
      const startedAt = performance.now();
      await deed(context, email);
      return performance.now() - startedAt;
    };
    const times: { known: number[]; unknown: number[] } = { known: [], unknown: [] };
    for (let round = 0; round < 80; round += 1) {
      // In turns, and in both orders: what the machine does besides meets both alike.
      const order = round % 2 === 0 ? (['known', 'unknown'] as const) : (['unknown', 'known'] as const);
      for (const who of order) times[who].push(await timed(who === 'known' ? known : newAddress()));
    }
    const [forKnown, forUnknown] = [median(times.known), median(times.unknown)];
    expect(Math.abs(forKnown - forUnknown) / Math.max(forKnown, forUnknown)).toBeLessThan(0.3);
  });
});

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? 0;
}

/** What a stranger sees, less what is new in every answer. */
function seen(page: Page, email: string): object {
  const clean = (text: string): string =>
    text
      .replaceAll(email, '<address>')
      .replaceAll(/[A-Za-z0-9_-]{43}/g, '<value>')
      .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, '<uuid>')
      .replaceAll(/expires=[^;]*/g, 'expires=<moment>');
  const headers = [...page.headers].filter(([header]) => !['date', 'x-request-id', 'content-length'].includes(header));
  return {
    status: page.status,
    url: page.url,
    headers: headers.map(([header, value]) => [header, clean(value)]),
    body: clean(page.body),
  };
}

describe.each([
  ['signup', { password: goodPassword }],
  ['forgot', {}],
] as const)('C28: the form %s', (page, fields) => {
  it('is answered with the same status, headers and pages', async () => {
    const answers: { readonly who: string; readonly answer: object }[] = [];
    for (const [who, make] of Object.entries(people)) {
      const email = await make();
      const { agent, open } = createVisitor(server, acme);
      const form = await open(page);
      const csrf = /name="csrf" value="([^"]*)"/.exec(form.body)?.[1] ?? '';
      const sent = await agent.request(`${acme.issuer}/${page}`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded', origin: server.origin },
        body: new URLSearchParams({ csrf, email, ...fields }).toString(),
      });
      const next = await agent.request(new URL(sent.headers.get('location') ?? '', server.origin).href);
      const typed = { code: '00000000', ...(page === 'forgot' ? { new_password: goodPassword } : {}) };
      const wrong = await agent.submit(next, typed);
      answers.push({ who, answer: [sent, next, wrong].map((one) => seen(one, email)) });
    }
    const [first] = answers;
    for (const { who, answer } of answers) expect({ who, answer }).toEqual({ who, answer: first?.answer });
  });
});
