import fc from 'fast-check';
import { isChosenClientId } from '#src/domain/client.ts';
import {
  applyChanges,
  type ClientItem,
  canonicalText,
  isUsableSecret,
  NO_CONFIGURATION,
  planConfiguration,
  problemsWithPlan,
  type RoleItem,
  readWritten,
  type TenantConfiguration,
  type WrittenConfiguration,
  writtenOf,
} from '#src/domain/tenant_configuration.ts';

const names = fc.constantFrom('accountant', 'auditor', 'clerk', 'driver', '__proto__', 'constructor');
const mapOf = <Item>(items: fc.Arbitrary<Item>): fc.Arbitrary<ReadonlyMap<string, Item>> =>
  fc.array(fc.tuple(names, items), { maxLength: 5 }).map((entries) => new Map(entries));
const someOf = (...texts: readonly string[]): fc.Arbitrary<readonly string[]> => fc.subarray([...texts]);

const permissions = fc.record({ description: fc.constantFrom('', 'Sees'), is_active: fc.boolean() });
const roles = fc.record({
  description: fc.constantFrom('', 'Keeps the books'),
  is_active: fc.boolean(),
  permissions: someOf('invoices:read', 'invoices:write'),
  inherits: fc.constantFrom(undefined, 'user', 'viewer'),
});
const apis = fc.record({
  token_format: fc.constantFrom('jwt' as const, 'opaque' as const),
  signing_alg: fc.constantFrom('ES256' as const, 'RS256' as const),
  scopes: fc.constantFrom([], [{ name: 'readings:read', description: 'See your readings' }]),
  authorization_details: fc.constantFrom([], [{ type: 'payment', sentence: 'Pay {amount}' }]),
});
const clients: fc.Arbitrary<ClientItem> = fc.record({
  name: fc.constantFrom('Shop', 'Door'),
  type: fc.constantFrom('web' as const, 'machine' as const),
  first_party: fc.boolean(),
  redirect_uris: someOf('https://shop.test/callback', 'https://shop.test/other'),
  post_logout_redirect_uris: fc.constant([]),
  backchannel_logout_uri: fc.constant(undefined),
  scopes: someOf('openid', 'readings:read'),
  audiences: fc.constant([]),
  token_endpoint_auth_method: fc.constantFrom('client_secret_basic' as const, 'client_secret_post' as const),
  jwks: fc.constant(undefined),
  settings: fc.constantFrom({}, { refresh_grace_seconds: 5 }),
});

/** Any two of these may be the tenant as it is and the tenant as it is wanted. */
const configurations: fc.Arbitrary<TenantConfiguration> = fc.record({
  tenant: fc
    .record({ name: fc.constantFrom('Acme', 'Acme Ltd'), locale: fc.constantFrom('nl' as const, 'en' as const) })
    .map((item) => new Map([['tenant', item]])),
  settings: mapOf(fc.oneof(fc.boolean(), fc.constantFrom('open', 'closed'), fc.integer({ min: 0, max: 5 }))),
  brand: fc.constantFrom(new Map<string, string>(), new Map([['color', '#7a1fa2']]), new Map([['color', '#0d5560']])),
  permissions: mapOf(permissions),
  roles: mapOf(roles),
  apis: mapOf(apis),
  clients: mapOf(clients),
  secrets: fc.constant(new Map<string, string>()),
});

describe('a plan', () => {
  it('leads from any configuration to any other, when it prunes', () => {
    fc.assert(
      fc.property(configurations, configurations, (current, wanted) => {
        const { changes, leftAlone } = planConfiguration(current, wanted, { prune: true });
        expect(leftAlone).toEqual([]);
        expect(canonicalText(applyChanges(current, changes))).toBe(canonicalText(wanted));
      }),
    );
  });

  it('leads from nothing to any configuration', () => {
    fc.assert(
      fc.property(configurations, (wanted) => {
        const { changes } = planConfiguration(NO_CONFIGURATION, wanted, { prune: false });
        expect(canonicalText(applyChanges(NO_CONFIGURATION, changes))).toBe(canonicalText(wanted));
      }),
    );
  });

  it('has nothing to do a second time, whether or not it prunes', () => {
    fc.assert(
      fc.property(configurations, configurations, fc.boolean(), (current, wanted, prune) => {
        const after = applyChanges(current, planConfiguration(current, wanted, { prune }).changes);
        expect(planConfiguration(after, wanted, { prune }).changes).toEqual([]);
      }),
    );
  });

  it('takes nothing away unless it prunes, and says what it left alone', () => {
    fc.assert(
      fc.property(configurations, configurations, (current, wanted) => {
        const { changes, leftAlone } = planConfiguration(current, wanted, { prune: false });
        expect(changes.filter(({ action }) => action === 'delete')).toEqual([]);
        const pruned = planConfiguration(current, wanted, { prune: true }).changes;
        const gone = pruned.flatMap(({ action, section, key }) => (action === 'delete' ? [{ section, key }] : []));
        expect(gone.toReversed()).toEqual(leftAlone);
      }),
    );
  });

  it('leaves a section alone that nobody wrote down, also when it prunes', () => {
    fc.assert(
      fc.property(configurations, configurations, (current, { tenant, roles: wanted }) => {
        const { changes } = planConfiguration(current, { tenant, roles: wanted }, { prune: true });
        expect(changes.filter(({ section }) => section !== 'tenant' && section !== 'roles')).toEqual([]);
      }),
    );
  });

  it('names the fields that differ, and only those', () => {
    fc.assert(
      fc.property(clients, clients, (before, after) => {
        const current = { ...NO_CONFIGURATION, clients: new Map([['shop', before]]) };
        const [change] = planConfiguration(current, { clients: new Map([['shop', after]]) }, { prune: false }).changes;
        const fields = Object.entries(before).flatMap(([name, value]) =>
          JSON.stringify(value) === JSON.stringify(Object.entries(after).find(([other]) => other === name)?.[1])
            ? []
            : [name],
        );
        expect(change?.fields ?? []).toEqual(fields.toSorted());
      }),
    );
  });
});

const nothingEnded = { apis: new Set<string>(), clients: new Map<string, 'is_disabled'>() };
const aRole = (inherits?: string): RoleItem => ({ description: '', is_active: true, permissions: [], inherits });

describe('a plan that cannot be done', () => {
  const problemsOf = (
    current: Readonly<Record<string, RoleItem>>,
    wanted: Readonly<Record<string, RoleItem>>,
    prune = false,
  ) => {
    const before = { ...NO_CONFIGURATION, roles: new Map(Object.entries(current)) };
    const { changes } = planConfiguration(before, { roles: new Map(Object.entries(wanted)) }, { prune });
    return problemsWithPlan(before, changes, nothingEnded).map(({ path, problem }) => [path.join('.'), problem]);
  };

  it('closes a circle of roles, also over one that was there before', () => {
    expect(problemsOf({}, { a: aRole('b'), b: aRole('a') })).toEqual([
      ['roles.a.inherits', 'circle'],
      ['roles.b.inherits', 'circle'],
    ]);
    expect(problemsOf({ b: aRole('a'), a: aRole() }, { a: aRole('b') })).toHaveLength(2);
    expect(problemsOf({}, { a: aRole('b'), b: aRole('user') })).toEqual([]);
  });

  it('inherits from a role that is not there, or is taken away by it', () => {
    expect(problemsOf({}, { a: aRole('nobody') })).toEqual([['roles.a.inherits', 'unknown_role']]);
    expect(problemsOf({ b: aRole() }, { a: aRole('b') }, true)).toEqual([['roles.a.inherits', 'unknown_role']]);
  });

  it('brings back what was ended, makes another kind of client of one, or names one like a person', () => {
    const item = fc.sample(clients, 1)[0] as ClientItem;
    const web: ClientItem = { ...item, type: 'web' };
    const judge = (current: TenantConfiguration, clientId: string, client: ClientItem, ended = nothingEnded) => {
      const { changes } = planConfiguration(current, { clients: new Map([[clientId, client]]) }, { prune: false });
      return problemsWithPlan(current, changes, ended).map(({ path, problem }) => [path.join('.'), problem]);
    };
    const ended = { ...nothingEnded, clients: new Map([['shop', 'is_disabled' as const]]) };
    expect(judge(NO_CONFIGURATION, 'shop', web, ended)).toEqual([['clients.shop', 'is_disabled']]);
    const current = { ...NO_CONFIGURATION, clients: new Map([['shop', web]]) };
    expect(judge(current, 'shop', { ...web, type: 'machine' })).toEqual([['clients.shop.type', 'stays_what_it_is']]);
    const person = '0198c5a0-0000-7000-8000-000000000001';
    expect(judge(NO_CONFIGURATION, person, web)).toEqual([[`clients.${person}`, 'not_a_client_id']]);
  });
});

describe('an identifier that somebody chooses for a client', () => {
  it.each(['shop', 'Shop-2', 's'])('is a word: %s', (text) => expect(isChosenClientId(text)).toBe(true));
  it.each([
    '0198c5a0-0000-7000-8000-000000000001',
    'A198C5A0-0000-7000-8000-000000000001',
    '-x',
    '7',
    '',
    'a b',
    'poort.pages',
  ])('is neither an option, a person, nor one of ours: %s', (text) => expect(isChosenClientId(text)).toBe(false));
});

describe('a secret that somebody chose', () => {
  it.each([
    ['x'.repeat(32), true],
    ['x'.repeat(31), false],
    [`${'x'.repeat(40)} `, false],
    ['é'.repeat(40), false],
  ])('is long, printable and without spaces: %j', (secret, expected) => expect(isUsableSecret(secret)).toBe(expected));
});

describe('what is written down', () => {
  const written: WrittenConfiguration = {
    name: ' Acme ',
    settings: { 'people.registration': 'open', 'protocol.jarm': true },
    brand: { color: '#7A1FA2' },
    permissions: { 'invoices:write': { is_active: false }, 'invoices:read': { description: 'Sees invoices' } },
    roles: { accountant: { is_active: false, permissions: ['invoices:write', 'invoices:read'], inherits: 'user' } },
    apis: {
      'urn:acme:payments': {
        token_format: 'opaque',
        scopes: { 'payments:make': 'Pay = for you', 'a:b': '' },
        authorization_details: { payment: 'Pay {amount}' },
      },
    },
    clients: { shop: { name: 'Shop', type: 'web', redirect_uris: ['https://shop.test/callback'] } },
  };

  it('becomes the same again when it is read, written and read', () => {
    const first = readWritten(written);
    if (first.outcome !== 'read') throw new Error(JSON.stringify(first.problems));
    const configuration = applyChanges(
      NO_CONFIGURATION,
      planConfiguration(NO_CONFIGURATION, first.wanted, { prune: false }).changes,
    );
    const second = readWritten(writtenOf(configuration));
    if (second.outcome !== 'read') throw new Error(JSON.stringify(second.problems));
    expect(planConfiguration(configuration, second.wanted, { prune: true }).changes).toEqual([]);
    expect(JSON.stringify(writtenOf(configuration))).toContain('"Pay = for you"');
  });

  it('is refused with the place of each thing that is wrong', () => {
    const read = readWritten({
      name: 'a\u202e',
      settings: { 'people.registration': 'anybody', 'people.nothing': true },
      brand: { color: 'red', logo: { version: '0', alt: 'x\ny' } },
      permissions: { 'users:read': {}, 'a:*': {}, 'a:b': { description: 'x\ny' } },
      roles: { admin: {}, Clerk: {}, clerk: { permissions: ['*'] } },
      apis: {
        'not a uri': {},
        'urn:acme:a': { scopes: { openid: '', 'a=b': '' }, authorization_details: { Payment: 'x' } },
      },
      clients: {
        shop: { name: 'Shop', type: 'web' },
        spa: { name: 'S', type: 'spa', redirect_uris: ['https://s.test/'], secretHash: '00' },
      },
    });
    expect(read.outcome === 'refused' ? read.problems.map(({ path }) => path.join('.')) : read).toEqual([
      'name',
      'settings.people.registration',
      'settings.people.nothing',
      'brand.color',
      'brand.logo.alt',
      'permissions.users:read',
      'permissions.a:*',
      'permissions.a:b.description',
      'roles.admin',
      'roles.Clerk',
      'roles.clerk.permissions',
      'apis.not a uri',
      'apis.urn:acme:a.scopes.a=b',
      'apis.urn:acme:a.scopes',
      'apis.urn:acme:a.authorization_details.Payment',
      'clients.shop.redirect_uris',
      'clients.spa.secret',
    ]);
  });
});
