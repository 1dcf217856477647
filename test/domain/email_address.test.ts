import { canonicalIdentifier, parseEmailAddress } from '#src/domain/email_address.ts';

describe('an e-mail address', () => {
  it.each([
    ['ada@example.com', 'ada@example.com', 'ada@example.com'],
    ['  ada@example.com ', 'ada@example.com', 'ada@example.com'],
    ['Ada.Lovelace@Example.COM', 'Ada.Lovelace@example.com', 'ada.lovelace@example.com'],
    ['ada+news@example.co.uk', 'ada+news@example.co.uk', 'ada+news@example.co.uk'],
    ["o'brien_x-1/2=3@example.com", "o'brien_x-1/2=3@example.com", "o'brien_x-1/2=3@example.com"],
    ['ada@bücher.example', 'ada@xn--bcher-kva.example', 'ada@xn--bcher-kva.example'],
    ['ada@BÜCHER.example', 'ada@xn--bcher-kva.example', 'ada@xn--bcher-kva.example'],
    ['ada@xn--bcher-kva.example', 'ada@xn--bcher-kva.example', 'ada@xn--bcher-kva.example'],
    ['jörg@example.com', 'jörg@example.com', 'jörg@example.com'],
    ['用户@例子.广告', '用户@xn--fsqu00a.xn--4rr70v', '用户@xn--fsqu00a.xn--4rr70v'],
    [`${'a'.repeat(64)}@example.com`, `${'a'.repeat(64)}@example.com`, `${'a'.repeat(64)}@example.com`],
  ])('%j is understood', (input, address, canonical) => {
    expect(parseEmailAddress(input)).toEqual({ outcome: 'valid', address, canonical });
  });

  it.each([
    ['full-width letters', 'ａｄａ@example.com'],
    ['a full-width at-sign', 'ada＠example.com'],
    ['full-width capitals', 'ＡＤＡ@ＥＸＡＭＰＬＥ.ｃｏｍ'],
    ['mathematical letters', '𝐚𝐝𝐚@𝕖𝕩𝕒𝕞𝕡𝕝𝕖.com'],
    ['an ideographic full stop', 'ada@example。com'],
    ['circled letters', 'ⓐⓓⓐ@ⓔⓧⓐⓜⓟⓛⓔ.com'],
  ])('written with %s is the one it looks like', (_how, input) => {
    expect(parseEmailAddress(input)).toMatchObject({ outcome: 'valid', canonical: 'ada@example.com' });
  });

  it.each([
    ['аda@example.com', 'a Cyrillic а'],
    ['ada@еxample.com', 'a Cyrillic е in the domain'],
    ['adа@example.com', 'a Cyrillic а at the end'],
    ['ɑda@example.com', 'a Latin alpha'],
  ])('%j with %s is another address', (input) => {
    const parsed = parseEmailAddress(input);
    expect(parsed.outcome === 'valid' && parsed.canonical).not.toBe('ada@example.com');
  });

  it('is the same composed or decomposed', () => {
    const composed = parseEmailAddress('jo\u0308rg@example.com');
    expect(composed).toEqual(parseEmailAddress('j\u00f6rg@example.com'));
  });

  it.each([
    [undefined, 'not_text'],
    [null, 'not_text'],
    [42, 'not_text'],
    [['ada@example.com'], 'not_text'],
    [{ toString: () => 'ada@example.com' }, 'not_text'],
    ['', 'empty'],
    ['   ', 'empty'],
    ['a'.repeat(1_000_000), 'too_long'],
    ['ada@example.com\n', 'forbidden_character'],
    ['ada@example.com\r\nBcc: eve@evil.example', 'forbidden_character'],
    ['ada\0@example.com', 'forbidden_character'],
    ['ada@example.com\0', 'forbidden_character'],
    ['ada lovelace@example.com', 'forbidden_character'],
    ['ada\u00a0@example.com', 'forbidden_character'],
    ['ada\u3000@example.com', 'forbidden_character'],
    ['ada\u200b@example.com', 'forbidden_character'],
    ['ada\u00ad@example.com', 'forbidden_character'],
    ['\u202eada@example.com', 'forbidden_character'],
    ['\ufeffada@example.com', 'forbidden_character'],
    ['ada\ud800@example.com', 'forbidden_character'],
    ['ada\u00a8@example.com', 'forbidden_character'],
    ['ada', 'not_one_at_sign'],
    ['ada@eve@example.com', 'not_one_at_sign'],
    ['ada@evil.example＠example.com', 'not_one_at_sign'],
    ['@example.com', 'local_part'],
    ['.ada@example.com', 'local_part'],
    ['ada.@example.com', 'local_part'],
    ['a..da@example.com', 'local_part'],
    ['"ada"@example.com', 'local_part'],
    ['ada(comment)@example.com', 'local_part'],
    ['ada,eve@example.com', 'local_part'],
    ['ada;eve@example.com', 'local_part'],
    ['<ada@example.com>', 'local_part'],
    ['ada\\@example.com', 'local_part'],
    [`${'a'.repeat(65)}@example.com`, 'local_part'],
    [`${'é'.repeat(33)}@example.com`, 'local_part'],
    ['ada@', 'domain'],
    ['ada@localhost', 'domain'],
    ['ada@example..com', 'domain'],
    ['ada@.example.com', 'domain'],
    ['ada@example.com.', 'domain'],
    ['ada@-example.com', 'domain'],
    ['ada@example-.com', 'domain'],
    ['ada@exa_mple.com', 'domain'],
    ['ada@example.com:25', 'domain'],
    ['ada@example.com/path', 'domain'],
    ['ada@example.com?x', 'domain'],
    ['ada@example.com#x', 'domain'],
    ['ada@example.com\\x', 'domain'],
    ['ada@example%2ecom', 'domain'],
    ['ada@[127.0.0.1]', 'domain'],
    ['ada@127.0.0.1', 'domain'],
    ['ada@127.1', 'domain'],
    ['ada@0x7f.1', 'domain'],
    ['ada@example.com℀', 'domain'],
    ['ada@example.c℀m', 'domain'],
    [`ada@${'a'.repeat(64)}.com`, 'domain'],
    [`a@${`${'a'.repeat(60)}.`.repeat(4)}abcdefghij`, 'domain'],
    [`${'a'.repeat(20)}@${`${'a'.repeat(60)}.`.repeat(4)}ab`, 'too_long'],
  ])('%#: %p is refused as %s', (input, reason) => {
    expect(parseEmailAddress(input)).toEqual({ outcome: 'invalid', reason });
  });

  it('parses to itself once parsed', () => {
    for (const input of [
      'Ada@Example.com',
      'ａｄａ＠bücher.example',
      'İstanbul@example.com',
      'ẞ@example.com',
      'ﬃ@example.com',
    ]) {
      const first = parseEmailAddress(input);
      if (first.outcome !== 'valid') throw new Error(`${input} was refused`);
      expect(parseEmailAddress(first.address)).toEqual(first);
      expect(parseEmailAddress(first.canonical)).toMatchObject({ outcome: 'valid', canonical: first.canonical });
    }
  });
});

describe('a canonical identifier', () => {
  it('of an address is its canonical form', () => {
    for (const input of ['Ada@Example.com', ' ada@example.com ', 'ＡＤＡ＠example.com']) {
      expect(canonicalIdentifier(input)).toBe('ada@example.com');
    }
  });

  it('exists for any text, is stable and has a limit', () => {
    for (const text of ['', '\0', '\ud800', '"', 'x'.repeat(100_000), 'ﷺ'.repeat(1000), 'İ', 'no address']) {
      const canonical = canonicalIdentifier(text);
      expect(canonicalIdentifier(canonical)).toBe(canonical);
      expect([...canonical].length).toBeLessThanOrEqual(254);
      expect(canonical.isWellFormed()).toBe(true);
    }
  });
});
