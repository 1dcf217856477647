/**
 * Runs one command from settings to exit code: loads the settings, opens the house where the command needs it, prints the answer
 * or the refusal, and closes the house whatever happened. Exit codes: 0 done, 1 refused, 2 wrong usage, 78 faulty settings.
 */
import type { Logger } from 'pino';
import { type Config, type EffectiveSetting, loadConfig } from '#config/config.ts';
import { exitCodeFaultySettings, formatFaults, type SettingsFault } from '#config/faults.ts';
import type { FlowContext } from '#src/flows/flow_context.ts';
import type { PasswordJudges } from '#src/flows/people/judge_password.ts';
import { createLogger } from '#src/foundation/logger.ts';
import { type House, openHouse, StartupProblems } from '#src/server.ts';
import { MigrationRefused } from '#src/storage/migrate.ts';
import { type Answer, CommandRefused, WrongUsage } from './answers.ts';
import type { World } from './world.ts';

/** Options that every command has. */
export interface CommonOptions {
  readonly json?: boolean;
}

export interface Settings {
  readonly config: Config;
  readonly warnings: readonly string[];
  readonly settings: readonly EffectiveSetting[];
}

export interface Session {
  readonly config: Config;
  readonly house: House;
  /** To act as the operator. */
  readonly context: FlowContext & PasswordJudges;
}

/** The settings are faulty; nothing else was tried. */
export class FaultySettings extends Error {
  readonly faults: readonly SettingsFault[];

  constructor(faults: readonly SettingsFault[]) {
    super('the settings are faulty');
    this.name = 'FaultySettings';
    this.faults = faults;
  }
}

export interface Runner {
  readonly world: World;
  /** For what needs nothing but the world. Prints what `act` answers, unless that is nothing. */
  run(options: CommonOptions, act: () => Promise<Answer | undefined>): Promise<void>;
  withSettings(options: CommonOptions, act: (settings: Settings) => Promise<Answer | undefined>): Promise<void>;
  withHouse(options: CommonOptions, act: (session: Session) => Promise<Answer | undefined>): Promise<void>;
  exitCode(): number;
}

export function createRunner(world: World): Runner {
  let exitCode = 0;

  async function run(options: CommonOptions, act: () => Promise<Answer | undefined>): Promise<void> {
    try {
      const answer = await act();
      if (answer === undefined) return;
      exitCode = answer.exitCode ?? 0;
      const { warnings = [] } = answer;
      const json = warnings.length === 0 ? answer.json : { ...answer.json, warnings };
      world.output.write(`${options.json === true ? JSON.stringify(json) : answer.text}\n`);
      if (options.json !== true) for (const warning of warnings) world.errors.write(`poort: warning: ${warning}\n`);
    } catch (fault) {
      const failure = judge(fault);
      exitCode = failure.exitCode;
      if (options.json === true) world.output.write(`${JSON.stringify({ error: failure.error })}\n`);
      else world.errors.write(`${failure.text}\n`);
      if (failure.isFault) commandLogger(world).error({ err: fault }, 'the command failed');
    }
  }

  const withSettings: Runner['withSettings'] = (options, act) =>
    run(options, async () => {
      const settings = await readSettings(world);
      return act(settings);
    });

  return {
    world,
    run,
    withSettings,
    withHouse: (options, act) =>
      withSettings(options, async ({ config }) => {
        const logger = commandLogger(world, config);
        // The embedded database belongs to the program that runs it; any other is migrated when its operator says so.
        const house = await openHouse(config, { logger, migrate: config.databaseUrl === undefined });
        try {
          return await act({ config: house.config, house, context: operatorContext(house) });
        } finally {
          await house.close();
        }
      }),
    exitCode: () => exitCode,
  };
}

/** Throws `FaultySettings`. */
export async function readSettings(world: World): Promise<Settings> {
  const loaded = await loadConfig(world.environment, { workingDirectory: world.workingDirectory });
  if (loaded.outcome === 'faulty') throw new FaultySettings(loaded.faults);
  return loaded;
}

/** To standard error, and only what needs somebody's attention: standard output is for the answer. */
export function commandLogger(world: World, config?: Config): Logger {
  const level =
    config !== undefined && ['error', 'fatal', 'silent'].includes(config.log.level) ? config.log.level : 'warn';
  const settings = { level, format: config?.log.format ?? 'pretty', colours: world.errors.isTTY === true } as const;
  return createLogger(settings, { write: (line) => void world.errors.write(line) });
}

export function operatorContext(house: House): FlowContext & PasswordJudges {
  const { database, clock, sealer, passwords, breachedPasswords, config } = house;
  const { egressAllow, mail } = config;
  const services = { database, clock, sealer, passwords, breachedPasswords, mailBudgets: mail.budgets, egressAllow };
  return { ...services, actor: { type: 'operator', id: 'cli' }, origin: {} };
}

interface Failure {
  readonly exitCode: number;
  readonly error: { readonly code: string; readonly message: string; readonly problems?: readonly object[] };
  readonly text: string;
  /** Unforeseen: the log gets the whole story. */
  readonly isFault: boolean;
}

function judge(fault: unknown): Failure {
  if (fault instanceof CommandRefused) {
    const { code, message, problems } = fault;
    const refused = failure(1, code, message);
    return problems === undefined ? refused : { ...refused, error: { code, message, problems } };
  }
  if (fault instanceof WrongUsage) return failure(2, 'wrong_usage', fault.message);
  const problems = problemsOf(fault);
  if (problems !== undefined) {
    const message = problems.map(({ setting, problem }) => `${setting}: ${problem}`).join('; ');
    return {
      exitCode: exitCodeFaultySettings,
      error: { code: 'faulty_settings', message, problems },
      text: formatFaults(problems),
      isFault: false,
    };
  }
  return { ...failure(1, 'fault', 'something failed that should not; the log has the details'), isFault: true };
}

function failure(exitCode: number, code: string, message: string): Failure {
  return { exitCode, error: { code, message }, text: `poort: ${message}`, isFault: false };
}

/** What an operator can repair: settings, and what the database says about them. Undefined when it is something else. */
export function problemsOf(fault: unknown): readonly SettingsFault[] | undefined {
  if (fault instanceof FaultySettings) return fault.faults;
  if (fault instanceof StartupProblems) return fault.problems;
  const setting = 'POORT_DATABASE_URL';
  if (fault instanceof MigrationRefused) {
    return [
      { setting, problem: fault.message, fix: 'Use the version of Poort and of PostgreSQL that belong together.' },
    ];
  }
  const code = typeof fault === 'object' && fault !== null && 'code' in fault ? String(fault.code) : '';
  const reason = databaseReasons.get(code);
  return reason === undefined ? undefined : [{ setting, ...reason }];
}

const unmigrated = 'Run `poort migrate`, with the POORT_MASTER_KEY that the server has.';

/** By error code of the operating system or SQLSTATE. */
const databaseReasons: ReadonlyMap<string, { readonly problem: string; readonly fix: string }> = new Map([
  ['ECONNREFUSED', { problem: 'nothing listens there', fix: 'Start PostgreSQL, or correct the host and port.' }],
  ['ENOTFOUND', { problem: 'its host is not known', fix: 'Correct the host name.' }],
  ['EAI_AGAIN', { problem: 'its host cannot be looked up now', fix: 'Check the host name and the name service.' }],
  ['ETIMEDOUT', { problem: 'it does not answer', fix: 'Check the host, the port and the firewall between.' }],
  ['28P01', { problem: 'it refuses the password', fix: unmigrated }],
  ['28000', { problem: 'it refuses the role', fix: unmigrated }],
  ['3D000', { problem: 'there is no such database', fix: 'Create it, owned by the role of the address.' }],
  ['42P01', { problem: 'the database has not all tables', fix: unmigrated }],
  ['42883', { problem: 'the database has not all functions', fix: unmigrated }],
]);
