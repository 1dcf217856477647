import { inspect } from 'node:util';
import { Secret } from '#src/foundation/secret.ts';

const secret = new Secret('hunter2');

describe('a secret', () => {
  it('tells its value to whoever asks by name', () => {
    expect(secret.reveal()).toBe('hunter2');
  });

  it.each([
    ['a template string', `${secret}`],
    ['concatenation', String(secret)],
    ['JSON', JSON.stringify({ secret })],
    ['the console', inspect({ deep: { secret } }, { showHidden: true, depth: 9 })],
    ['its own keys', Object.entries(secret).flat().join()],
    ['a spread', JSON.stringify({ ...secret })],
    ['an error message', new Error(`bad value ${secret}`).message],
  ])('stays hidden in %s', (_where, printed) => {
    expect(printed).not.toContain('hunter2');
  });

  it('prints as [secret]', () => {
    expect(`${secret}`).toBe('[secret]');
    expect(JSON.stringify(secret)).toBe('"[secret]"');
  });
});
