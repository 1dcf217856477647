/** `poort client registration-token`: what clients register themselves with (RFC 7591), given out by an operator and shown once. */
import { type Command, Option } from 'commander';
import { protocolFeaturesOf } from '#src/domain/protocol_features.ts';
import { issuerOf } from '#src/domain/tenant.ts';
import { readTenantSettings } from '#src/domain/tenant_settings.ts';
import { createInitialAccessToken } from '#src/flows/clients/register_clients.ts';
import { type Answer, CommandRefused, described } from './answers.ts';
import { answering, findTenant, repeatable, type TenantOptions, tenantOption } from './options.ts';
import type { Runner, Session } from './runner.ts';

interface RegistrationTokenOptions extends TenantOptions {
  readonly type: readonly string[];
  readonly scope?: readonly string[];
  readonly uses: number;
  readonly hours: number;
}

/** @param client The group of commands about clients. */
export function addRegistrationTokenCommand(client: Command, runner: Runner): void {
  answering(
    client.command('registration-token').description('let clients register themselves; prints the token this once'),
    [
      'client registration-token --tenant acme --type web --scope readings:read',
      'client registration-token --tenant acme --type machine --uses 20 --hours 72 --json',
    ],
  )
    .addOption(tenantOption())
    .addOption(repeatable('--type <type>', 'what may be registered with it').makeOptionMandatory())
    .addOption(repeatable('--scope <scope>', 'a scope those may ask for, beside those of their type'))
    .addOption(new Option('--uses <number>', 'how many clients').default(1).argParser(Number))
    .addOption(new Option('--hours <number>', 'until when it is good').default(24).argParser(Number))
    .action((options: RegistrationTokenOptions) =>
      runner.withHouse(options, (session) => allowRegistration(session, options)),
    );
}

async function allowRegistration(session: Session, options: RegistrationTokenOptions): Promise<Answer> {
  const tenant = await findTenant(session, options.tenant);
  const { type: types, scope: scopes = [], uses, hours } = options;
  const created = await createInitialAccessToken(session.context, {
    tenantId: tenant.id,
    types,
    scopes,
    uses,
    lifetimeSeconds: hours * 3600,
  });
  if (created.outcome === 'refused')
    throw new CommandRefused('invalid_registration_token', `${created.field}: ${created.problem.replaceAll('_', ' ')}`);
  const { protocol } = session.config;
  const isOn = protocolFeaturesOf(protocol, readTenantSettings(tenant.settings).protocol).dynamic_registration;
  const expires = created.expiresAt.toISOString();
  const json = {
    initial_access_token: created.token,
    id: created.id,
    tenant: tenant.slug,
    types,
    scopes,
    uses,
    expires_at: expires,
    registration_endpoint: `${issuerOf(tenant, session.config.http.publicUrl)}/register`,
    switched_on: isOn,
  };
  const text = described('clients may register', {
    initial_access_token: created.token,
    at: json.registration_endpoint,
    types: types.join(' '),
    scopes: scopes.join(' '),
    uses: String(uses),
    until: expires,
  });
  const off = `Registration is switched off: poort tenant configure ${tenant.slug} --set protocol.dynamic_registration=on`;
  const notice = 'The token is shown this once.';
  return { json, text: [text, notice, ...(isOn ? [] : [off])].join('\n') };
}
