/** `poort api-key …`: keys for programs. A key is printed once, when it is made. */
import type { Command } from 'commander';
import type { KeyFault } from '#src/domain/api_key.ts';
import {
  type ApiKeySummary,
  type CreateApiKeyOutcome,
  createApiKey,
  listTenantApiKeys,
  revokeApiKey,
} from '#src/flows/access/manage_api_keys.ts';
import { showMember } from '#src/flows/people/manage_people.ts';
import { isUuid } from '#src/foundation/identifiers.ts';
import type { TenantRow } from '#src/storage/tables/tenants.ts';
import { type Answer, CommandRefused, described, table } from './answers.ts';
import { answering, findTenant, group, parseExpiry, repeatable, type TenantOptions, tenantOption } from './options.ts';
import type { Runner, Session } from './runner.ts';
import { passwordSettings as settingsOf } from './user_passwords.ts';

interface CreateOptions extends TenantOptions {
  readonly name: string;
  readonly user?: string;
  readonly scope?: readonly string[];
  readonly expires?: string;
}

export function addApiKeyCommands(program: Command, runner: Runner): void {
  const apiKey = group(program, 'api-key', 'keys for programs that have neither a client nor a person at hand');

  answering(apiKey.command('create').description('make a key; it is printed now and never again'), [
    'api-key create --tenant acme --name "night shift" --scope readings:read --user ada@example.org',
    'api-key create --tenant acme --name gateway --scope introspect --expires 2030-01-01T00:00:00Z',
  ])
    .addOption(tenantOption())
    .requiredOption('--name <text>', 'what it is for')
    .option('--user <address>', 'whose rights bound it; without it the key is the tenant’s own, and only its scopes do')
    .addOption(repeatable('--scope <name>', 'something it opens: introspect, permissions:check, readings:read …'))
    .option('--expires <instant>', 'when it ends (RFC 3339); as late as the tenant allows unless told')
    .action((options: CreateOptions) => runner.withHouse(options, (session) => create(session, options)));

  answering(
    apiKey.command('list').description('list keys with what they were last used for, also those that are over'),
    ['api-key list --tenant acme'],
  )
    .addOption(tenantOption())
    .action((options: TenantOptions) => runner.withHouse(options, (session) => list(session, options)));

  answering(
    apiKey.command('revoke').argument('<id>', 'of the key').description('a key that opens nothing from now on'),
    ['api-key revoke --tenant acme 0197d5c8-7a54-7c1e-b2d7-3f5a0c9e1b42'],
  )
    .addOption(tenantOption())
    .action((id: string, options: TenantOptions) =>
      runner.withHouse(options, (session) => revoke(session, id, options)),
    );
}

async function create(session: Session, options: CreateOptions): Promise<Answer> {
  const expiresAt = options.expires === undefined ? undefined : parseExpiry(options.expires);
  const tenant = await findTenant(session, options.tenant);
  const created = await createApiKey(session.context, {
    tenantId: tenant.id,
    userId: options.user === undefined ? undefined : await memberId(session, tenant, options.user),
    settings: settingsOf(session, tenant),
    name: options.name,
    scopes: options.scope ?? [],
    expiresAt,
  });
  if (created.outcome !== 'created') throw refusalOf(created);
  const { key, summary } = created;
  const json = { ...present(summary, session.context.clock()), tenant: tenant.slug, key };
  const facts = { key, id: summary.id, scopes: summary.scopes.join(', '), until: summary.expiresAt.toISOString() };
  return { json, text: described(`${summary.name} has a key, which is shown this once`, facts) };
}

async function memberId(session: Session, tenant: TenantRow, email: string) {
  const member = await showMember(session.context, { tenantId: tenant.id, email });
  if (member === undefined) throw new CommandRefused('unknown_user', `${tenant.slug} has no member ${email}`);
  return member.id;
}

function refusalOf(outcome: Exclude<CreateApiKeyOutcome, { readonly outcome: 'created' }>): CommandRefused {
  switch (outcome.outcome) {
    case 'not_allowed':
      return new CommandRefused('not_allowed', 'api_keys.makers of this tenant does not let them have keys');
    case 'too_many':
      return new CommandRefused('too_many', `they have ${outcome.maximum} keys already: revoke one first`);
    case 'unknown':
    case 'made_before':
      return new CommandRefused('unknown_user', 'they are blocked, or about to leave');
    case 'refused': {
      const [first] = outcome.faults;
      return new CommandRefused(first?.problem ?? 'refused', outcome.faults.map(sentenceFor).join('; '));
    }
    default: {
      const never: never = outcome;
      return never;
    }
  }
}

function sentenceFor(fault: KeyFault): string {
  switch (fault.problem) {
    case 'syntax':
      return 'a name is 1 to 60 characters';
    case 'too_many':
      return 'there are too many scopes';
    case 'unknown':
      return `${JSON.stringify(fault.scope)} is nothing that a key can be for`;
    case 'beyond_your_own':
      return `${fault.scope} is more than they hold themselves`;
    case 'past':
      return 'that moment has passed';
    case 'too_late':
      return `a key of this tenant lives for ${fault.maximumDays} days at most (api_keys.maximum_days)`;
    default: {
      const never: never = fault;
      return never;
    }
  }
}

async function list(session: Session, options: TenantOptions): Promise<Answer> {
  const tenant = await findTenant(session, options.tenant);
  const now = session.context.clock();
  const keys = await listTenantApiKeys(session.context, tenant.id);
  const rows = keys.map((key) => [
    key.name,
    stateOf(key, now),
    key.email ?? '',
    `${key.beginning}…`,
    key.scopes.join(', '),
    key.lastUsedAt?.toISOString() ?? 'never',
    key.id,
  ]);
  return {
    json: { api_keys: keys.map((key) => present(key, now)) },
    text: table(['NAME', 'STATUS', 'OF', 'BEGINS', 'SCOPES', 'LAST USED', 'ID'], rows, `${tenant.slug} has no keys.`),
  };
}

/** Of the key alone: whether its maker is there any more is asked when it is used. */
function stateOf({ revokedAt, expiresAt }: ApiKeySummary, now: Date): 'active' | 'expired' | 'revoked' {
  if (revokedAt !== undefined) return 'revoked';
  return expiresAt.getTime() > now.getTime() ? 'active' : 'expired';
}

function present(key: ApiKeySummary, now: Date) {
  return {
    id: key.id,
    name: key.name,
    status: stateOf(key, now),
    prefix: key.beginning,
    scopes: key.scopes,
    user_id: key.userId ?? null,
    created_at: key.createdAt.toISOString(),
    expires_at: key.expiresAt.toISOString(),
    last_used_at: key.lastUsedAt?.toISOString() ?? null,
    last_used_address: key.lastUsedAddress ?? null,
    uses: key.uses,
  };
}

async function revoke(session: Session, id: string, options: TenantOptions): Promise<Answer> {
  const tenant = await findTenant(session, options.tenant);
  const revoked = isUuid(id) ? await revokeApiKey(session.context, { tenantId: tenant.id, id }) : undefined;
  if (revoked?.outcome !== 'revoked')
    throw new CommandRefused('unknown_api_key', 'there is no such key that still opens something');
  return { json: { id, revoked: true }, text: `key ${id} opens nothing any more` };
}
