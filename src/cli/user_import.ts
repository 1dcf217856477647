/** `poort user import`: people of another product, one JSON object a line. */
import { createReadStream } from 'node:fs';
import { access, constants } from 'node:fs/promises';
import type { Command } from 'commander';
import { type ImportRefusal, importPeople, type RefusedLine } from '#src/flows/people/import_people.ts';
import { type Answer, CommandRefused, described } from './answers.ts';
import { answering, findTenant, type TenantOptions, tenantOption } from './options.ts';
import type { Runner, Session } from './runner.ts';

interface ImportOptions extends TenantOptions {
  readonly dryRun?: boolean;
}

/** More than anybody reads; the number of all of them is told in any case. */
const maximumProblemsTold = 1000;

const sentences: Readonly<Record<ImportRefusal, string>> = {
  too_long: 'the line is too long to be one person',
  not_utf8: 'the line is no UTF-8 text',
  not_json: 'that is no JSON',
  fields: 'fields are missing, unknown or of another kind',
  email: 'that is no e-mail address',
  username: 'a name to sign in with has 2 to 64 letters, digits, dots, hyphens and underscores',
  name: 'a name has 1 to 100 characters and no control characters',
  password_hash: 'the hash is of no kind that can be verified here, or asks for too much',
  unknown_role: 'the tenant has no such role',
  twice_in_the_file: 'the address was on a line before',
};

export function addImportCommand(user: Command, runner: Runner): void {
  answering(
    user
      .command('import')
      .description('bring people of another product into a tenant, with the hashes of their passwords'),
    ['user import --tenant acme people.ndjson --dry-run', 'user import --tenant acme people.ndjson --json'],
  )
    .argument('<file>', 'one JSON object a line; `-` reads standard input')
    .addOption(tenantOption())
    .option('--dry-run', 'report what an import would do, and do nothing')
    .action((file: string, options: ImportOptions) =>
      runner.withHouse(options, (session) => importFile(session, { file, options, input: runner.world.input })),
    );
}

interface FileToImport {
  readonly file: string;
  readonly options: ImportOptions;
  readonly input: NodeJS.ReadableStream;
}

async function importFile(session: Session, { file, options, input }: FileToImport): Promise<Answer> {
  const tenant = await findTenant(session, options.tenant);
  const dryRun = options.dryRun === true;
  const problems: RefusedLine[] = [];
  const report = await importPeople(session.context, {
    tenantId: tenant.id,
    lines: linesOf(file === '-' ? input : await openFile(file)),
    dryRun,
    onRefused: (refused) => {
      if (problems.length < maximumProblemsTold) problems.push(refused);
    },
  });
  const told = problems.map(({ line, reason, detail }) => ({
    line,
    reason,
    ...(detail === undefined ? {} : { detail }),
  }));
  const json = {
    tenant: tenant.slug,
    dry_run: dryRun,
    lines: report.lines,
    created: report.created,
    joined: report.joined,
    already_members: report.alreadyMembers,
    names_taken: report.namesTaken,
    refused: report.refused,
    problems: told,
  };
  return { json, text: describe(json), exitCode: report.refused === 0 ? 0 : 1 };
}

async function openFile(file: string): Promise<NodeJS.ReadableStream> {
  try {
    await access(file, constants.R_OK);
  } catch {
    throw new CommandRefused('unreadable_file', `the file ${JSON.stringify(file)} cannot be read`);
  }
  return createReadStream(file);
}

/** Not `readline`, which loses the lines that come before somebody asks for the first. What is no UTF-8 becomes U+FFFD. */
async function* linesOf(input: NodeJS.ReadableStream): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let rest = '';
  for await (const chunk of input) {
    const text = rest + (typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true }));
    const lines = text.split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
  rest += decoder.decode();
  if (rest !== '') yield rest;
}

function describe(report: {
  readonly tenant: string;
  readonly dry_run: boolean;
  readonly lines: number;
  readonly created: number;
  readonly joined: number;
  readonly already_members: number;
  readonly names_taken: number;
  readonly refused: number;
  readonly problems: readonly RefusedLine[];
}): string {
  const summary = described(
    report.dry_run
      ? `nothing was changed; an import into ${report.tenant} would say`
      : `imported into ${report.tenant}`,
    {
      created: String(report.created),
      joined: String(report.joined),
      'already members': String(report.already_members),
      'names taken': report.names_taken === 0 ? undefined : String(report.names_taken),
      refused: String(report.refused),
    },
  );
  const lines = report.problems.map(
    ({ line, reason, detail }) => `line ${line}: ${sentences[reason]}${detail === undefined ? '' : ` (${detail})`}`,
  );
  const more = report.refused - report.problems.length;
  return [summary, ...lines, ...(more > 0 ? [`and ${more} more`] : [])].join('\n');
}
