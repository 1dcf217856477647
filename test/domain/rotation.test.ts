import fc from 'fast-check';
import { type Grace, graceFor, judgePresentation, mustRotate } from '#src/domain/rotation.ts';

const lifetimes = { graceSeconds: 10, deviceGraceSeconds: 86_400 };

describe('a refresh token', () => {
  const tenSeconds: Grace = { seconds: 10, whileSuccessorIsUnused: false };
  const untilUsed: Grace = { seconds: 86_400, whileSuccessorIsUnused: true };
  const strict: Grace = { seconds: 0, whileSuccessorIsUnused: false };

  it.each([
    ['never used', { usedSecondsAgo: undefined, successorUsed: false }, strict, 'first_use'],
    ['repeated at once', { usedSecondsAgo: 0, successorUsed: false }, tenSeconds, 'retry'],
    ['repeated at the last moment', { usedSecondsAgo: 9.999, successorUsed: true }, tenSeconds, 'retry'],
    ['repeated when the grace is over', { usedSecondsAgo: 10, successorUsed: false }, tenSeconds, 'reuse'],
    ['repeated where nothing may be', { usedSecondsAgo: 0, successorUsed: false }, strict, 'reuse'],
    ['of a device that was off for a night', { usedSecondsAgo: 40_000, successorUsed: false }, untilUsed, 'retry'],
    ['of a device that has its successor', { usedSecondsAgo: 1, successorUsed: true }, untilUsed, 'reuse'],
    ['of a device that was off for two days', { usedSecondsAgo: 172_800, successorUsed: false }, untilUsed, 'reuse'],
    ['of unknown age', { usedSecondsAgo: Number.NaN, successorUsed: false }, tenSeconds, 'reuse'],
  ] as const)('%s is judged', (_name, token, grace, expected) => {
    expect(judgePresentation(token, grace)).toBe(expected);
  });

  it('has the grace its client registered, or that of the type', () => {
    expect(graceFor({ clientType: 'web', graceSeconds: undefined, lifetimes })).toEqual(tenSeconds);
    expect(graceFor({ clientType: 'native', graceSeconds: undefined, lifetimes })).toEqual(tenSeconds);
    expect(graceFor({ clientType: 'device', graceSeconds: undefined, lifetimes })).toEqual(untilUsed);
    expect(graceFor({ clientType: 'device', graceSeconds: 0, lifetimes })).toEqual(strict);
    expect(graceFor({ clientType: 'spa', graceSeconds: 60, lifetimes }).seconds).toBe(60);
  });

  it('is replaced at every use, unless its client is bound to a key and said so', () => {
    expect(mustRotate({ rotation: 'always', senderConstrained: true })).toBe(true);
    expect(mustRotate({ rotation: 'unless_sender_constrained', senderConstrained: false })).toBe(true);
    expect(mustRotate({ rotation: 'unless_sender_constrained', senderConstrained: true })).toBe(false);
  });
});

/**
 * A model of the whole chain: the server's side decides with the function under test, the clients' sides lose answers, open tabs and are
 * stolen from. Times are whole seconds.
 */
interface Row {
  usedAt: number | undefined;
}

class Chain {
  readonly rows: Row[] = [{ usedAt: undefined }];
  alive = true;
  readonly grace: Grace;

  constructor(grace: Grace) {
    this.grace = grace;
  }

  /** The position of the token that is given back; undefined when refused. */
  present(position: number, now: number): number | undefined {
    const row = this.rows[position];
    if (!this.alive || row === undefined) return undefined;
    const usedSecondsAgo = row.usedAt === undefined ? undefined : now - row.usedAt;
    const successorUsed = this.rows[position + 1]?.usedAt !== undefined;
    switch (judgePresentation({ usedSecondsAgo, successorUsed }, this.grace)) {
      case 'first_use':
        row.usedAt = now;
        this.rows.push({ usedAt: undefined });
        return position + 1;
      case 'retry':
        return this.rows.length - 1;
      default:
        this.alive = false;
        return undefined;
    }
  }

  liveLeaves(): number {
    return this.alive ? this.rows.filter((row) => row.usedAt === undefined).length : 0;
  }
}

type Step =
  | { readonly do: 'refresh' | 'lose_answer'; readonly tab: number }
  | { readonly do: 'crash'; readonly backAfterSeconds: number }
  | { readonly do: 'wait'; readonly seconds: number }
  | { readonly do: 'steal' | 'thief_refreshes' };

const honestSteps: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constantFrom('refresh' as const, 'lose_answer' as const), tab: fc.nat(3) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('crash' as const), backAfterSeconds: fc.nat(9) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('wait' as const), seconds: fc.nat(9) }) },
);
const anySteps = fc.oneof(
  { weight: 8, arbitrary: honestSteps },
  { weight: 2, arbitrary: fc.constantFrom<Step>({ do: 'steal' }, { do: 'thief_refreshes' }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('wait' as const), seconds: fc.integer({ min: 10, max: 100 }) }) },
);

/**
 * Tabs of one application keep the token in storage they share; a tab may have read it a moment ago, before another tab renewed it,
 * and an answer may be lost after the server has rotated, or come to an application that crashed and is back within the grace.
 */
function play(grace: Grace, steps: readonly Step[]): { chain: Chain; honestRefused: boolean; thiefServed: number[] } {
  const chain = new Chain(grace);
  let now = 0;
  let stored = 0;
  /** What each tab read, and when: an application that holds on to a token longer than the grace reads it again. */
  const tabs = [0, 0, 0, 0].map(() => ({ token: 0, readAt: 0 }));
  let stolen: number | undefined;
  const thiefServed: number[] = [];
  let honestRefused = false;
  for (const step of steps) {
    switch (step.do) {
      case 'wait':
        now += step.seconds;
        break;
      case 'steal':
        stolen = stored;
        break;
      case 'crash': {
        chain.present(stored, now);
        now += step.backAfterSeconds;
        const given = chain.present(stored, now);
        if (given === undefined) honestRefused = true;
        else stored = given;
        break;
      }
      case 'thief_refreshes': {
        if (stolen === undefined) break;
        const given = chain.present(stolen, now);
        if (given !== undefined) {
          thiefServed.push(given);
          stolen = given;
        }
        break;
      }
      default: {
        const tab = tabs[step.tab] ?? { token: 0, readAt: 0 };
        if (now - tab.readAt >= grace.seconds) tab.token = stored;
        tab.readAt = now;
        const given = chain.present(tab.token, now);
        if (given === undefined) honestRefused = true;
        else if (step.do === 'refresh') {
          tab.token = given;
          stored = given;
        } else if (step.do === 'lose_answer') {
          // The client knows only that it got no answer, and asks again with the same token, at once.
          const again = chain.present(tab.token, now);
          if (again === undefined) honestRefused = true;
          else {
            tab.token = again;
            stored = again;
          }
        }
      }
    }
    if (chain.liveLeaves() > 1) throw new Error('the chain forked');
  }
  return { chain, honestRefused, thiefServed };
}

const tenSeconds: Grace = { seconds: 10, whileSuccessorIsUnused: false };

describe('a chain of refresh tokens', () => {
  it('never has more than one live leaf, whoever does what in whichever order', () => {
    fc.assert(
      fc.property(fc.array(anySteps, { maxLength: 60 }), fc.nat(60), (steps, seconds) => {
        expect(play({ seconds, whileSuccessorIsUnused: false }, steps).chain.liveLeaves()).toBeLessThanOrEqual(1);
        expect(play({ seconds, whileSuccessorIsUnused: true }, steps).chain.liveLeaves()).toBeLessThanOrEqual(1);
      }),
      { numRuns: 500 },
    );
  });

  it('never ends for an honest client that repeats within the grace', () => {
    fc.assert(
      fc.property(fc.array(honestSteps, { maxLength: 80 }), (steps) => {
        const { chain, honestRefused } = play(tenSeconds, steps);
        expect({ alive: chain.alive, honestRefused }).toEqual({ alive: true, honestRefused: false });
      }),
      { numRuns: 1_000 },
    );
  });

  it('ends at the next use that diverges, when a thief uses a copy', () => {
    fc.assert(
      fc.property(
        fc.array(honestSteps, { maxLength: 20 }),
        fc.boolean(),
        fc.nat(1_000),
        (before, thiefFirst, later) => {
          const { chain } = play(tenSeconds, before);
          const copy = chain.rows.length - 1;
          const end = 1_000;
          const first = chain.present(copy, end);
          expect(first).toBe(copy + 1);
          // The other of the two, thief or owner, comes with the same value when the grace is over: found, whoever was first.
          expect(chain.present(copy, end + 10 + later)).toBeUndefined();
          expect(chain.alive).toBe(false);
          expect(chain.present(thiefFirst ? copy : copy + 1, end + 11 + later)).toBeUndefined();
        },
      ),
    );
  });

  it('does not let a device’s thief hide behind the long grace: the first use of the successor ends it', () => {
    const chain = new Chain({ seconds: 86_400, whileSuccessorIsUnused: true });
    expect(chain.present(0, 0)).toBe(1);
    expect(chain.present(0, 80_000)).toBe(1);
    expect(chain.present(1, 80_001)).toBe(2);
    expect(chain.present(0, 80_002)).toBeUndefined();
    expect(chain.alive).toBe(false);
  });
});
