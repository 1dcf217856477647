import fc from 'fast-check';
import {
  activeKey,
  type DatedSigningKey,
  DEFAULT_SIGNING_ALGORITHMS,
  nextKey,
  planDueSteps,
  planRetirement,
  planRotation,
  publicationOrder,
  ripeAt,
  rotationDueAt,
  type SigningAlgorithm,
  type SigningKeyRules,
  type SigningKeyStep,
} from '#src/domain/signing_key.ts';

const day = 86_400;
const rules: SigningKeyRules = { jwksCacheSeconds: 900, rotateAfterSeconds: 90 * day, longestTokenSeconds: 3600 };
const start = new Date('2031-01-01T00:00:00Z');
const passed = (seconds: number): Date => new Date(start.getTime() + seconds * 1000);

const key = (kid: string, status: DatedSigningKey['status'], rest: Partial<DatedSigningKey> = {}): DatedSigningKey => ({
  kid,
  alg: 'ES256',
  status,
  publishedAt: start,
  activatedAt: status === 'next' ? undefined : start,
  publishedUntil: undefined,
  rotationRequestedAt: undefined,
  ...rest,
});
const due = (keys: readonly DatedSigningKey[], now: Date): readonly SigningKeyStep[] =>
  planDueSteps(keys, { algorithms: ['ES256'], rules, now });
const told = (steps: readonly SigningKeyStep[]): readonly string[] =>
  steps.map((step) => (step.do === 'make' ? `make ${step.status} ${step.alg}` : `${step.do} ${step.kid}`));

describe('the keys of a tenant', () => {
  it('are published before, while and after they sign, the signing ones first', () => {
    const keys = [key('old', 'retired'), key('coming', 'next'), key('now', 'active')];
    expect(publicationOrder(keys).map(({ kid }) => kid)).toEqual(['now', 'coming', 'old']);
  });

  it('always have one that waits, also where a version before had none', () => {
    expect(told(due([key('now', 'active')], start))).toEqual(['make next ES256']);
    expect(told(due([key('now', 'active'), key('coming', 'next')], passed(10)))).toEqual([]);
  });

  it('have one that signs at once when there is none', () => {
    expect(told(due([], start))).toEqual(['make active ES256', 'make next ES256']);
    expect(told(due([key('coming', 'next')], start))).toEqual(['activate coming', 'make next ES256']);
  });

  it('exist for an algorithm that an API began to ask for', () => {
    const steps = planDueSteps([], { algorithms: ['EdDSA'], rules, now: start });
    expect(told(steps)).toEqual(['make active EdDSA', 'make next EdDSA']);
  });

  it('change when the active one is old enough, and not a moment sooner', () => {
    const keys = [key('now', 'active'), key('coming', 'next')];
    expect(told(due(keys, passed(90 * day - 1)))).toEqual([]);
    expect(told(due(keys, passed(90 * day)))).toEqual(['retire now', 'activate coming', 'make next ES256']);
  });

  it('change no sooner than everyone knows the waiting one, however old the active one is', () => {
    const late = key('coming', 'next', { publishedAt: passed(100 * day) });
    const keys = [key('now', 'active'), late];
    expect(told(due(keys, passed(100 * day + 900)))).toEqual([]);
    expect(told(due(keys, ripeAt(late, rules)))).toEqual(['retire now', 'activate coming', 'make next ES256']);
    expect(rotationDueAt(key('now', 'active'), late, rules)).toEqual(ripeAt(late, rules));
  });

  it('stay published until the last token is over, and are gone then', () => {
    const [retired] = due([key('now', 'active'), key('coming', 'next')], passed(90 * day));
    if (retired?.do !== 'retire') throw new Error('nothing retired');
    const lastTokenEnds = passed(90 * day + rules.longestTokenSeconds);
    expect(retired.publishedUntil.getTime()).toBeGreaterThan(lastTokenEnds.getTime() + rules.jwksCacheSeconds * 1000);
    const old = key('old', 'retired', { publishedUntil: retired.publishedUntil });
    const now = key('now', 'active', { activatedAt: passed(90 * day) });
    const keys = [old, now, key('coming', 'next')];
    expect(told(due(keys, lastTokenEnds))).toEqual([]);
    expect(told(due(keys, retired.publishedUntil))).toEqual(['remove old']);
  });

  it('that a version before retired get their end from now on', () => {
    const keys = [key('old', 'retired'), key('now', 'active'), key('coming', 'next')];
    expect(told(due(keys, passed(day)))).toEqual(['retire old']);
  });
});

describe('a rotation that somebody asks for', () => {
  const rotation = (keys: readonly DatedSigningKey[], now: Date, evenIfUnripe = false) => {
    const { outcome, at, steps } = planRotation(keys, { alg: 'ES256', rules, now, evenIfUnripe });
    return { outcome, at, steps: told(steps) };
  };

  it('happens at once when everyone knows the waiting key', () => {
    const keys = [key('now', 'active'), key('coming', 'next')];
    expect(rotation(keys, passed(day))).toEqual({
      outcome: 'rotates',
      at: passed(day),
      steps: ['retire now', 'activate coming', 'make next ES256'],
    });
  });

  it('is remembered when somebody may not know it yet, and happens by itself', () => {
    const coming = key('coming', 'next', { publishedAt: passed(day) });
    const asked = rotation([key('now', 'active'), coming], passed(day + 10));
    expect(asked).toEqual({ outcome: 'waits', at: ripeAt(coming, rules), steps: ['request coming'] });
    const requested = { ...coming, rotationRequestedAt: passed(day + 10) };
    const keys = [key('now', 'active'), requested];
    expect(rotation(keys, passed(day + 20))).toEqual({ ...asked, steps: [] });
    expect(told(due(keys, new Date(asked.at.getTime() - 1)))).toEqual([]);
    expect(told(due(keys, asked.at))).toEqual(['retire now', 'activate coming', 'make next ES256']);
  });

  it('publishes the key first where none waits', () => {
    expect(rotation([key('now', 'active')], start)).toMatchObject({ outcome: 'waits', steps: ['make next ES256'] });
  });

  it('does not wait when told so', () => {
    expect(rotation([key('now', 'active'), key('coming', 'next')], start, true)).toEqual({
      outcome: 'rotates',
      at: start,
      steps: ['retire now', 'activate coming', 'make next ES256'],
    });
    expect(rotation([key('now', 'active')], start, true).steps).toEqual([
      'retire now',
      'make active ES256',
      'make next ES256',
    ]);
  });
});

describe('an emergency', () => {
  const keys = [key('old', 'retired'), key('now', 'active'), key('coming', 'next')];

  it.each([
    ['the key that signs', 'now', ['remove now', 'activate coming', 'make next ES256']],
    ['the key that waits', 'coming', ['remove coming', 'make next ES256']],
    ['a key that signs no more', 'old', ['remove old']],
  ])('takes away %s', (_which, kid, steps) => {
    expect(told(planRetirement(keys, kid) ?? [])).toEqual(steps);
  });

  it('has a new key signing at once where none waits, and knows no other keys', () => {
    expect(told(planRetirement([key('now', 'active')], 'now') ?? [])).toEqual([
      'remove now',
      'make active ES256',
      'make next ES256',
    ]);
    expect(planRetirement(keys, 'another')).toBeUndefined();
  });
});

/** Everything that ever happened to one key, as it was. */
interface History {
  readonly alg: SigningAlgorithm;
  readonly publishedAt: Date;
  signedFrom?: Date;
  /** The last moment at which it may have signed. */
  signedUntil?: Date;
  goneAt?: Date;
  /** By `retire` or by a rotation that was told not to wait. */
  hurried: boolean;
  stolen: boolean;
}

interface World {
  keys: readonly DatedSigningKey[];
  now: Date;
  readonly histories: Map<string, History>;
}

/** Takes the steps as the tables do, and refuses what the database would refuse. */
function take(world: World, steps: readonly SigningKeyStep[], how: { hurried?: boolean; stolen?: boolean } = {}): void {
  const { now, histories } = world;
  const change = (kid: string, part: Partial<DatedSigningKey>): void => {
    if (!world.keys.some((each) => each.kid === kid)) throw new Error(`no key ${kid}`);
    world.keys = world.keys.map((each) => (each.kid === kid ? { ...each, ...part } : each));
  };
  for (const step of steps) {
    if (step.do === 'make') {
      const kid = `k${histories.size}`;
      const activatedAt = step.status === 'active' ? now : undefined;
      const rotationRequestedAt = step.requested ? now : undefined;
      world.keys = [
        ...world.keys,
        key(kid, step.status, { alg: step.alg, publishedAt: now, activatedAt, rotationRequestedAt }),
      ];
      // The very first key of an algorithm surprises nobody: nobody has cached anything.
      const isFirst = ![...histories.values()].some(({ alg }) => alg === step.alg);
      const history = { alg: step.alg, publishedAt: now, hurried: isFirst || how.hurried === true, stolen: false };
      histories.set(kid, activatedAt === undefined ? history : { ...history, signedFrom: activatedAt });
      continue;
    }
    const history = histories.get(step.kid);
    if (history === undefined) throw new Error(`no key ${step.kid}`);
    const status = world.keys.find(({ kid }) => kid === step.kid)?.status;
    if (step.do === 'request') change(step.kid, { rotationRequestedAt: now });
    if (step.do === 'activate') {
      if (status !== 'next') throw new Error(`${step.kid} is ${status}`);
      change(step.kid, { status: 'active', activatedAt: now });
      Object.assign(history, { signedFrom: now, hurried: how.hurried === true });
    }
    if (step.do === 'retire') {
      if (status === 'active') history.signedUntil = now;
      change(step.kid, { status: 'retired', publishedUntil: step.publishedUntil });
    }
    if (step.do === 'remove') {
      if (status === 'active') history.signedUntil = now;
      world.keys = world.keys.filter(({ kid }) => kid !== step.kid);
      Object.assign(history, { goneAt: now, stolen: how.stolen === true });
    }
  }
  const perAlgorithm = (wanted: DatedSigningKey['status']) =>
    DEFAULT_SIGNING_ALGORITHMS.map(
      (alg) => world.keys.filter((each) => each.alg === alg && each.status === wanted).length,
    );
  // What the unique indexes hold, and what readiness asks for.
  expect(perAlgorithm('active')).toEqual(DEFAULT_SIGNING_ALGORITHMS.map(() => 1));
  expect(perAlgorithm('next').every((count) => count <= 1)).toBe(true);
}

describe('whatever is commanded, and whenever the clock’s work is done', () => {
  const seconds = fc.oneof(
    fc.integer({ min: 0, max: 120 }),
    fc.integer({ min: 0, max: 4_000 }),
    fc.integer({ min: 0, max: 40 * day }),
  );
  const someRules = fc.record({
    jwksCacheSeconds: fc.integer({ min: 1, max: day }),
    rotateAfterSeconds: fc.integer({ min: 60, max: 100 * day }),
    longestTokenSeconds: fc.integer({ min: 1, max: 14 * day }),
  });
  const command = fc.oneof(
    { weight: 5, arbitrary: fc.constant({ kind: 'job' } as const) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('rotate' as const), now: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('retire' as const), which: fc.nat(20) }) },
  );

  it('one key signs, it was known to everyone before, and it stays until its last token is over', () => {
    fc.assert(
      fc.property(someRules, fc.array(fc.tuple(seconds, command), { maxLength: 60 }), (ruled, story) => {
        const world: World = { keys: [], now: start, histories: new Map() };
        const keep = (): void =>
          take(
            world,
            planDueSteps(world.keys, { algorithms: DEFAULT_SIGNING_ALGORITHMS, rules: ruled, now: world.now }),
          );
        keep();
        for (const [pause, what] of story) {
          world.now = new Date(world.now.getTime() + pause * 1000);
          if (what.kind === 'job') keep();
          if (what.kind === 'rotate') {
            for (const alg of DEFAULT_SIGNING_ALGORITHMS) {
              const plan = planRotation(world.keys, { alg, rules: ruled, now: world.now, evenIfUnripe: what.now });
              if (what.now) expect(plan.outcome).toBe('rotates');
              take(world, plan.steps, { hurried: what.now });
            }
          }
          if (what.kind === 'retire') {
            const kid = world.keys[what.which % world.keys.length]?.kid ?? '';
            take(world, planRetirement(world.keys, kid) ?? [], { hurried: true, stolen: true });
            expect(world.keys.some((each) => each.kid === kid)).toBe(false);
          }
        }
        // The work of the clock comes to an end: done twice at one moment it finds nothing the second time.
        keep();
        expect(
          planDueSteps(world.keys, { algorithms: DEFAULT_SIGNING_ALGORITHMS, rules: ruled, now: world.now }),
        ).toEqual([]);
        for (const alg of DEFAULT_SIGNING_ALGORITHMS) {
          expect(activeKey(world.keys, alg)).toBeDefined();
          expect(nextKey(world.keys, alg)).toBeDefined();
        }
        for (const { publishedAt, signedFrom, signedUntil, goneAt, hurried, stolen } of world.histories.values()) {
          if (signedFrom !== undefined && !hurried) {
            expect(signedFrom.getTime()).toBeGreaterThanOrEqual(publishedAt.getTime() + ruled.jwksCacheSeconds * 1000);
          }
          if (goneAt !== undefined && !stolen) {
            const lastTokenEnds = (signedUntil?.getTime() ?? 0) + ruled.longestTokenSeconds * 1000;
            expect(goneAt.getTime()).toBeGreaterThan(lastTokenEnds);
          }
        }
      }),
      { numRuns: 500 },
    );
  });
});
