/** Hashes that other products made, as imported people bring them along; and those that would take the machine down. */
import { pbkdf2Sync, scryptSync } from 'node:crypto';
import { argon2d, argon2i, argon2id, hash as hashArgon2 } from 'argon2';
import { createPasswordHasher, isUsablePasswordHash } from '#src/foundation/password_hashing.ts';
import { parseStoredHash } from '#src/foundation/stored_hashes.ts';
import { processorTime } from '#test/support/processor_time.ts';

const hasher = createPasswordHasher({ memoryKibibytes: 64, passes: 1, lanes: 1, queueLength: 64, concurrency: 2 });
const NO = { matches: false, outdated: false };
const OUTDATED = { matches: true, outdated: true };

const unpadded = (bytes: Buffer): string => bytes.toString('base64').replaceAll('=', '');
const fromHex = (hex: string): string => unpadded(Buffer.from(hex, 'hex'));
const salt = Buffer.from('some salt of bytes');
const scryptHash = (password: string, { ln = 4, r = 8, p = 1 } = {}): string =>
  `$scrypt$ln=${ln},r=${r},p=${p}$${unpadded(salt)}$${unpadded(scryptSync(password, salt, 32, { N: 2 ** ln, r, p }))}`;
const pbkdf2Hash = (password: string, digest = 'sha256', iterations = 10): string =>
  `$pbkdf2-${digest}$i=${iterations}$${unpadded(salt)}$${unpadded(pbkdf2Sync(password, salt, iterations, 32, digest))}`;

// RFC 7914 §12 and RFC 6070 §2.
const scryptVector = fromHex(
  'fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b3731622eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640',
);
const pbkdf2Vector = fromHex('4b007901b765489abead49d926f721d065a429c1');

describe('a hash made elsewhere', () => {
  it.each([
    // The first two are in the documentation of passlib; the last was computed with Python.
    ['$pbkdf2-sha256$8000$XAuBMIYQQogxRg$tRRlz8hYn63B9LYiCd6PRo6FMiunY9ozmMMI3srxeRE', 'password'],
    ['$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E', 'password'],
    [`$scrypt$ln=10,r=8,p=16$TmFDbA$${scryptVector}`, 'password'],
    [`$pbkdf2-sha1$i=4096$c2FsdA$${pbkdf2Vector}`, 'password'],
    [`$pbkdf2$4096$c2FsdA$${pbkdf2Vector}`, 'password'],
    ['pbkdf2_sha256$1000$seasalt$JgZryXe2Ga8ysg6XbzkLpTdyPQrHqsinbL9BnnhgX4A=', 'lètmein'],
  ])('is understood: %s', async (hash, password) => {
    expect(isUsablePasswordHash(hash)).toBe(true);
    expect(await hasher.verify(hash, password)).toEqual(OUTDATED);
    expect(await hasher.verify(hash, `${password}!`)).toEqual(NO);
  });

  it.each([
    ['argon2i', argon2i],
    ['argon2d', argon2d],
  ] as const)('with %s matches and is outdated', async (_name, type) => {
    const hash = await hashArgon2('correct horse', { type, memoryCost: 64, timeCost: 1, parallelism: 1 });
    expect(await hasher.verify(hash, 'correct horse')).toEqual(OUTDATED);
    expect(await hasher.verify(hash, 'wrong horse')).toEqual(NO);
  });

  it.each(['sha1', 'sha256', 'sha512'])('with PBKDF2 and %s matches and is outdated', async (digest) => {
    const hash = pbkdf2Hash('correct horse', digest);
    expect(await hasher.verify(hash, 'correct horse')).toEqual(OUTDATED);
    expect(await hasher.verify(hash.replace('$i=10$', '$i=10,l=32$'), 'correct horse')).toEqual(OUTDATED);
    expect(await hasher.verify(hash.replaceAll('+', '.'), 'correct horse')).toEqual(OUTDATED);
    expect(await hasher.verify(hash, 'wrong horse')).toEqual(NO);
  });

  it('is compared with the password as typed and as normalised', async () => {
    const typed = '\uff43afe\u0301';
    for (const [made, matches] of [
      [typed, true],
      ['caf\u00e9', true],
      ['cafe\u0301', false],
    ] as const) {
      const foreign = await hashArgon2(made, { type: argon2id, memoryCost: 64, timeCost: 1, parallelism: 1 });
      for (const hash of [foreign, scryptHash(made), pbkdf2Hash(made)])
        expect((await hasher.verify(hash, typed)).matches).toBe(matches);
    }
  });

  it('reads a password whole: no NUL ends it, and no length cuts it', async () => {
    for (const make of [scryptHash, pbkdf2Hash]) {
      expect((await hasher.verify(make('with\0nul'), 'with\0nul')).matches).toBe(true);
      expect(await hasher.verify(make('with\0nul'), 'with')).toEqual(NO);
      expect(await hasher.verify(make('x'.repeat(1000)), 'x'.repeat(999))).toEqual(NO);
    }
  });
});

describe('a hash that asks for too much', () => {
  const tag = 'A'.repeat(43);
  const bytes = 'c29tZXNhbHRzb21lc2FsdA';

  it.each([
    // Four gigabytes, hours, and what only looks like a number.
    `$argon2id$v=19$m=4194304,t=3,p=1$${bytes}$${tag}`,
    `$argon2i$v=19$m=262145,t=3,p=1$${bytes}$${tag}`,
    `$argon2d$v=19$m=64,t=17,p=1$${bytes}$${tag}`,
    `$argon2id$v=19$m=-1,t=1,p=1$${bytes}$${tag}`,
    `$scrypt$ln=30,r=8,p=1$${bytes}$${tag}`,
    `$scrypt$ln=21,r=1,p=1$${bytes}$${tag}`,
    `$scrypt$ln=20,r=8,p=1$${bytes}$${tag}`,
    `$scrypt$ln=14,r=8,p=999$${bytes}$${tag}`,
    `$scrypt$ln=10,r=0,p=1$${bytes}$${tag}`,
    `$scrypt$ln=10,r=8,p=0$${bytes}$${tag}`,
    `$scrypt$ln=0,r=8,p=1$${bytes}$${tag}`,
    `$scrypt$ln=99,r=999,p=999$${bytes}$${tag}`,
    `$pbkdf2-sha256$i=2147483648$${bytes}$${tag}`,
    `$pbkdf2-sha256$i=2000001$${bytes}$${tag}`,
    `$pbkdf2-sha256$i=0$${bytes}$${tag}`,
    `$pbkdf2-md5$i=1000$${bytes}$${tag}`,
    `pbkdf2_sha256$99999999$salt$${tag}=`,
    `pbkdf2_sha256$1000$salt$${'A'.repeat(20)}`,
    `pbkdf2_sha256$1000$sa$lt$${tag}=`,
    `$2b$31$${'a'.repeat(53)}`,
  ])('is refused before anything is computed: %s', async (hash) => {
    expect(isUsablePasswordHash(hash)).toBe(false);
    expect(await hasher.verify(hash, 'correct horse')).toEqual(NO);
  });

  it.each([
    `$scrypt$ln=10,r=8,p=1$${bytes}$${'A'.repeat(20)}`,
    `$pbkdf2-sha256$i=1000$${bytes}$`,
    `$pbkdf2-sha256$i=1000$${bytes}$${'A'.repeat(45)}`,
    `$scrypt$ln=10,r=8,p=1$${bytes}$${'A'.repeat(172)}`,
    '$scrypt$',
    '$pbkdf2$',
    'pbkdf2_sha256$',
    '{SSHA}abc',
    '5f4dcc3b5aa765d61d8327deb882cf99',
    `$scrypt$ln=10,r=8,p=1$${bytes}$${tag}\n`,
  ])('or proves too little, or is of nothing we know, is refused: %j', (hash) => {
    expect(parseStoredHash(hash)).toBeUndefined();
  });

  it('is refused soon, however long the text is', async () => {
    const starts = [
      '$argon2id$v=19$m=64,t=1,p=1$',
      '$scrypt$ln=10,r=8,p=1$',
      '$pbkdf2-sha256$1$',
      'pbkdf2_sha256$1$',
      '$2b$10$',
    ];
    const parsing = () => starts.map((start) => expect(parseStoredHash(start + 'A'.repeat(1_000_000))).toBeUndefined());
    expect(await processorTime(parsing)).toBeLessThan(1000);
  });
});

describe('hashes of every kind', () => {
  it('go through the same gate: scrypt and PBKDF2 wait their turn as well', async () => {
    const narrow = createPasswordHasher({ memoryKibibytes: 64, passes: 1, lanes: 1, queueLength: 2, concurrency: 1 });
    const hashes = [scryptHash('a'), pbkdf2Hash('a'), scryptHash('a'), pbkdf2Hash('a'), scryptHash('a')];
    const settled = Promise.allSettled(hashes.map((hash) => narrow.verify(hash, 'a')));
    expect(narrow.statistics()).toEqual({ running: 1, waiting: 2 });
    const outcomes = (await settled).map(({ status }) => status);
    expect(outcomes).toEqual(['fulfilled', 'fulfilled', 'fulfilled', 'rejected', 'rejected']);
    expect(narrow.statistics()).toEqual({ running: 0, waiting: 0 });
  });
});
