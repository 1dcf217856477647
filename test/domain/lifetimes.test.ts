import { refreshTokenTtlSeconds } from '#src/domain/lifetimes.ts';

const DAY = 86_400;
const LIFETIMES = {
  idleSeconds: 7 * DAY,
  deviceIdleSeconds: 90 * DAY,
  absoluteSeconds: { web: 90 * DAY, spa: 30 * DAY, native: 180 * DAY, device: 365 * DAY },
};

const ttl = (clientType: string, chainAgeSeconds: number) =>
  refreshTokenTtlSeconds({ clientType, lifetimes: LIFETIMES, chainAgeSeconds });

describe('a refresh token', () => {
  it('lives for its idle time while the chain is young', () => {
    for (const type of ['web', 'spa', 'native']) expect(ttl(type, 0)).toBe(7 * DAY);
    expect(ttl('device', 0)).toBe(90 * DAY);
  });

  it('never outlives its chain', () => {
    expect(ttl('spa', 29 * DAY)).toBe(DAY);
    expect(ttl('web', 89 * DAY)).toBe(DAY);
    expect(ttl('native', 179 * DAY)).toBe(DAY);
    expect(ttl('device', 364 * DAY)).toBe(DAY);
  });

  it('keeps one second where nothing is left, because the engine faults on 0', () => {
    for (const age of [30 * DAY, 31 * DAY, 1e12]) expect(ttl('spa', age)).toBe(1);
  });

  it('gains nothing from a clock that went back', () => {
    expect(ttl('spa', -100 * DAY)).toBe(7 * DAY);
  });

  it('of a type nobody foresaw gets the strictest limit', () => {
    expect(ttl('machine', 29.5 * DAY)).toBe(DAY / 2);
  });

  it('is a whole number of seconds that shrinks as the chain ages', () => {
    for (const type of ['web', 'spa', 'native', 'device']) {
      let previous = Number.POSITIVE_INFINITY;
      for (let age = 0; age < 400 * DAY; age += DAY / 3 + 0.7) {
        const seconds = ttl(type, age);
        expect(Number.isInteger(seconds) && seconds >= 1 && seconds <= previous).toBe(true);
        previous = seconds;
      }
    }
  });
});
