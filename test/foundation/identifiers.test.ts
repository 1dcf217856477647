import { randomValue, sha256, uuidv7 } from '#src/foundation/identifiers.ts';

const NOON = new Date('2030-01-01T12:00:00.123Z');

function timeOf(uuid: string): number {
  return Number.parseInt(uuid.replaceAll('-', '').slice(0, 12), 16);
}

describe('a UUID of version 7', () => {
  it('has the version and the variant of RFC 9562 and carries its moment', () => {
    const uuid = uuidv7(NOON);
    expect(uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(timeOf(uuid)).toBe(NOON.getTime());
  });

  it('sorts by creation, also thousands within one millisecond', () => {
    const uuids = Array.from({ length: 20_000 }, () => uuidv7(NOON));
    expect(uuids.toSorted()).toEqual(uuids);
    expect(new Set(uuids).size).toBe(uuids.length);
  });

  it('keeps sorting while the clock steps back a little', () => {
    const before = uuidv7(new Date(NOON.getTime() + 60_000));
    const after = uuidv7(new Date(NOON.getTime() + 59_500));
    expect(after > before).toBe(true);
  });

  it('takes a clock that is far behind at its word', () => {
    const past = new Date('2001-02-03T04:05:06.789Z');
    expect(timeOf(uuidv7(past))).toBe(past.getTime());
  });

  it.each([new Date(Number.NaN), new Date(-1)])('cannot be made of %p', (impossible) => {
    expect(() => uuidv7(impossible)).toThrow(RangeError);
  });
});

describe('a random value', () => {
  it('is its prefix and 256 bits in base64url', () => {
    expect(randomValue('at_')).toMatch(/^at_[A-Za-z0-9_-]{43}$/);
    expect(randomValue()).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect(randomValue('', 16)).toMatch(/^[A-Za-z0-9_-]{22}$/);
  });

  it('does not repeat', () => {
    const values = Array.from({ length: 5000 }, () => randomValue());
    expect(new Set(values).size).toBe(values.length);
  });

  it('refuses to be guessable', () => {
    expect(() => randomValue('at_', 8)).toThrow(RangeError);
  });
});

describe('a digest', () => {
  it('is SHA-256 of the UTF-8 bytes (FIPS 180-2, appendix B.1)', () => {
    expect(sha256('abc').toString('hex')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
  });
});
