/**
 * This file owns the shape of what is wrong with the settings, how it is told to an operator, and the guess at the name
 * that was meant. It finds no faults itself.
 */

/** One thing that is wrong: which setting, what about it, and what to do. Never holds the value of a secret. */
export interface SettingsFault {
  readonly setting: string;
  readonly problem: string;
  readonly fix: string;
}

/** The exit code of a process whose settings are faulty: EX_CONFIG of sysexits.h. */
export const exitCodeFaultySettings = 78;

/** The start-up text: every fault with its fix, for standard error. Ends without a line break. */
export function formatFaults(faults: readonly SettingsFault[]): string {
  const heading = `Poort cannot start: ${faults.length === 1 ? 'one setting is' : `${faults.length} settings are`} faulty.`;
  const entries = faults.map(
    ({ setting, problem, fix }) => `  ${setting}\n    problem: ${problem}\n    fix:     ${fix}`,
  );
  return [heading, ...entries].join('\n\n');
}

/** Describes a file that cannot be read, with the reason of the operating system. */
export function fileFault(setting: string, path: string, error: unknown): SettingsFault {
  const code = systemErrorCode(error) ?? 'unreadable';
  const reasons: Readonly<Record<string, string>> = {
    ENOENT: 'does not exist',
    EACCES: 'may not be read by this process',
    EISDIR: 'is a directory',
  };
  return {
    setting,
    problem: `the file ${path} ${reasons[code] ?? `cannot be read (${code})`}`,
    fix: 'Name a file that exists and that the user of this process may read.',
  };
}

/** The code of an operating system error, such as ENOENT. Asked by shape, because test runners have an Error of their own. */
export function systemErrorCode(error: unknown): string | undefined {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : undefined;
}

/** The known name that is closest to an unknown one, or undefined when none is close enough to be meant. */
export function closestName(unknown: string, known: readonly string[]): string | undefined {
  let closest: { readonly name: string; readonly distance: number } | undefined;
  for (const name of known) {
    const distance = editDistance(unknown.toLowerCase(), name.toLowerCase());
    // A third of the letters: beyond that a guess misleads more often than it helps.
    const acceptable = Math.max(2, Math.floor(Math.max(unknown.length, name.length) / 3));
    if (distance <= acceptable && (closest === undefined || distance < closest.distance)) {
      closest = { name, distance };
    }
  }
  return closest?.name;
}

/** Levenshtein distance with neighbours swapped counted as one edit, the commonest slip of the fingers. */
function editDistance(from: string, to: string): number {
  let beforePrevious: readonly number[] = [];
  let previous: readonly number[] = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let row = 1; row <= from.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= to.length; column += 1) {
      const same = from[row - 1] === to[column - 1];
      const swapped = from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      const candidates = [
        (previous[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (previous[column - 1] ?? 0) + (same ? 0 : 1),
      ];
      if (swapped && row > 1 && column > 1) {
        candidates.push((beforePrevious[column - 2] ?? 0) + 1);
      }
      current.push(Math.min(...candidates));
    }
    beforePrevious = previous;
    previous = current;
  }
  return previous[to.length] ?? 0;
}
