/** `poort doctor`: looks at everything a start depends on, says what is wrong and what to do about it, and changes nothing. */
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { Config } from '#config/config.ts';
import { findKeyProblems } from '#src/flows/keys/check_keys.ts';
import { createPasswordHasher } from '#src/foundation/password_hashing.ts';
import { type House, openHouse } from '#src/server.ts';
import {
  findIsolationProblems,
  findOwnerProblem,
  findPendingMigrations,
  findRoleProblems,
  readServerVersion,
} from '#src/storage/inspection.ts';
import { readMasterKeyInUse } from '#src/storage/installation.ts';
import { countDeadLogouts } from '#src/storage/tables/backchannel_logouts.ts';
import { countDeadMails, countMailsHeldUp } from '#src/storage/tables/mails.ts';
import type { Answer } from './answers.ts';
import { judgeMasterKeys } from './master_keys.ts';
import { answering } from './options.ts';
import { type CommonOptions, commandLogger, FaultySettings, problemsOf, type Runner, readSettings } from './runner.ts';
import type { World } from './world.ts';

/** `advice` is worth reading and no failure. */
interface Check {
  readonly name: string;
  readonly state: 'ok' | 'advice' | 'failed';
  readonly detail: string;
  readonly fix?: string;
}

export function addDoctorCommand(program: Command, runner: Runner): void {
  answering(
    program.command('doctor').description('check settings, database, isolation, keys and ports; changes nothing'),
    ['doctor', 'doctor --json'],
  ).action((options: CommonOptions) => runner.run(options, () => examine(runner.world)));
}

async function examine(world: World): Promise<Answer> {
  const settings = await readSettings(world).catch((fault: unknown) => {
    if (fault instanceof FaultySettings) return fault;
    throw fault;
  });
  const checks =
    settings instanceof FaultySettings
      ? settings.faults.map(({ setting, problem, fix }) => failed('settings', `${setting}: ${problem}`, fix))
      : [
          ok('settings', 'no faults'),
          ...settings.warnings.map((warning) => advice('settings', warning)),
          await examinePasswords(settings.config),
          await examinePort(settings.config),
          await examinePublicUrl(settings.config),
          ...(await examineDatabase(world, settings.config)),
        ];
  const isWell = checks.every(({ state }) => state !== 'failed');
  const json = { ok: isWell, checks: checks.map((check) => ({ ...check, ok: check.state !== 'failed' })) };
  return { json, text: checks.map(describe).join('\n'), exitCode: isWell ? 0 : 1 };
}

const ok = (name: string, detail: string): Check => ({ name, state: 'ok', detail });
const advice = (name: string, detail: string): Check => ({ name, state: 'advice', detail });
const failed = (name: string, detail: string, fix: string): Check => ({ name, state: 'failed', detail, fix });

function describe({ name, state, detail, fix }: Check): string {
  const mark = { ok: '✓', advice: '!', failed: '✗' }[state];
  return `${mark} ${name.padEnd(10)}  ${detail}${fix === undefined ? '' : `\n  ${' '.repeat(10)}  fix: ${fix}`}`;
}

async function examinePasswords(config: Config): Promise<Check> {
  try {
    await createPasswordHasher(config.passwordHashing).selfTest();
    return ok('passwords', 'argon2id and bcrypt give right answers');
  } catch (fault) {
    const detail = fault instanceof Error ? fault.message : 'hashing fails';
    return failed('passwords', detail, 'Reinstall the dependencies with `npm ci`.');
  }
}

async function examinePort({ http }: Config): Promise<Check> {
  const fault = await tryToListen(http);
  if (fault === undefined) return ok('port', `${http.host}:${http.port} is free`);
  if (fault === 'EADDRINUSE' && (await isPoort(`http://127.0.0.1:${http.port}`, new URL(http.publicUrl).host))) {
    return ok('port', `Poort serves on ${http.port} already`);
  }
  const detail =
    fault === 'EADDRINUSE' ? `another program has port ${http.port}` : `${http.host}:${http.port}: ${fault}`;
  return failed('port', detail, 'Stop that program, or set POORT_PORT and POORT_HOST to what is free.');
}

function tryToListen({ host, port }: Config['http']): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (fault: NodeJS.ErrnoException) => resolve(fault.code ?? fault.message));
    server.listen(port, host, () => server.close(() => resolve(undefined)));
  });
}

async function examinePublicUrl({ http }: Config): Promise<Check> {
  if (await isPoort(http.publicUrl)) return ok('public URL', `${http.publicUrl} answers`);
  return advice(
    'public URL',
    `${http.publicUrl} does not answer from here; once Poort serves, it must, from every browser and every application`,
  );
}

const answerMilliseconds = 3_000;

async function isPoort(origin: string, host?: string): Promise<boolean> {
  try {
    const headers = host === undefined ? {} : { host };
    const response = await fetch(`${origin}/health/live`, { headers, signal: AbortSignal.timeout(answerMilliseconds) });
    const body: unknown = await response.json();
    return typeof body === 'object' && body !== null && 'status' in body && body.status === 'live';
  } catch {
    return false;
  }
}

async function examineDatabase(world: World, config: Config): Promise<readonly Check[]> {
  // The file in which the embedded database keeps its passwords: without it there is no such database yet.
  if (config.databaseUrl === undefined && !existsSync(join(config.dataDirectory, 'embedded_postgres.json'))) {
    return [advice('database', 'the embedded database is not there yet; the first `npm start` makes it')];
  }
  try {
    const house = await openHouse(config, { logger: commandLogger(world, config), migrate: false });
    try {
      return await examineHouse(house);
    } finally {
      await house.close();
    }
  } catch (fault) {
    const problems = problemsOf(fault);
    if (problems === undefined) throw fault;
    return problems.map(({ setting, problem, fix }) => failed('database', `${setting}: ${problem}`, fix));
  }
}

async function examineHouse(house: House): Promise<readonly Check[]> {
  const { config } = house;
  const version = await readServerVersion(house.database);
  const checks: Check[] = [
    version.supported
      ? ok('database', `PostgreSQL ${version.name}${config.databaseUrl === undefined ? ', embedded' : ''}`)
      : failed('database', `PostgreSQL ${version.name} is too old`, 'Use PostgreSQL 15 or later.'),
  ];

  const roles = await findRoleProblems(house.database);
  checks.push(
    roles.length === 0
      ? ok('roles', 'poort_app and poort_platform can do no more than serve')
      : failed(
          'roles',
          roles.join('; '),
          'Take that away from them (alter role …), or drop them and run `poort migrate`.',
        ),
  );
  const owner = await findOwnerProblem(house.database);
  if (owner !== undefined) {
    const fix = 'Let the database belong to a role that may create roles, and nothing more.';
    checks.push(
      config.env === 'production' ? failed('owner', owner, fix) : advice('owner', `${owner}; production refuses that`),
    );
  }

  const pending = await findPendingMigrations(house.database);
  if (pending.length > 0) {
    return [...checks, failed('migrations', `not applied: ${pending.join(', ')}`, 'Run `poort migrate`.')];
  }
  const isolation = await findIsolationProblems(house.database);
  const keys = await findKeyProblems(house);
  const deadLogouts = await countDeadLogouts(house.database);
  return [
    ...checks,
    ok('migrations', 'all applied'),
    isolation.problems.length === 0
      ? ok('isolation', `${isolation.tables} tables force row level security and check what is written`)
      : failed(
          'isolation',
          isolation.problems.join('; '),
          'Somebody changed the tables: compare them with migrations/.',
        ),
    keys.problems.length === 0
      ? ok('keys', `${keys.keys} signing keys open with the master key`)
      : failed(
          'keys',
          keys.problems.join('; '),
          'Give back the POORT_MASTER_KEY that sealed them, behind the present one.',
        ),
    ...(config.masterKeys.length === 1 ? [] : [await examineMasterKeys(house, keys.sealedOtherwise)]),
    ...(config.redisUrl === undefined ? [] : [await examineRedis(house)]),
    deadLogouts === 0
      ? ok('logouts', 'every application that answers knows which sessions ended')
      : advice('logouts', `${deadLogouts} logout tokens were given up: see \`poort session logouts\``),
    await examineMail(house),
  ];
}

async function examineMail({ config, database, clock }: House): Promise<Check> {
  if (config.mail.smtpUrl === undefined && config.env !== 'production')
    return ok('mail', 'nothing is sent: it is shown at /dev/mail');
  const [heldUp, dead] = await Promise.all([countMailsHeldUp(database, clock()), countDeadMails(database)]);
  if (heldUp > 0) {
    const look = 'see `poort mail list --tenant …` for the problem, and that a worker runs';
    return advice('mail', `mail does not get through (waiting: ${heldUp}): ${look}`);
  }
  if (dead > 0) return advice('mail', `${dead} mails were given up in a month: see \`poort mail list --state dead\``);
  return ok('mail', 'nothing is held up');
}

async function examineRedis({ database }: House): Promise<Check> {
  const state = await database.counters.state();
  if (state === 'redis') return ok('limiter', 'attempts are counted in Redis');
  return failed(
    'limiter',
    'Redis does not answer; attempts are counted in PostgreSQL meanwhile',
    'Check POORT_REDIS_URL, its password, and that Redis may write (docs/operations.md, Redis).',
  );
}

async function examineMasterKeys(house: House, sealedOtherwise: number): Promise<Check> {
  const state = judgeMasterKeys(house, {
    sealedOtherwise,
    inUse: await readMasterKeyInUse(house.urls.owner, house.sealer),
  });
  return state.canBeDropped ? ok('master key', state.text) : advice('master key', state.text);
}
