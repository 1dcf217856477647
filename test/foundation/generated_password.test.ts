import { generatePassword } from '#src/foundation/generated_password.ts';

describe('a generated password', () => {
  it('can be read aloud: groups of letters and digits that look like nothing else', () => {
    for (let round = 0; round < 200; round += 1)
      expect(generatePassword()).toMatch(
        /^[A-HJ-KMNP-Z][a-hj-kmnp-z][2-9][a-hj-kmnp-z2-9]{2}(-[a-hj-kmnp-z2-9]{5}){4}$/,
      );
  });

  it('is another one each time', () => {
    expect(new Set(Array.from({ length: 1000 }, () => generatePassword())).size).toBe(1000);
  });

  it.each([0, 12, 25, 64, 128])('is long enough for a tenant that asks for %d characters', (minimum) => {
    expect(generatePassword(minimum).length).toBeGreaterThanOrEqual(minimum);
  });
});
