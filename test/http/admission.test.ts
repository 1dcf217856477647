/** Who is let in while many come at once, and when the others are to come back. */
import { createAdmission } from '#src/http/admission.ts';

describe('an admission', () => {
  it('lets in as many as there are places, sends the others away at once, and lets in again who comes later', async () => {
    const draws = [3, 7];
    const admission = createAdmission({ places: 2, spreadSeconds: 10, draw: () => draws.shift() ?? 0 });
    const { promise: answered, resolve: answer } = Promise.withResolvers<void>();
    const inside = [admission.admit(() => answered), admission.admit(() => answered)];
    expect(await admission.admit(async () => undefined)).toEqual({ retryAfterSeconds: 3 });
    expect(await admission.admit(async () => undefined)).toEqual({ retryAfterSeconds: 7 });
    answer();
    expect(await Promise.all(inside)).toEqual([undefined, undefined]);
    expect(await admission.admit(async () => undefined)).toBeUndefined();
  });

  it('gives a place back when the work in it fails', async () => {
    const admission = createAdmission({ places: 1, spreadSeconds: 10, draw: () => 1 });
    const fail = async (): Promise<void> => {
      throw new Error('a fault');
    };
    for (let count = 0; count < 3; count += 1) await expect(admission.admit(fail)).rejects.toThrow('a fault');
    expect(await admission.admit(async () => undefined)).toBeUndefined();
  });
});
