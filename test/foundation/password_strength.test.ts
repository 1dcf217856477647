import { DUTCH_WORDS } from '#src/foundation/dutch_words.ts';
import { scorePassword } from '#src/foundation/password_strength.ts';
import { processorTime } from '#test/support/processor_time.ts';

describe('the strength of a password', () => {
  it.each([
    'Welkom2026!',
    'Zomer2026!',
    'Wachtwoord123!',
    'Feyenoord1908!',
    'Amsterdam2026!',
    'W3lk0m2026!',
    'welkomwelkom12',
  ])('is not enough when it is a Dutch word with a garnish: %j', async (password) => {
    expect(await scorePassword(password, [])).toBeLessThan(3);
  });

  it.each(['Password2026!', 'qwertyuiop12', 'aaaaaaaaaaaaaaaa', '123456789012', 'abcdefghijklmnop', '            '])(
    'is not enough when it is what everybody takes: %j',
    async (password) => {
      expect(await scorePassword(password, [])).toBeLessThan(3);
    },
  );

  it.each([
    'correct horse battery staple',
    'kapotte lantaarn eet vrijdags rood',
    'Tg7#mQ2!vX9b',
    '密码很长而且没有人会猜到',
  ])('is enough when nobody would try it soon: %j', async (password) => {
    expect(await scorePassword(password, [])).toBeGreaterThanOrEqual(3);
  });

  it('is less for somebody whose names it is made of', async () => {
    const password = 'Oosterwolde-Hemm1';
    expect(await scorePassword(password, ['oosterwolde'])).toBeLessThan(await scorePassword(password, []));
  });

  it('of a long one is that of its stronger end', async () => {
    const weak = 'a'.repeat(60);
    expect(await scorePassword(weak, [])).toBeLessThan(3);
    expect(await scorePassword(`${weak}kapotte lantaarn eet vrijdags`, [])).toBe(4);
    expect(await scorePassword(`kapotte lantaarn eet vrijdags rood brood${weak}`, [])).toBe(4);
  });

  it.each(['p4ssw0rd', 'x9$Kq2', '1l|!', '0123456789', '19', '01/02/1999', '@4$5!1|', 'qwertyuiop[]', '\ufdfa'])(
    'is told soon, however the password is made to take time: a thousand characters of %j',
    async (unit) => {
      await scorePassword('the dictionaries are loaded', []);
      const words = Array.from({ length: 300 }, (_, index) => `${unit}${index}`.repeat(8));
      // Some fifty milliseconds on a quiet machine; without the window two seconds, and more with every word.
      expect(await processorTime(() => scorePassword(unit.repeat(1024).slice(0, 1024), words))).toBeLessThan(1500);
    },
  );
});

describe('the Dutch words', () => {
  it.each(Object.entries(DUTCH_WORDS))(
    'about %s are each once, in small letters and digits, as they are compared',
    (_name, words) => {
      expect(words.length).toBeGreaterThan(40);
      expect(words.filter((word) => !/^[a-z0-9]{2,30}$/.test(word))).toEqual([]);
      expect(new Set(words).size).toBe(words.length);
    },
  );
});
