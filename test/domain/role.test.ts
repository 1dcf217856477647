import {
  BUILT_IN_ROLES,
  type BuiltInRole,
  isBuiltInRole,
  isPermission,
  isRoleName,
  planRole,
} from '#src/domain/role.ts';

const ROLES: readonly BuiltInRole[] = BUILT_IN_ROLES;

function effectivePermissions(name: string | undefined): Set<string> {
  const role = ROLES.find((candidate) => candidate.name === name);
  if (role === undefined) return new Set();
  return new Set([...role.permissions, ...effectivePermissions(role.inherits)]);
}

describe('the built-in roles', () => {
  it('rise from user to viewer, editor and admin, each having all of the one below and more', () => {
    const ladder = ['user', 'viewer', 'editor', 'admin'];
    for (const [index, name] of ladder.entries()) {
      const own = effectivePermissions(name);
      const below = effectivePermissions(ladder[index - 1]);
      expect([...below].filter((permission) => !own.has(permission))).toEqual([]);
      expect(own.size > below.size || name === 'user').toBe(true);
    }
  });

  it('are well formed, and stand after what they inherit', () => {
    for (const [index, role] of ROLES.entries()) {
      expect(isRoleName(role.name)).toBe(true);
      expect(role.permissions.every(isPermission)).toBe(true);
      if (role.inherits !== undefined) {
        expect(ROLES.slice(0, index).map((earlier) => earlier.name)).toContain(role.inherits);
      }
    }
  });

  it('give a viewer nothing that writes', () => {
    expect([...effectivePermissions('viewer')].filter((permission) => !permission.endsWith(':read'))).toEqual([]);
    expect(effectivePermissions('user').size).toBe(0);
  });
});

describe('the name of a role', () => {
  it('is a lower-case word', () => {
    for (const good of ['a', 'cashier', 'shift_lead', 'team-2', `a${'b'.repeat(62)}`])
      expect(isRoleName(good)).toBe(true);
    for (const bad of ['', '2a', '_a', 'A', 'a b', 'a.b', 'a:b', 'é', 'a\n', `a${'b'.repeat(63)}`]) {
      expect(isRoleName(bad)).toBe(false);
    }
  });
});

describe('a permission', () => {
  it('is a resource and an action, without wildcards', () => {
    for (const good of ['invoices:read', 'a:b', 'billing.invoices:mark-paid', 'x_1:y_2'])
      expect(isPermission(good)).toBe(true);
    for (const bad of [
      '',
      ':',
      'invoices',
      'invoices:',
      ':read',
      'a:b:c',
      '*:*',
      'invoices:*',
      'A:b',
      'a: b',
      'a:b\n',
      'a b:c',
    ]) {
      expect(isPermission(bad)).toBe(false);
    }
  });
});

describe('a requested role', () => {
  it('is planned with each permission once, in order', () => {
    expect(
      planRole({ name: 'cashier', permissions: ['till:open', 'sales:read', 'till:open'], inherits: 'user' }),
    ).toEqual({
      outcome: 'planned',
      role: { name: 'cashier', description: '', permissions: ['sales:read', 'till:open'], inherits: 'user' },
    });
  });

  it.each([
    [{ name: 'Cashier', permissions: [] }, 'name', 'syntax'],
    [{ name: 'admin', permissions: [] }, 'name', 'built_in'],
    [{ name: 'cashier', permissions: ['all'] }, 'permissions', 'syntax'],
    [{ name: 'cashier', permissions: Array.from({ length: 201 }, (_, n) => `r${n}:read`) }, 'permissions', 'too_many'],
    [{ name: 'cashier', permissions: [], inherits: 'No Role' }, 'inherits', 'syntax'],
    [{ name: 'cashier', permissions: [], inherits: 'cashier' }, 'inherits', 'itself'],
    [{ name: 'cashier', permissions: [], description: 'a\nb' }, 'description', 'syntax'],
  ])('%#: is refused with the field that is wrong', (request, field, problem) => {
    expect(planRole(request)).toEqual({ outcome: 'refused', problems: [{ field, problem }] });
  });

  it('cannot take the name of a built-in one', () => {
    for (const { name } of ROLES) expect(isBuiltInRole(name)).toBe(true);
    expect(isBuiltInRole('cashier')).toBe(false);
  });
});
