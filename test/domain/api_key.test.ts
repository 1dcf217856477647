import { valuePrefixes } from '#adapters/artifacts_adapter.ts';
import {
  beginningOf,
  isApiKey,
  isKeyPrefix,
  isKeyScope,
  type KeyRules,
  planKey,
  scopesWithin,
} from '#src/domain/api_key.ts';

const now = new Date('2030-01-01T00:00:00Z');
const rules: KeyRules = { now, maximumDays: 30, permissions: ['readings:read', 'roles:read'], tokenScopes: undefined };
const request = { name: ' robot ', scopes: ['readings:read'], expiresAt: undefined };

describe('the prefix of keys', () => {
  it('is short, and none that a token or code begins with', () => {
    for (const prefix of ['pk_', 'hr_', 'acme2_']) expect(isKeyPrefix(prefix)).toBe(true);
    for (const taken of Object.values(valuePrefixes))
      expect({ taken, free: isKeyPrefix(taken) }).toEqual({ taken, free: false });
    for (const wrong of ['', '_', 'pk', 'PK_', '2k_', 'p-k_', 'a_b_', 'abcdefghijklm_', 'pk_x'])
      expect({ wrong, is: isKeyPrefix(wrong) }).toEqual({ wrong, is: false });
  });
});

describe('a key', () => {
  it('has a form, so that nothing else is looked up', () => {
    expect(isApiKey(`pk_${'A'.repeat(43)}`)).toBe(true);
    for (const text of [
      '',
      'pk_',
      `pk_${'A'.repeat(42)}`,
      `pk_${'A'.repeat(129)}`,
      `pk_${'A'.repeat(43)}\n`,
      `pk_${'A'.repeat(42)}=`,
    ])
      expect({ text, is: isApiKey(text) }).toEqual({ text, is: false });
  });

  it('is told from others by how it begins', () => {
    expect(beginningOf(`hr_${'abcdefgh'.repeat(6)}`)).toBe('hr_abcdef');
  });

  it('is planned within what its maker holds, to the latest end there may be', () => {
    expect(planKey(request, rules)).toEqual({
      outcome: 'planned',
      name: 'robot',
      scopes: ['readings:read'],
      expiresAt: new Date('2030-01-31T00:00:00Z'),
    });
  });

  it('is refused with every fault at once', () => {
    const wrong = {
      name: '\u0007',
      scopes: ['readings:read', 'readings:write', 'nonsense'],
      expiresAt: new Date('2030-02-01T00:00:00Z'),
    };
    const plan = planKey(wrong, rules);
    expect(plan).toEqual({
      outcome: 'refused',
      faults: [
        { field: 'name', problem: 'syntax' },
        { field: 'scopes', problem: 'beyond_your_own', scope: 'readings:write', index: 1 },
        { field: 'scopes', problem: 'unknown', scope: 'nonsense', index: 2 },
        { field: 'expires_at', problem: 'too_late', maximumDays: 30 },
      ],
    });
    expect(planKey({ ...request, expiresAt: now }, rules)).toMatchObject({ faults: [{ problem: 'past' }] });
    expect(planKey({ ...request, expiresAt: new Date(Number.NaN) }, rules)).toMatchObject({
      faults: [{ problem: 'past' }],
    });
  });

  it('gets nothing from an application that was not given it', () => {
    const narrow = { ...rules, tokenScopes: new Set(['api_keys:manage', 'permissions:check']) };
    expect(planKey({ ...request, scopes: ['permissions:check'] }, narrow)).toMatchObject({ outcome: 'planned' });
    expect(planKey(request, narrow)).toMatchObject({ faults: [{ problem: 'beyond_your_own' }] });
  });

  it('of the tenant itself is bounded by what a key can be, and nothing else', () => {
    const operator = { ...rules, permissions: undefined };
    expect(planKey({ ...request, scopes: ['introspect', 'x:y'] }, operator)).toMatchObject({ outcome: 'planned' });
    expect(planKey({ ...request, scopes: ['api_keys:manage'] }, operator)).toMatchObject({ outcome: 'refused' });
  });
});

describe('a scope of a key', () => {
  it('is held by whoever could do the same by hand', () => {
    const scopes = [
      'introspect',
      'introspect:https://api.test',
      'permissions:check',
      'events',

      'readings:read',
    ];
    expect(scopes.every(isKeyScope)).toBe(true);
    expect(scopesWithin(scopes, [])).toEqual([]);
    expect(scopesWithin(scopes, ['clients:write'])).toEqual(['introspect', 'introspect:https://api.test']);
    expect(scopesWithin(scopes, ['roles:read', 'sessions:read', 'users:read'])).toEqual([
      'permissions:check',
      'events',
    ]);
    // A permission that happens to be named like a scope of ours is not what that scope needs.
    expect(scopesWithin(['permissions:check'], ['permissions:check'])).toEqual([]);
  });

  it('is never one that a key could lengthen its life with', () => {
    for (const scope of ['api_keys:manage', 'devices:manage', 'telemetry:write']) expect(isKeyScope(scope)).toBe(false);
    expect(scopesWithin(['api_keys:manage'], ['api_keys:manage'])).toEqual([]);
  });
});
