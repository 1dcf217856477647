import { activeKey, canBecome, planRotation, publicationOrder, type SigningKey } from '#src/domain/signing_key.ts';

const KEYS: readonly SigningKey[] = [
  { kid: 'old', alg: 'ES256', status: 'retired' },
  { kid: 'coming', alg: 'ES256', status: 'next' },
  { kid: 'now', alg: 'ES256', status: 'active' },
  { kid: 'rsa', alg: 'RS256', status: 'active' },
];

describe('a signing key', () => {
  it('only ever goes forward', () => {
    const statuses = ['next', 'active', 'retired'] as const;
    const allowed = statuses.flatMap((from) =>
      statuses.filter((to) => canBecome(from, to)).map((to) => `${from} → ${to}`),
    );
    expect(allowed).toEqual(['next → active', 'next → retired', 'active → retired']);
  });

  it('signs while it is the active one of its algorithm', () => {
    expect(activeKey(KEYS, 'ES256')?.kid).toBe('now');
    expect(activeKey(KEYS, 'RS256')?.kid).toBe('rsa');
    expect(activeKey(KEYS, 'EdDSA')).toBeUndefined();
  });

  it('is published before, while and after it signs, the signing ones first', () => {
    expect(publicationOrder(KEYS).map((key) => key.kid)).toEqual(['now', 'rsa', 'coming', 'old']);
  });
});

describe('a rotation', () => {
  it('brings the waiting key into service and retires the active one', () => {
    expect(planRotation(KEYS, 'ES256')).toEqual({ retire: 'now', activate: 'coming' });
  });

  it('needs a new key at once where none waits', () => {
    expect(planRotation(KEYS, 'RS256')).toEqual({ retire: 'rsa', activate: undefined });
    expect(planRotation(KEYS, 'EdDSA')).toEqual({ retire: undefined, activate: undefined });
  });
});
