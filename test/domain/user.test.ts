import { displayName, judgeNewPassword, parsePersonName, userId } from '#src/domain/user.ts';

describe('a new password', () => {
  it.each([
    '12345678',
    'correct horse battery staple',
    ' '.repeat(8),
    'пароль12',
    '密码密码密码密码',
    '😀'.repeat(8),
    'x'.repeat(1024),
    'é'.repeat(512),
  ])('%#: is acceptable by its length alone', (password) => {
    expect(judgeNewPassword(password)).toEqual({ outcome: 'acceptable' });
  });

  it.each([
    ['', 'too_short'],
    ['1234567', 'too_short'],
    ['😀'.repeat(7), 'too_short'],
    ['e\u0301'.repeat(7), 'too_short'],
    ['x'.repeat(1025), 'too_long'],
    ['é'.repeat(513), 'too_long'],
    ['x'.repeat(1_000_000), 'too_long'],
    ['pass\0word', 'forbidden_character'],
    ['lone \ud800 surrogate', 'forbidden_character'],
  ])('%#: is refused as %s', (password, reason) => {
    expect(judgeNewPassword(password)).toEqual({ outcome: 'unacceptable', reason });
  });
});

describe('a person', () => {
  it('is shown by the names that are known', () => {
    expect(displayName({ givenName: 'Ada', familyName: 'Lovelace' })).toBe('Ada Lovelace');
    expect(displayName({ givenName: 'Ada' })).toBe('Ada');
    expect(displayName({ familyName: 'Lovelace', givenName: '' })).toBe('Lovelace');
    expect(displayName({})).toBeUndefined();
  });

  it('has names that stay on their line', () => {
    expect(parsePersonName(" Ngọc O'Brien-Åström ")).toBe("Ngọc O'Brien-Åström");
    expect(parsePersonName('Ada\r\nBcc: eve@evil.example')).toBeUndefined();
  });

  it('has an identifier that is a UUID in lower case', () => {
    const uuid = '01890a5d-ac96-774b-bcce-b302099a8057';
    expect(userId(uuid)).toBe(uuid);
    expect(() => userId('ada')).toThrow(TypeError);
  });
});
