import fc from 'fast-check';
import { isStorable, isStorableText } from '#src/domain/stored_text.ts';

describe('a text that is to be kept', () => {
  it.each([
    ['a plain one', 'Ada', true],
    ['an emoji, which is a pair', 'a\u{1f600}', true],
    ['a NUL', 'a\0', false],
    ['the first half of a pair', 'a\ud83d', false],
    ['the second half of a pair', '\ude00a', false],
  ])('%s', (_name, text, storable) => {
    expect(isStorableText(text)).toBe(storable);
    expect(isStorable({ deep: [{ in: text }] })).toBe(storable);
    expect(isStorable({ [text]: 1 })).toBe(storable);
  });

  it('is any that JSON can carry without escapes that PostgreSQL refuses', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const refused = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/.test(JSON.stringify(value));
        expect(isStorable(value)).toBe(!refused);
      }),
    );
  });
});
