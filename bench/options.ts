/**
 * What one run of the benchmarks is asked to do: the command line, read once. Knows the names of the cases and of the
 * servers; does not know how either works.
 */
import { parseArgs } from 'node:util';

export const caseNames = [
  'discovery',
  'introspection',
  'introspection_jwt',
  'client_credentials_opaque',
  'client_credentials_jwt',
  'code_exchange',
  'refresh',
  'userinfo',
] as const;
export type CaseName = (typeof caseNames)[number];

export const serverNames = ['floor', 'bare_engine', 'poort'] as const;
export type ServerName = (typeof serverNames)[number];

export interface Options {
  /** Measured length of one slice: one case, on one server, in one round. */
  readonly sliceSeconds: number;
  /** How often every case comes round on every server; the reported rate is the median of the rounds. */
  readonly rounds: number;
  /** Requests in flight, each on a connection of its own. */
  readonly connections: number;
  readonly cases: readonly CaseName[];
  readonly servers: readonly ServerName[];
  /** Whether Poort is started once more, behind a counting proxy, to count its round trips to PostgreSQL. */
  readonly countRoundTrips: boolean;
}

export const usage = `usage: npm run bench -- [options]

  --seconds <n>       measured seconds of one slice (default 1)
  --rounds <n>        rounds; every case on every server once in each (default 5)
  --connections <n>   requests in flight (default 16)
  --cases <a,b>       only these cases: ${caseNames.join(', ')}
  --only <a,b>        only these servers: ${serverNames.join(', ')}
  --no-round-trips    leave out the counting of round trips to PostgreSQL
`;

export type ParsedOptions =
  | { readonly outcome: 'run'; readonly options: Options }
  | { readonly outcome: 'help' }
  | { readonly outcome: 'refused'; readonly reason: string };

/** Reads the arguments after the script's name. An unknown option, case or server is refused with the reason. */
export function parseOptions(argumentsGiven: readonly string[]): ParsedOptions {
  try {
    const { values } = parseArgs({
      args: [...argumentsGiven],
      allowNegative: true,
      options: {
        seconds: { type: 'string', default: '1' },
        rounds: { type: 'string', default: '5' },
        connections: { type: 'string', default: '16' },
        cases: { type: 'string' },
        only: { type: 'string' },
        'round-trips': { type: 'boolean', default: true },
        help: { type: 'boolean', default: false },
      },
    });
    if (values.help) return { outcome: 'help' };
    return {
      outcome: 'run',
      options: {
        sliceSeconds: positive('--seconds', values.seconds),
        rounds: wholePositive('--rounds', values.rounds),
        connections: wholePositive('--connections', values.connections),
        cases: chosen('--cases', values.cases, caseNames),
        servers: chosen('--only', values.only, serverNames),
        countRoundTrips: values['round-trips'],
      },
    };
  } catch (error) {
    return { outcome: 'refused', reason: error instanceof Error ? error.message : String(error) };
  }
}

function positive(option: string, value: string): number {
  const number = Number(value);
  if (!Number.isFinite(number) || number <= 0) throw new Error(`${option} wants a number above zero, not "${value}"`);
  return number;
}

function wholePositive(option: string, value: string): number {
  const number = positive(option, value);
  if (!Number.isInteger(number)) throw new Error(`${option} wants a whole number, not "${value}"`);
  return number;
}

function chosen<Name extends string>(option: string, value: string | undefined, names: readonly Name[]): Name[] {
  if (value === undefined) return [...names];
  const asked = value.split(',').map((name) => name.trim().replaceAll('-', '_'));
  const unknown = asked.filter((name) => !names.some((known) => known === name));
  if (unknown.length > 0)
    throw new Error(`${option} does not know ${unknown.join(', ')}; it knows ${names.join(', ')}`);
  return names.filter((name) => asked.includes(name));
}
