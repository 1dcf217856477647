/** `poort api …`: the resource servers (RFC 8707) that tokens of a tenant can be made for. */
import { type Command, Option } from 'commander';
import { addDetailsType } from '#src/flows/access/manage_authorization_details.ts';
import { changeApiStatus, createApi } from '#src/flows/clients/manage_clients.ts';
import { type ApiListRow, listApis } from '#src/storage/tables/apis.ts';
import { type Answer, CommandRefused, described, table } from './answers.ts';
import { answering, findTenant, group, repeatable, type TenantOptions, tenantOption } from './options.ts';
import type { Runner, Session } from './runner.ts';

interface CreateOptions extends TenantOptions {
  readonly audience: string;
  readonly scope?: readonly string[];
  readonly tokenFormat?: string;
  readonly signingAlg?: string;
}

interface AddDetailsOptions extends TenantOptions {
  readonly audience: string;
  readonly type: string;
  readonly sentence: string;
}

export function addApiCommands(program: Command, runner: Runner): void {
  const api = group(program, 'api', 'APIs that tokens of a tenant can be made for');

  answering(api.command('create').description('register an API'), [
    'api create --tenant acme --audience https://api.example.org/readings --scope "readings:read=See your readings"',
    'api create --tenant acme --audience urn:acme:invoices --token-format opaque --json',
  ])
    .addOption(tenantOption())
    .requiredOption('--audience <uri>', 'what clients name as resource and tokens as aud; compared byte for byte')
    .addOption(repeatable('--scope <name=description>', 'a scope, with the sentence people read on the consent page'))
    .addOption(new Option('--token-format <format>', 'jwt unless given').choices(['jwt', 'opaque']))
    .addOption(
      new Option('--signing-alg <algorithm>', 'of its JWTs; ES256 unless given').choices(['ES256', 'RS256', 'EdDSA']),
    )
    .action((options: CreateOptions) => runner.withHouse(options, (session) => create(session, options)));

  answering(
    api.command('add-details').description('let applications ask people for something beyond scopes (RFC 9396)'),
    [
      'api add-details --tenant acme --audience urn:acme:payments --type payment --sentence "Pay {amount} {currency} to {creditor}"',
    ],
  )
    .addOption(tenantOption())
    .requiredOption('--audience <uri>', 'the API')
    .requiredOption('--type <type>', 'what applications name it by')
    .requiredOption('--sentence <sentence>', 'what people read; its {fields} are what a request must hold')
    .action((options: AddDetailsOptions) => runner.withHouse(options, (session) => addDetails(session, options)));

  answering(api.command('list').description('list the APIs of a tenant'), ['api list --tenant acme'])
    .addOption(tenantOption())
    .action((options: TenantOptions) => runner.withHouse(options, (session) => list(session, options)));

  type OfApi = TenantOptions & { readonly audience: string };
  answering(api.command('disable').description('make no tokens for an API, and let none of those it has be active'), [
    'api disable --tenant acme --audience https://api.example.org/readings',
  ])
    .addOption(tenantOption())
    .requiredOption('--audience <uri>', 'of the API')
    .action((options: OfApi) =>
      runner.withHouse(options, (session) => change(session, { ...options, status: 'disabled' })),
    );

  answering(api.command('enable').description('serve a disabled API again'), [
    'api enable --tenant acme --audience https://api.example.org/readings',
  ])
    .addOption(tenantOption())
    .requiredOption('--audience <uri>', 'of the API')
    .action((options: OfApi) =>
      runner.withHouse(options, (session) => change(session, { ...options, status: 'active' })),
    );
}

async function change(
  session: Session,
  { tenant: slug, audience, status }: TenantOptions & Pick<ApiListRow, 'audience' | 'status'>,
): Promise<Answer> {
  const tenant = await findTenant(session, slug);
  const { outcome } = await changeApiStatus(session.context, { tenantId: tenant.id, audience, status });
  const found = await session.house.database
    .tenant(tenant.id)
    .transaction((transaction) => listApis(transaction, tenant.id));
  if (!found.some((api) => api.audience === audience))
    throw new CommandRefused('unknown_api', `${tenant.slug} has no API with that audience`);
  const changed = outcome === 'changed';
  return { json: { audience, status, changed }, text: `api ${audience} is ${changed ? '' : 'already '}${status}` };
}

async function create(session: Session, options: CreateOptions): Promise<Answer> {
  const tenant = await findTenant(session, options.tenant);
  const { audience, scope: scopes, tokenFormat, signingAlg } = options;
  const created = await createApi(session.context, {
    tenantId: tenant.id,
    api: { audience, scopes, tokenFormat, signingAlg },
  });
  if (created.outcome === 'taken')
    throw new CommandRefused('audience_taken', 'there is an API with that audience already');
  if (created.outcome === 'refused') {
    const problems = created.problems.map(({ field, problem }) => `${field}: ${problem.replaceAll('_', ' ')}`);
    throw new CommandRefused('invalid_api', problems.join('; '));
  }
  const { api } = created;
  const shown = presentApi({ ...api, token_format: api.tokenFormat, signing_alg: api.signingAlg });
  const text = described(`api ${shown.audience} created`, {
    'token format': shown.token_format,
    'signed with': shown.token_format === 'jwt' ? shown.signing_alg : undefined,
    scopes: api.scopes.map(({ name, description }) => (description === '' ? name : `${name}  ${description}`)),
  });
  return { json: { ...shown, tenant: tenant.slug }, text };
}

async function addDetails(session: Session, options: AddDetailsOptions): Promise<Answer> {
  const tenant = await findTenant(session, options.tenant);
  const { audience, type, sentence } = options;
  const added = await addDetailsType(session.context, { tenantId: tenant.id, type: { audience, type, sentence } });
  if (added.outcome === 'unknown_api')
    throw new CommandRefused('unknown_api', `the tenant has no API ${JSON.stringify(audience)}`);
  if (added.outcome === 'taken') throw new CommandRefused('type_taken', 'the tenant has that type already');
  if (added.outcome === 'refused')
    throw new CommandRefused('invalid_details', `${added.field}: ${added.problem.replaceAll('_', ' ')}`);
  const text = described(`authorization details ${type} added`, { API: audience, 'people read': sentence });
  return { json: { tenant: tenant.slug, audience, type, sentence }, text };
}

async function list(session: Session, options: TenantOptions): Promise<Answer> {
  const tenant = await findTenant(session, options.tenant);
  const found = await session.house.database
    .tenant(tenant.id)
    .transaction((transaction) => listApis(transaction, tenant.id));
  const apis = found.map((api) => ({ ...presentApi(api), status: api.status }));
  const rows = apis.map(({ audience, token_format, status, scopes }) => [
    audience,
    token_format,
    status,
    scopes.join(' '),
  ]);
  return {
    json: { apis },
    text: table(['AUDIENCE', 'FORMAT', 'STATUS', 'SCOPES'], rows, `${tenant.slug} has no APIs yet.`),
  };
}

interface ShownApi {
  readonly audience: string;
  readonly token_format: string;
  readonly signing_alg: string;
  readonly scopes: readonly { readonly name: string; readonly description: string }[];
}

function presentApi({ audience, token_format, signing_alg, scopes }: ShownApi) {
  return {
    audience,
    token_format,
    signing_alg,
    scopes: scopes.map(({ name }) => name),
    scope_descriptions: Object.fromEntries(scopes.map(({ name, description }) => [name, description])),
  };
}
