import { aside, createLane } from '#src/foundation/lane.ts';
import { createPasswordHasher } from '#src/foundation/password_hashing.ts';

/** A promise that somebody else fulfils. */
function signal(): { readonly given: Promise<void>; give(): void } {
  let give = (): void => undefined;
  const given = new Promise<void>((resolve) => {
    give = resolve;
  });
  return { given, give: () => give() };
}

const turnOfTheLoop = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const patient = { longestWaitMilliseconds: 600_000 };

describe('a lane', () => {
  it('has no more under way than it has places, and lets in who came first', async () => {
    const lane = createLane({ places: 2, ...patient });
    const ends = Array.from({ length: 5 }, signal);
    const begun: number[] = [];
    const all = ends.map((end, index) =>
      lane.run(async () => {
        begun.push(index);
        await end.given;
        return index;
      }),
    );
    await turnOfTheLoop();
    expect(begun).toEqual([0, 1]);
    ends[1]?.give();
    await all[1];
    await turnOfTheLoop();
    expect(begun).toEqual([0, 1, 2]);
    for (const end of ends) end.give();
    expect(await Promise.all(all)).toEqual([0, 1, 2, 3, 4]);
    expect(begun).toEqual([0, 1, 2, 3, 4]);
  });

  it('goes on after work that failed', async () => {
    const lane = createLane({ places: 1, ...patient });
    await expect(lane.run(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(await lane.run(async () => 'yes')).toBe('yes');
  });

  it('is not stood in by who waits for others, in however many parts, and takes them back in their turn', async () => {
    const lane = createLane({ places: 1, ...patient });
    const [client, list] = [signal(), signal()];
    const order: string[] = [];
    const slow = lane.run(async () => {
      await Promise.all([aside(() => client.given), aside(() => list.given)]);
      order.push('slow');
    });
    await turnOfTheLoop();
    await lane.run(async () => void order.push('others'));
    const held = signal();
    const holder = lane.run(async () => {
      await held.given;
      order.push('holder');
    });
    await turnOfTheLoop();
    client.give();
    list.give();
    await turnOfTheLoop();
    // Both parts are done, and somebody else has the place.
    expect(order).toEqual(['others']);
    held.give();
    await Promise.all([holder, slow]);
    expect(order).toEqual(['others', 'holder', 'slow']);
    expect(await lane.run(async () => 'free')).toBe('free');
  });

  it('is left by a part that fails as well', async () => {
    const lane = createLane({ places: 1, ...patient });
    await lane.run(async () => {
      await expect(aside(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
    });
    expect(await lane.run(async () => 'free')).toBe('free');
  });

  it('keeps nobody out for longer than it was told, whatever the others are stuck in', async () => {
    const lane = createLane({ places: 1, longestWaitMilliseconds: 1 });
    const stuck = signal();
    const first = lane.run(() => stuck.given);
    expect(await Promise.all([lane.run(async () => 1), lane.run(async () => 2)])).toEqual([1, 2]);
    stuck.give();
    await first;
  });

  it('is not stood in by a password that waits to be compared', async () => {
    const lane = createLane({ places: 1, ...patient });
    const passwords = createPasswordHasher({
      memoryKibibytes: 1024,
      passes: 1,
      lanes: 1,
      queueLength: 4,
      concurrency: 1,
    });
    const order: string[] = [];
    const compared = lane.run(async () => {
      await passwords.verify(undefined, 'correct horse');
      order.push('compared');
    });
    await lane.run(async () => void order.push('page'));
    await compared;
    expect(order).toEqual(['page', 'compared']);
  });
});

describe('work outside of a lane', () => {
  it('steps aside from nothing', async () => {
    expect(await aside(async () => 'done')).toBe('done');
  });
});
