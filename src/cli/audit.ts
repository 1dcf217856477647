/** `poort audit …`: the history of a tenant, taken out as a file or a stream for other systems. */
import { createWriteStream } from 'node:fs';
import { resolve } from 'node:path';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Command, Option } from 'commander';
import { type AuditQuestion, exportAudit } from '#src/flows/tenants/read_audit.ts';
import { AUDIT_FORMATS, type AuditFormat, writeAudit } from '#src/flows/tenants/write_audit.ts';
import { type Answer, CommandRefused, WrongUsage } from './answers.ts';
import { answering, findTenant, group, type TenantOptions, tenantOption } from './options.ts';
import type { Runner, Session } from './runner.ts';
import type { World } from './world.ts';

interface ExportOptions extends TenantOptions {
  readonly since?: string;
  readonly until?: string;
  readonly format: AuditFormat;
  readonly output?: string;
}

export function addAuditCommands(program: Command, runner: Runner): void {
  const audit = group(program, 'audit', 'the history of a tenant');

  answering(
    audit
      .command('export')
      .description('write everything that happened at a tenant, the oldest first, to standard output or a file'),
    [
      'audit export --tenant acme > acme.ndjson',
      'audit export --tenant acme --since 2026-01-01T00:00:00Z --format csv --output acme.csv --json',
    ],
  )
    .addOption(tenantOption())
    .option('--since <time>', 'from this moment on, as 2026-01-31T12:00:00Z')
    .option('--until <time>', 'before this moment; now unless told')
    .addOption(
      new Option('--format <format>', 'one JSON object a line, or comma-separated values')
        .choices(AUDIT_FORMATS)
        .default('ndjson'),
    )
    .option('--output <file>', 'a file that is not there yet, in place of standard output')
    .action((options: ExportOptions) =>
      runner.run(options, async () => {
        const question = { since: readMoment('--since', options.since), until: readMoment('--until', options.until) };
        if (options.json === true && options.output === undefined)
          throw new WrongUsage('--json tells of a file: name one with --output');
        await runner.withHouse(options, (session) => write(session, { options, question, world: runner.world }));
        return undefined;
      }),
    );
}

/** Nothing to be said beside the history itself, where that goes to standard output. */
async function write(
  session: Session,
  {
    options,
    question,
    world,
  }: { readonly options: ExportOptions; readonly question: AuditQuestion; readonly world: World },
): Promise<Answer | undefined> {
  const { tenant, format, output } = options;
  const { id: tenantId } = await findTenant(session, tenant);
  let events = 0;
  const counted = async function* () {
    for await (const batch of exportAudit(session.context, { tenantId, question })) {
      events += batch.length;
      yield batch;
    }
  };
  await pipeline(writeAudit(counted(), format), destinationOf(options, world)).catch(refuse);
  if (output === undefined) return undefined;
  return { json: { tenant, format, output, events }, text: `${events} events of ${tenant} are in ${output}` };
}

/** Throws `WrongUsage` for what is no instant of RFC 3339. */
function readMoment(option: string, written: string | undefined): Date | undefined {
  if (written === undefined) return undefined;
  const isWhole = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d))?$/.test(written);
  const moment = new Date(written);
  if (!isWhole || Number.isNaN(moment.getTime()))
    throw new WrongUsage(`${option} is a day, or a moment with its offset: 2026-01-31T12:00:00Z`);
  return moment;
}

/** A file of somebody's is never written over; what is written is for its owner alone. */
function destinationOf({ output }: ExportOptions, world: World): Writable {
  if (output !== undefined)
    return createWriteStream(resolve(world.workingDirectory, output), { flags: 'wx', mode: 0o600 });
  return new Writable({
    decodeStrings: false,
    write: (part: string, _encoding, done) => {
      if (world.output.write(part)) done();
      else world.output.once('drain', () => done());
    },
  });
}

function refuse(fault: unknown): never {
  const code = typeof fault === 'object' && fault !== null && 'code' in fault ? fault.code : undefined;
  if (code === 'EEXIST') throw new CommandRefused('file_exists', 'there is a file with that name already');
  if (code === 'ENOENT' || code === 'EACCES' || code === 'EISDIR')
    throw new CommandRefused('unwritable_file', 'a file with that name cannot be written');
  throw fault;
}
