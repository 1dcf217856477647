import { systemClock } from '#src/foundation/clock.ts';

describe('the system clock', () => {
  it('tells the present moment, and a fresh Date every time', () => {
    const before = Date.now();
    const now = systemClock();
    expect(now.getTime()).toBeGreaterThanOrEqual(before);
    expect(now.getTime()).toBeLessThanOrEqual(Date.now());
    expect(systemClock()).not.toBe(now);
  });
});
