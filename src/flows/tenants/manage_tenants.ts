/** Making, suspending, resuming and configuring tenants. A tenant comes into being whole: with its keys, its built-in roles and its event. */
import { isOnList } from '#src/domain/address_list.ts';
import { BUILT_IN_ROLES } from '#src/domain/role.ts';
import { DEFAULT_SIGNING_ALGORITHMS } from '#src/domain/signing_key.ts';
import { parseTenantName, parseTenantSlug, type TenantId, tenantId } from '#src/domain/tenant.ts';
import { isLifetimeSetting, type Lifetimes, lifetimeSettingsOf } from '#src/domain/tenant_lifetimes.ts';
import {
  changedTenantSettings,
  changeTenantSettings,
  readTenantSettings,
  storedTenantSettings,
  type TenantSettingChange,
  type TenantSettingName,
  type TenantSettingValue,
} from '#src/domain/tenant_settings.ts';
import { uuidv7 } from '#src/foundation/identifiers.ts';
import type { Transaction } from '#src/storage/database.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import { hasOperators } from '#src/storage/tables/operators.ts';
import { insertRole } from '#src/storage/tables/roles.ts';
import {
  findTenantById,
  insertTenant,
  lockTenantRow,
  type TenantRow,
  updateTenantFace,
  updateTenantSettings,
  updateTenantStatus,
} from '#src/storage/tables/tenants.ts';
import { type Grantor, grantorOf } from '../access/assign_roles.ts';
import { faultOfDefaultRole } from '../access/default_role.ts';
import { type FlowContext, Refusal } from '../flow_context.ts';
import { keepFirstKeys, makeFirstKeys, type NewSigningKey } from '../keys/rotate_keys.ts';

/** What changing one needs of a flow's context. */
export type TenantContext = Pick<FlowContext, 'database' | 'clock' | 'actor' | 'origin'>;

export type CreateTenantOutcome =
  | { readonly outcome: 'created'; readonly id: TenantId; readonly slug: string; readonly name: string }
  | {
      readonly outcome: 'refused';
      readonly reason: 'slug_syntax' | 'slug_too_long' | 'slug_reserved' | 'slug_taken' | 'name';
    };

export async function createTenant(
  context: FlowContext,
  input: { readonly slug: string; readonly name: string; readonly locale?: 'nl' | 'en' | undefined },
): Promise<CreateTenantOutcome> {
  const parsed = parseTenantSlug(input.slug);
  if (parsed.outcome === 'invalid') return { outcome: 'refused', reason: `slug_${parsed.reason}` };
  const name = parseTenantName(input.name);
  if (name === undefined) return { outcome: 'refused', reason: 'name' };

  const id = tenantId(uuidv7(context.clock()));
  const keys = await makeTenantKeys();
  try {
    return await context.database.tenant(id).transaction(async (transaction) => {
      const tenant = { id, slug: parsed.slug, name, locale: input.locale ?? 'nl' };
      if (!(await keepNewTenant(context, transaction, { tenant, keys })))
        throw new Refusal<CreateTenantOutcome>({ outcome: 'refused', reason: 'slug_taken' });
      return { outcome: 'created', id, slug: parsed.slug, name };
    });
  } catch (fault) {
    if (fault instanceof Refusal) return fault.outcome;
    throw fault;
  }
}

/** The next key of each algorithm is published from the start, so that the first rotation, too, surprises nobody. */
export function makeTenantKeys(): Promise<readonly NewSigningKey[]> {
  return makeFirstKeys(DEFAULT_SIGNING_ALGORITHMS);
}

/** A tenant with all that belongs to a new one, in a transaction of its own. False when the slug is taken: then nothing may stay. */
export async function keepNewTenant(
  context: FlowContext,
  transaction: Transaction,
  {
    tenant,
    keys,
  }: {
    readonly tenant: {
      readonly id: TenantId;
      readonly slug: string;
      readonly name: string;
      readonly locale: 'nl' | 'en';
    };
    readonly keys: readonly NewSigningKey[];
  },
): Promise<boolean> {
  const { id, slug } = tenant;
  const now = context.clock();
  if (!(await insertTenant(transaction, { ...tenant, now }))) return false;
  await keepFirstKeys(context, transaction, { tenantId: id, keys });
  const roleIds = new Map<string, string>(BUILT_IN_ROLES.map((role) => [role.name, uuidv7(now)]));
  for (const role of BUILT_IN_ROLES) {
    const inherits = 'inherits' in role ? roleIds.get(role.inherits) : undefined;
    const row = { ...role, id: roleIds.get(role.name) ?? '', inherits, builtIn: true };
    await insertRole(transaction, { tenantId: id, role: row, now });
  }
  const event = {
    type: 'tenant.created',
    outcome: 'success',
    actor: context.actor,
    target: { type: 'tenant', id },
    data: { slug },
  } as const;
  await appendEvent(transaction, { tenant: context.database.tenant(id), event, origin: context.origin, now });
  return true;
}

/** For whoever has read the tenant: called with what it is now, while nobody changes it; throws to leave it so. */
export type TenantGuard = (tenant: TenantRow) => void;

/**
 * `unchanged` when it had that status already. Every process refuses a suspended tenant's requests within a second. `sparesOperators`:
 * refused where operators are at home, who could not undo it themselves.
 */
export async function changeTenantStatus(
  context: TenantContext,
  input: {
    readonly id: TenantId;
    readonly status: 'active' | 'suspended';
    readonly sparesOperators?: boolean;
    readonly guard?: TenantGuard | undefined;
  },
): Promise<
  | { readonly outcome: 'changed' | 'unchanged' | 'unknown' }
  | { readonly outcome: 'refused'; readonly reason: 'home_of_operators' }
> {
  const now = context.clock();
  const tenant = context.database.tenant(input.id);
  return tenant.transaction(async (transaction) => {
    const before = await lockTenantRow(transaction, input.id);
    if (before === undefined) return { outcome: 'unknown' };
    input.guard?.(before);
    const shutsOut = input.sparesOperators === true && input.status === 'suspended';
    if (shutsOut && (await hasOperators(transaction, input.id)))
      return { outcome: 'refused', reason: 'home_of_operators' };
    if (!(await updateTenantStatus(transaction, { ...input, now }))) return { outcome: 'unchanged' };
    const event = {
      type: input.status === 'active' ? 'tenant.resumed' : 'tenant.suspended',
      outcome: 'success',
      actor: context.actor,
      target: { type: 'tenant', id: input.id },
    } as const;
    await appendEvent(transaction, { tenant, event, origin: context.origin, now });
    return { outcome: 'changed' };
  });
}

/** As it is stored at this moment, in no cache. */
export function showTenant({ database }: Pick<FlowContext, 'database'>, id: TenantId): Promise<TenantRow | undefined> {
  return database.tenant(id).transaction((transaction) => findTenantById(transaction, id));
}

export interface ConfigureTenant {
  readonly id: TenantId;
  readonly changes: readonly TenantSettingChange[];
  readonly name?: string | undefined;
  readonly locale?: TenantRow['locale'] | undefined;
  /** What the installation says: a tenant is stricter and never laxer. Without it nothing is compared, and the shorter one holds anyway. */
  readonly lifetimes?: Lifetimes | undefined;
  /** Whose rights bound what the settings give to others; see `grantorOf` where there are none. */
  readonly by?: Grantor | undefined;
  /** Called with the tenant as it is, locked: throws when it is not the one that whoever asks had looked at. */
  readonly guard?: TenantGuard | undefined;
}

export type SettingFault =
  | { readonly name: 'name'; readonly problem: 'syntax' }
  | { readonly name: TenantSettingName; readonly problem: 'beyond_the_installation'; readonly maximum: number }
  /** Whoever asks would not be let in any more, from where they ask. */
  | { readonly name: TenantSettingName; readonly problem: 'would_lock_you_out' }
  | {
      readonly name: 'people.default_role';
      readonly problem: 'unknown_role' | 'manages_the_tenant' | 'beyond_your_own';
    };

export type ConfigureTenantOutcome =
  | { readonly outcome: 'changed' | 'unchanged' }
  | { readonly outcome: 'refused'; readonly faults: readonly SettingFault[] };

/**
 * `unchanged` when all of it was so already. Every process builds the tenant's engine anew within a second; what was issued
 * before stays valid, and a request in flight ends under the rules it began with.
 */
export async function configureTenant(context: FlowContext, input: ConfigureTenant): Promise<ConfigureTenantOutcome> {
  const { id, changes, guard } = input;
  const now = context.clock();
  const tenant = context.database.tenant(id);
  return tenant.transaction(async (transaction) => {
    const row = await lockTenantRow(transaction, id);
    if (row === undefined) return { outcome: 'unchanged' };
    guard?.(row);
    const before = readTenantSettings(row.settings);
    const settings = changeTenantSettings(before, changes);
    const changed = changedTenantSettings(before, settings);
    const name = input.name === undefined ? row.name : parseTenantName(input.name);
    const faults = [
      ...(name === undefined ? [{ name: 'name', problem: 'syntax' } as const] : []),
      ...(await faultsOfRoles(transaction, { id, changed, by: input.by ?? grantorOf(context) })),
      ...changed.flatMap((change) => faultsOf(change, { lifetimes: input.lifetimes, caller: context.origin.ip })),
    ];
    if (faults.length > 0 || name === undefined) return { outcome: 'refused', faults };

    const locale = input.locale ?? row.locale;
    const face = { ...(name === row.name ? {} : { name }), ...(locale === row.locale ? {} : { locale }) };
    const hasFace = Object.keys(face).length > 0;
    if (changed.length === 0 && !hasFace) return { outcome: 'unchanged' };
    if (hasFace) await updateTenantFace(transaction, { id, name, locale, now });
    if (changed.length > 0)
      await updateTenantSettings(transaction, { id, settings: storedTenantSettings(settings), now });
    const event = {
      type: 'tenant.configured',
      outcome: 'success',
      actor: context.actor,
      target: { type: 'tenant', id },
      data: { ...face, ...Object.fromEntries(changed.map(([setting, value]) => [setting, value ?? 'default'])) },
    } as const;
    await appendEvent(transaction, { tenant, event, origin: context.origin, now });
    return { outcome: 'changed' };
  });
}

/** Everybody who lets themselves in gets it: nobody sets it to what they could not give. */
async function faultsOfRoles(
  transaction: Transaction,
  {
    id,
    changed,
    by,
  }: { readonly id: TenantId; readonly changed: ReturnType<typeof changedTenantSettings>; readonly by: Grantor },
): Promise<readonly SettingFault[]> {
  const name = 'people.default_role';
  const role = changed.find(([setting]) => setting === name)?.[1];
  if (typeof role !== 'string') return [];
  const problem = await faultOfDefaultRole(transaction, { tenantId: id, name: role, by });
  return problem === undefined ? [] : [{ name, problem }];
}

/** Only what changes is looked at: what the installation took back meanwhile is no fault of today's wish. */
function faultsOf(
  [name, value]: readonly [TenantSettingName, TenantSettingValue | undefined],
  { lifetimes, caller }: { readonly lifetimes: Lifetimes | undefined; readonly caller: string | undefined },
): readonly SettingFault[] {
  if (isLifetimeSetting(name) && typeof value === 'number' && lifetimes !== undefined) {
    const maximum = lifetimeSettingsOf(lifetimes)[name];
    return value > maximum ? [{ name, problem: 'beyond_the_installation', maximum }] : [];
  }
  const isList = name === 'access.sign_in_addresses' || name === 'access.management_addresses';
  // The command line calls from no address.
  if (!isList || caller === undefined || !Array.isArray(value)) return [];
  return isOnList(value, caller) ? [] : [{ name, problem: 'would_lock_you_out' }];
}
