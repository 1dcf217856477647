/** `poort keys …`: which keys sign and which are published. Private parts never come here. */
import { type Command, Option } from 'commander';
import { listSigningKeys } from '#src/storage/tables/signing_keys.ts';
import { listTenants } from '#src/storage/tables/tenants.ts';
import { type Answer, table } from './answers.ts';
import { answering, findTenant, group } from './options.ts';
import type { CommonOptions, Runner, Session } from './runner.ts';

interface ListOptions extends CommonOptions {
  readonly tenant?: string;
}

export function addKeyCommands(program: Command, runner: Runner): void {
  const keys = group(program, 'keys', 'signing keys');
  answering(keys.command('list').description('list the signing keys of a tenant, or of all'), [
    'keys list --tenant acme',
    'keys list --json',
  ])
    .addOption(new Option('--tenant <slug>', 'only this tenant'))
    .action((options: ListOptions) => runner.withHouse(options, (session) => list(session, options)));
}

async function list(session: Session, options: ListOptions): Promise<Answer> {
  const { database } = session.house;
  const tenants =
    options.tenant === undefined ? await listTenants(database) : [await findTenant(session, options.tenant)];
  const lists = await Promise.all(
    tenants.map(async ({ id, slug }) => {
      const rows = await database.tenant(id).transaction((transaction) => listSigningKeys(transaction, id));
      return rows.map(({ kid, alg, status, created_at }) => {
        return { tenant: slug, kid, alg, status, created_at: created_at.toISOString() };
      });
    }),
  );
  const keys = lists.flat();
  const rows = keys.map(({ tenant, alg, status, kid, created_at }) => [tenant, alg, status, kid, created_at]);
  return { json: { keys }, text: table(['TENANT', 'ALG', 'STATUS', 'KID', 'CREATED'], rows, 'There are no keys yet.') };
}
