/** `poort migrate` and `poort db url`: what an operator does with the database as a whole. */
import { type Command, Option } from 'commander';
import { createSealer } from '#src/foundation/sealing.ts';
import { openHouse } from '#src/server.ts';
import { type DatabaseUrls, databaseUrls } from '#src/storage/database_roles.ts';
import { readRunningEmbeddedPostgres } from '#src/storage/embedded_postgres.ts';
import { migrate } from '#src/storage/migrate.ts';
import { type Answer, CommandRefused } from './answers.ts';
import { answering, group } from './options.ts';
import { type CommonOptions, commandLogger, type Runner, type Settings } from './runner.ts';
import type { World } from './world.ts';

interface UrlOptions extends CommonOptions {
  readonly role: keyof DatabaseUrls;
}

export function addDatabaseCommands(program: Command, runner: Runner): void {
  answering(
    program
      .command('migrate')
      .description('bring the database to the state this version needs; safe to repeat and to run while servers serve'),
    ['migrate'],
  ).action((options: CommonOptions) =>
    runner.withSettings(options, (settings) => migrateDatabase(runner.world, settings)),
  );

  const database = group(program, 'db', 'the database itself');
  answering(database.command('url').description('print a connection URL, password included: treat it as a secret'), [
    'db url',
    'db url --role app',
  ])
    .addOption(
      new Option('--role <role>', 'owner changes tables, app sees one tenant at a time, platform sees tenants only')
        .choices(['owner', 'app', 'platform'])
        .default('owner'),
    )
    .action((options: UrlOptions) => runner.withSettings(options, (settings) => printUrl(settings, options.role)));
}

async function migrateDatabase(world: World, { config, warnings }: Settings): Promise<Answer> {
  const logger = commandLogger(world, config);
  for (const warning of warnings) logger.warn(warning);
  const house = await openHouse(config, { logger, migrate: false });
  try {
    const { applied, owner } = await migrate({ ownerUrl: house.urls.owner, sealer: house.sealer });
    if (config.databaseUrl !== undefined && (owner.superuser || owner.bypassesRowLevelSecurity)) {
      logger.warn(`${owner.name} may do more than owning the database: production refuses to start with it`);
    }
    const lines = applied.map((name) => `  ${name}`);
    const text = applied.length === 0 ? 'nothing to migrate' : [`migrated:`, ...lines].join('\n');
    return { json: { applied, pending: [] }, text };
  } finally {
    await house.close();
  }
}

async function printUrl({ config }: Settings, role: keyof DatabaseUrls): Promise<Answer> {
  const ownerUrl =
    config.databaseUrl?.reveal() ?? (await readRunningEmbeddedPostgres(config.dataDirectory))?.ownerUrl();
  if (ownerUrl === undefined) {
    const message = 'the embedded database runs only while `npm start` does, and has an address only then';
    throw new CommandRefused('database_not_running', message);
  }
  const url = databaseUrls(ownerUrl, createSealer(config.masterKeys))[role];
  return { json: { url, role }, text: url };
}
