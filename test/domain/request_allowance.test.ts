import { countRequest, type Window } from '#src/domain/request_allowance.ts';

const allowance = { limit: 3, windowSeconds: 60 };
const at = (seconds: number): Date => new Date(Date.UTC(2030, 0, 1) + seconds * 1000);

describe('an allowance', () => {
  it('is used up, says for how long, and comes back whole', () => {
    let window: Window | undefined;
    const seen = [0, 1, 2, 3, 59, 60].map((second) => {
      const counted = countRequest(window, allowance, at(second));
      window = counted.window;
      return [counted.outcome, counted.remaining, counted.resetSeconds];
    });
    expect(seen).toEqual([
      ['counted', 2, 60],
      ['counted', 1, 59],
      ['counted', 0, 58],
      ['exceeded', 0, 57],
      ['exceeded', 0, 1],
      ['counted', 2, 60],
    ]);
  });

  it('does not keep somebody out because a clock went back', () => {
    const used = { startedAt: at(100), count: 3 };
    expect(countRequest(used, allowance, at(0))).toMatchObject({ outcome: 'counted', remaining: 2 });
  });

  it('is not given anew because one of many at once is counted late', () => {
    const used = { startedAt: at(1), count: 3 };
    expect(countRequest(used, allowance, at(0))).toMatchObject({ outcome: 'exceeded', resetSeconds: 60 });
  });
});
