import fc from 'fast-check';
import {
  isBindingMessage,
  REQUEST_LIFETIME_SECONDS,
  requestLifetimeSeconds,
  requestLimitKeys,
} from '#src/domain/backchannel_authentication.ts';

describe('a binding message', () => {
  it.each(['4711', 'Zonnebloem 4711', 'é 日本 ✓', '<b>&"', 'x'.repeat(100)])('may be %j', (text) => {
    expect(isBindingMessage(text)).toBe(true);
  });

  it.each([
    '',
    ' ',
    ' a',
    'a ',
    'a  b',
    'a\tb',
    'a\nb',
    'a\0b',
    'a\u007fb',
    'a\u00a0b',
    'a\u200bb',
    'a\u202eb',
    'a\ufeffb',
    '\ud800',
    'x'.repeat(101),
  ])('may not be %j', (text) => {
    expect(isBindingMessage(text)).toBe(false);
  });

  it('never holds a control character or a mark that nobody sees', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        if (isBindingMessage(text)) expect(text).not.toMatch(/[\p{C}\p{Zl}\p{Zp}]/u);
      }),
    );
  });
});

describe('a request', () => {
  it('waits as long as was asked, and never longer than is allowed', () => {
    expect(requestLifetimeSeconds(undefined)).toBe(REQUEST_LIFETIME_SECONDS);
    expect(requestLifetimeSeconds('60')).toBe(60);
    expect(requestLifetimeSeconds('100000')).toBe(REQUEST_LIFETIME_SECONDS);
    for (const odd of ['', '-1', '0', 'soon', 'NaN', 'Infinity'])
      expect(requestLifetimeSeconds(odd)).toBe(REQUEST_LIFETIME_SECONDS);
  });

  it('is counted under keys that no hint can leave', () => {
    const keys = requestLimitKeys({ clientId: 'one', hint: 'a\nbackchannel_client\ntwo' });
    expect(keys).toEqual(['backchannel_client\none', 'backchannel_client_person\none\na backchannel_client two']);
  });
});
