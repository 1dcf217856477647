/** `poort client …`: the applications, devices, machines and APIs of a tenant. A secret is printed once, when it is made. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { CLIENT_TYPES, type ClientProblem, parseClientId } from '#src/domain/client.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import { createClient, disableClient, rotateClientSecret } from '#src/flows/manage_clients.ts';
import { type ClientListRow, findClient, listClients } from '#src/storage/tables/clients.ts';
import { type Answer, CommandRefused, described, table, WrongUsage } from './answers.ts';
import { answering, findTenant, group, repeatable, type TenantOptions, tenantOption } from './options.ts';
import type { Runner, Session } from './runner.ts';

interface CreateOptions extends TenantOptions {
  readonly name: string;
  readonly type: string;
  readonly redirectUri?: readonly string[];
  readonly postLogoutRedirectUri?: readonly string[];
  readonly backchannelLogoutUri?: string;
  readonly scope?: readonly string[];
  readonly audience?: readonly string[];
  readonly jwksFile?: string;
  readonly firstParty?: boolean;
}

interface OneClientOptions extends TenantOptions {
  readonly clientId?: string;
}

export function addClientCommands(program: Command, runner: Runner): void {
  const client = group(program, 'client', 'applications, devices, machines and APIs of a tenant');

  answering(client.command('create').description('register a client; prints its secret this once'), [
    'client create --tenant acme --name Shop --type web --redirect-uri https://shop.example.org/callback --first-party',
    'client create --tenant acme --name Importer --type machine --scope readings:write --json',
    'client create --tenant acme --name "Readings API" --type resource_server --audience https://api.example.org/readings',
  ])
    .addOption(tenantOption())
    .requiredOption('--name <name>', 'what people see on the consent page')
    .addOption(new Option('--type <type>', 'what it is').choices(CLIENT_TYPES).makeOptionMandatory())
    .addOption(repeatable('--redirect-uri <uri>', 'where people are sent back to, compared byte for byte'))
    .addOption(repeatable('--post-logout-redirect-uri <uri>', 'where people may be sent after logout'))
    .option('--backchannel-logout-uri <uri>', 'where logout tokens are posted')
    .addOption(repeatable('--scope <scope>', 'a scope it may ask for, beside those of its type'))
    .addOption(
      repeatable('--audience <uri>', 'an API that a resource_server stands for; without one every API of the tenant'),
    )
    .option('--jwks-file <file>', 'its public keys as a JSON Web Key Set: it signs instead of having a secret')
    .option('--first-party', 'ours: people are not asked for consent')
    .action((options: CreateOptions) =>
      runner.run(options, async () => {
        const jwks = await readJwks(options.jwksFile, runner.world.workingDirectory);
        await runner.withHouse(options, (session) => create(session, { options, jwks }));
        return undefined;
      }),
    );

  answering(client.command('list').description('list the clients of a tenant'), ['client list --tenant acme'])
    .addOption(tenantOption())
    .action((options: TenantOptions) => runner.withHouse(options, (session) => list(session, options)));

  answering(oneClient(client, 'show').description('show one client; never its secrets'), [
    'client show --tenant acme Zk3vR0m1T6yq0c5n2b7x4A',
  ]).action((clientId: string | undefined, options: OneClientOptions) =>
    withClient(runner, { clientId, options }, async (_session, { client: found }) => {
      const shown = presentClient(found);
      return { json: shown, text: describeClient(`client ${shown.client_id}`, shown) };
    }),
  );

  answering(
    oneClient(client, 'rotate-secret').description(
      'make a new secret; the one before it stays valid until the next time',
    ),
    ['client rotate-secret --tenant acme Zk3vR0m1T6yq0c5n2b7x4A'],
  ).action((clientId: string | undefined, options: OneClientOptions) =>
    withClient(runner, { clientId, options }, rotate),
  );

  answering(oneClient(client, 'disable').description('end a client: its tokens are dead within a second'), [
    'client disable --tenant acme Zk3vR0m1T6yq0c5n2b7x4A',
  ]).action((clientId: string | undefined, options: OneClientOptions) =>
    withClient(runner, { clientId, options }, disable),
  );
}

function oneClient(parent: Command, name: string): Command {
  return parent
    .command(name)
    .argument('[client_id]', 'which client')
    .addOption(tenantOption())
    .option('--client-id <client_id>', 'the same, as an option');
}

async function readJwks(file: string | undefined, workingDirectory: string): Promise<unknown> {
  if (file === undefined) return undefined;
  const text = await readFile(resolve(workingDirectory, file), 'utf8').catch(() => {
    throw new WrongUsage(`the file ${file} cannot be read`);
  });
  try {
    const jwks: unknown = JSON.parse(text);
    return jwks;
  } catch {
    throw new CommandRefused('invalid_client', `the file ${file} is not JSON`);
  }
}

async function create(
  session: Session,
  { options, jwks }: { readonly options: CreateOptions; readonly jwks: unknown },
): Promise<Answer> {
  const tenant = await findTenant(session, options.tenant);
  const created = await createClient(session.context, {
    tenantId: tenant.id,
    client: {
      name: options.name,
      type: options.type,
      redirectUris: options.redirectUri,
      postLogoutRedirectUris: options.postLogoutRedirectUri,
      backchannelLogoutUri: options.backchannelLogoutUri,
      scopes: options.scope,
      audiences: options.audience,
      firstParty: options.firstParty,
      jwks,
    },
  });
  if (created.outcome === 'refused') {
    throw new CommandRefused('invalid_client', created.problems.map(describeProblem).join('; '));
  }
  const { clientId, clientSecret } = created;
  const shown = presentClient(await findOne(session, { tenantId: tenant.id, clientId }));
  const { client_id, ...others } = shown;
  const json = {
    client_id,
    ...(clientSecret !== undefined && { client_secret: clientSecret }),
    tenant: tenant.slug,
    ...others,
  };
  const text = describeClient(`client ${client_id} created`, shown, clientSecret);
  return { json, text: clientSecret === undefined ? text : `${text}\n${secretNotice}` };
}

const secretNotice = 'The secret is shown this once: keep it where your application keeps its secrets.';

function describeProblem({ field, problem, value }: ClientProblem): string {
  return `${field}: ${problem.replaceAll('_', ' ')}${value === undefined ? '' : ` (${JSON.stringify(value)})`}`;
}

async function list(session: Session, options: TenantOptions): Promise<Answer> {
  const tenant = await findTenant(session, options.tenant);
  const found = await session.house.database
    .tenant(tenant.id)
    .transaction((transaction) => listClients(transaction, tenant.id));
  const clients = found.map(presentClient);
  const rows = clients.map(({ client_id, name, type, status }) => [client_id, name, type, status]);
  const none = `${tenant.slug} has no clients yet.`;
  return { json: { clients }, text: table(['CLIENT_ID', 'NAME', 'TYPE', 'STATUS'], rows, none) };
}

interface FoundClient {
  readonly tenantId: TenantId;
  readonly client: ClientListRow;
}

function withClient(
  runner: Runner,
  { clientId, options }: { readonly clientId: string | undefined; readonly options: OneClientOptions },
  act: (session: Session, found: FoundClient) => Promise<Answer>,
): Promise<void> {
  return runner.run(options, async () => {
    const named = clientId ?? options.clientId;
    if (named === undefined) throw new WrongUsage('name the client by its client_id');
    if (clientId !== undefined && options.clientId !== undefined && clientId !== options.clientId) {
      throw new WrongUsage('the argument and --client-id name two clients');
    }
    await runner.withHouse(options, async (session) => {
      const { id: tenantId } = await findTenant(session, options.tenant);
      return act(session, { tenantId, client: await findOne(session, { tenantId, clientId: named }) });
    });
    return undefined;
  });
}

async function findOne(
  { house }: Session,
  { tenantId, clientId }: { readonly tenantId: TenantId; readonly clientId: string },
): Promise<ClientListRow> {
  const parsed = parseClientId(clientId);
  const client =
    parsed === undefined
      ? undefined
      : await house.database
          .tenant(tenantId)
          .transaction((transaction) => findClient(transaction, { tenantId, clientId: parsed }));
  if (client !== undefined) return client;
  throw new CommandRefused('unknown_client', `the tenant has no client ${JSON.stringify(clientId)}`);
}

async function rotate({ context }: Session, { tenantId, client }: FoundClient): Promise<Answer> {
  const clientId = client.client_id;
  const rotated = await rotateClientSecret(context, { tenantId, clientId });
  if (rotated.outcome === 'refused') {
    const messages = {
      unknown_client: 'there is no such client',
      without_secret: `a client of this kind has no secret`,
    };
    throw new CommandRefused(rotated.reason, messages[rotated.reason]);
  }
  const json = { client_id: clientId, client_secret: rotated.clientSecret, live_secrets: rotated.liveSecrets };
  const facts = { client_secret: rotated.clientSecret, 'valid secrets': String(rotated.liveSecrets) };
  return { json, text: `${described(`client ${clientId} has a new secret`, facts)}\n${secretNotice}` };
}

async function disable({ context }: Session, { tenantId, client }: FoundClient): Promise<Answer> {
  const { outcome } = await disableClient(context, { tenantId, clientId: client.client_id });
  const changed = outcome === 'disabled';
  const json = { ...presentClient({ ...client, status: 'disabled' }), changed };
  return { json, text: `client ${client.client_id} is ${changed ? '' : 'already '}disabled` };
}

function presentClient(client: ClientListRow) {
  return {
    client_id: client.client_id,
    name: client.name,
    type: client.type,
    status: client.status,
    first_party: client.first_party,
    redirect_uris: client.redirect_uris,
    post_logout_redirect_uris: client.post_logout_redirect_uris,
    backchannel_logout_uri: client.backchannel_logout_uri,
    scopes: client.scopes,
    audiences: client.audiences,
    token_endpoint_auth_method: client.token_endpoint_auth_method,
    live_secrets: client.live_secrets,
    created_at: client.created_at.toISOString(),
  };
}

function describeClient(title: string, client: ReturnType<typeof presentClient>, clientSecret?: string): string {
  return described(title, {
    client_secret: clientSecret,
    name: client.name,
    type: `${client.type}${client.first_party ? ', first party' : ''}`,
    status: client.status,
    'redirect URIs': client.redirect_uris,
    'after logout': client.post_logout_redirect_uris,
    'back-channel logout': client.backchannel_logout_uri ?? undefined,
    scopes: client.scopes.join(' '),
    audiences: client.audiences,
    authenticates: client.token_endpoint_auth_method,
    'valid secrets': String(client.live_secrets),
    created: client.created_at,
  });
}
