/** `poort plan`, `poort apply` and `poort export`: a tenant as a file that can be kept, reviewed and applied. */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { Change, ConfigurationProblem } from '#src/domain/tenant_configuration.ts';
import {
  type ApplyOutcome,
  applyConfiguration,
  type ConfigurationInput,
  type PlanOutcome,
  planConfiguration,
  readConfiguration,
} from '#src/flows/tenants/apply_configuration.ts';
import { readLogo } from '#src/storage/tables/tenant_brands.ts';
import { type Answer, CommandRefused, WrongUsage } from './answers.ts';
import { answering, findTenant } from './options.ts';
import type { CommonOptions, Runner, Session } from './runner.ts';
import {
  type DocumentProblem,
  folderOf,
  type ReadDocument,
  readTenantDocument,
  slugOfDocument,
  tenantDocumentJsonSchema,
  writeTenantDocument,
} from './tenant_document.ts';
import type { World } from './world.ts';

interface DocumentOptions extends CommonOptions {
  readonly file: string;
  readonly prune?: boolean;
}

interface ApplyOptions extends DocumentOptions {
  readonly state?: string;
}

interface ExportOptions extends CommonOptions {
  readonly tenant?: string;
  readonly file?: string;
  readonly schema?: boolean;
}

/** A plan with something to do. Not 2, as elsewhere: that is wrong usage here, and nobody could tell them apart. */
const exitCodeSomethingToDo = 3;

export function addConfigurationCommands(program: Command, runner: Runner): void {
  answering(
    fromFile(program.command('plan').description('say what `apply` would do; exit 3 when there is something to do')),
    ['plan -f acme.yaml', 'plan -f acme.yaml --prune --json'],
  ).action((options: DocumentOptions) =>
    withDocument(runner, options, async (session, read) => {
      const planned = await planConfiguration(session.context, inputOf(session, { read, options }));
      if (planned.outcome === 'refused') throw refused(planned.problems.map(read.locate));
      return answerPlan(read.slug, planned);
    }),
  );

  answering(
    fromFile(
      program
        .command('apply')
        .description('make a tenant what a file says, all of it or nothing; it is made when missing'),
    ),
    ['apply -f acme.yaml', 'apply -f acme.yaml --state 5f0c… --json'],
  )
    .option('--state <state>', 'what `plan` printed: refuse when the tenant has changed since')
    .action((options: ApplyOptions) =>
      withDocument(runner, options, async (session, read) => {
        const input = inputOf(session, { read, options });
        const planned = await planConfiguration(session.context, input);
        if (planned.outcome === 'refused') throw refused(planned.problems.map(read.locate));
        const applied = await applyConfiguration(session.context, { ...input, state: options.state ?? planned.state });
        return answerApplied(read, applied);
      }),
    );

  answering(program.command('export').description('write a tenant down; never its secrets, people or keys'), [
    'export --tenant acme -f acme.yaml',
    'export -f acme.yaml',
    'export --schema > tenant.schema.json',
  ])
    .option('--tenant <slug>', 'the tenant; the one that the file names, unless given')
    .option('-f, --file <file>', 'the file to write; standard output unless given')
    .option('--schema', 'print the JSON Schema of such files instead, for editors')
    .action((options: ExportOptions) =>
      options.schema === true
        ? runner.run(options, async () => printSchema())
        : runner.run(options, async () => {
            const slug = options.tenant ?? (await slugIn(options.file, runner.world.workingDirectory));
            if (slug === undefined)
              throw new WrongUsage('name the tenant with --tenant, or a file that names it with -f');
            await runner.withHouse(options, (session) => writeDown(session, { slug, options, world: runner.world }));
            return undefined;
          }),
    );
}

function fromFile(command: Command): Command {
  return command
    .requiredOption('-f, --file <file>', 'the tenant, in YAML; `-` reads standard input')
    .option('--prune', 'also take away what the file leaves out, in the sections that it has');
}

function withDocument(
  runner: Runner,
  options: DocumentOptions,
  act: (session: Session, read: ReadDocument) => Promise<Answer>,
): Promise<void> {
  return runner.run(options, async () => {
    const { workingDirectory, environment, input } = runner.world;
    const text = options.file === '-' ? await readAll(input) : await readText(options.file, workingDirectory);
    if (text === undefined)
      throw new CommandRefused('unreadable_file', `the file ${JSON.stringify(options.file)} cannot be read`);
    const read = await readTenantDocument({ text, environment, folder: folderOf(options.file, workingDirectory) });
    if (read.outcome === 'refused') throw refused(read.problems);
    await runner.withHouse(options, (session) => act(session, read));
    return undefined;
  });
}

async function readText(file: string, workingDirectory: string): Promise<string | undefined> {
  return readFile(resolve(workingDirectory, file), 'utf8').catch(() => undefined);
}

async function readAll(input: NodeJS.ReadableStream): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of input) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString('utf8');
}

function inputOf(
  { config }: Session,
  { read, options }: { readonly read: ReadDocument; readonly options: DocumentOptions },
): ConfigurationInput {
  const { slug, wanted, logos } = read;
  return { slug, wanted, logos, prune: options.prune ?? false, protocol: config.protocol };
}

function refused(problems: readonly DocumentProblem[]): CommandRefused {
  const message = problems.map(describeProblem).join('\n  ');
  return new CommandRefused('invalid_document', `the file is not fit to be applied:\n  ${message}`, problems);
}

function describeProblem({ path, problem, line, column }: DocumentProblem): string {
  const place = line === undefined ? '' : ` (line ${line}, column ${column})`;
  return `${path === '' ? '' : `${path}: `}${problem}${place}`;
}

function answerPlan(slug: string, plan: Extract<PlanOutcome, { outcome: 'planned' }>): Answer {
  const { changes, leftAlone, state } = plan;
  const json = {
    tenant: slug,
    state,
    changed: changes.length > 0,
    changes: changes.map(presentChange),
    left_alone: leftAlone,
  };
  const title = changes.length === 0 ? `tenant ${slug} is so already` : `tenant ${slug} would change:`;
  const lines = [title, ...changes.map(describeChange), ...describeLeftAlone(leftAlone)];
  const next = changes.length === 0 ? [] : [`To do exactly this: poort apply -f … --state ${state}`];
  return { json, text: [...lines, ...next].join('\n'), exitCode: changes.length === 0 ? 0 : exitCodeSomethingToDo };
}

function answerApplied(read: ReadDocument, applied: ApplyOutcome): Answer {
  if (applied.outcome === 'refused')
    throw refused(applied.problems.map((problem: ConfigurationProblem) => read.locate(problem)));
  if (applied.outcome === 'changed_meanwhile')
    throw new CommandRefused('changed_meanwhile', `tenant ${read.slug} has changed since the plan: plan again`);
  const { changes, leftAlone, secrets, state } = applied;
  const json = {
    tenant: read.slug,
    state,
    changed: changes.length > 0,
    changes: changes.map(presentChange),
    left_alone: leftAlone,
    secrets: secrets.map(({ clientId, clientSecret }) => ({ client_id: clientId, client_secret: clientSecret })),
  };
  const title = changes.length === 0 ? `tenant ${read.slug} was so already` : `tenant ${read.slug} changed:`;
  const told =
    secrets.length === 0
      ? []
      : [
          'Made with the clients, and shown this once:',
          ...secrets.map(({ clientId, clientSecret }) => `  ${clientId}  ${clientSecret}`),
        ];
  return { json, text: [title, ...changes.map(describeChange), ...describeLeftAlone(leftAlone), ...told].join('\n') };
}

function presentChange(change: Change) {
  const { section, key, action, fields } = change;
  // A hash of a secret is nobody's business.
  const values = section === 'secrets' ? {} : { before: change.before ?? null, after: change.after ?? null };
  return { section, key, action, fields, ...values };
}

const marks = { create: '+', update: '~', delete: '-' } as const;

const nouns: Readonly<Record<Change['section'], string>> = {
  tenant: '',
  settings: 'setting',
  brand: 'brand',
  permissions: 'permission',
  roles: 'role',
  apis: 'api',
  clients: 'client',
  secrets: 'secret of client',
};

function describeChange(change: Change): string {
  const { section, key, action, fields, before, after } = change;
  const title = `  ${marks[action]} ${[nouns[section], key].filter((word) => word !== '').join(' ')}`;
  if (section === 'secrets') return title;
  if (section === 'settings' || section === 'brand') return `${title}: ${shown(before)} -> ${shown(after)}`;
  const lines = fields.map(
    (field) => `      ${field}: ${shown(fieldOf(before, field))} -> ${shown(fieldOf(after, field))}`,
  );
  return [title, ...lines].join('\n');
}

function fieldOf(item: unknown, name: string): unknown {
  return new Map(Object.entries(typeof item === 'object' && item !== null ? item : {})).get(name);
}

function shown(value: unknown): string {
  return value === undefined ? 'none' : JSON.stringify(value);
}

function describeLeftAlone(
  leftAlone: readonly { readonly section: Change['section']; readonly key: string }[],
): readonly string[] {
  if (leftAlone.length === 0) return [];
  const names = leftAlone.map(({ section, key }) => `    ${nouns[section]} ${key}`);
  return ['  not in the file, and left alone (--prune takes it away):', ...names];
}

function printSchema(): Answer {
  const schema = tenantDocumentJsonSchema();
  return { json: schema, text: JSON.stringify(schema, undefined, 2) };
}

async function slugIn(file: string | undefined, workingDirectory: string): Promise<string | undefined> {
  const text = file === undefined ? undefined : await readText(file, workingDirectory);
  return text === undefined ? undefined : slugOfDocument(text);
}

async function writeDown(
  session: Session,
  { slug, options, world }: { readonly slug: string; readonly options: ExportOptions; readonly world: World },
): Promise<Answer> {
  const { id } = await findTenant(session, slug);
  const configuration = await readConfiguration(session.context, id);
  const logo = configuration.brand.has('logo') ? await readLogo(session.house.database.tenant(id)) : undefined;
  const { document, text } = writeTenantDocument({ slug, configuration, logo: logo?.body });
  if (options.file === undefined) return { json: { tenant: slug, document }, text: text.trimEnd() };
  const path = resolve(world.workingDirectory, options.file);
  // Whole or not at all: a file that is half an export would be half a tenant.
  await writeFile(`${path}.part`, text, { mode: 0o644 });
  await rename(`${path}.part`, path);
  return { json: { tenant: slug, file: options.file, document }, text: `tenant ${slug} written to ${options.file}` };
}
