/** `poort keys …`: which keys sign and which are published, and how that changes. Private parts never come here. */
import { type Command, Option } from 'commander';
import {
  activeKey,
  type DatedSigningKey,
  publicationOrder,
  rotationDueAt,
  type SigningKeyRules,
} from '#src/domain/signing_key.ts';
import { findKeyProblems } from '#src/flows/keys/check_keys.ts';
import { resealAll } from '#src/flows/keys/reseal.ts';
import {
  type AlgorithmRotated,
  listKeys,
  retireKey,
  rotateKeys,
  signingKeyRules,
} from '#src/flows/keys/rotate_keys.ts';
import { readMasterKeyInUse } from '#src/storage/installation.ts';
import { listTenants } from '#src/storage/tables/tenants.ts';
import { type Answer, CommandRefused, described, table } from './answers.ts';
import { judgeMasterKeys } from './master_keys.ts';
import { answering, findTenant, group, type TenantOptions, tenantOption } from './options.ts';
import type { CommonOptions, Runner, Session } from './runner.ts';

interface ListOptions extends CommonOptions {
  readonly tenant?: string;
}

interface RotateOptions extends TenantOptions {
  readonly now?: boolean;
}

interface RetireOptions extends TenantOptions {
  readonly kid: string;
}

export function addKeyCommands(program: Command, runner: Runner): void {
  const keys = group(program, 'keys', 'signing keys');
  answering(keys.command('list').description('list the signing keys of a tenant, or of all'), [
    'keys list --tenant acme',
    'keys list --json',
  ])
    .addOption(new Option('--tenant <slug>', 'only this tenant'))
    .action((options: ListOptions) => runner.withHouse(options, (session) => list(session, options)));

  answering(
    keys
      .command('rotate')
      .description('sign with the next keys of a tenant, as soon as everyone who caches its keys knows them'),
    ['keys rotate --tenant acme', 'keys rotate --tenant acme --now'],
  )
    .addOption(tenantOption())
    .option(
      '--now',
      'do not wait: whoever cached the keys before the next ones were published may refuse tokens for a while',
    )
    .action((options: RotateOptions) => runner.withHouse(options, (session) => rotate(session, options)));

  answering(
    keys
      .command('retire')
      .description('the emergency: within a second a key is neither published nor used, and another one signs'),
    ['keys retire --tenant acme --kid nRkQl4mVQ1ttrVEdgmPvTQcUlrzcQxwlHsaTWsZ3rSE'],
  )
    .addOption(tenantOption())
    .requiredOption('--kid <kid>', 'the key, as `poort keys list` names it')
    .action((options: RetireOptions) => runner.withHouse(options, (session) => retire(session, options)));

  answering(
    keys
      .command('reseal')
      .description(
        'seal anew, with the first key of POORT_MASTER_KEY, what an older one sealed; the worker does so too',
      ),
    ['keys reseal'],
  ).action((options: CommonOptions) => runner.withHouse(options, reseal));
}

async function list(session: Session, options: ListOptions): Promise<Answer> {
  const { database } = session.house;
  const rules = signingKeyRules(session.config);
  const tenants =
    options.tenant === undefined ? await listTenants(database) : [await findTenant(session, options.tenant)];
  const lists = await Promise.all(
    tenants.map(async ({ id, slug }) => {
      const ofTenant = await listKeys(database, id);
      return publicationOrder(ofTenant).map((key) => presentKey(slug, key, { ofTenant, rules }));
    }),
  );
  const keys = lists.flat();
  const rows = keys.map(({ tenant, alg, status, kid, created_at, signs_from, gone_at }) => {
    const until = gone_at === null ? '' : `until ${gone_at}`;
    return [tenant, alg, status, kid, created_at, status === 'retired' ? until : (signs_from ?? '')];
  });
  const headings = ['TENANT', 'ALG', 'STATUS', 'KID', 'PUBLISHED', 'SIGNS FROM'];
  return { json: { keys }, text: table(headings, rows, 'There are no keys yet.') };
}

function presentKey(
  tenant: string,
  key: DatedSigningKey,
  { ofTenant, rules }: { readonly ofTenant: readonly DatedSigningKey[]; readonly rules: SigningKeyRules },
) {
  const active = activeKey(ofTenant, key.alg);
  const due = key.status === 'next' && active !== undefined ? rotationDueAt(active, key, rules) : undefined;
  return {
    tenant,
    kid: key.kid,
    alg: key.alg,
    status: key.status,
    created_at: key.publishedAt.toISOString(),
    /** For a waiting key: when it will by itself. */
    signs_from: (key.activatedAt ?? due)?.toISOString() ?? null,
    gone_at: key.publishedUntil?.toISOString() ?? null,
  };
}

async function rotate(session: Session, options: RotateOptions): Promise<Answer> {
  const tenant = await findTenant(session, options.tenant);
  const rotated = await rotateKeys(session.context, {
    tenantId: tenant.id,
    rules: signingKeyRules(session.config),
    evenIfUnripe: options.now ?? false,
  });
  if (rotated.outcome === 'overtaken') {
    throw new CommandRefused(
      'overtaken',
      `somebody else changed the keys of ${tenant.slug} at this moment; see keys list`,
    );
  }
  const { algorithms } = rotated;
  const json = {
    tenant: tenant.slug,
    rotated: algorithms.every(({ outcome }) => outcome === 'rotates'),
    keys: algorithms.map(({ alg, outcome, kid, at, replaced }) => {
      return { alg, rotated: outcome === 'rotates', kid, signs_from: at.toISOString(), replaces: replaced ?? null };
    }),
  };
  return { json, text: algorithms.map(describeRotation).join('\n') };
}

function describeRotation({ alg, outcome, kid, at }: AlgorithmRotated): string {
  if (outcome === 'rotates') return `${alg}: ${kid} signs now`;
  return `${alg}: ${kid} will sign from ${at.toISOString()} on; until then somebody may have cached the keys without it`;
}

async function retire(session: Session, options: RetireOptions): Promise<Answer> {
  const tenant = await findTenant(session, options.tenant);
  const retired = await retireKey(session.context, { tenantId: tenant.id, kid: options.kid });
  if (retired.outcome === 'refused') {
    throw new CommandRefused(retired.reason, `${tenant.slug} has no key ${JSON.stringify(options.kid)}`);
  }
  const { alg, replacement } = retired;
  const json = { tenant: tenant.slug, kid: options.kid, alg, retired: true, replaced_by: replacement ?? null };
  const believed = `whoever checks tokens by the published keys alone may go by a copy for up to ${session.config.keys.jwksCacheSeconds} s`;
  const text = described(`key ${options.kid} retired`, { alg, 'signs now': replacement, note: believed });
  return { json, text };
}

async function reseal(session: Session): Promise<Answer> {
  const { house } = session;
  let tenants = 0;
  for (;;) {
    const resealed = await resealAll(session.context, house.urls.owner).catch((fault: unknown) => {
      if (!(fault instanceof AggregateError)) throw fault;
      const message = `${fault.errors.length} tenants have keys that no configured master key opens; see poort doctor`;
      throw new CommandRefused('sealed_with_unknown_key', message);
    });
    if (resealed === 0) break;
    tenants += resealed;
  }
  const { sealedOtherwise } = await findKeyProblems(house);
  const inUse = await readMasterKeyInUse(house.urls.owner, house.sealer);
  const { canBeDropped, droppableFrom, text } = judgeMasterKeys(house, { sealedOtherwise, inUse });
  const json = {
    tenants,
    sealed_with_older_key: sealedOtherwise,
    older_keys_can_be_dropped: canBeDropped,
    older_keys_can_be_dropped_from: droppableFrom?.toISOString() ?? null,
  };
  return { json, text: described(`${tenants} tenants sealed anew`, { 'older keys': text }) };
}
