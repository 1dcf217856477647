/** What somebody says of themselves: their names, the language they want to be spoken to, and a name to sign in with. */
import type { TenantId } from '#src/domain/tenant.ts';
import { parsePersonName, type UserId } from '#src/domain/user.ts';
import { parseUsername, type Username } from '#src/domain/username.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import {
  isUsernameTaken,
  type ProfileRow,
  readProfile,
  updateNames,
  updateUsername,
} from '#src/storage/tables/profiles.ts';
import { type FlowContext, Refusal } from '../flow_context.ts';

/** As typed; empty takes it away. */
export interface ProfileChange {
  readonly tenantId: TenantId;
  readonly userId: UserId;
  readonly givenName: string;
  readonly familyName: string;
  readonly locale: 'nl' | 'en' | '';
  /** Undefined where the tenant has no such names. */
  readonly username?: string | undefined;
}

export type ProfileField = 'given_name' | 'family_name' | 'username';

export type UpdateProfileOutcome =
  | { readonly outcome: 'updated' | 'unchanged' }
  | { readonly outcome: 'refused'; readonly faults: readonly ProfileFault[] }
  | { readonly outcome: 'unknown' };

export interface ProfileFault {
  readonly field: ProfileField;
  readonly reason: 'unacceptable' | 'taken';
}

/** Names are the person's at every tenant; the name to sign in with is this tenant's. The event says what changed, not into what. */
export async function updateProfile(context: FlowContext, change: ProfileChange): Promise<UpdateProfileOutcome> {
  const { tenantId, userId } = change;
  const parsed = parse(change);
  if (parsed.outcome === 'refused') return parsed;
  const tenant = context.database.tenant(tenantId);
  const now = context.clock();
  try {
    return await tenant.transaction(async (transaction) => {
      const before = await readProfile(transaction, { tenantId, userId });
      if (before === undefined) return { outcome: 'unknown' };
      const { givenName, familyName, username } = parsed;
      const locale = change.locale === '' ? undefined : change.locale;
      const wished = {
        ...before,
        given_name: givenName ?? null,
        family_name: familyName ?? null,
        locale: locale ?? null,
      };
      const after = change.username === undefined ? wished : { ...wished, username: username?.name ?? null };
      const changed = changeable.filter((field) => before[field] !== after[field]);
      if (changed.length === 0) return { outcome: 'unchanged' };
      await updateNames(transaction, { userId, givenName, familyName, locale, now });
      if (changed.includes('username')) {
        const canonical = username?.canonical;
        if (canonical !== undefined && (await isUsernameTaken(transaction, { tenantId, userId, canonical })))
          throw new Refusal<UpdateProfileOutcome>(taken);
        await updateUsername(transaction, { tenantId, userId, username });
      }
      const target = { type: 'user', id: userId } as const;
      const event = {
        type: 'user.updated',
        outcome: 'success',
        actor: context.actor,
        target,
        data: { changed },
      } as const;
      await appendEvent(transaction, { tenant, event, origin: context.origin, now });
      return { outcome: 'updated' };
    });
  } catch (fault) {
    if (fault instanceof Refusal) return fault.outcome;
    if (isTaken(fault)) return taken;
    throw fault;
  }
}

const changeable = ['given_name', 'family_name', 'locale', 'username'] as const satisfies readonly (keyof ProfileRow)[];
const taken: UpdateProfileOutcome = { outcome: 'refused', faults: [{ field: 'username', reason: 'taken' }] };

/** Somebody else took it at this very moment. */
function isTaken(fault: unknown): boolean {
  return fault instanceof Error && 'constraint' in fault && fault.constraint === 'memberships_username';
}

type Parsed =
  | {
      readonly outcome: 'parsed';
      readonly givenName: string | undefined;
      readonly familyName: string | undefined;
      readonly username: Username | undefined;
    }
  | Extract<UpdateProfileOutcome, { outcome: 'refused' }>;

function parse(change: ProfileChange): Parsed {
  const givenName = parsePersonName(change.givenName);
  const familyName = parsePersonName(change.familyName);
  const username = parseUsername(change.username ?? '');
  const typed: readonly (readonly [ProfileField, string | undefined, unknown])[] = [
    ['given_name', change.givenName, givenName],
    ['family_name', change.familyName, familyName],
    ['username', change.username, username],
  ];
  const faults = typed
    .filter(([, text, value]) => text !== undefined && text.trim() !== '' && value === undefined)
    .map(([field]) => ({ field, reason: 'unacceptable' as const }));
  return faults.length > 0 ? { outcome: 'refused', faults } : { outcome: 'parsed', givenName, familyName, username };
}
