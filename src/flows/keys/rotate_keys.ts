/**
 * Makes, rotates, retires and removes the signing keys of a tenant, as `#src/domain/signing_key.ts` decides. Key pairs are made
 * before anything is locked; what was planned happens in one transaction, and only if the keys are still those it was planned for,
 * so that of two processes that rotate at the same moment one does and the other learns of it.
 */
import type { Config } from '#config/config.ts';
import type { NewEvent } from '#src/domain/event.ts';
import {
  activeKey,
  type DatedSigningKey,
  DEFAULT_SIGNING_ALGORITHMS,
  nextKey,
  planDueSteps,
  planRetirement,
  planRotation,
  type RotationPlan,
  ripeningSeconds,
  type SigningAlgorithm,
  type SigningKeyRules,
  type SigningKeyStep,
} from '#src/domain/signing_key.ts';
import { type TenantId, tenantId as toTenantId } from '#src/domain/tenant.ts';
import { generateSigningKeyPair, type SigningKeyPair } from '#src/foundation/key_pairs.ts';
import { signingKeyContext } from '#src/foundation/sealing_contexts.ts';
import type { Database, Transaction } from '#src/storage/database.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import { listApiAlgorithms } from '#src/storage/tables/apis.ts';
import {
  activateSigningKey,
  deleteSigningKey,
  insertSigningKey,
  listSigningKeys,
  listTenantsWithKeysDue,
  requestRotation,
  retireSigningKey,
} from '#src/storage/tables/signing_keys.ts';
import { lockTenant } from '#src/storage/tables/tenants.ts';
import { type FlowContext, Refusal } from '../flow_context.ts';

/** Keys need no password and nobody's. */
export type KeyContext = Omit<FlowContext, 'passwords' | 'mailBudgets'>;

/** What the settings say about the life of a key. */
export function signingKeyRules({ keys, lifetimes }: Pick<Config, 'keys' | 'lifetimes'>): SigningKeyRules {
  return {
    jwksCacheSeconds: keys.jwksCacheSeconds,
    rotateAfterSeconds: keys.rotateAfterSeconds,
    longestTokenSeconds: Math.max(lifetimes.accessTokenSeconds, lifetimes.idTokenSeconds, keys.idTokenHintSeconds),
  };
}

export interface NewSigningKey {
  readonly alg: SigningAlgorithm;
  readonly status: 'next' | 'active';
  readonly requested: boolean;
  readonly pair: SigningKeyPair;
}

/** Takes a while: no connection may be held meanwhile. */
async function makeSigningKeys(
  wanted: readonly Pick<NewSigningKey, 'alg' | 'status' | 'requested'>[],
): Promise<readonly NewSigningKey[]> {
  return Promise.all(wanted.map(async (key) => ({ ...key, pair: await generateSigningKeyPair(key.alg) })));
}

/** Seals the private part, bound to the tenant and the key. */
async function keepSigningKey(
  { sealer }: Pick<KeyContext, 'sealer'>,
  transaction: Transaction,
  { tenantId, key, now }: { tenantId: TenantId; key: NewSigningKey; now: Date },
): Promise<void> {
  const { alg, status, requested, pair } = key;
  const privateSealed = sealer.seal(JSON.stringify(pair.privateJwk), signingKeyContext(tenantId, pair.kid));
  await insertSigningKey(transaction, {
    tenantId,
    kid: pair.kid,
    alg,
    status,
    publicJwk: pair.publicJwk,
    privateSealed,
    rotationRequested: requested,
    now,
  });
}

/** One that signs and one that waits, for each of these algorithms. */
export function makeFirstKeys(algorithms: readonly SigningAlgorithm[]): Promise<readonly NewSigningKey[]> {
  return makeSigningKeys(
    algorithms.flatMap((alg) => (['active', 'next'] as const).map((status) => ({ alg, status, requested: false }))),
  );
}

/** What an API needs beyond the keys that every tenant has. */
export function makeKeysForApi(alg: SigningAlgorithm): Promise<readonly NewSigningKey[]> {
  return makeFirstKeys(DEFAULT_SIGNING_ALGORITHMS.some((known) => known === alg) ? [] : [alg]);
}

/** Keeps those of an algorithm that the tenant has no key of yet; nobody has cached anything that they could be missing from. */
export async function keepFirstKeys(
  context: Pick<KeyContext, 'sealer' | 'clock'>,
  transaction: Transaction,
  { tenantId, keys }: { tenantId: TenantId; keys: readonly NewSigningKey[] },
): Promise<void> {
  if (keys.length === 0) return;
  await lockTenant(transaction, tenantId);
  const present = await listSigningKeys(transaction, tenantId);
  const now = context.clock();
  for (const key of keys) {
    if (present.every(({ alg }) => alg !== key.alg)) await keepSigningKey(context, transaction, { tenantId, key, now });
  }
}

export interface AlgorithmRotated {
  readonly alg: SigningAlgorithm;
  /** `waits`: the key that is published already takes over by itself at `at`, when everyone who caches keys knows it. */
  readonly outcome: RotationPlan['outcome'];
  readonly at: Date;
  /** The key that signs from `at` on. */
  readonly kid: string;
  /** The key that signed until then. */
  readonly replaced: string | undefined;
}

export type RotateKeysOutcome =
  | { readonly outcome: 'done'; readonly algorithms: readonly AlgorithmRotated[] }
  /** Somebody else changed the keys at the same moment; nothing was done. */
  | { readonly outcome: 'overtaken' };

/** Every algorithm of the tenant gets another key that signs: now, or as soon as that breaks nothing. */
export async function rotateKeys(
  context: KeyContext,
  input: { readonly tenantId: TenantId; readonly rules: SigningKeyRules; readonly evenIfUnripe?: boolean },
): Promise<RotateKeysOutcome> {
  const { rules, evenIfUnripe = false } = input;
  const changed = await changeKeys(context, input.tenantId, ({ keys, algorithms }, now) => {
    const rotations = algorithms.map((alg) => ({ alg, ...planRotation(keys, { alg, rules, now, evenIfUnripe }) }));
    return { rotations, steps: rotations.flatMap(({ steps }) => steps) };
  });
  if (changed.outcome !== 'changed') return { outcome: 'overtaken' };
  const { before, after, plan } = changed;
  const signsFrom = ({ alg, outcome }: (typeof plan.rotations)[number]) =>
    outcome === 'rotates' ? activeKey(after, alg) : nextKey(after, alg);
  const algorithms = plan.rotations.map((rotation) => ({
    alg: rotation.alg,
    outcome: rotation.outcome,
    at: rotation.at,
    kid: signsFrom(rotation)?.kid ?? '',
    replaced: activeKey(before, rotation.alg)?.kid,
  }));
  return { outcome: 'done', algorithms };
}

export type RetireKeyOutcome =
  | {
      readonly outcome: 'retired';
      readonly alg: SigningAlgorithm;
      /** The key that signs now in place of one that did; undefined when the retired one did not sign. */
      readonly replacement: string | undefined;
    }
  | { readonly outcome: 'refused'; readonly reason: 'unknown_key' };

const mostAttempts = 5;

/**
 * The emergency. Within a second no process publishes the key, signs with it or believes it; another one signs at once. Retried when
 * somebody else changes keys at the same moment.
 */
export async function retireKey(
  context: KeyContext,
  input: { readonly tenantId: TenantId; readonly kid: string },
): Promise<RetireKeyOutcome> {
  for (let attempt = 1; attempt <= mostAttempts; attempt += 1) {
    const changed = await changeKeys(context, input.tenantId, ({ keys }) => {
      const stolen = keys.find(({ kid }) => kid === input.kid);
      const steps = planRetirement(keys, input.kid);
      return stolen === undefined || steps === undefined ? undefined : { stolen, steps };
    });
    if (changed.outcome === 'nothing') return { outcome: 'refused', reason: 'unknown_key' };
    if (changed.outcome === 'overtaken') continue;
    const { alg, status } = changed.plan.stolen;
    const replacement = status === 'active' ? activeKey(changed.after, alg)?.kid : undefined;
    return { outcome: 'retired', alg, replacement };
  }
  throw new Error('others changed the signing keys again and again');
}

/** Does for one tenant what is due by the clock; false when nothing was, or when somebody else did it at the same moment. */
export async function keepKeys(
  context: KeyContext,
  input: { readonly tenantId: TenantId; readonly rules: SigningKeyRules },
): Promise<boolean> {
  const changed = await changeKeys(context, input.tenantId, ({ keys, algorithms }, now) => {
    const steps = planDueSteps(keys, { algorithms, rules: input.rules, now });
    return steps.length === 0 ? undefined : { steps };
  });
  return changed.outcome === 'changed';
}

const everyoneAfter = toTenantId('00000000-0000-0000-0000-000000000000');
/** How many a list of tenants names at most. */
export const tenantsAtOnce = 50;
/** In one run: making keys costs a processor, and what is left is due a minute later as well. */
const mostTenants = 500;
const keysLock = 7_067_680;

/**
 * Does what is due for every active tenant, in one process at a time; a tenant that fails does not hold up the others.
 * Throws an AggregateError at the end when some failed.
 */
export async function keepAllKeys(context: KeyContext, rules: SigningKeyRules, signal?: AbortSignal): Promise<number> {
  const worked = await context.database.platform.exclusively(keysLock, () =>
    forEachTenant(
      (after) =>
        listTenantsWithKeysDue(context.database, {
          now: context.clock(),
          ripeningSeconds: ripeningSeconds(rules),
          rotateAfterSeconds: rules.rotateAfterSeconds,
          after,
          limit: tenantsAtOnce,
        }),
      (tenantId) => keepKeys(context, { tenantId, rules }),
      signal,
    ),
  );
  return worked ?? 0;
}

/** Through all tenants that a list of those after a given one names, bounded, until told to stop. How many had something done. */
export async function forEachTenant(
  listAfter: (after: TenantId) => Promise<readonly TenantId[]>,
  work: (tenantId: TenantId) => Promise<boolean>,
  signal?: AbortSignal,
): Promise<number> {
  const faults: unknown[] = [];
  let worked = 0;
  let after = everyoneAfter;
  const isToldToStop = (): boolean => signal?.aborted === true;
  while (worked < mostTenants && !isToldToStop()) {
    const tenants = await listAfter(after);
    for (const tenantId of tenants) {
      if (isToldToStop()) break;
      try {
        if (await work(tenantId)) worked += 1;
      } catch (cause) {
        faults.push(new Error(`tenant ${tenantId}`, { cause }));
      }
    }
    const last = tenants.at(-1);
    if (last === undefined || tenants.length < tenantsAtOnce) break;
    after = last;
  }
  if (faults.length > 0) throw new AggregateError(faults, `tenants that failed: ${faults.length}`);
  return worked;
}

interface TenantKeys {
  readonly keys: readonly DatedSigningKey[];
  /** Those that every tenant needs, that an API of this one signs with, or that it has keys for. */
  readonly algorithms: readonly SigningAlgorithm[];
}

interface KeyPlan {
  readonly steps: readonly SigningKeyStep[];
  /** The key that an emergency is about. */
  readonly stolen?: DatedSigningKey;
}

type KeysChanged<Plan> =
  | {
      readonly outcome: 'changed';
      readonly plan: Plan;
      readonly before: readonly DatedSigningKey[];
      readonly after: readonly DatedSigningKey[];
    }
  /** There was no plan. */
  | { readonly outcome: 'nothing' }
  /** The keys are no longer those that keys were made for. */
  | { readonly outcome: 'overtaken' };

/**
 * Plans, makes the key pairs, and then, holding the lock of the tenant, plans again: from that moment on the keys are published, and
 * not from when somebody began to make them.
 */
async function changeKeys<Plan extends KeyPlan>(
  context: KeyContext,
  tenantId: TenantId,
  planFor: (known: TenantKeys, now: Date) => Plan | undefined,
): Promise<KeysChanged<Plan>> {
  const tenant = context.database.tenant(tenantId);
  const known = await tenant.transaction((transaction) => readKeys(transaction, tenantId));
  const planned = planFor(known, context.clock());
  if (planned === undefined) return { outcome: 'nothing' };
  const made = await makeSigningKeys(planned.steps.filter((step) => step.do === 'make'));
  try {
    return await tenant.transaction(async (transaction) => {
      await lockTenant(transaction, tenantId);
      const present = await readKeys(transaction, tenantId);
      const now = context.clock();
      const plan = areTheSame(known.keys, present.keys) ? planFor(present, now) : undefined;
      if (plan === undefined) throw new Refusal(undefined);
      await takeSteps(context, transaction, { tenantId, steps: plan.steps, made, now });
      const after = await listSigningKeys(transaction, tenantId);
      for (const event of eventsOf(context, { before: present.keys, after, stolen: plan.stolen })) {
        await appendEvent(transaction, { tenant, event, origin: context.origin, now });
      }
      return { outcome: 'changed', plan, before: present.keys, after };
    });
  } catch (fault) {
    if (fault instanceof Refusal) return { outcome: 'overtaken' };
    throw fault;
  }
}

async function readKeys(transaction: Transaction, tenantId: TenantId): Promise<TenantKeys> {
  const keys = await listSigningKeys(transaction, tenantId);
  const ofApis = await listApiAlgorithms(transaction, tenantId);
  const living = keys.filter(({ status }) => status !== 'retired').map(({ alg }) => alg);
  return { keys, algorithms: [...new Set([...DEFAULT_SIGNING_ALGORITHMS, ...ofApis, ...living])] };
}

/** Throws a Refusal when a key is to be put in place that nobody made. */
async function takeSteps(
  context: KeyContext,
  transaction: Transaction,
  {
    tenantId,
    steps,
    made,
    now,
  }: {
    tenantId: TenantId;
    steps: readonly SigningKeyStep[];
    made: readonly NewSigningKey[];
    now: Date;
  },
): Promise<void> {
  for (const step of steps) {
    switch (step.do) {
      case 'make': {
        const key = made.find(({ alg, status }) => alg === step.alg && status === step.status);
        if (key === undefined) throw new Refusal(undefined);
        await keepSigningKey(context, transaction, { tenantId, key, now });
        break;
      }
      case 'activate':
        await activateSigningKey(transaction, { tenantId, kid: step.kid, now });
        break;
      case 'retire':
        await retireSigningKey(transaction, { tenantId, kid: step.kid, publishedUntil: step.publishedUntil });
        break;
      case 'request':
        await requestRotation(transaction, { tenantId, kid: step.kid, now });
        break;
      case 'remove':
        await deleteSigningKey(transaction, { tenantId, kid: step.kid });
        break;
      default: {
        const never: never = step;
        return never;
      }
    }
  }
}

function areTheSame(planned: readonly DatedSigningKey[], present: readonly DatedSigningKey[]): boolean {
  const text = (keys: readonly DatedSigningKey[]): string => keys.map(({ kid, status }) => `${kid} ${status}`).join();
  return text(planned) === text(present);
}

/** An emergency is told as one event; everything else is told by which key signs now and did not before. */
function eventsOf(
  { actor }: KeyContext,
  {
    before,
    after,
    stolen,
  }: { before: readonly DatedSigningKey[]; after: readonly DatedSigningKey[]; stolen: DatedSigningKey | undefined },
): readonly NewEvent[] {
  const about = (kid: string) => ({ outcome: 'success', actor, target: { type: 'signing_key', id: kid } }) as const;
  if (stolen !== undefined) {
    const { kid, alg, status } = stolen;
    const replacement = status === 'active' ? activeKey(after, alg)?.kid : undefined;
    const data = { alg, status, ...(replacement === undefined ? {} : { replaced_by: replacement }) };
    return [{ ...about(kid), type: 'key.retired', data }];
  }
  return after.flatMap((key): readonly NewEvent[] => {
    const replaced = activeKey(before, key.alg)?.kid;
    if (key.status !== 'active' || key.kid === replaced) return [];
    const data = { alg: key.alg, ...(replaced === undefined ? {} : { replaces: replaced }) };
    return [{ ...about(key.kid), type: 'key.rotated', data }];
  });
}

/** For `poort keys list`. */
export function listKeys(database: Database, tenantId: TenantId): Promise<readonly DatedSigningKey[]> {
  return database.tenant(tenantId).transaction((transaction) => listSigningKeys(transaction, tenantId));
}
