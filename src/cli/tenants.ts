/** `poort tenant …`: makes, lists, configures, suspends and resumes tenants. */
import type { Command } from 'commander';
import { PEOPLE_SETTINGS, peopleSettingsOf } from '#src/domain/people_settings.ts';
import { PROTOCOL_FEATURES, protocolFeaturesOf } from '#src/domain/protocol_features.ts';
import { issuerOf } from '#src/domain/tenant.ts';
import {
  type ParsedTenantSetting,
  parseTenantSetting,
  readTenantSettings,
  type TenantSettingChange,
} from '#src/domain/tenant_settings.ts';
import {
  type CreateTenantOutcome,
  changeTenantStatus,
  configureTenant,
  createTenant,
} from '#src/flows/manage_tenants.ts';
import { listTenants, type TenantRow } from '#src/storage/tables/tenants.ts';
import { type Answer, CommandRefused, described, table, WrongUsage } from './answers.ts';
import { answering, findTenant, group, repeatable } from './options.ts';
import type { CommonOptions, Runner, Session } from './runner.ts';

export function addTenantCommands(program: Command, runner: Runner): void {
  const tenant = group(program, 'tenant', 'make, list, configure, suspend and resume tenants');

  answering(tenant.command('create <slug>').description('make a tenant with its keys and built-in roles'), [
    'tenant create acme --name "Acme Ltd"',
    'tenant create acme --name "Acme Ltd" --json',
  ])
    .requiredOption('--name <name>', 'what people see')
    .action((slug: string, options: CommonOptions & { readonly name: string }) =>
      runner.withHouse(options, (session) => create(session, { slug, name: options.name })),
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
}

function readSetting(text: string): TenantSettingChange {
  const parsed = parseTenantSetting(text);
  if (parsed.outcome === 'valid') return parsed.change;
  const reason = parsed.reason === 'value' ? `set it to ${parsed.expected}` : settingRefusals[parsed.reason];
  throw new WrongUsage(`--set ${text}: ${reason}`);
}

type SettingRefusal = Exclude<Extract<ParsedTenantSetting, { outcome: 'invalid' }>['reason'], 'value'>;

const settingRefusals: Readonly<Record<SettingRefusal, string>> = {
  syntax: 'a setting is written name=value',
  unknown_setting: `a tenant can set ${[...PROTOCOL_FEATURES.map((feature) => `protocol.${feature}`), ...PEOPLE_SETTINGS].join(', ')}`,
};

async function configure(
  session: Session,
  { slug, changes }: { readonly slug: string; readonly changes: readonly TenantSettingChange[] },
): Promise<Answer> {
  const { id } = await findTenant(session, slug);
  const { outcome } = await configureTenant(session.context, { id, changes });
  const shown = presentTenant(session, await findTenant(session, slug));
  const changed = outcome === 'changed';
  const title = changed ? `tenant ${slug} configured` : `tenant ${slug} was so already`;
  return { json: { ...shown, changed }, text: describeTenant(title, shown) };
}

async function create(session: Session, input: { readonly slug: string; readonly name: string }): Promise<Answer> {
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
  { slug, status }: { readonly slug: string; readonly status: TenantRow['status'] },
): Promise<Answer> {
  const tenant = await findTenant(session, slug);
  const { outcome } = await changeTenantStatus(session.context, { id: tenant.id, status });
  const changed = outcome === 'changed';
  const json = { ...presentTenant(session, { ...tenant, status }), changed };
  return { json, text: `tenant ${slug} is ${changed ? '' : 'already '}${status}` };
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
    created_at: tenant.created_at.toISOString(),
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
    id: tenant.id,
  });
}
