import { problemsBeyond } from '#src/domain/client_rights.ts';
import { BUILT_IN_ROLES } from '#src/domain/role.ts';

const everything = BUILT_IN_ROLES.flatMap((role) => [...role.permissions]);

describe('a client', () => {
  it('is worth no more than whoever makes it', () => {
    const held = new Set(['clients:write', 'users:read']);
    const scopes = ['openid', 'readings:read', 'admin:users:read', 'admin:users:write', 'permissions:check'];
    expect(problemsBeyond({ firstParty: false, scopes }, held)).toEqual([
      { field: 'scopes', problem: 'beyond_your_own', value: 'admin:users:write' },
      { field: 'scopes', problem: 'beyond_your_own', value: 'permissions:check' },
    ]);
    expect(problemsBeyond({ firstParty: false, scopes: ['openid', 'admin:users:read'] }, held)).toEqual([]);
  });

  it('is the tenant’s own only by whoever holds everything that administrators do', () => {
    const own = { firstParty: true, scopes: [] };
    expect(problemsBeyond(own, new Set(everything))).toEqual([]);
    for (const permission of everything) {
      const held = new Set(everything.filter((other) => other !== permission));
      expect({ permission, problems: problemsBeyond(own, held) }).toEqual({
        permission,
        problems: [{ field: 'first_party', problem: 'beyond_your_own' }],
      });
    }
  });

  it('manages the installation by nobody’s word in a tenant', () => {
    const held = new Set([...everything, 'platform:tenants:write', 'tenants:write']);
    expect(problemsBeyond({ firstParty: false, scopes: ['platform:tenants:write'] }, held)).toHaveLength(1);
    expect(problemsBeyond({ firstParty: false, scopes: ['admin:owners:write'] }, held)).toHaveLength(1);
  });
});
