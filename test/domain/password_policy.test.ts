import {
  breaksPasswordRules,
  isMostlyOwnWords,
  knownForms,
  minimumCharacters,
  ownWords,
  type PasswordPolicy,
  skeletonOf,
} from '#src/domain/password_policy.ts';
import { processorTime } from '#test/support/processor_time.ts';

const policy: PasswordPolicy = {
  'password.minimum_characters': 12,
  'password.minimum_characters_with_second_factor': 8,
  'password.minimum_strength': 3,
  'password.composition': false,
  'password.history': 0,
  'password.breached_range_api': false,
};
const rules = (password: string, change: Partial<PasswordPolicy> = {}, hasSecondFactor = false) =>
  breaksPasswordRules({ ...policy, ...change }, { password, hasSecondFactor });

describe('the length of a password', () => {
  it.each([
    ['x'.repeat(11), 'too_short'],
    ['x'.repeat(12), undefined],
    ['x'.repeat(128), undefined],
    ['x'.repeat(1024), undefined],
    ['x'.repeat(1025), 'too_long'],
    ['é'.repeat(513), 'too_long'],
    ['x'.repeat(1_000_000), 'too_long'],
    ['👩'.repeat(11), 'too_short'],
    ['👩'.repeat(128), undefined],
    // Hashed as eighteen characters each; typed as one.
    ['\ufdfa'.repeat(8), 'too_short'],
    // Typed as two characters each; hashed as one.
    ['e\u0301'.repeat(8), 'too_short'],
    ['           x', undefined],
  ])('%#: is counted as typed or as hashed, whichever is fewer', (password, reason) => {
    expect(rules(password)).toBe(reason);
  });

  it('may be less with a second factor, and more where the tenant says so', () => {
    expect(rules('x'.repeat(8), {}, true)).toBeUndefined();
    expect(rules('x'.repeat(7), {}, true)).toBe('too_short');
    expect(rules('x'.repeat(15), { 'password.minimum_characters': 16 })).toBe('too_short');
    expect(minimumCharacters(policy, true)).toBe(8);
    expect(minimumCharacters(policy, false)).toBe(12);
  });

  it.each(['long enough \0 but', 'long enough \ud800 but', '\udc00 long enough but'])(
    '%#: does not matter where it cannot be hashed faithfully',
    (password) => {
      expect(rules(password)).toBe('forbidden_character');
    },
  );
});

describe('a composition', () => {
  it('is asked for only where the tenant insists', () => {
    expect(rules('quietly flowing river')).toBeUndefined();
    for (const lacking of ['quietly flowing river', 'Quietly Flowing', 'QUIETLY 1234', 'quietly 1234 !!'])
      expect(rules(lacking, { 'password.composition': true })).toBe('composition');
    for (const whole of ['Quietly flowing 1', 'quietly Flowing!', 'Ünlü éminence 7'])
      expect(rules(whole, { 'password.composition': true })).toBeUndefined();
  });
});

describe('one’s own words', () => {
  const words = ownWords(
    { email: 'Ada.Lovelace@post.analytical.test', givenName: 'Ada', familyName: 'King-Noël', username: 'countess' },
    { name: 'Gemeente Zuiddorp', slug: 'zuiddorp-burgers' },
  );

  it('are the names, the address without its ending, and the tenant', () => {
    for (const word of ['ada', 'lovelace', 'adalovelace', 'king', 'noël', 'countess', 'post', 'analytical'])
      expect(words).toContain(word);
    for (const word of ['gemeente', 'zuiddorp', 'gemeentezuiddorp', 'burgers']) expect(words).toContain(word);
    expect(words).not.toContain('test');
    expect(new Set(words).size).toBe(words.length);
  });

  it('stay few, whatever somebody is called', () => {
    const long = ownWords(
      { email: `${'a.b.'.repeat(16)}c@${'abc.'.repeat(60)}test`, givenName: 'abc '.repeat(2000) },
      { name: 'a', slug: 'a' },
    );
    expect(long.length).toBeLessThan(300);
  });

  it.each([
    'adalovelace',
    'AdaLovelace1852!',
    'L0v3l@ce!Ada',
    'lovelace lovelace',
    'Countess-2026',
    'zuiddorpzuiddorp',
    'Gemeente Zuiddorp 1',
    'ＡＤＡ lovelace 99',
    'kingnoel king',
  ])('alone make no password: %j', (password) => {
    expect(isMostlyOwnWords(password, words)).toBe(true);
  });

  it.each(['correct horse battery', 'lovelace-mustard-plenty', 'q'.repeat(64)])(
    'may be a part of one: %j',
    (password) => {
      expect(isMostlyOwnWords(password, words)).toBe(false);
    },
  );

  it('are not found in nothing', () => {
    expect(isMostlyOwnWords('            ', words)).toBe(false);
    expect(isMostlyOwnWords('long enough text', [])).toBe(false);
  });
});

describe('the forms in which a password is looked up', () => {
  it.each([
    'password',
    'P@ssw0rd',
    'PASSWORD2026',
    'P@ssw0rd2026!',
    '!!Password',
    '123password123',
    ' pass word ',
    'pａssｗord',
  ])('bring %j to the same', (password) => {
    expect(knownForms(password)).toContain(skeletonOf('password'));
  });

  it.each(['passwords', 'pass', 'my password', 'password123456789', 'passwordpassword'])(
    'leave %j alone',
    (password) => {
      expect(knownForms(password)).not.toContain(skeletonOf('password'));
    },
  );

  it('take no part of a number for a password', () => {
    expect(knownForms('8305123456117024')).toEqual([skeletonOf('8305123456117024')]);
  });

  it('cost little, however a password is made', async () => {
    const passwords = ['a', '1', '!', 'a1', '1a!', '\ufdfa'].map((unit) => unit.repeat(1024 / unit.length));
    // Milliseconds; seconds would be a pattern that tries everything.
    expect(await processorTime(() => passwords.map(knownForms))).toBeLessThan(1000);
    expect(passwords.map((password) => knownForms(password).length > 3)).not.toContain(true);
  });
});
