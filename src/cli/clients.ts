/** `poort client …`: the applications, devices, machines and APIs of a tenant. A secret is printed once, when it is made. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import {
  CLIENT_TYPES,
  type ClientProblem,
  type ClientRequest,
  parseClientId,
  TOKEN_ENDPOINT_AUTH_METHODS,
} from '#src/domain/client.ts';
import { isClientSettingName } from '#src/domain/client_settings.ts';
import { type ProtocolFeatures, protocolFeaturesOf } from '#src/domain/protocol_features.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import { readTenantSettings } from '#src/domain/tenant_settings.ts';
import {
  type ClientChanges,
  createClient,
  disableClient,
  rotateClientSecret,
  updateClient,
} from '#src/flows/clients/manage_clients.ts';
import { type ClientListRow, findClient, listClients } from '#src/storage/tables/clients.ts';
import type { TenantRow } from '#src/storage/tables/tenants.ts';
import { type Answer, CommandRefused, described, table, WrongUsage } from './answers.ts';
import { answering, findTenant, group, repeatable, type TenantOptions, tenantOption } from './options.ts';
import { addRegistrationTokenCommand } from './registration_tokens.ts';
import type { Runner, Session } from './runner.ts';

/** What can be said about a client when it is made and later. */
interface ClientOptions {
  readonly redirectUri?: readonly string[];
  readonly postLogoutRedirectUri?: readonly string[];
  readonly backchannelLogoutUri?: string;
  readonly scope?: readonly string[];
  readonly audience?: readonly string[];
  readonly jwksFile?: string;
  readonly jwksUri?: string;
  readonly authMethod?: string;
  readonly dpopBound?: boolean;
  readonly requirePar?: boolean;
  readonly refreshGrace?: number;
  readonly allowedOrigin?: readonly string[];
  readonly exchangeFor?: readonly string[];
  readonly ciba?: boolean;
  readonly settingsFile?: string;
  readonly firstParty?: boolean;
}

interface CreateOptions extends TenantOptions, ClientOptions {
  readonly name: string;
  readonly type: string;
}

interface UpdateOptions extends OneClientOptions, ClientOptions {
  readonly name?: string;
  readonly unset?: readonly string[];
}

interface OneClientOptions extends TenantOptions {
  readonly clientId?: string;
}

export function addClientCommands(program: Command, runner: Runner): void {
  const client = group(program, 'client', 'applications, devices, machines and APIs of a tenant');

  answering(
    clientOptions(client.command('create').description('register a client; prints its secret this once'))
      .addOption(tenantOption())
      .requiredOption('--name <name>', 'what people see on the consent page')
      .addOption(new Option('--type <type>', 'what it is').choices(CLIENT_TYPES).makeOptionMandatory()),
    [
      'client create --tenant acme --name Shop --type web --redirect-uri https://shop.example.org/callback --first-party',
      'client create --tenant acme --name Importer --type machine --scope readings:write --json',
      'client create --tenant acme --name "Readings API" --type resource_server --audience https://api.example.org/readings',
    ],
  ).action((options: CreateOptions) =>
    runner.run(options, async () => {
      const files = await readFiles(options, runner.world.workingDirectory);
      await runner.withHouse(options, (session) => create(session, { options, files }));
      return undefined;
    }),
  );

  answering(
    clientOptions(
      oneClient(client, 'update').description('change a client; a list that is given replaces the one it has'),
    )
      .option('--name <name>', 'what people see on the consent page')
      .addOption(repeatable('--unset <setting>', 'take a setting back, by the name that `show` gives it')),
    [
      'client update --tenant acme Zk3vR0m1T6yq0c5n2b7x4A --dpop-bound --refresh-grace 0',
      'client update --tenant acme Zk3vR0m1T6yq0c5n2b7x4A --unset refresh_grace_seconds',
    ],
  ).action((clientId: string | undefined, options: UpdateOptions) =>
    runner.run(options, async () => {
      const files = await readFiles(options, runner.world.workingDirectory);
      await withClient(runner, { clientId, options }, (session, found) => update(session, { found, options, files }));
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

  addRegistrationTokenCommand(client, runner);

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

function clientOptions(command: Command): Command {
  return command
    .addOption(repeatable('--redirect-uri <uri>', 'where people are sent back to, compared byte for byte'))
    .addOption(repeatable('--post-logout-redirect-uri <uri>', 'where people may be sent after logout'))
    .option('--backchannel-logout-uri <uri>', 'where logout tokens are posted')
    .addOption(repeatable('--scope <scope>', 'a scope it may ask for, beside those of its type'))
    .addOption(
      repeatable('--audience <uri>', 'an API that a resource_server stands for; without one every API of the tenant'),
    )
    .option('--jwks-file <file>', 'its public keys as a JSON Web Key Set: it signs instead of having a secret')
    .option('--jwks-uri <uri>', 'where it publishes its keys, in place of the file')
    .addOption(
      new Option('--auth-method <method>', 'how it says who it is, where its type and keys leave a choice').choices(
        TOKEN_ENDPOINT_AUTH_METHODS,
      ),
    )
    .option('--dpop-bound', 'its tokens are bound to a key that it proves with every request (RFC 9449)')
    .option('--require-par', 'its authorization requests must be pushed (RFC 9126)')
    .addOption(
      new Option('--refresh-grace <seconds>', 'how long a used refresh token may be repeated, 0 to 60').argParser(
        readSeconds,
      ),
    )
    .addOption(repeatable('--exchange-for <uri>', 'an API it may go on to with a token it was called with (RFC 8693)'))
    .option('--ciba', 'it may ask people for an answer at another device, and polls for it (CIBA)')
    .addOption(repeatable('--allowed-origin <origin>', 'an origin it calls from, beside those of its redirect URIs'))
    .option(
      '--settings-file <file>',
      'further settings as a JSON object; docs/integration/client-settings.md lists them',
    )
    .option('--first-party', 'ours: people are not asked for consent');
}

function readSeconds(text: string): number {
  if (!/^\d{1,3}$/.test(text)) throw new InvalidArgumentError('It is a number of seconds.');
  return Number(text);
}

interface ClientFiles {
  readonly jwks: unknown;
  readonly settings: unknown;
}

async function readFiles({ jwksFile, settingsFile }: ClientOptions, workingDirectory: string): Promise<ClientFiles> {
  return {
    jwks: await readJson(jwksFile, workingDirectory),
    settings: await readJson(settingsFile, workingDirectory),
  };
}

async function readJson(file: string | undefined, workingDirectory: string): Promise<unknown> {
  if (file === undefined) return undefined;
  const text = await readFile(resolve(workingDirectory, file), 'utf8').catch(() => {
    throw new WrongUsage(`the file ${file} cannot be read`);
  });
  try {
    const content: unknown = JSON.parse(text);
    return content;
  } catch {
    throw new CommandRefused('invalid_client', `the file ${file} is not JSON`);
  }
}

/** What the options say, in the words of the flows. Settings of their own option stand above those of the file. */
function requestOf(
  options: ClientOptions,
  files: ClientFiles,
): Omit<ClientRequest, 'name' | 'type' | 'settings'> & Pick<ClientChanges, 'settings'> {
  const { settings = {} } = files;
  if (typeof settings !== 'object' || settings === null || Array.isArray(settings))
    throw new CommandRefused('invalid_client', 'the file with the settings does not hold an object');
  const own = {
    jwks_uri: options.jwksUri,
    dpop_bound_access_tokens: options.dpopBound,
    require_pushed_authorization_requests: options.requirePar,
    refresh_grace_seconds: options.refreshGrace,
    allowed_origins: options.allowedOrigin,
    token_exchange_audiences: options.exchangeFor,
    backchannel_token_delivery_mode: options.ciba === true ? 'poll' : undefined,
  };
  return {
    redirectUris: options.redirectUri,
    postLogoutRedirectUris: options.postLogoutRedirectUri,
    backchannelLogoutUri: options.backchannelLogoutUri,
    scopes: options.scope,
    audiences: options.audience,
    firstParty: options.firstParty,
    tokenEndpointAuthMethod: options.authMethod,
    jwks: files.jwks,
    settings: { ...settings, ...Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined)) },
  };
}

function protocolOf({ config }: Session, tenant: TenantRow): ProtocolFeatures {
  return protocolFeaturesOf(config.protocol, readTenantSettings(tenant.settings).protocol);
}

async function create(
  session: Session,
  { options, files }: { readonly options: CreateOptions; readonly files: ClientFiles },
): Promise<Answer> {
  const tenant = await findTenant(session, options.tenant);
  const client = { ...requestOf(options, files), name: options.name, type: options.type };
  const created = await createClient(session.context, {
    tenantId: tenant.id,
    client,
    protocol: protocolOf(session, tenant),
  });
  if (created.outcome === 'refused') throw refusedClient(created.problems);
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

async function update(
  session: Session,
  {
    found,
    options,
    files,
  }: { readonly found: FoundClient; readonly options: UpdateOptions; readonly files: ClientFiles },
): Promise<Answer> {
  const { tenant, client } = found;
  const clientId = client.client_id;
  const unknown = options.unset?.find((name) => !isClientSettingName(name));
  if (unknown !== undefined) throw new WrongUsage(`there is no setting ${JSON.stringify(unknown)}`);
  const { settings, ...changes } = requestOf(options, files);
  const takenBack = Object.fromEntries((options.unset ?? []).map((name) => [name, null]));
  const updated = await updateClient(session.context, {
    tenantId: tenant.id,
    clientId,
    changes: { ...changes, name: options.name, settings: { ...settings, ...takenBack } },
    protocol: protocolOf(session, tenant),
  });
  if (updated.outcome === 'refused') throw refusedClient(updated.problems);
  const shown = presentClient(await findOne(session, { tenantId: tenant.id, clientId }));
  const isChanged = updated.outcome === 'updated';
  const clientSecret = isChanged ? updated.clientSecret : undefined;
  const { client_id, ...others } = shown;
  const json = {
    client_id,
    ...(clientSecret !== undefined && { client_secret: clientSecret }),
    ...others,
    changed: isChanged,
  };
  const title = isChanged
    ? `client ${client_id} updated: ${updated.changed.join(', ')}`
    : `client ${client_id} was so already`;
  const text = describeClient(title, shown, clientSecret);
  return { json, text: clientSecret === undefined ? text : `${text}\n${secretNotice}` };
}

function refusedClient(problems: readonly ClientProblem[]): CommandRefused {
  return new CommandRefused('invalid_client', problems.map(describeProblem).join('; '));
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
  readonly tenant: TenantRow;
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
      const tenant = await findTenant(session, options.tenant);
      const { id: tenantId } = tenant;
      return act(session, { tenant, tenantId, client: await findOne(session, { tenantId, clientId: named }) });
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
      beyond_your_own: 'it is worth more than you are',
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
    key_ids: (client.jwks?.keys ?? []).map((key) => String(key['kid'] ?? '')),
    settings: client.settings,
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
    keys: client.key_ids,
    settings: Object.entries(client.settings).map(([name, value]) => `${name} = ${[value].flat().join(' ')}`),
    created: client.created_at,
  });
}
