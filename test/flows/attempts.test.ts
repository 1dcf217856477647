import { randomUUID } from 'node:crypto';
import { ATTEMPT_KINDS, type AttemptKind } from '#src/domain/sign_in_throttle.ts';
import { tenantId } from '#src/domain/tenant.ts';
import { addMember, changeMembershipStatus } from '#src/flows/people/manage_people.ts';
import { type BegunLock, recordLock, unlockAccount } from '#src/flows/sign_in/account_lock.ts';
import { type Attempt, type AttemptServices, countAttempt, forgiveAttempt } from '#src/flows/sign_in/attempts.ts';
import { readEvents } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;
let services: AttemptServices;
let lastAddress = 0;
let now = new Date('2031-05-06T07:08:09Z');

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  services = { database: server.context.database, settings: server.config.signIn };
});

afterAll(() => server.close());

const newAddress = (): string => {
  lastAddress += 1;
  return `198.51.${Math.floor(lastAddress / 250)}.${(lastAddress % 250) + 1}`;
};

const newPerson = () => `person-${randomUUID()}@people.test`;

function attemptOf(given: Partial<Attempt> & { readonly identifier: string }): Attempt {
  return { tenantId: acme.id, kind: 'password', address: newAddress(), ...given };
}

async function outcomeOf(attempt: Attempt): Promise<'allowed' | 'throttled'> {
  return (await countAttempt(services, { ...attempt, now })).outcome;
}

async function allowedOf(tries: number, attempt: () => Attempt): Promise<number> {
  let allowed = 0;
  for (let count = 0; count < tries; count += 1) if ((await outcomeOf(attempt())) === 'allowed') allowed += 1;
  return allowed;
}

/** Until the account is locked for every address. */
const besiege = (identifier: string) => allowedOf(60, () => attemptOf({ identifier }));

describe('attempts', () => {
  it.each(ATTEMPT_KINDS)('of kind %s have counters of their own', async (kind: AttemptKind) => {
    const identifier = newPerson();
    const address = newAddress();
    const maximum = kind === 'passkey' ? 50 : 5;
    expect(await allowedOf(maximum + 1, () => attemptOf({ kind, identifier, address }))).toBe(maximum);
    for (const other of ATTEMPT_KINDS.filter((each) => each !== kind))
      expect(await outcomeOf(attemptOf({ kind: other, identifier, address }))).toBe('allowed');
  });

  it.each(['code', 'backup_code', 'email_code'] as const)(
    'with a %s are five for an account, from however many addresses',
    async (kind) => {
      const identifier = newPerson();
      expect(await allowedOf(50, () => attemptOf({ kind, identifier }))).toBe(5);
    },
  );

  it('with ten thousand codes: five are looked at in a window', async () => {
    const identifier = newPerson();
    const outcomes: string[] = [];
    for (let round = 0; round < 40; round += 1) {
      const guess = (_: unknown, index: number) =>
        outcomeOf(attemptOf({ kind: 'code', identifier, address: `203.0.${round}.${index}` }));
      outcomes.push(...(await Promise.all(Array.from({ length: 250 }, guess))));
    }
    expect(outcomes.filter((outcome) => outcome === 'allowed')).toHaveLength(5);
  }, 60_000);

  it('with codes are not forgotten because the owner got one right', async () => {
    const identifier = newPerson();
    expect(await allowedOf(3, () => attemptOf({ kind: 'code', identifier }))).toBe(3);
    const owner = attemptOf({ kind: 'code', identifier });
    expect(await outcomeOf(owner)).toBe('allowed');
    await forgiveAttempt(services, owner);
    expect(await allowedOf(10, () => attemptOf({ kind: 'code', identifier }))).toBe(2);
  });

  it('from one IPv6 network are counted together, and under the canonical name', async () => {
    const identifier = newPerson();
    let last = 0;
    const fromNetwork = () => {
      last += 1;
      return attemptOf({ identifier, address: `2001:db8:1:2::${last.toString(16)}` });
    };
    expect(await allowedOf(20, fromNetwork)).toBe(5);
    expect(await outcomeOf(attemptOf({ identifier, address: '2001:db8:1:3::1' }))).toBe('allowed');
  });

  it('at one tenant are none at another', async () => {
    const identifier = newPerson();
    const address = newAddress();
    await allowedOf(6, () => attemptOf({ identifier, address }));
    const elsewhere = await createTestTenant(server, 'globex');
    expect(await outcomeOf(attemptOf({ identifier, address, tenantId: elsewhere.id }))).toBe('allowed');
  });

  it('are stopped for a while at a tenant that is flooded, and at no other', async () => {
    const few = { ...services, settings: { ...services.settings, maximumPerTenant: 20 } };
    const quiet = tenantId(randomUUID());
    const flooded = tenantId(randomUUID());
    const decisions = [];
    for (let count = 0; count < 25; count += 1)
      decisions.push(await countAttempt(few, { ...attemptOf({ identifier: newPerson(), tenantId: flooded }), now }));
    expect(decisions.filter(({ outcome }) => outcome === 'allowed')).toHaveLength(20);
    expect(decisions.at(-1)).toMatchObject({ limit: 'tenant', retryAfterSeconds: 60, firstInWindow: false });
    const calm = { ...attemptOf({ identifier: newPerson(), tenantId: quiet }), now };
    expect((await countAttempt(few, calm)).outcome).toBe('allowed');
    const later = {
      ...attemptOf({ identifier: newPerson(), tenantId: flooded }),
      now: new Date(now.getTime() + 61_000),
    };
    expect((await countAttempt(few, later)).outcome).toBe('allowed');
  });
});

describe('a browser that was remembered for the person', () => {
  it('gets through an attack on the account from elsewhere, and from its own network', async () => {
    const identifier = newPerson();
    const address = newAddress();
    await besiege(identifier);
    await allowedOf(6, () => attemptOf({ identifier, address }));
    expect(await outcomeOf(attemptOf({ identifier }))).toBe('throttled');
    expect(await outcomeOf(attemptOf({ identifier, address, knownDevice: 'device-1' }))).toBe('allowed');
  });

  it('has an allowance of its own, which ends too', async () => {
    const identifier = newPerson();
    const known = () => attemptOf({ identifier, knownDevice: 'stolen' });
    expect(await allowedOf(20, known)).toBe(5);
    // The others are not concerned, nor is the owner elsewhere.
    expect(await outcomeOf(attemptOf({ identifier, knownDevice: 'another' }))).toBe('allowed');
    expect(await outcomeOf(attemptOf({ identifier }))).toBe('allowed');
  });

  it('does not clear by its success what others have counted', async () => {
    const identifier = newPerson();
    await besiege(identifier);
    const known = attemptOf({ identifier, knownDevice: 'device-1' });
    await outcomeOf(known);
    await forgiveAttempt(services, known);
    expect(await outcomeOf(attemptOf({ identifier }))).toBe('throttled');
    expect(await allowedOf(6, () => attemptOf({ identifier, knownDevice: 'device-1' }))).toBe(5);
  });

  it('has no more tries at a code than anybody else', async () => {
    const identifier = newPerson();
    await allowedOf(6, () => attemptOf({ kind: 'code', identifier }));
    expect(await outcomeOf(attemptOf({ kind: 'code', identifier, knownDevice: 'device-1' }))).toBe('throttled');
  });
});

describe('a lock', () => {
  const told: BegunLock[] = [];
  const tellOfLock = async (_transaction: unknown, lock: BegunLock): Promise<void> => void told.push(lock);

  /** As a sign-in does it: counts, and records what has to be told. */
  async function tryPassword(identifier: string, address: string): Promise<void> {
    const attempt = attemptOf({ identifier, address });
    const decision = await countAttempt(services, { ...attempt, now });
    if (decision.outcome === 'allowed' || !decision.firstInWindow) return;
    const { limit, retryAfterSeconds } = decision;
    const origin = { ip: address };
    const throttled = { tenantId: acme.id, clientId: 'web', identifier, limit, retryAfterSeconds, origin, now };
    await recordLock({ database: services.database, tellOfLock }, throttled);
  }

  const types = ['user.sign_in_failed', 'user.locked', 'user.unlocked'];
  const eventsFrom = async (address: string) =>
    (await readEvents(server.database, { tenantId: acme.id, types })).filter(({ ip }) => ip === address);

  async function newMember(): Promise<{ readonly id: string; readonly email: string }> {
    const email = newPerson();
    const added = await addMember(server.context, { tenantId: acme.id, email, roles: [], verified: true });
    if (added.outcome === 'refused') throw new Error(added.reason);
    return { id: added.userId, email };
  }

  beforeEach(() => {
    told.length = 0;
  });

  it('is told once, of a member: one event, and one word to whoever writes the mail', async () => {
    const member = await newMember();
    const address = newAddress();
    for (let count = 0; count < 20; count += 1) await tryPassword(member.email, address);
    expect(await eventsFrom(address)).toMatchObject([
      { type: 'user.sign_in_failed', reason: 'throttled', data: { limit: 'identifier_and_address' } },
      {
        type: 'user.locked',
        outcome: 'success',
        target_id: member.id,
        data: { limit: 'identifier_and_address', seconds: 900 },
      },
    ]);
    expect(told).toEqual([
      {
        tenantId: acme.id,
        person: { id: member.id, email: member.email, locale: undefined },
        origin: { ip: address },
        now,
      },
    ]);
  });

  it('is told again when the next one begins', async () => {
    const member = await newMember();
    const address = newAddress();
    for (let count = 0; count < 6; count += 1) await tryPassword(member.email, address);
    now = new Date(now.getTime() + 901_000);
    for (let count = 0; count < 6; count += 1) await tryPassword(member.email, address);
    const locks = (await eventsFrom(address)).filter(({ type }) => type === 'user.locked');
    expect(locks.map(({ data }) => data)).toMatchObject([{ seconds: 900 }, { seconds: 1800 }]);
  });

  it.each(['nobody', 'a disabled member'])('on %s is told to nobody, after the same work', async (who) => {
    const member = who === 'nobody' ? { email: newPerson() } : await newMember();
    const change = { tenantId: acme.id, email: member.email, status: 'disabled' } as const;
    if (who !== 'nobody') await changeMembershipStatus(server.context, change);
    const address = newAddress();
    for (let count = 0; count < 5; count += 1) await tryPassword(member.email, address);
    const before = services.database.roundTrips();
    await tryPassword(member.email, address);
    const work = services.database.roundTrips() - before;
    expect(await eventsFrom(address)).toMatchObject([{ type: 'user.sign_in_failed', reason: 'throttled' }]);
    // Whoever writes the mail is asked all the same, and writes none.
    expect(told.map(({ person }) => person)).toEqual([undefined]);

    const living = await newMember();
    const elsewhere = newAddress();
    for (let count = 0; count < 5; count += 1) await tryPassword(living.email, elsewhere);
    const beforeLiving = services.database.roundTrips();
    await tryPassword(living.email, elsewhere);
    expect(services.database.roundTrips() - beforeLiving).toBe(work);
  });

  it('on an address says nothing about the person who was tried last', async () => {
    const member = await newMember();
    const address = newAddress();
    for (let count = 0; count < 100; count += 1) await tryPassword(newPerson(), address);
    await tryPassword(member.email, address);
    const events = await eventsFrom(address);
    expect(events).toMatchObject([{ type: 'user.sign_in_failed', reason: 'throttled', data: { limit: 'address' } }]);
  });

  it('ends when the account is unlocked: for every address and device, and with an event', async () => {
    const member = await newMember();
    const identifier = member.email;
    const address = newAddress();
    await allowedOf(6, () => attemptOf({ identifier, address }));
    await allowedOf(6, () => attemptOf({ identifier, knownDevice: 'device-1' }));
    await besiege(identifier);
    await allowedOf(6, () => attemptOf({ kind: 'code', identifier }));
    const context = { ...server.context, origin: { ip: address } };
    const unlocked = await unlockAccount(context, { tenantId: acme.id, identifier: ` ${identifier.toUpperCase()} ` });
    expect(unlocked).toEqual({ outcome: 'unlocked', userId: member.id });
    expect(await outcomeOf(attemptOf({ identifier, address }))).toBe('allowed');
    expect(await outcomeOf(attemptOf({ identifier, knownDevice: 'device-1' }))).toBe('allowed');
    expect(await outcomeOf(attemptOf({ identifier }))).toBe('allowed');
    // A mailbox proves nothing about a second factor.
    expect(await outcomeOf(attemptOf({ kind: 'code', identifier }))).toBe('throttled');
    expect(await eventsFrom(address)).toMatchObject([
      { type: 'user.unlocked', outcome: 'success', target_id: member.id, actor_type: 'operator' },
    ]);
  });

  it('of one tenant is not ended by another, nor is one of nobody', async () => {
    const member = await newMember();
    await besiege(member.email);
    const elsewhere = await createTestTenant(server, 'initech');
    const foreign = { tenantId: elsewhere.id, identifier: member.email };
    expect(await unlockAccount(server.context, foreign)).toEqual({ outcome: 'unknown_user' });
    expect(await outcomeOf(attemptOf({ identifier: member.email }))).toBe('throttled');
    const nobody = { tenantId: acme.id, identifier: newPerson() };
    expect(await unlockAccount(server.context, nobody)).toEqual({ outcome: 'unknown_user' });
  });
});
