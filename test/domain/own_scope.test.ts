import { isReservedScope, OWN_SCOPES, ownScopesBeside } from '#src/domain/own_scope.ts';

describe('a scope of the tenant’s own REST API', () => {
  it('is no name for an API to take', () => {
    for (const name of [...OWN_SCOPES, 'openid']) expect(isReservedScope(name)).toBe(true);
    expect(isReservedScope('readings:read')).toBe(false);
  });

  it('gives way to an API that had the name before: nobody may manage the tenant by what was meant for that API', () => {
    const apis = [{ scopes: [{ name: 'devices:manage' }, { name: 'readings:read' }] }, { scopes: [] }];
    expect(ownScopesBeside(apis)).toEqual(OWN_SCOPES.filter((name) => name !== 'devices:manage'));
    expect(ownScopesBeside([])).toEqual([...OWN_SCOPES]);
  });
});
