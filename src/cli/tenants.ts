/** `poort tenant …`: makes, lists, suspends and resumes tenants. */
import type { Command } from 'commander';
import { issuerOf } from '#src/domain/tenant.ts';
import { type CreateTenantOutcome, changeTenantStatus, createTenant } from '#src/flows/manage_tenants.ts';
import { listTenants, type TenantRow } from '#src/storage/tables/tenants.ts';
import { type Answer, CommandRefused, described, table } from './answers.ts';
import { answering, findTenant, group } from './options.ts';
import type { CommonOptions, Runner, Session } from './runner.ts';

export function addTenantCommands(program: Command, runner: Runner): void {
  const tenant = group(program, 'tenant', 'make, list, suspend and resume tenants');

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
  return {
    id: tenant.id,
    slug: tenant.slug,
    name: tenant.name,
    status: tenant.status,
    issuer: issuerOf(tenant, config.http.publicUrl),
    domain: tenant.domain,
    locale: tenant.locale,
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
    created: tenant.created_at,
    id: tenant.id,
  });
}
