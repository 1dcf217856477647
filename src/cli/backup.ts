/** `poort backup` and `poort restore`: the whole installation in one file, and back into an empty database. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { openHouse } from '#src/server.ts';
import { BackupRefused, type BackupReport, backUp, type TableProgress } from '#src/storage/backup.ts';
import { BackupExists, type BackupFault, BackupUnusable } from '#src/storage/backup_file.ts';
import { RestoreRefused, type RestoreReport, restore } from '#src/storage/restore.ts';
import { type Answer, CommandRefused, described } from './answers.ts';
import { answering } from './options.ts';
import { type CommonOptions, commandLogger, type Runner, type Session, type Settings } from './runner.ts';
import type { World } from './world.ts';

interface RestoreOptions extends CommonOptions {
  readonly dryRun?: boolean;
}

export function addBackupCommands(program: Command, runner: Runner): void {
  answering(
    program
      .command('backup <file>')
      .description('write everything to one file, encrypted with the master key, while servers go on serving'),
    ['backup /backups/poort-2026-11-25.backup', 'backup /backups/poort-2026-11-25.backup --json'],
  ).action((file: string, options: CommonOptions) =>
    runner.withHouse(options, (session) => back(session, { file, world: runner.world })),
  );

  answering(
    program
      .command('restore <file>')
      .description('bring a backup back, into an empty database and with the POORT_MASTER_KEY it was made with'),
    ['restore /backups/poort-2026-11-25.backup --dry-run', 'restore /backups/poort-2026-11-25.backup'],
  )
    .option('--dry-run', 'read the file to its end and look at the database, and touch neither')
    .action((file: string, options: RestoreOptions) =>
      runner.withSettings(options, (settings) => bring(runner.world, { settings, file, options })),
    );
}

async function back(
  { house }: Session,
  { file, world }: { readonly file: string; readonly world: World },
): Promise<Answer> {
  const { sealer, clock, urls } = house;
  const report = await backUp({
    ownerUrl: urls.owner,
    sealer,
    file: resolve(world.workingDirectory, file),
    now: clock(),
    onTable: progressOn(world),
  }).catch(explain);
  return { json: { file, ...presentBackup(report) }, text: describeBackup(file, report) };
}

async function bring(
  world: World,
  { settings, file, options }: { readonly settings: Settings; readonly file: string; readonly options: RestoreOptions },
): Promise<Answer> {
  const { config, warnings } = settings;
  const logger = commandLogger(world, config);
  for (const warning of warnings) logger.warn(warning);
  const dryRun = options.dryRun === true;
  // Nothing is migrated before the backup says how far.
  const house = await openHouse(config, { logger, migrate: false });
  try {
    const report = await restore({
      ownerUrl: house.urls.owner,
      sealer: house.sealer,
      file: resolve(world.workingDirectory, file),
      dryRun,
      onTable: progressOn(world),
    }).catch(explain);
    const json = { file, dry_run: dryRun, restored: !dryRun, ...presentRestore(report) };
    return { json, text: describeRestore(file, report, dryRun) };
  } finally {
    await house.close();
  }
}

/** A line for each table, for a person who waits. */
function progressOn({ errors }: World): (progress: TableProgress) => void {
  if (errors.isTTY !== true) return () => undefined;
  return ({ table, rows }) => void errors.write(`  ${table}  ${rows}\n`);
}

function presentBackup({ tenants, tables, rows, bytes, migrations }: BackupReport) {
  return { tenants, tables, rows, bytes, migrations };
}

function presentRestore({ createdAt, tables, rows, migrated }: RestoreReport) {
  return { created_at: createdAt, tables, rows, migrated };
}

function describeBackup(file: string, report: BackupReport): string {
  const { tenants, tables, rows, bytes } = report;
  const facts = { tenants: String(tenants), tables: String(tables), rows: String(rows), bytes: String(bytes) };
  return `${described(`written to ${file}`, facts)}\nIt opens with the present POORT_MASTER_KEY alone: keep that, and keep it elsewhere.`;
}

function describeRestore(file: string, report: RestoreReport, dryRun: boolean): string {
  const { createdAt, tables, rows, migrated } = report;
  const title = dryRun ? `${file} is whole and could be restored here` : `restored from ${file}`;
  const facts = { 'made at': createdAt, tables: String(tables), rows: String(rows), 'migrated since': migrated };
  if (dryRun) return described(title, facts);
  return [
    described(title, facts),
    'What ended since the backup was made is alive again: sessions, tokens, members, clients. When somebody may have them who',
    'should not, end all sessions (`poort session revoke --tenant … --all`) before you serve. Then `poort doctor`.',
  ].join('\n');
}

const sentences: Readonly<Record<BackupFault, string>> = {
  not_a_backup: 'that is no backup of Poort',
  newer_format: 'a newer version of Poort made that backup',
  other_master_key: 'the backup was made with another master key: give back the POORT_MASTER_KEY it was made with',
  damaged: 'the backup is damaged, or somebody changed it: nothing was touched',
  unreadable: 'the file cannot be read',
};

/** Rejects with what a person can do about it. */
function explain(fault: unknown): never {
  if (fault instanceof BackupUnusable) throw new CommandRefused(fault.fault, sentences[fault.fault]);
  if (fault instanceof BackupExists) throw new CommandRefused('file_exists', 'there is a file of that name already');
  if (fault instanceof BackupRefused) throw new CommandRefused('cannot_be_read_whole', fault.message);
  if (!(fault instanceof RestoreRefused)) throw fault;
  const advice =
    fault.reason === 'not_empty' ? 'restore into a new one' : 'restore with the version that made it, or a later one';
  throw new CommandRefused(fault.reason, `${fault.message}: ${advice}`);
}
