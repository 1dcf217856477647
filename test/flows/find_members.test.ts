/** Members as an administrator looks for them. What is found is compared with what everybody can see: addresses, in order. */

import type { UserId } from '#src/domain/user.ts';
import { searchMembers, showMemberById } from '#src/flows/people/find_members.ts';
import { addMember, changeMembershipStatus } from '#src/flows/people/manage_people.ts';
import { updateProfile } from '#src/flows/people/update_profile.ts';
import type { FoundMemberRow, MemberOrder, MemberPlace } from '#src/storage/tables/members.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;
const ids = new Map<string, UserId>();

const people = [
  ['jose@people.test', 'José', 'García López'],
  ['berg@people.test', 'Anna', 'van den Berg'],
  ['bergen@people.test', 'Bert', 'Bergen'],
  ['zoe@people.test', 'Zoë', 'Ångström'],
  ['percent_100%@people.test', undefined, undefined],
  ['nameless@people.test', undefined, 'O’Neill'],
] as const;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
  for (const [email, givenName, familyName] of people) await add(acme, { email, givenName, familyName });
  await add(globex, { email: 'stranger@people.test', givenName: 'José', familyName: 'Berg' });
});

afterAll(async () => server.close());

async function add(
  { id: tenantId }: TestTenant,
  { email, ...names }: { email: string; givenName?: string | undefined; familyName?: string | undefined },
): Promise<UserId> {
  const added = await addMember(server.context, { tenantId, email, ...names, roles: ['user'], verified: true });
  if (added.outcome === 'refused') throw new Error(added.reason);
  ids.set(email, added.userId);
  return added.userId;
}

interface Look {
  readonly text?: string;
  readonly email?: string;
  readonly role?: string;
  readonly status?: 'active' | 'disabled';
  readonly order?: MemberOrder;
  readonly after?: MemberPlace;
  readonly limit?: number;
  readonly createdAfter?: Date;
}

function look(at: TestTenant, { order = 'email', limit = 50, ...question }: Look): Promise<readonly FoundMemberRow[]> {
  return searchMembers(server.context, { tenantId: at.id, order, limit, ...question });
}

async function find(at: TestTenant, question: Look): Promise<readonly string[]> {
  return (await look(at, question)).map(({ email }) => email);
}

describe('looking for a member', () => {
  it.each([
    ['the beginning of an address', 'berg', ['berg@people.test', 'bergen@people.test']],
    ['an address in capitals', 'JOSE@PEOPLE', ['jose@people.test']],
    ['a given name without its accents', 'jose', ['jose@people.test']],
    ['a given name with other accents', 'zoé', ['zoe@people.test']],
    ['a whole name', 'anna van den b', ['berg@people.test']],
    ['a family name from its beginning', 'van d', ['berg@people.test']],
    ['the last word of a family name', 'lopez', ['jose@people.test']],
    ['a letter that is two', 'ångs', ['zoe@people.test']],
    ['too many spaces', '  anna   van ', ['berg@people.test']],
    ['the middle of a word', 'erg', []],
    ['a pattern', '%', []],
    ['a percent sign where there is one', 'percent_100%', ['percent_100%@people.test']],
    ['another pattern', 'jos_', []],
    ['a lone accent', '\u0301', []],
    ['a quotation mark', "o'", []],
    ['a statement', "'; drop table memberships; --", []],
    ['a backslash', '\\', []],
  ])('by %s finds whom it means', async (_name, text, expected) => {
    expect(await find(acme, { text })).toEqual(expected);
  });

  it('finds nobody of another tenant', async () => {
    expect(await find(acme, { text: 'stranger' })).toEqual([]);
    expect(await find(acme, { email: 'stranger@people.test' })).toEqual([]);
    expect(await find(globex, { text: 'jose' })).toEqual(['stranger@people.test']);
    expect(await showMemberById(server.context, { tenantId: acme.id, userId: globex.person.id })).toBeUndefined();
    expect(await showMemberById(server.context, { tenantId: acme.id, userId: acme.person.id })).toMatchObject({
      id: acme.person.id,
    });
  });

  it('by address takes it however it is written, and whole', async () => {
    expect(await find(acme, { email: ' Jose@People.TEST ' })).toEqual(['jose@people.test']);
    expect(await find(acme, { email: 'jose@people' })).toEqual([]);
  });

  it('by role finds who was given it', async () => {
    expect(await find(acme, { role: 'admin' })).toEqual([acme.person.email]);
    expect(await find(acme, { role: 'admin', text: 'jose' })).toEqual([]);
    expect(await find(acme, { role: 'nothing' })).toEqual([]);
  });

  it('by status finds who may not come in', async () => {
    await changeMembershipStatus(server.context, { tenantId: acme.id, email: 'zoe@people.test', status: 'disabled' });
    expect(await find(acme, { status: 'disabled' })).toEqual(['zoe@people.test']);
    expect(await find(acme, { status: 'active', text: 'zoe' })).toEqual([]);
    await changeMembershipStatus(server.context, { tenantId: acme.id, email: 'zoe@people.test', status: 'active' });
  });

  it('comes part by part to everybody once, in every order', async () => {
    const { id: tenantId } = acme;
    for (let n = 0; n < 7; n += 1)
      await add(acme, { email: `same-${n}@people.test`, givenName: 'Same', familyName: 'Name' });
    // At one moment, to the microsecond: only their identifiers tell them apart.
    await queryAsSuperuser(
      server.database,
      `update memberships set created_at = '2030-01-01T00:00:00.123456Z' where tenant_id = '${tenantId}' and email_canonical like 'same-%'`,
    );
    const everybody = new Set(await find(acme, {}));
    for (const order of ['created_at', '-created_at', 'email', '-email', 'name', '-name'] as const) {
      const seen: FoundMemberRow[] = [];
      for (let after: MemberPlace | undefined; ; ) {
        const rows = await look(acme, { order, limit: 3, ...(after && { after }) });
        const part = rows.slice(0, 3);
        seen.push(...part);
        const last = part.at(-1);
        if (rows.length <= 3 || last === undefined) break;
        after = { value: last.place, id: last.id };
      }
      expect(seen).toHaveLength(everybody.size);
      expect(new Set(seen.map(({ email }) => email))).toEqual(everybody);
      const places = seen.map(({ place }) => place);
      const sorted = places.toSorted((one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other)));
      expect(places).toEqual(order.startsWith('-') ? sorted.toReversed() : sorted);
    }
  });
});

describe('what is searched for', () => {
  it('follows a change of the person to every tenant of theirs', async () => {
    const userId = await add(acme, { email: 'both@people.test', givenName: 'Before', familyName: 'Before' });
    await add(globex, { email: 'both@people.test' });
    expect(await find(globex, { text: 'before' })).toEqual(['both@people.test']);
    const names = { givenName: 'Émile', familyName: 'After', locale: '' } as const;
    await updateProfile(server.context, { tenantId: acme.id, userId, ...names });
    for (const tenant of [acme, globex]) {
      expect(await find(tenant, { text: 'before' })).toEqual([]);
      expect(await find(tenant, { text: 'emile' })).toEqual(['both@people.test']);
    }
  });

  it('is right for whoever joins while their name changes', async () => {
    for (let round = 0; round < 5; round += 1) {
      const email = `racing-${round}@people.test`;
      const userId = await add(acme, { email, givenName: 'Before', familyName: 'Race' });
      const names = { givenName: `After${round}`, familyName: 'Race', locale: '' } as const;
      await Promise.all([
        updateProfile(server.context, { tenantId: acme.id, userId, ...names }),
        add(globex, { email }),
      ]);
      expect(await find(globex, { text: `after${round}` })).toEqual([email]);
    }
  });

  it('is kept by the database, whoever says otherwise', async () => {
    const lie = `update memberships set name_search = 'nobody' where tenant_id = '${acme.id}' and user_id = '${acme.person.id}'`;
    await expect(queryAsSuperuser(server.database, lie)).rejects.toThrow(/memberships_search/);
  });

  it('has room for a name that grows when it is taken apart', async () => {
    const long = 'ﷺ'.repeat(100);
    await add(acme, { email: 'long@people.test', givenName: long, familyName: long });
    expect(await find(acme, { text: long })).toEqual(['long@people.test']);
  });
});
