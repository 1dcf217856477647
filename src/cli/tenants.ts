/** `poort tenant …`: makes, lists, changes, configures, brands, suspends and resumes tenants, and ends them. */
import { readFile, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { MAXIMUM_LOGO_BYTES } from '#src/domain/logo.ts';
import { peopleSettingsOf } from '#src/domain/people_settings.ts';
import { PROTOCOL_FEATURES, protocolFeaturesOf } from '#src/domain/protocol_features.ts';
import { issuerOf } from '#src/domain/tenant.ts';
import { lifetimeSettingsOf, lifetimesIn } from '#src/domain/tenant_lifetimes.ts';
import {
  type ParsedTenantSetting,
  parseTenantSetting,
  readTenantSettings,
  TENANT_SETTINGS,
  type TenantSettingChange,
} from '#src/domain/tenant_settings.ts';
import { eraseEndedTenants, requestTenantDeletion, withdrawTenantDeletion } from '#src/flows/tenants/delete_tenant.ts';
import { type BrandChange, type BrandOutcome, brandTenant } from '#src/flows/tenants/manage_branding.ts';
import {
  type CreateTenantOutcome,
  changeTenantStatus,
  configureTenant,
  createTenant,
  type SettingFault,
} from '#src/flows/tenants/manage_tenants.ts';
import { listTenants, type TenantRow } from '#src/storage/tables/tenants.ts';
import { type Answer, CommandRefused, described, table, WrongUsage } from './answers.ts';
import { answering, findTenant, group, repeatable } from './options.ts';
import type { CommonOptions, Runner, Session } from './runner.ts';

export function addTenantCommands(program: Command, runner: Runner): void {
  const tenant = group(
    program,
    'tenant',
    'make, list, change, configure, brand, suspend and resume tenants, and end them',
  );

  answering(tenant.command('create <slug>').description('make a tenant with its keys and built-in roles'), [
    'tenant create acme --name "Acme Ltd"',
    'tenant create acme --name "Acme Ltd" --json',
  ])
    .requiredOption('--name <name>', 'what people see')
    .addOption(localeOption())
    .action((slug: string, options: CommonOptions & { readonly name: string; readonly locale?: Locale }) =>
      runner.withHouse(options, (session) => create(session, { slug, name: options.name, locale: options.locale })),
    );

  answering(tenant.command('list').description('list all tenants'), ['tenant list']).action((options: CommonOptions) =>
    runner.withHouse(options, list),
  );

  answering(tenant.command('show <slug>').description('show one tenant'), ['tenant show acme']).action(
    (slug: string, options: CommonOptions) =>
      runner.withHouse(options, async (session) => {
        const shown = presentTenant(session, await findTenant(session, slug));
        return { json: shown, text: describeTenant(`tenant ${shown.slug}`, shown) };
      }),
  );

  answering(tenant.command('update <slug>').description('change what a tenant is called, or its language'), [
    'tenant update acme --name "Acme Holding"',
  ])
    .option('--name <name>', 'what people see')
    .addOption(localeOption())
    .action((slug: string, options: CommonOptions & { readonly name?: string; readonly locale?: Locale }) =>
      runner.run(options, async () => {
        const { name, locale } = options;
        if (name === undefined && locale === undefined) throw new WrongUsage('say what to change: --name or --locale');
        await runner.withHouse(options, (session) => update(session, { slug, changes: { name, locale } }));
        return undefined;
      }),
    );

  answering(
    tenant.command('configure <slug>').description('say for one tenant what the installation says for all of them'),
    ['tenant configure acme --set protocol.jarm=on', 'tenant configure acme --set protocol.jarm=default'],
  )
    .addOption(
      repeatable(
        '--set <name=value>',
        'a setting, by its name in config/default.yaml: on, off or default',
      ).makeOptionMandatory(),
    )
    .action((slug: string, options: CommonOptions & { readonly set: readonly string[] }) =>
      runner.run(options, async () => {
        const changes = options.set.map(readSetting);
        await runner.withHouse(options, (session) => configure(session, { slug, changes }));
        return undefined;
      }),
    );

  answering(
    tenant.command('brand <slug>').description('give the pages and mails of a tenant its colour and its logo'),
    ['tenant brand acme --color "#7a1fa2" --logo acme.png --logo-alt "Acme"', 'tenant brand acme --clear'],
  )
    .option('--color <#rrggbb>', 'of links and buttons; made darker or lighter where it could not be read')
    .option('--logo <file>', 'a PNG or WebP of at most 200 KiB')
    .option('--logo-alt <text>', 'said instead of the logo, where the name of the tenant does not say it')
    .option('--clear', 'take back what was set before')
    .action((slug: string, options: CommonOptions & BrandOptions) =>
      runner.run(options, async () => {
        const { color, logoAlt, clear } = options;
        const logo = await readLogoFile(options.logo, runner.world.workingDirectory);
        const change = { color, logo, logoAlt, clear };
        if (Object.values(change).every((wish) => wish === undefined))
          throw new WrongUsage('say what to change: --color, --logo, --logo-alt or --clear');
        await runner.withHouse(options, (session) => brand(session, { slug, change }));
        return undefined;
      }),
    );

  answering(tenant.command('suspend <slug>').description('refuse every request of a tenant until it is resumed'), [
    'tenant suspend acme',
  ]).action((slug: string, options: CommonOptions) =>
    runner.withHouse(options, (session) => change(session, { slug, status: 'suspended' })),
  );

  answering(tenant.command('resume <slug>').description('serve a suspended tenant again'), [
    'tenant resume acme',
  ]).action((slug: string, options: CommonOptions) =>
    runner.withHouse(options, (session) => change(session, { slug, status: 'active' })),
  );

  answering(
    tenant
      .command('delete <slug>')
      .description(
        'refuse every request of a tenant, and erase it with all it has when the delay of the settings is over',
      ),
    ['tenant delete acme --confirm acme', 'tenant delete acme --confirm acme --at-once'],
  )
    .requiredOption('--confirm <slug>', 'the slug once more')
    .option('--at-once', 'erase it now: nothing can be had back')
    .action((slug: string, options: CommonOptions & { readonly confirm: string; readonly atOnce?: boolean }) =>
      runner.run(options, async () => {
        if (options.confirm !== slug) throw new WrongUsage('--confirm has to repeat the slug');
        const atOnce = options.atOnce === true;
        const progress = options.json === true ? undefined : progressOn(runner.world.errors);
        await runner.withHouse(options, (session) => remove(session, { slug, atOnce, progress }));
        return undefined;
      }),
    );

  answering(tenant.command('restore <slug>').description('have back a tenant that is to be deleted, as it was'), [
    'tenant restore acme',
  ]).action((slug: string, options: CommonOptions) => runner.withHouse(options, (session) => restore(session, slug)));
}

type Locale = TenantRow['locale'];

function localeOption(): Option {
  return new Option('--locale <language>', 'of whoever has not chosen one').choices(['nl', 'en'] satisfies Locale[]);
}

interface BrandOptions {
  readonly color?: string;
  readonly logo?: string;
  readonly logoAlt?: string;
  readonly clear?: boolean;
}

/** No more of it than a logo may have: what it is, its bytes will tell. */
async function readLogoFile(file: string | undefined, workingDirectory: string): Promise<Buffer | undefined> {
  if (file === undefined) return undefined;
  const path = resolve(workingDirectory, file);
  const size = await stat(path).then(
    (found) => (found.isFile() ? found.size : undefined),
    () => undefined,
  );
  if (size === undefined)
    throw new CommandRefused('unreadable_file', `the file ${JSON.stringify(file)} cannot be read`);
  if (size > MAXIMUM_LOGO_BYTES) throw new CommandRefused('logo_too_large', brandRefusals.logo_too_large);
  return readFile(path);
}

async function brand(
  session: Session,
  { slug, change }: { readonly slug: string; readonly change: BrandChange },
): Promise<Answer> {
  const { id } = await findTenant(session, slug);
  const branded = await brandTenant(session.context, { id, change });
  if (branded.outcome === 'refused') throw new CommandRefused(branded.reason, brandRefusals[branded.reason]);
  const { brand: shown, correctedColor } = branded;
  const { logo } = shown;
  return {
    json: {
      tenant: slug,
      color: shown.color ?? null,
      color_shown: correctedColor ?? shown.color ?? null,
      logo:
        logo === undefined ? null : { version: logo.version, width: logo.width, height: logo.height, alt: logo.alt },
    },
    text: described(`tenant ${slug} branded`, {
      color: shown.color ?? 'of the house',
      'shown as': correctedColor === undefined ? undefined : `${correctedColor}, so that it can be read`,
      logo: logo === undefined ? 'none' : `${logo.width} x ${logo.height}`,
      'said instead': logo === undefined || logo.alt === '' ? undefined : logo.alt,
    }),
  };
}

const brandRefusals: Readonly<Record<Extract<BrandOutcome, { outcome: 'refused' }>['reason'], string>> = {
  color: 'a colour is written #rrggbb',
  logo_alt: 'what is said instead of a logo is one line of at most 120 characters',
  no_logo: 'there is no logo to say something instead of',
  logo_too_large: 'a logo has at most 200 KiB',
  logo_not_png_or_webp: 'a logo is a PNG or a WebP; an SVG can hold a program',
  logo_damaged: 'the picture is damaged',
  logo_animated: 'a logo does not move',
  logo_dimensions: 'a logo is 16 to 2000 pixels wide and high',
};

function readSetting(text: string): TenantSettingChange {
  const parsed = parseTenantSetting(text);
  if (parsed.outcome === 'valid') return parsed.change;
  const reason = parsed.reason === 'value' ? `set it to ${parsed.expected}` : settingRefusals[parsed.reason];
  throw new WrongUsage(`--set ${text}: ${reason}`);
}

type SettingRefusal = Exclude<Extract<ParsedTenantSetting, { outcome: 'invalid' }>['reason'], 'value'>;

const settingRefusals: Readonly<Record<SettingRefusal, string>> = {
  syntax: 'a setting is written name=value',
  unknown_setting: `a tenant can set ${TENANT_SETTINGS.join(', ')}`,
};

async function configure(
  session: Session,
  { slug, changes }: { readonly slug: string; readonly changes: readonly TenantSettingChange[] },
): Promise<Answer> {
  const { id } = await findTenant(session, slug);
  const { lifetimes } = session.config;
  const configured = await configureTenant(session.context, { id, changes, lifetimes });
  if (configured.outcome === 'refused')
    throw new CommandRefused('invalid_setting', configured.faults.map(describeFault).join('; '));
  const { outcome } = configured;
  const shown = presentTenant(session, await findTenant(session, slug));
  const changed = outcome === 'changed';
  const title = changed ? `tenant ${slug} configured` : `tenant ${slug} was so already`;
  return { json: { ...shown, changed }, text: describeTenant(title, shown) };
}

function describeFault(fault: SettingFault): string {
  if (fault.problem !== 'beyond_the_installation') return `${fault.name}: ${fault.problem.replaceAll('_', ' ')}`;
  return `${fault.name}: a tenant is stricter than the installation, which says ${fault.maximum}`;
}

async function update(
  session: Session,
  {
    slug,
    changes,
  }: {
    readonly slug: string;
    readonly changes: { readonly name: string | undefined; readonly locale: Locale | undefined };
  },
): Promise<Answer> {
  const { id } = await findTenant(session, slug);
  const changed = await configureTenant(session.context, { id, changes: [], ...changes });
  if (changed.outcome === 'refused') throw new CommandRefused('name', refusals.name);
  const shown = presentTenant(session, await findTenant(session, slug));
  const title = changed.outcome === 'changed' ? `tenant ${slug} changed` : `tenant ${slug} was so already`;
  return { json: { ...shown, changed: changed.outcome === 'changed' }, text: describeTenant(title, shown) };
}

async function remove(
  session: Session,
  {
    slug,
    atOnce,
    progress,
  }: { readonly slug: string; readonly atOnce: boolean; readonly progress: Progress | undefined },
): Promise<Answer> {
  const tenant = await findTenant(session, slug);
  const { id } = tenant;
  const delayDays = atOnce ? 0 : session.config.tenants.deletionDelayDays;
  const requested = await requestTenantDeletion(session.context, { id, delayDays });
  if (requested.outcome === 'refused') throw new CommandRefused(requested.reason, endRefusals[requested.reason]);
  if (requested.outcome === 'unknown') throw new CommandRefused('unknown_tenant', 'the tenant is gone already');
  if (requested.dueAt > session.context.clock()) {
    const dueAt = requested.dueAt.toISOString();
    const json = { ...presentTenant(session, await findTenant(session, slug)), deleted: false };
    const text = `tenant ${slug} is shut; it goes for good on ${dueAt}. Until then: poort tenant restore ${slug}`;
    return { json, text };
  }
  // Whatever else is due goes too: what is asked for here is not held up by it, or holds it up.
  const erased = await eraseEndedTenants(session.context, { onProgress: progress });
  const json = { id, slug, deleted: true, erased_rows: erased };
  return { json, text: `tenant ${slug} is deleted: ${erased} rows erased` };
}

async function restore(session: Session, slug: string): Promise<Answer> {
  const { id } = await findTenant(session, slug);
  const { outcome } = await withdrawTenantDeletion(session.context, { id });
  if (outcome !== 'withdrawn') throw new CommandRefused('not_deleting', `tenant ${slug} is not about to be deleted`);
  const shown = presentTenant(session, await findTenant(session, slug));
  return { json: { ...shown, changed: true }, text: `tenant ${slug} stays, and is ${shown.status}` };
}

const endRefusals = {
  home_of_operators: 'operators are at home there: poort operator remove takes them away first',
} as const;

type Progress = (erasedRows: number) => void;

function progressOn(errors: { write(text: string): unknown }): Progress {
  return (erasedRows) => void errors.write(`poort: ${erasedRows} rows erased\n`);
}

async function create(
  session: Session,
  input: { readonly slug: string; readonly name: string; readonly locale?: Locale | undefined },
): Promise<Answer> {
  const created = await createTenant(session.context, input);
  if (created.outcome === 'refused') throw new CommandRefused(created.reason, refusals[created.reason]);
  const shown = presentTenant(session, await findTenant(session, created.slug));
  return { json: shown, text: describeTenant(`tenant ${shown.slug} created`, shown) };
}

const refusals: Readonly<Record<Extract<CreateTenantOutcome, { outcome: 'refused' }>['reason'], string>> = {
  slug_syntax: 'a slug is made of a-z, 0-9 and single hyphens inside',
  slug_too_long: 'a slug has at most 40 characters',
  slug_reserved: 'that slug is reserved',
  slug_taken: 'there is a tenant with that slug already',
  name: 'a name has 1 to 100 characters and no control characters',
};

async function list(session: Session): Promise<Answer> {
  const tenants = (await listTenants(session.house.database)).map((tenant) => presentTenant(session, tenant));
  const rows = tenants.map(({ slug, name, status, issuer }) => [slug, name, status, issuer]);
  const none = 'There is no tenant yet. Make one: poort tenant create <slug> --name <name>';
  return { json: { tenants }, text: table(['SLUG', 'NAME', 'STATUS', 'ISSUER'], rows, none) };
}

async function change(
  session: Session,
  { slug, status }: { readonly slug: string; readonly status: 'active' | 'suspended' },
): Promise<Answer> {
  const tenant = await findTenant(session, slug);
  const { outcome } = await changeTenantStatus(session.context, { id: tenant.id, status });
  const changed = outcome === 'changed';
  const shown = presentTenant(session, await findTenant(session, slug));
  return { json: { ...shown, changed }, text: `tenant ${slug} is ${changed ? '' : 'already '}${shown.status}` };
}

function presentTenant({ config }: Pick<Session, 'config'>, tenant: TenantRow) {
  const own = readTenantSettings(tenant.settings);
  return {
    id: tenant.id,
    slug: tenant.slug,
    name: tenant.name,
    status: tenant.status,
    issuer: issuerOf(tenant, config.http.publicUrl),
    domain: tenant.domain,
    locale: tenant.locale,
    protocol: protocolFeaturesOf(config.protocol, own.protocol),
    people: peopleSettingsOf(config.people, own.people),
    lifetimes: lifetimeSettingsOf(lifetimesIn(config.lifetimes, own.lifetimes)),
    created_at: tenant.created_at.toISOString(),
    deletion_due_at: tenant.deletion_due_at?.toISOString() ?? null,
  };
}

function describeTenant(title: string, tenant: ReturnType<typeof presentTenant>): string {
  return described(title, {
    name: tenant.name,
    status: tenant.status,
    issuer: tenant.issuer,
    discovery: `${tenant.issuer}/.well-known/openid-configuration`,
    domain: tenant.domain ?? undefined,
    protocol: PROTOCOL_FEATURES.filter((feature) => tenant.protocol[feature]).join(' '),
    registration: tenant.people['people.registration'],
    'second factor': tenant.people['second_factor.policy'],
    created: tenant.created_at,
    'gone for good': tenant.deletion_due_at ?? undefined,
    id: tenant.id,
  });
}
