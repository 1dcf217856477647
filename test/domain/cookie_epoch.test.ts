import fc from 'fast-check';
import { cookieEpochs } from '#src/domain/cookie_epoch.ts';

const day = 86_400;

describe('the epochs of cookie keys', () => {
  it('are the present one, those that a cookie may still be from, and the one to come', () => {
    const rules = { epochSeconds: 30 * day, longestCookieSeconds: 14 * day };
    expect(cookieEpochs(new Date(100.5 * 30 * day * 1000), rules)).toEqual([100, 99, 101]);
    expect(cookieEpochs(new Date(100 * 30 * day * 1000), { ...rules, longestCookieSeconds: 61 * day })).toEqual([
      100, 99, 98, 97, 101,
    ]);
  });

  it('hold whatever was signed as long ago as a cookie may live, at this process or at one whose clock is a little off', () => {
    const someRules = fc.record({
      epochSeconds: fc.integer({ min: day, max: 400 * day }),
      longestCookieSeconds: fc.integer({ min: 60, max: 365 * day }),
    });
    fc.assert(
      fc.property(
        someRules,
        fc.integer({ min: 0, max: 4e9 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (rules, at, part) => {
          const signedAt = new Date(at * 1000);
          const readAt = new Date(at * 1000 + Math.floor(part * rules.longestCookieSeconds * 1000));
          const [signing] = cookieEpochs(signedAt, rules);
          expect(cookieEpochs(readAt, rules)).toContain(signing);
          // Signed by a process that is up to an epoch ahead.
          expect(cookieEpochs(new Date(signedAt.getTime() - 60_000), rules)).toContain(signing);
        },
      ),
    );
  });
});
