import { hash as hashBcrypt } from '@node-rs/bcrypt';
import { argon2id, hash as hashArgon2 } from 'argon2';
import { judgeNewPassword } from '#src/domain/user.ts';
import {
  createPasswordHasher,
  isUsablePasswordHash,
  PasswordHashingBusy,
  type PasswordHashingSettings,
} from '#src/foundation/password_hashing.ts';

/** Far below what anybody should use, so that hundreds of hashes are made while one waits. */
const QUICK: PasswordHashingSettings = { memoryKibibytes: 64, passes: 1, lanes: 1, queueLength: 64, concurrency: 2 };
const hasher = createPasswordHasher(QUICK);
const NO = { matches: false, outdated: false };

describe('a password', () => {
  it.each(['correct horse', ' spaces kept ', 'pässwörd', '密码密码密码密码', 'x'.repeat(1024), 'with\0nul inside'])(
    'is known again: %j',
    async (password) => {
      expect(await hasher.verify(await hasher.hash(password), password)).toEqual({ matches: true, outdated: false });
    },
  );

  it.each([
    ['correct horse', 'correct horsf'],
    ['correct horse', 'correct horse '],
    ['correct horse', 'Correct horse'],
    [`${'x'.repeat(1023)}a`, `${'x'.repeat(1023)}b`],
    ['with\0nul a', 'with\0nul b'],
    ['with', 'with\0'],
  ])('%#: is no other password', async (password, other) => {
    expect(await hasher.verify(await hasher.hash(password), other)).toEqual(NO);
  });

  it('is the same however the keyboard composed it', async () => {
    const hash = await hasher.hash('caf\u00e9-\u212b-ﬁ');
    expect(await hasher.verify(hash, 'cafe\u0301-\u00c5-fi')).toEqual({ matches: true, outdated: false });
  });

  it('is hashed as argon2id with a salt of its own', async () => {
    const [one, other] = await Promise.all([hasher.hash('correct horse'), hasher.hash('correct horse')]);
    expect(one).toMatch(/^\$argon2id\$v=19\$m=64,t=1,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
    expect(one).not.toBe(other);
  });

  it.each(['', 'x'.repeat(1025), 'é'.repeat(513), 'x'.repeat(1_000_000), 'lone \ud800 surrogate'])(
    '%#: is refused where it cannot be hashed faithfully',
    async (password) => {
      await expect(hasher.hash(password)).rejects.toThrow(RangeError);
      expect(await hasher.verify(await hasher.hash('correct horse'), password)).toEqual(NO);
    },
  );

  it('can be hashed whenever the domain accepts it', async () => {
    for (const password of ['12345678', 'é'.repeat(512), 'x'.repeat(1024), '👩‍👩‍👧 '.repeat(20)]) {
      expect(judgeNewPassword(password)).toEqual({ outcome: 'acceptable' });
      expect(await hasher.hash(password)).toContain('$argon2id$');
    }
  });
});

describe('a hash with other parameters', () => {
  it('in another order is not outdated', async () => {
    const hash = await hashArgon2('correct horse', { type: argon2id, memoryCost: 64, timeCost: 1, parallelism: 1 });
    const standard = hash.replace(/m=64[^$]*/, 'm=64,t=1,p=1');
    const library = hash.replace(/m=64[^$]*/, 'm=64,p=1,t=1');
    expect(await hasher.verify(standard, 'correct horse')).toEqual({ matches: true, outdated: false });
    expect(await hasher.verify(library, 'correct horse')).toEqual({ matches: true, outdated: false });
  });

  it.each([
    { ...QUICK, memoryKibibytes: 128 },
    { ...QUICK, passes: 2 },
    { ...QUICK, lanes: 2 },
  ])('%#: matches and is outdated', async (former) => {
    const hash = await createPasswordHasher(former).hash('correct horse');
    expect(await hasher.verify(hash, 'correct horse')).toEqual({ matches: true, outdated: true });
    expect(await hasher.verify(hash, 'wrong horse')).toEqual(NO);
  });
});

describe('a bcrypt hash', () => {
  it.each(['2a', '2b', '2y'] as const)('in form $%s$ matches and is outdated', async (version) => {
    const hash = await hashBcrypt('correct horse', { cost: 4, version });
    expect(await hasher.verify(hash, 'correct horse')).toEqual({ matches: true, outdated: true });
    expect(await hasher.verify(hash, 'wrong horse')).toEqual(NO);
  });

  it('made elsewhere is understood (a vector of the OpenBSD implementation)', async () => {
    const hash = '$2a$06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkY8jIucDrjc8deX1s.';
    expect(await hasher.verify(hash, '')).toEqual(NO);
    expect(await hasher.verify('$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW', 'U*U')).toEqual({
      matches: true,
      outdated: true,
    });
  });

  it('matches 72 bytes, and nothing longer that begins with them', async () => {
    const password = 'x'.repeat(72);
    const hash = await hashBcrypt(password, { cost: 4 });
    expect((await hasher.verify(hash, password)).matches).toBe(true);
    expect(await hasher.verify(hash, `${password}y`)).toEqual(NO);
    expect(await hasher.verify(hash, `${'é'.repeat(36)}y`)).toEqual(NO);
  });

  it('does not match a password repeated across a NUL, which bcrypt itself cannot tell apart', async () => {
    const hash = await hashBcrypt('a', { cost: 4 });
    expect(await hasher.verify(hash, 'a\0a')).toEqual(NO);
  });

  it('matches the bytes as they were given then, and their normalised form', async () => {
    const decomposed = await hashBcrypt('cafe\u0301', { cost: 4 });
    const composed = await hashBcrypt('caf\u00e9', { cost: 4 });
    expect((await hasher.verify(decomposed, 'cafe\u0301')).matches).toBe(true);
    expect((await hasher.verify(composed, 'cafe\u0301')).matches).toBe(true);
  });
});

describe('a hash that cannot be used', () => {
  const SALT = 'c29tZXNhbHRzb21lc2FsdA';
  const TAG = 'A'.repeat(43);
  const UNUSABLE = [
    '',
    'x',
    'correct horse',
    '$argon2id$',
    `$argon2id$v=19$m=64,t=1,p=1$${SALT}`,
    `$argon2id$v=19$m=64,t=1,p=1$${SALT}$`,
    `$argon2id$v=19$m=64,t=1,p=1$${SALT}$${'A'.repeat(45)}`,
    `$argon2id$v=19$m=4294967295,t=1,p=1$${SALT}$${TAG}`,
    `$argon2id$v=19$m=9999999,t=1,p=1$${SALT}$${TAG}`,
    `$argon2id$v=19$m=64,t=999,p=1$${SALT}$${TAG}`,
    `$argon2id$v=19$m=64,t=0,p=1$${SALT}$${TAG}`,
    `$argon2id$v=19$m=64,t=1,p=0$${SALT}$${TAG}`,
    `$argon2id$v=19$m=8,t=1,p=2$${SALT}$${TAG}`,
    `$argon2id$v=18$m=64,t=1,p=1$${SALT}$${TAG}`,
    `$argon2x$v=19$m=64,t=1,p=1$${SALT}$${TAG}`,
    `$2a$31$${'a'.repeat(53)}`,
    `$2a$03$${'a'.repeat(53)}`,
    `$2x$04$${'a'.repeat(53)}`,
    `$2a$04$${'a'.repeat(52)}`,
    '$1$salt$qJH7.N4xYta3aEG/dfqo/0',
    'null',
  ];

  it.each(UNUSABLE)('matches nothing: %j', async (hash) => {
    expect(isUsablePasswordHash(hash)).toBe(false);
    expect(await hasher.verify(hash, 'correct horse')).toEqual(NO);
  });

  it('is told apart from those that can', async () => {
    expect(isUsablePasswordHash(await hasher.hash('correct horse'))).toBe(true);
    expect(isUsablePasswordHash(await hashBcrypt('correct horse', { cost: 4 }))).toBe(true);
  });
});

describe('nobody there', () => {
  /** Milliseconds of processor time, which other programs on the machine disturb less than the time of day. */
  async function cost(work: () => Promise<unknown>): Promise<number> {
    const rounds: number[] = [];
    for (let round = 0; round < 7; round += 1) {
      const before = process.cpuUsage();
      await work();
      const { user, system } = process.cpuUsage(before);
      rounds.push((user + system) / 1000);
    }
    return rounds.toSorted((one, other) => one - other)[3] ?? 0;
  }

  it('answers no, after the same work as somebody', async () => {
    const real = createPasswordHasher({ ...QUICK, memoryKibibytes: 19_456, passes: 2 });
    const hash = await real.hash('correct horse');
    expect(await real.verify(undefined, 'correct horse')).toEqual(NO);

    const somebody = await cost(() => real.verify(hash, 'wrong horse'));
    for (const work of [
      () => real.verify(undefined, 'wrong horse'),
      () => real.verify('malformed', 'wrong horse'),
      () => real.verify(hash, 'x'.repeat(2000)),
      () => real.verify(`$2a$12$${'a'.repeat(53)}`, 'x'.repeat(73)),
    ]) {
      const nobody = await cost(work);
      expect(nobody / somebody).toBeGreaterThan(0.5);
      expect(nobody / somebody).toBeLessThan(2);
    }
  });

  it('answers no after the same work also to a password that can be spelled in two ways', async () => {
    const real = createPasswordHasher({ ...QUICK, memoryKibibytes: 19_456, passes: 2 });
    const hash = await real.hash('correct horse');
    // Of which two forms are tried: as typed, and as normalised.
    const typed = '\uff57rong horse';
    const ratio = (await cost(() => real.verify(undefined, typed))) / (await cost(() => real.verify(hash, typed)));
    expect(ratio).toBeGreaterThan(0.5);
    expect(ratio).toBeLessThan(1.5);
  });
});

describe('many at once', () => {
  const crowd = (length: number, work: () => Promise<unknown>) => Promise.allSettled(Array.from({ length }, work));

  it('wait in a bounded queue, and those beyond it are told when to come back', async () => {
    const narrow = createPasswordHasher({ ...QUICK, queueLength: 3, concurrency: 1 });
    const results = crowd(10, () => narrow.verify(undefined, 'correct horse'));
    expect(narrow.statistics()).toEqual({ running: 1, waiting: 3 });

    const settled = await results;
    const refused = settled.filter((result) => result.status === 'rejected').map((result) => result.reason);
    expect(refused).toHaveLength(6);
    for (const reason of refused) {
      expect(reason).toBeInstanceOf(PasswordHashingBusy);
      expect(reason.retryAfterSeconds).toBeGreaterThanOrEqual(1);
      expect(Number.isInteger(reason.retryAfterSeconds)).toBe(true);
    }
    expect(narrow.statistics()).toEqual({ running: 0, waiting: 0 });
  });

  it('never run more than allowed, bcrypt included', async () => {
    const narrow = createPasswordHasher({ ...QUICK, queueLength: 100, concurrency: 2 });
    const bcrypt = await hashBcrypt('correct horse', { cost: 4 });
    let most = 0;
    await crowd(60, async () => {
      const answer = narrow.verify(Math.random() < 0.5 ? bcrypt : undefined, 'correct horse');
      most = Math.max(most, narrow.statistics().running);
      await answer;
      most = Math.max(most, narrow.statistics().running);
    });
    expect(most).toBe(2);
    expect(narrow.statistics()).toEqual({ running: 0, waiting: 0 });
  });

  it('leave their place behind when refused', async () => {
    const narrow = createPasswordHasher({ ...QUICK, queueLength: 0, concurrency: 1 });
    for (let round = 0; round < 3; round += 1) {
      const settled = await crowd(4, () => narrow.hash('correct horse'));
      expect(settled.map((result) => result.status)).toEqual(['fulfilled', 'rejected', 'rejected', 'rejected']);
    }
    expect(await narrow.hash('correct horse')).toContain('$argon2id$');
  });
});

describe('at start', () => {
  it('both native builds prove themselves', async () => {
    await expect(hasher.selfTest()).resolves.toBeUndefined();
  });

  it.each([
    { memoryKibibytes: 7 },
    { memoryKibibytes: 8, lanes: 2 },
    { memoryKibibytes: 5_000_000 },
    { passes: 0 },
    { lanes: 0 },
    { queueLength: -1 },
    { concurrency: 0 },
    { passes: 1.5 },
    { memoryKibibytes: Number.NaN },
  ])('impossible settings are refused: %j', (settings) => {
    expect(() => createPasswordHasher({ ...QUICK, ...settings })).toThrow(RangeError);
  });
});
