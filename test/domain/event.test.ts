import { EVENT_TYPES } from '#src/domain/event.ts';

describe('the catalogue of events', () => {
  it('has each name once, in order, as the database accepts it', () => {
    expect(EVENT_TYPES.toSorted()).toEqual([...EVENT_TYPES]);
    expect(new Set(EVENT_TYPES).size).toBe(EVENT_TYPES.length);
    for (const type of EVENT_TYPES) expect(type).toMatch(/^[a-z_]+\.[a-z_]+$/);
  });

  it('still has every name that other people know', () => {
    expect(EVENT_TYPES).toEqual(
      expect.arrayContaining([
        'user.registered',
        'user.signed_in',
        'user.sign_in_failed',
        'user.locked',
        'user.signed_out',
        'password.changed',
        'password.reset',
        'mfa.enrolled',
        'mfa.failed',
        'mfa.removed',
        'backup_code.used',
        'consent.granted',
        'consent.revoked',
        'token.issued',
        'token.reuse_detected',
        'grant.revoked',
        'session.revoked',
        'device.paired',
        'device.denied',
        'device.revoked',
        'client.created',
        'role.assigned',
        'api_key.created',
        'key.rotated',
        'tenant.created',
        'audit.sealed',
      ]),
    );
  });
});
