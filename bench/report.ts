/**
 * What the benchmarks say: from the slices of all rounds to figures, to a table for people and to results.json for
 * machines. Measures nothing.
 */
import type { Slice } from './load.ts';
import type { CaseName, Options, ServerName } from './options.ts';
import { median, percentile } from './statistics.ts';

/** One slice, with the processor time the server's own process used for it (PostgreSQL's is not in it). */
export interface MeasuredSlice extends Slice {
  readonly round: number;
  readonly case: CaseName;
  readonly server: ServerName;
  readonly processorMilliseconds: number | undefined;
  /** Answered requests of the slice, those of the lead-in included: what the processor time was used for. */
  readonly answered: number;
}

export interface Figures {
  readonly case: CaseName;
  readonly server: ServerName;
  /** Median of the rounds. */
  readonly requestsPerSecond: number;
  readonly p50Milliseconds: number;
  readonly p99Milliseconds: number;
  readonly processorMillisecondsPerRequest: number | undefined;
  /** Medians of the rounds' own ratios: the two slices compared are seconds apart, so what else the machine does cancels. */
  readonly ratioToBareEngine: number | undefined;
  readonly ratioToFloor: number | undefined;
  readonly roundTripsPerRequest: number | undefined;
  readonly errors: number;
  readonly firstError: string | undefined;
}

export interface Surroundings {
  readonly measuredAt: string;
  readonly processor: string;
  readonly cores: number;
  readonly node: string;
  readonly postgres: string;
}

interface Goal {
  readonly ratioToBareEngine?: number;
  readonly roundTripsPerRequest?: number;
}

/** What Poort promises. Shown beside what was measured; a busy machine is no reason to fail. */
const goals: Partial<Record<CaseName, Goal>> = {
  introspection: { ratioToBareEngine: 0.7, roundTripsPerRequest: 1 },
  // The bare engine introspects no JWT: it is measured with its opaque tokens here.
  introspection_jwt: { ratioToBareEngine: 0.6, roundTripsPerRequest: 1 },
  client_credentials_opaque: { roundTripsPerRequest: 1 },
  client_credentials_jwt: { ratioToBareEngine: 0.7, roundTripsPerRequest: 1 },
  code_exchange: { roundTripsPerRequest: 4 },
  refresh: { ratioToBareEngine: 0.6, roundTripsPerRequest: 4 },
};

const titles: Readonly<Record<CaseName, string>> = {
  discovery: 'discovery',
  introspection: 'introspection, opaque user token',
  introspection_jwt: 'introspection, JWT user token',
  client_credentials_opaque: 'client credentials, opaque',
  client_credentials_jwt: 'client credentials, JWT ES256',
  code_exchange: 'code exchange',
  refresh: 'refresh, rotating',
  userinfo: 'userinfo',
};
const serverTitles: Readonly<Record<ServerName, string>> = {
  floor: 'floor',
  bare_engine: 'bare engine',
  poort: 'Poort',
};

/** Sums up every case and server that was measured, in the order of the options. */
export function summarize(
  options: Options,
  slices: readonly MeasuredSlice[],
  roundTrips: ReadonlyMap<CaseName, number>,
): Figures[] {
  return options.cases.flatMap((caseName) =>
    options.servers.map((server) => {
      const own = slices.filter((slice) => slice.case === caseName && slice.server === server);
      const latencies = own.flatMap((slice) => slice.latenciesMilliseconds).toSorted((a, b) => a - b);
      const rates = ratesByRound(own);
      const ratioTo = (other: ServerName): number | undefined => {
        if (other === server || !options.servers.includes(other)) return undefined;
        const otherRates = ratesByRound(slices.filter((slice) => slice.case === caseName && slice.server === other));
        const ratios = [...rates].map(([round, rate]) => rate / (otherRates.get(round) ?? Number.NaN));
        return median(ratios.filter(Number.isFinite));
      };
      return {
        case: caseName,
        server,
        requestsPerSecond: median([...rates.values()]),
        p50Milliseconds: percentile(latencies, 0.5),
        p99Milliseconds: percentile(latencies, 0.99),
        processorMillisecondsPerRequest: processorPerRequest(own),
        ratioToBareEngine: server === 'floor' ? undefined : ratioTo('bare_engine'),
        ratioToFloor: ratioTo('floor'),
        roundTripsPerRequest: server === 'poort' ? roundTrips.get(caseName) : server === 'floor' ? 1 : undefined,
        errors: own.reduce((sum, slice) => sum + slice.refused, 0),
        firstError: own.find((slice) => slice.firstRefusal !== undefined)?.firstRefusal,
      };
    }),
  );
}

function ratesByRound(slices: readonly MeasuredSlice[]): Map<number, number> {
  const measured = slices.filter((slice) => slice.completed > 0);
  return new Map(measured.map((slice) => [slice.round, (slice.completed / slice.measuredMilliseconds) * 1000]));
}

function processorPerRequest(slices: readonly MeasuredSlice[]): number | undefined {
  let used = 0;
  for (const slice of slices) {
    if (slice.processorMilliseconds === undefined) return undefined;
    used += slice.processorMilliseconds;
  }
  return used / slices.reduce((sum, slice) => sum + slice.answered, 0);
}

/** The table, in Markdown that reads well in a terminal: docs/performance.md takes it as it is. */
export function formatTable(figures: readonly Figures[]): string {
  const header = [
    'case',
    'server',
    'requests/s',
    'p50 ms',
    'p99 ms',
    'CPU ms',
    '× bare engine',
    '× floor',
    'round trips',
    'errors',
  ];
  const rows = figures.map((one, index) => [
    one.case === figures[index - 1]?.case ? '' : titles[one.case],
    serverTitles[one.server],
    decimal(one.requestsPerSecond, 0),
    decimal(one.p50Milliseconds, 1),
    decimal(one.p99Milliseconds, 1),
    decimal(one.processorMillisecondsPerRequest, 2),
    decimal(one.ratioToBareEngine, 2),
    decimal(one.ratioToFloor, 2),
    decimal(one.roundTripsPerRequest, 1),
    String(one.errors),
  ]);
  const widths = header.map((title, column) =>
    Math.max(...[header, ...rows].map((row) => row[column]?.length ?? 0), title.length),
  );
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, column) => (column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join(' | ')} |`;
  const rule = `| ${widths.map((width, column) => (column < 2 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`;
  return [line(header), rule, ...rows.map(line)].join('\n');
}

/** One line for each goal of Poort's that this run could judge. */
export function judgeGoals(figures: readonly Figures[]): string[] {
  return figures
    .filter((one) => one.server === 'poort')
    .flatMap((one) => {
      const goal = goals[one.case];
      const lines: string[] = [];
      if (goal?.ratioToBareEngine !== undefined && one.ratioToBareEngine !== undefined) {
        const met = one.ratioToBareEngine >= goal.ratioToBareEngine;
        lines.push(
          `${met ? 'met   ' : 'MISSED'}  ${titles[one.case]}: ${decimal(one.ratioToBareEngine, 2)} of the bare engine, goal ${goal.ratioToBareEngine}`,
        );
      }
      if (goal?.roundTripsPerRequest !== undefined && one.roundTripsPerRequest !== undefined) {
        // Half a percent for what the server does by the clock while we count.
        const met = one.roundTripsPerRequest <= goal.roundTripsPerRequest + 0.05;
        lines.push(
          `${met ? 'met   ' : 'MISSED'}  ${titles[one.case]}: ${decimal(one.roundTripsPerRequest, 1)} round trips, goal at most ${goal.roundTripsPerRequest}`,
        );
      }
      return lines;
    });
}

/** The content of results.json. */
export function formatResults(input: {
  readonly surroundings: Surroundings;
  readonly options: Options;
  readonly figures: readonly Figures[];
}): string {
  return `${JSON.stringify(input, undefined, 2)}\n`;
}

function decimal(value: number | undefined, digits: number): string {
  if (value === undefined) return '';
  return Number.isFinite(value) ? value.toFixed(digits) : '–';
}
