/** People of another product: every line judged by itself, nothing of anybody known changed, and again and again the same. */
import { hash as hashBcrypt } from '@node-rs/bcrypt';
import { type ImportReport, importPeople, type RefusedLine } from '#src/flows/people/import_people.ts';
import { addMember, showMember } from '#src/flows/people/manage_people.ts';
import { isUsablePasswordHash } from '#src/foundation/password_hashing.ts';
import { queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorize, createUserAgent, exchangeCode } from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;

beforeAll(async () => {
  server = await startTestServer({ logLevel: 'trace' });
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
});

afterAll(async () => {
  expect(JSON.stringify(server.log)).not.toMatch(/\$2b\$|\$argon2|imported\.test/);
  await server.close();
});

async function* linesOf(lines: readonly string[]): AsyncGenerator<string> {
  yield* lines;
}

async function bring(
  people: readonly (object | string)[],
  { tenant = acme, dryRun = false } = {},
): Promise<ImportReport & { problems: readonly RefusedLine[] }> {
  const problems: RefusedLine[] = [];
  const report = await importPeople(server.context, {
    tenantId: tenant.id,
    lines: linesOf(people.map((person) => (typeof person === 'string' ? person : JSON.stringify(person)))),
    dryRun,
    onRefused: (refused) => void problems.push(refused),
  });
  return { ...report, problems };
}

const everybody = () =>
  queryAsSuperuser<Record<string, unknown>>(
    server.database,
    `select u.email::text, u.password_hash, u.given_name, u.created_at, m.tenant_id
       from users u left join memberships m on m.user_id = u.id order by 1, 5`,
  );

const show = (email: string, tenant = acme) => showMember(server.context, { tenantId: tenant.id, email });

async function signIn(email: string, password: string): Promise<number> {
  const agent = createUserAgent(server.origin);
  const { web } = acme.clients;
  return (
    await exchangeCode(acme, web, await authorize(agent, { tenant: acme, client: web, person: { email, password } }))
  ).status;
}

const storedHash = async (email: string): Promise<unknown> =>
  (
    await queryAsSuperuser<{ password_hash: string }>(
      server.database,
      'select password_hash from users where email_canonical = $1',
      [email],
    )
  )[0]?.password_hash;

describe('an import', () => {
  it('makes people with everything their line says, and an event without their address or hash', async () => {
    const password_hash = await hashBcrypt('het oude wachtwoord', { cost: 4 });
    const line = {
      email: 'Grace.Hopper@Imported.Test',
      given_name: 'Grace',
      family_name: 'Hopper',
      locale: 'en',
      email_verified: true,
      password_hash,
      roles: ['editor', 'user', 'editor'],
      created_at: '2019-03-01T12:00:00+01:00',
    };
    expect(await bring([line])).toMatchObject({ lines: 1, created: 1, joined: 0, alreadyMembers: 0, refused: 0 });
    const member = await show('grace.hopper@imported.test');
    expect(member).toMatchObject({
      email: 'Grace.Hopper@imported.test',
      email_verified: true,
      given_name: 'Grace',
      roles: ['editor', 'user'],
    });
    const [row] = await queryAsSuperuser<{ locale: string; created_at: Date }>(
      server.database,
      'select locale, created_at from users where id = $1',
      [member?.id],
    );
    expect(row).toEqual({ locale: 'en', created_at: new Date('2019-03-01T11:00:00Z') });
    const events = await readEvents(server.database, { tenantId: acme.id, types: ['user.created'] });
    const own = events.find(({ target_id }) => target_id === member?.id);
    expect(own).toMatchObject({ actor_type: 'operator', data: { imported: true, roles: ['editor', 'user'] } });
    expect(JSON.stringify(own)).not.toMatch(/@|\$2b\$/);
  });

  it('lets them in with the password they had, once with the old hash and from then on with our own', async () => {
    const email = 'alan@imported.test';
    const old = await hashBcrypt('het oude wachtwoord', { cost: 4 });
    await bring([{ email, email_verified: true, password_hash: old }]);
    expect(await storedHash(email)).toBe(old);
    expect(await signIn(email, 'het oude wachtwoord')).toBe(200);
    const replaced = await storedHash(email);
    expect(replaced).toMatch(/^\$argon2id\$v=19\$/);
    expect(await signIn(email, 'het oude wachtwoord')).toBe(200);
    expect(await storedHash(email)).toBe(replaced);
    await expect(signIn(email, 'een ander wachtwoord')).rejects.toThrow();
  });

  it('done again changes nothing', async () => {
    const people = ['one', 'two', 'three'].map((name) => ({ email: `${name}@again.imported.test`, given_name: name }));
    expect(await bring(people)).toMatchObject({ created: 3 });
    const before = await everybody();
    const changed = people.map((person) => ({ ...person, given_name: 'Changed', roles: ['admin'] }));
    expect(await bring(changed)).toMatchObject({ lines: 3, created: 0, joined: 0, alreadyMembers: 3, refused: 0 });
    expect(await everybody()).toEqual(before);
    expect(await show('one@again.imported.test')).toMatchObject({ roles: [] });
  });

  it('dry says what it would do and does nothing', async () => {
    const before = await everybody();
    const events = await readEvents(server.database, {
      tenantId: acme.id,
      types: ['user.created', 'membership.added'],
    });
    const people = [
      { email: 'dry@imported.test', roles: ['user'] },
      { email: globex.person.email },
      { email: acme.person.email },
      { email: 'DRY@imported.test' },
      { email: 'none' },
    ];
    const said = await bring(people, { dryRun: true });
    expect(said).toMatchObject({ lines: 5, created: 1, joined: 1, alreadyMembers: 1, refused: 2 });
    expect(await everybody()).toEqual(before);
    const types = ['user.created', 'membership.added'];
    expect(await readEvents(server.database, { tenantId: acme.id, types })).toEqual(events);
    expect(await bring(people)).toEqual(said);
  });

  it('of somebody known elsewhere adds a membership and touches nothing that is theirs', async () => {
    const email = 'both@elsewhere.test';
    await addMember(server.context, {
      tenantId: globex.id,
      email,
      password: 'their own long password',
      roles: [],
      verified: true,
      givenName: 'Own',
    });
    const hash = await storedHash(email);
    const taken = await hashBcrypt('a password of somebody else', { cost: 4 });
    const line = { email, email_verified: false, password_hash: taken, given_name: 'Taken', roles: ['viewer'] };
    expect(await bring([line])).toMatchObject({ joined: 1, created: 0 });
    expect(await storedHash(email)).toBe(hash);
    expect(await show(email)).toMatchObject({ email_verified: true, given_name: 'Own', roles: ['viewer'] });
    await expect(signIn(email, 'a password of somebody else')).rejects.toThrow();
    const [event] = (await readEvents(server.database, { tenantId: acme.id, types: ['membership.added'] })).slice(-1);
    expect(event).toMatchObject({ data: { imported: true } });
  });

  it('of somebody whose address nobody has proven makes them what the file says', async () => {
    const email = 'early@elsewhere.test';
    const password = 'of whoever was first';
    await addMember(server.context, {
      tenantId: globex.id,
      email,
      password,
      roles: [],
      verified: false,
      givenName: 'Mallory',
    });
    const password_hash = await hashBcrypt('het oude wachtwoord', { cost: 4 });
    await bring([{ email, email_verified: true, password_hash, given_name: 'Grace' }]);
    expect(await storedHash(email)).toBe(password_hash);
    expect(await show(email)).toMatchObject({ email_verified: true, given_name: 'Grace' });
    await expect(signIn(email, password)).rejects.toThrow();
    expect(await signIn(email, 'het oude wachtwoord')).toBe(200);
  });

  it('gives people the names they sign in with, unless somebody of the tenant has one', async () => {
    const password_hash = await hashBcrypt('het oude wachtwoord', { cost: 4 });
    const line = (email: string, username: string) => ({ email, username, email_verified: true, password_hash });
    const people = [
      line('joke@names.imported.test', 'Joke.Smit'),
      line('joke2@names.imported.test', 'JOKE.smit'),
      line('wim@names.imported.test', '\uff37im'),
    ];
    expect(await bring(people)).toMatchObject({ created: 3, namesTaken: 1, refused: 0 });
    expect(await bring([line('later@names.imported.test', 'wim')])).toMatchObject({ created: 1, namesTaken: 1 });
    expect(await bring([line('at@names.imported.test', 'a@b')])).toMatchObject({ created: 0, refused: 1 });
    const names = await queryAsSuperuser<{ email: string; username: string }>(
      server.database,
      `select u.email_canonical as email, m.username from memberships m join users u on u.id = m.user_id
        where u.email_canonical like '%@names.imported.test' and m.username is not null order by 1`,
    );
    expect(names.map(({ username }) => username.toLowerCase()).sort()).toEqual(['joke.smit', 'wim']);
    expect(await signIn('joke.smit', 'het oude wachtwoord')).toBe(200);
  });

  it('goes on behind every line that is wrong, and tells each by its number', async () => {
    const good = { email: 'good@lines.imported.test' };
    const lines = [
      good,
      '',
      '{"email": "broken@imported.test"',
      '[]',
      'null',
      '"ada@imported.test"',
      { email: 'extra@imported.test', phone: '06', admin: true },
      { email: 'kind@imported.test', email_verified: 'yes' },
      { given_name: 'Nobody' },
      { email: 'not an address' },
      { email: 'nul\u0000@imported.test' },
      { email: 'name@imported.test', given_name: 'A\nB' },
      { email: 'role@imported.test', roles: ['user', 'emperor'] },
      { email: 'date@imported.test', created_at: 'yesterday' },
      { email: 'hash@imported.test', password_hash: '5f4dcc3b5aa765d61d8327deb882cf99' },
      { email: 'GOOD@lines.imported.test' },
      { email: `${'x'.repeat(20_000)}@imported.test` },
      { email: 'latin@imported.test', given_name: 'Zo\ufffd' },
      { email: 'empty@lines.imported.test', given_name: '', family_name: null, locale: null, password_hash: null },
    ];
    const report = await bring(lines);
    expect(report).toMatchObject({ lines: 19, created: 2, refused: 16 });
    expect(report.problems.map(({ line, reason }) => [line, reason])).toEqual([
      [3, 'not_json'],
      [4, 'fields'],
      [5, 'fields'],
      [6, 'fields'],
      [7, 'fields'],
      [8, 'fields'],
      [9, 'fields'],
      [10, 'email'],
      [11, 'email'],
      [12, 'name'],
      [13, 'unknown_role'],
      [14, 'fields'],
      [15, 'password_hash'],
      [16, 'twice_in_the_file'],
      [17, 'too_long'],
      [18, 'not_utf8'],
    ]);
    expect(report.problems.find(({ line }) => line === 7)?.detail).toBe('unknown phone, unknown admin');
    expect(report.problems.find(({ line }) => line === 13)?.detail).toBe('emperor');
    expect(JSON.stringify(report)).not.toMatch(/imported\.test|5f4dcc/);
    expect(await show('hash@imported.test')).toBeUndefined();
  });

  it.each([
    '$argon2id$v=19$m=4194304,t=3,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
    '$scrypt$ln=30,r=8,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
    '$pbkdf2-sha256$i=2147483648$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
    `$2b$31$${'a'.repeat(53)}`,
  ])('takes no hash whose check would take the machine down: %s', async (password_hash) => {
    expect(isUsablePasswordHash(password_hash)).toBe(false);
    const report = await bring([{ email: 'heavy@imported.test', password_hash }]);
    expect(report.problems).toEqual([{ line: 1, reason: 'password_hash', detail: undefined }]);
    expect(await show('heavy@imported.test')).toBeUndefined();
  });

  it('reads a file as programs write them: with a byte order mark and spaces', async () => {
    const report = await bring(['\ufeff{"email":"bom@imported.test"}', '  {"email":"spaces@imported.test"}  ', '']);
    expect(report).toMatchObject({ created: 2, refused: 0 });
  });

  it('of more people than go together brings all of them, also when two do it at once', async () => {
    const people = Array.from({ length: 1234 }, (_, index) => ({
      email: `p${index}@many.imported.test`,
      username: `many-${index}`,
      roles: ['user'],
    }));
    const reports = await Promise.all([bring(people), bring(people.toReversed())]);
    const sum = (name: 'created' | 'alreadyMembers' | 'joined' | 'refused'): number =>
      reports.reduce((total, report) => total + report[name], 0);
    expect(sum('created')).toBe(1234);
    expect(sum('alreadyMembers') + sum('joined')).toBe(1234);
    expect(sum('refused')).toBe(0);
    const [counted] = await queryAsSuperuser<{ people: number; roles: number; events: number }>(
      server.database,
      `select (select count(*)::int from users where email_canonical like '%@many.imported.test') as people,
              (select count(*)::int from membership_roles r join users u on u.id = r.user_id
                where u.email_canonical like '%@many.imported.test') as roles,
              (select count(*)::int from events e join users u on u.id::text = e.target_id
                where u.email_canonical like '%@many.imported.test') as events`,
    );
    expect(counted).toEqual({ people: 1234, roles: 1234, events: 1234 });
  });
});
