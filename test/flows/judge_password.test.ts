/** All judges together, on the settings that are shipped. */
import { judgePassword, type PasswordToJudge } from '#src/flows/people/judge_password.ts';
import { createLogger } from '#src/foundation/logger.ts';
import { createPasswordHasher } from '#src/foundation/password_hashing.ts';
import { type BreachedPasswords, createBreachedPasswords } from '#src/gateways/breached_passwords.ts';
import { createEgress } from '#src/gateways/egress.ts';
import { defaultPeopleSettings } from '#test/support/people_settings.ts';

const lines: string[] = [];
const shipped = createBreachedPasswords({
  egress: createEgress({ allowed: [], timeLimitSeconds: 1, maximumBodyBytes: 1024, maximumPerHost: 1 }),
  logger: createLogger({ level: 'trace', format: 'json' }, { write: (line) => void lines.push(line) }),
});
const passwords = createPasswordHasher({ memoryKibibytes: 64, passes: 1, lanes: 1, queueLength: 64 });

const judge = (password: string, more: Partial<PasswordToJudge> = {}, breachedPasswords: BreachedPasswords = shipped) =>
  judgePassword(
    { passwords, breachedPasswords },
    {
      settings: defaultPeopleSettings,
      person: { email: 'ada.lovelace@analytical.test', givenName: 'Ada', familyName: 'Lovelace' },
      tenant: { name: 'Gemeente Zuiddorp', slug: 'zuiddorp' },
      password,
      hasSecondFactor: false,
      ...more,
    },
  );
const reason = async (...input: Parameters<typeof judge>): Promise<string> => {
  const verdict = await judge(...input);
  return verdict.outcome === 'acceptable' ? 'acceptable' : verdict.reason;
};

describe('a password', () => {
  it.each([
    'correct horse battery staple',
    'kapotte lantaarn eet vrijdags rood',
    'Tg7#mQ2!vX9b',
    '  spaces are kept  around it ',
    '密码很长而且没有人会猜到它',
    'kapotte lantaarn eet vrijdags rood '.repeat(29),
  ])('that nobody tries soon is acceptable: %j', async (password) => {
    expect(await reason(password)).toBe('acceptable');
  });

  it.each([
    ['Welkom2026!', 'too_short'],
    ['Zomer2026!', 'too_short'],
    ['Welkom2026!!', 'breached'],
    ['Zomer-202600', 'breached'],
    ['Feyenoord1908!', 'breached'],
    ['Amsterdam-020', 'breached'],
    ['P@ssw0rd2026!', 'breached'],
    ['welkom welkom welkom', 'too_weak'],
    ['maandagdinsdag', 'too_weak'],
    ['aaaaaaaaaaaaaaaaaaaaaa', 'too_weak'],
    ['qwertyasdfghzxcv', 'too_weak'],
    ['AdaLovelace1852!', 'own_name'],
    ['zuiddorp-zuiddorp', 'own_name'],
    ['analytical!2026', 'own_name'],
    ['x'.repeat(1025), 'too_long'],
    ['kapotte lantaarn\0eet', 'forbidden_character'],
    ['kapotte lantaarn\ud800eet', 'forbidden_character'],
  ])('%j is refused, and why is told: %s', async (password, expected) => {
    expect(await reason(password)).toBe(expected);
  });

  it.each(['Welkom2026!', 'Zomer2026!', 'Winter2025'])('%j is refused with a second factor, too', async (password) => {
    expect(await reason(password, { hasSecondFactor: true })).toBe('breached');
  });

  it('is asked for composition only where the tenant insists', async () => {
    const settings = { ...defaultPeopleSettings, 'password.composition': true };
    expect(await reason('correct horse battery staple', { settings })).toBe('composition');
    expect(await reason('Correct horse battery 7 staple', { settings })).toBe('acceptable');
  });

  it('may be as weak as the tenant allows, but not a known one', async () => {
    const settings = { ...defaultPeopleSettings, 'password.minimum_strength': 0 };
    expect(await reason('maandagdinsdag', { settings })).toBe('acceptable');
    expect(await reason('Welkom2026!!', { settings })).toBe('breached');
  });

  it('that was used before may not come back, however it is composed', async () => {
    const history = await Promise.all(['caf\u00e9 op de hoek om zes', 'een ander lang wachtwoord'].map(passwords.hash));
    expect(await reason('cafe\u0301 op de hoek om zes', { history })).toBe('used_before');
    expect(await reason('caf\u00e9 op de hoek om zeven', { history })).toBe('acceptable');
  });

  it('is told to nobody else before all that is known here has been asked', async () => {
    const settings = { ...defaultPeopleSettings, 'password.breached_range_api': true };
    const asked: boolean[] = [];
    const spy: BreachedPasswords = {
      async isKnown(_password, { askRangeApi }) {
        asked.push(askRangeApi);
        return askRangeApi;
      },
    };
    expect(await reason('maandagdinsdag', { settings }, spy)).toBe('too_weak');
    expect(asked).toEqual([false]);
    expect(await reason('correct horse battery staple', { settings }, spy)).toBe('breached');
    expect(asked).toEqual([false, false, true]);
  });

  it('is in no log', () => {
    expect(lines).toEqual([]);
  });
});
