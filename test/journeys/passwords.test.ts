/** Passwords as people type them, against hashes as they are found: of other products, of other parameters, of other spellings. */
import { pbkdf2Sync, scryptSync } from 'node:crypto';
import { hash as hashBcrypt } from '@node-rs/bcrypt';
import { argon2i, argon2id, hash as hashArgon2 } from 'argon2';
import { addMember } from '#src/flows/people/manage_people.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorizationRequest, createUserAgent } from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;
let people = 0;

beforeAll(async () => {
  server = await startTestServer({ environment: { POORT_TRUSTED_PROXIES: '127.0.0.0/8,::1/128' } });
  acme = await createTestTenant(server, 'acme');
});

afterAll(() => server.close());

async function newPerson(hash: string): Promise<string> {
  people += 1;
  const email = `person-${people}@passwords.test`;
  const added = await addMember(server.context, { tenantId: acme.id, email, roles: [], verified: true });
  if (added.outcome !== 'created') throw new Error(added.outcome);
  await queryAsSuperuser(server.database, 'update users set password_hash = $2 where id = $1', [added.userId, hash]);
  return email;
}

const storedHash = async (email: string): Promise<string | undefined> =>
  (
    await queryAsSuperuser<{ password_hash: string }>(
      server.database,
      'select password_hash from users where email_canonical = $1',
      [email],
    )
  )[0]?.password_hash;

async function signsIn(email: string, password: string): Promise<boolean> {
  const agent = createUserAgent(server.origin, { 'x-forwarded-for': `203.0.113.${people}` });
  const page = await agent.follow(authorizationRequest(acme, acme.clients.web).url);
  return new URL((await agent.submit(page, { email, password })).url).searchParams.has('code');
}

const password = 'caf\u00e9 op de hoek om zes';
const salt = Buffer.from('some salt of bytes');
const unpadded = (bytes: Buffer): string => bytes.toString('base64').replaceAll('=', '');
const stronger = { memoryCost: 2048, timeCost: 2, parallelism: 1 };

describe('a hash', () => {
  it.each<[string, () => string | Promise<string>]>([
    ['of argon2id with other parameters than ours today', () => hashArgon2(password, { type: argon2id, ...stronger })],
    ['of argon2i', () => hashArgon2(password, { type: argon2i, ...stronger })],
    ['of bcrypt', () => hashBcrypt(password, { cost: 4 })],
    [
      'of scrypt',
      () => `$scrypt$ln=4,r=8,p=1$${unpadded(salt)}$${unpadded(scryptSync(password, salt, 32, { N: 16, r: 8, p: 1 }))}`,
    ],
    [
      'of PBKDF2',
      () => `$pbkdf2-sha512$i=100$${unpadded(salt)}$${unpadded(pbkdf2Sync(password, salt, 100, 64, 'sha512'))}`,
    ],
    [
      'of Django',
      () => `pbkdf2_sha256$100$pepper$${pbkdf2Sync(password, 'pepper', 100, 32, 'sha256').toString('base64')}`,
    ],
  ])('%s lets its owner in, and is replaced by one with today’s parameters', async (_what, make) => {
    const foreign = await make();
    const email = await newPerson(foreign);
    expect(await signsIn(email, 'something else entirely')).toBe(false);
    expect(await storedHash(email)).toBe(foreign);
    expect(await signsIn(email, password)).toBe(true);
    const own = await storedHash(email);
    expect(own).toMatch(/^\$argon2id\$v=19\$m=1024,t=2,p=1\$/);
    expect(await signsIn(email, password)).toBe(true);
    expect(await storedHash(email)).toBe(own);
  });

  it.each([
    '$argon2id$v=19$m=4194304,t=3,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
    '$scrypt$ln=30,r=8,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
    '$pbkdf2-sha256$i=2147483648$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
  ])('that somebody wrote into the database to take the machine down lets nobody in, at no cost: %s', async (hash) => {
    expect(await signsIn(await newPerson(hash), password)).toBe(false);
    expect(server.log).toEqual([]);
  });
});

describe('a password', () => {
  it('is the same however a keyboard composes it', async () => {
    const email = await newPerson(await server.context.passwords.hash(password));
    expect(await signsIn(email, password.normalize('NFD'))).toBe(true);
    expect(await signsIn(email, password.replace('caf', '\uff43\uff41\uff46'))).toBe(true);
    expect(await signsIn(email, password.replace('\u00e9', 'e'))).toBe(false);
    expect(await signsIn(email, `${password} `)).toBe(false);
  });
});
