/** `poort serve` and `poort worker`: one server or one worker in the foreground, for a process manager to start and stop. */
import type { Command } from 'commander';
import type { Logger } from 'pino';
import type { Config } from '#config/config.ts';
import { createLogger } from '#src/foundation/logger.ts';
import { openHouse, startJobs, startServer } from '#src/server.ts';
import { demoFilePath, seedDemoFirst } from './demo.ts';
import type { Runner, Settings } from './runner.ts';
import { untilAskedToStop } from './stop_signal.ts';

export function addServeCommands(program: Command, runner: Runner): void {
  program
    .command('serve')
    .description('serve until SIGTERM; migrates first')
    .addHelpText('after', '\nExample:\n  $ POORT_DATABASE_URL_FILE=/run/secrets/database_url poort serve')
    .action(() => runner.withSettings({}, serve));

  program
    .command('worker')
    .description(
      'do what is due by the clock, until SIGTERM: send mail, sweep what has expired, tell applications of ended sessions',
    )
    .addHelpText('after', '\nExample:\n  $ poort worker')
    .action(() => runner.withSettings({}, work));
}

async function serve(settings: Settings): Promise<undefined> {
  const { config } = settings;
  const asked = untilAskedToStop();
  const logger = openLog(settings);
  const server = await startServer(config, { logger, prepare: seedDemoFirst });
  try {
    if (config.demo.enabled) logger.info(`the demo is in ${demoFilePath(config)}`);
    logger.info(`Poort serves ${server.url}`);
    await asked;
    logger.info('asked to stop: finishing the requests in flight');
  } finally {
    await server.close();
  }
}

async function work(settings: Settings): Promise<undefined> {
  const asked = untilAskedToStop();
  const logger = openLog(settings);
  const house = await openHouse(settings.config, { logger, migrate: settings.config.databaseUrl === undefined });
  // Neither waiting for a signal nor the jobs' timers keep a process alive.
  const awake = setInterval(() => undefined, 2 ** 30);
  try {
    const jobs = startJobs(house);
    await jobs.runAll();
    logger.info('the worker is ready');
    await asked;
    await jobs.stop();
  } finally {
    clearInterval(awake);
    await house.close();
  }
}

/** The log of a process that serves: to standard output, with what loading the settings had to say. */
export function openLog({
  config,
  warnings,
}: {
  readonly config: Config;
  readonly warnings: readonly string[];
}): Logger {
  const logger = createLogger(config.log);
  for (const warning of warnings) logger.warn(warning);
  return logger;
}
