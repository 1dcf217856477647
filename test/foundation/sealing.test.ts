import { createSealer, SealBroken, sealedBy } from '#src/foundation/sealing.ts';
import { Secret } from '#src/foundation/secret.ts';

const key = (filler: number) => new Secret(Buffer.alloc(32, filler).toString('base64'));
const CONTEXT = 'signing_key:acme:k1';
const sealer = createSealer([key(1)]);

describe('a sealed value', () => {
  it.each(['', 'a', 'zout — ζ', 'x'.repeat(100_000)])('opens to what was sealed', (text) => {
    expect(sealer.open(sealer.seal(text, CONTEXT), CONTEXT).toString('utf8')).toBe(text);
  });

  it('holds bytes that are no text', () => {
    const bytes = Buffer.from([0, 255, 254, 0, 128]);
    expect(sealer.open(sealer.seal(bytes, CONTEXT), CONTEXT)).toEqual(bytes);
  });

  it('differs every time and shows nothing of its content', () => {
    const sealed = Array.from({ length: 200 }, () => sealer.seal('the plain text', CONTEXT));
    expect(new Set(sealed.map((value) => value.toString('hex'))).size).toBe(200);
    expect(sealed.some((value) => value.includes('plain'))).toBe(false);
  });

  it('does not open elsewhere', () => {
    const sealed = sealer.seal('key', CONTEXT);
    for (const context of ['signing_key:globex:k1', 'signing_key:acme:k2', 'totp:acme:k1', '', `${CONTEXT} `]) {
      expect(() => sealer.open(sealed, context)).toThrow(SealBroken);
    }
  });

  it('breaks when any one of its bits is changed', () => {
    const sealed = sealer.seal('key', CONTEXT);
    for (let bit = 0; bit < sealed.length * 8; bit += 1) {
      const altered = Buffer.from(sealed);
      altered[bit >> 3] = altered.readUInt8(bit >> 3) ^ (1 << (bit & 7));
      expect(() => sealer.open(altered, CONTEXT)).toThrow(SealBroken);
    }
  });

  it('breaks when it is cut or lengthened', () => {
    const sealed = sealer.seal('key', CONTEXT);
    for (let length = 0; length < sealed.length; length += 1) {
      expect(() => sealer.open(sealed.subarray(0, length), CONTEXT)).toThrow(SealBroken);
    }
    expect(() => sealer.open(Buffer.concat([sealed, Buffer.of(0)]), CONTEXT)).toThrow(SealBroken);
  });
});

describe('a list of master keys', () => {
  it('seals under the first and opens under all', () => {
    const before = createSealer([key(1)]).seal('kept', CONTEXT);
    const rotated = createSealer([key(2), key(1)]);
    expect(rotated.open(before, CONTEXT).toString()).toBe('kept');
    expect(
      createSealer([key(2)])
        .open(rotated.seal('new', CONTEXT), CONTEXT)
        .toString(),
    ).toBe('new');
  });

  it('no longer opens what a removed key sealed', () => {
    const before = sealer.seal('kept', CONTEXT);
    expect(() => createSealer([key(2)]).open(before, CONTEXT)).toThrow(SealBroken);
  });

  it('tells which of them sealed a value', () => {
    const before = sealer.seal('kept', CONTEXT);
    const rotated = createSealer([key(2), key(1)]);
    expect(sealedBy(before)).toEqual(rotated.keyIds[1]);
    expect(sealedBy(rotated.seal('new', CONTEXT))).toEqual(rotated.keyIds[0]);
    expect(sealedBy(Buffer.from('never sealed'))).toBeUndefined();
  });

  it('must hold whole keys, and each once', () => {
    expect(() => createSealer([])).toThrow('at least one');
    expect(() => createSealer([new Secret('c2hvcnQ=')])).toThrow('32 bytes');
    expect(() => createSealer([key(1), key(2), key(1)])).toThrow('twice');
  });

  it('is never quoted when it is refused', () => {
    expect(() => createSealer([new Secret('my-hunter2-key')])).toThrow(/^a master key must be the base64 of 32 bytes$/);
  });
});

describe('a derived key', () => {
  it('is the same for the same purpose, and another for another', () => {
    expect(sealer.derive('cookies')).toEqual(createSealer([key(1)]).derive('cookies'));
    expect(sealer.derive('cookies')).not.toEqual(sealer.derive('pagination'));
    expect(sealer.derive('cookies')).not.toEqual(createSealer([key(2)]).derive('cookies'));
  });

  it('has the length asked for', () => {
    expect(sealer.derive('cookies')).toHaveLength(32);
    expect(sealer.derive('cookies', 64)).toHaveLength(64);
  });

  it('comes from every master key, the first one first', () => {
    const rotated = createSealer([key(2), key(1)]);
    expect(rotated.deriveAll('cookies')).toEqual([createSealer([key(2)]).derive('cookies'), sealer.derive('cookies')]);
  });
});
