/**
 * Least privilege, for whatever roles a tenant makes up: nobody comes to more by giving, changing or taking away what they may give, change
 * and take away, in any number of steps; and what somebody is told that they may do is what their roles say.
 */
import fc from 'fast-check';
import {
  BUILT_IN_ROLES,
  closesCircle,
  effectiveRights,
  MANAGEMENT_PERMISSIONS,
  mayGrant,
  permissionsBeyond,
  permissionsThrough,
  type RoleGraph,
  type RoleNode,
  roleGraph,
  rolesThrough,
} from '#src/domain/role.ts';

const ownPermissions = ['invoices:read', 'invoices:write', 'readings:read', 'readings:write'];
const permission = fc.constantFrom(...MANAGEMENT_PERMISSIONS, ...ownPermissions);
const permissions = fc.uniqueArray(permission, { maxLength: 8 });
const held = permissions.map((list) => new Set(list));

/** Roles that inherit from any other, themselves and each other too: what a database might hold, however it came to. */
const anyGraph = fc
  .array(fc.record({ permissions, inherits: fc.option(fc.nat(9), { nil: undefined }), isActive: fc.boolean() }), {
    minLength: 1,
    maxLength: 10,
  })
  .map((roles) =>
    roleGraph(
      roles.map(
        (role, index): RoleNode => ({
          id: `r${index}`,
          name: `role-${index}`,
          permissions: role.permissions,
          inherits: role.inherits === undefined ? undefined : `r${role.inherits}`,
          isActive: role.isActive,
        }),
      ),
    ),
  );

const graphAndRole = anyGraph.chain((graph) => fc.tuple(fc.constant(graph), fc.constantFrom(...graph.keys())));
const now = new Date('2030-01-01T00:00:00Z');
const instant = fc.option(
  fc.integer({ min: -2, max: 2 }).map((hours) => new Date(now.getTime() + hours * 3_600_000)),
  {
    nil: undefined,
  },
);

describe('what somebody may give', () => {
  it('is what they hold, and everything only for whoever holds everything that Poort asks for', () => {
    fc.assert(
      fc.property(held, permissions, (mine, wanted) => {
        const isTop = MANAGEMENT_PERMISSIONS.every((one) => mine.has(one));
        expect(mayGrant(mine, wanted)).toBe(isTop || wanted.every((one) => mine.has(one)));
        expect(mayGrant(mine, mine)).toBe(true);
        expect(permissionsBeyond(mine, wanted).every((one) => wanted.includes(one) && !mine.has(one))).toBe(true);
      }),
    );
  });

  it('never grows by holding less, nor shrinks by holding more', () => {
    fc.assert(
      fc.property(held, permissions, permissions, (mine, more, wanted) => {
        if (mayGrant(mine, wanted)) expect(mayGrant(new Set([...mine, ...more]), wanted)).toBe(true);
      }),
    );
  });

  it('is passed on and never more: whoever was given something can give nothing that its giver could not', () => {
    fc.assert(
      fc.property(held, permissions, permissions, (giver, given, passedOn) => {
        if (mayGrant(giver, given) && mayGrant(new Set(given), passedOn)) expect(mayGrant(giver, passedOn)).toBe(true);
      }),
    );
  });

  it('is, for an administrator, everything in the tenant, and for an editor no administration', () => {
    const ladder = new Map(builtIn().map(([name, graph, id]) => [name, permissionsThrough(graph, id)]));
    const admin = ladder.get('admin') ?? new Set();
    const editor = ladder.get('editor') ?? new Set();
    expect(permissionsBeyond(admin, [...MANAGEMENT_PERMISSIONS, ...ownPermissions])).toEqual([]);
    expect(permissionsBeyond(editor, admin)).toContain('roles:write');
    expect(permissionsBeyond(editor, ownPermissions)).toEqual(ownPermissions);
  });
});

describe('a role', () => {
  it('gives what it lists and what it inherits, and ends where it came from, whatever inherits from whatever', () => {
    fc.assert(
      fc.property(graphAndRole, ([graph, id]) => {
        const through = rolesThrough(graph, id);
        expect(new Set(through).size).toBe(through.length);
        expect(permissionsThrough(graph, id)).toEqual(new Set(through.flatMap((role) => role.permissions)));
      }),
    );
  });

  it('closes a circle exactly where it would come to itself', () => {
    fc.assert(
      fc.property(graphAndRole, fc.nat(9), ([graph, id], number) => {
        const inherits = `r${number}`;
        const role = graph.get(id);
        if (role === undefined || !graph.has(inherits)) return;
        const closed = new Map(graph).set(id, { ...role, inherits });
        // Walk from the role: one comes back to it, or not at all.
        let at = closed.get(inherits);
        const seen = new Set<string>();
        while (at !== undefined && at.id !== id && !seen.has(at.id)) {
          seen.add(at.id);
          at = at.inherits === undefined ? undefined : closed.get(at.inherits);
        }
        expect(closesCircle(graph, { id, inherits })).toBe(at?.id === id);
      }),
    );
  });

  it('that was made without closing a circle closes none', () => {
    const changes = fc.array(fc.tuple(fc.nat(9), fc.nat(9)), { maxLength: 30 });
    fc.assert(
      fc.property(changes, (wanted) => {
        let graph: RoleGraph = roleGraph(
          Array.from({ length: 10 }, (_, index) => ({
            id: `r${index}`,
            name: `role-${index}`,
            permissions: [],
            inherits: undefined,
            isActive: true,
          })),
        );
        for (const [of, to] of wanted) {
          const change = { id: `r${of}`, inherits: `r${to}` };
          const role = graph.get(change.id);
          if (role === undefined || closesCircle(graph, change)) continue;
          graph = new Map(graph).set(change.id, { ...role, inherits: change.inherits });
        }
        // Without a circle whoever goes up comes to an end within as many steps as there are roles.
        for (const id of graph.keys()) expect(rolesThrough(graph, id).at(-1)?.inherits).toBeUndefined();
      }),
    );
  });
});

/** Everything that people of a tenant can do to roles and to each other, each within what they hold at that moment. */
type Deed =
  | { readonly do: 'assign' | 'unassign'; readonly who: number; readonly to: number; readonly role: number }
  | {
      readonly do: 'write';
      readonly who: number;
      readonly role: number;
      readonly permissions: readonly string[];
      readonly inherits: number | undefined;
      readonly isActive: boolean;
    };

const deeds: fc.Arbitrary<readonly Deed[]> = fc.array(
  fc.oneof(
    fc.record({
      do: fc.constantFrom('assign' as const, 'unassign' as const),
      who: fc.nat(4),
      to: fc.nat(4),
      role: fc.nat(9),
    }),
    fc.record({
      do: fc.constant('write' as const),
      who: fc.nat(4),
      role: fc.nat(9),
      permissions,
      inherits: fc.option(fc.nat(9), { nil: undefined }),
      isActive: fc.boolean(),
    }),
  ),
  { maxLength: 40 },
);

describe('people who conspire', () => {
  it('hold together, after any number of deeds, nothing that none of them could get at before', () => {
    const start = fc.tuple(
      anyGraph,
      fc.array(fc.uniqueArray(fc.nat(9), { maxLength: 3 }), { minLength: 5, maxLength: 5 }),
    );
    fc.assert(
      fc.property(start, deeds, ([graph, roles], wanted) => {
        const town = { graph, roles: roles.map((ids) => new Set(ids.map((number) => `r${number}`))) };
        // What they hold, and what is in roles of theirs that are switched off: it was given to them.
        const theirs = new Set(
          town.roles.flatMap((ids) => [...ids].flatMap((id) => [...permissionsThrough(graph, id)])),
        );
        if (MANAGEMENT_PERMISSIONS.every((one) => theirs.has(one))) return;
        for (const deed of wanted) act(town, deed);
        for (const person of town.roles.keys())
          for (const one of holdingsOf(town, person)) expect(theirs).toContain(one);
      }),
      { numRuns: 300 },
    );
  });
});

interface Town {
  graph: RoleGraph;
  readonly roles: readonly Set<string>[];
}

/** With the rules of the flows: before and after lie within what the one who acts holds at that moment. */
function act(town: Town, deed: Deed): void {
  const mine = new Set(holdingsOf(town, deed.who));
  const id = `r${deed.role}`;
  const role = town.graph.get(id);
  if (role === undefined || !mayGrant(mine, permissionsThrough(town.graph, id))) return;
  if (deed.do !== 'write') {
    const other = town.roles[deed.to];
    if (deed.do === 'assign') other?.add(id);
    else other?.delete(id);
    return;
  }
  const inherits = deed.inherits === undefined ? undefined : `r${deed.inherits}`;
  if (inherits !== undefined && closesCircle(town.graph, { id, inherits })) return;
  const { permissions: listed, isActive } = deed;
  const after = new Map(town.graph).set(id, { ...role, permissions: listed, inherits, isActive });
  if (mayGrant(mine, permissionsThrough(after, id))) town.graph = after;
}

function holdingsOf({ graph, roles }: Town, person: number): readonly string[] {
  const mine = [...(roles[person] ?? [])].map((roleId) => ({ roleId, expiresAt: undefined }));
  const rights = effectiveRights(graph, { held: mine, switchedOff: new Set(), now });
  return rights.permissions.map((granted) => granted.permission);
}

describe('what somebody may do', () => {
  const heldRoles = fc.uniqueArray(fc.record({ roleId: fc.nat(9).map((number) => `r${number}`), expiresAt: instant }), {
    maxLength: 4,
    selector: ({ roleId }) => roleId,
  });

  it('is told with every way there is, and each way is one: from a role they have, to one that lists it, none off or over', () => {
    fc.assert(
      fc.property(anyGraph, heldRoles, held, (graph, mine, switchedOff) => {
        const { roles, permissions: told } = effectiveRights(graph, { held: mine, switchedOff, now });
        const byName = new Map([...graph.values()].map((role) => [role.name, role]));
        const living = mine.filter(({ expiresAt }) => expiresAt === undefined || expiresAt > now);
        for (const { permission: one, through } of told) {
          expect(switchedOff.has(one)).toBe(false);
          for (const way of through) {
            const path = way.map((name) => byName.get(name));
            expect(living.some(({ roleId }) => roleId === path[0]?.id)).toBe(true);
            expect(path.at(-1)?.permissions).toContain(one);
            expect(path.every((role) => role?.isActive)).toBe(true);
            for (const [index, role] of path.entries()) if (index > 0) expect(path[index - 1]?.inherits).toBe(role?.id);
            expect(way.every((name) => roles.includes(name))).toBe(true);
          }
        }
        // And nothing that they have is missing.
        const all = [...graph.values()].filter(({ name }) => roles.includes(name)).flatMap((role) => role.permissions);
        expect(new Set(told.map((granted) => granted.permission))).toEqual(
          new Set(all.filter((one) => !switchedOff.has(one))),
        );
      }),
    );
  });

  it('never comes to more by a role that ends, is switched off, or is taken away', () => {
    fc.assert(
      fc.property(anyGraph, heldRoles, fc.nat(9), (graph, mine, number) => {
        const may = (of: typeof mine, on: RoleGraph) =>
          new Set(
            effectiveRights(on, { held: of, switchedOff: new Set(), now }).permissions.map((one) => one.permission),
          );
        const before = may(mine, graph);
        const ended = mine.map((role) => (role.roleId === `r${number}` ? { ...role, expiresAt: now } : role));
        for (const one of may(ended, graph)) expect(before).toContain(one);
        const role = graph.get(`r${number}`);
        if (role === undefined) return;
        for (const one of may(mine, new Map(graph).set(role.id, { ...role, isActive: false })))
          expect(before).toContain(one);
      }),
    );
  });
});

function builtIn(): readonly (readonly [name: string, graph: RoleGraph, id: string])[] {
  const graph = roleGraph(
    BUILT_IN_ROLES.map((role) => ({
      id: role.name,
      name: role.name,
      permissions: role.permissions,
      inherits: 'inherits' in role ? role.inherits : undefined,
      isActive: true,
    })),
  );
  return [...graph.keys()].map((name) => [name, graph, name] as const);
}
