/** Where somebody sees their API keys, deletes them, and makes one: shown on the page that answers, and never again. */
import type Router from '@koa/router';
import { z } from 'zod';
import { grantableScopes, type KeyFault } from '#src/domain/api_key.ts';
import { readRights } from '#src/flows/access/check_permission.ts';
import {
  type CreateApiKeyOutcome,
  createApiKey,
  listOwnApiKeys,
  mayMakeKeys,
  revokeApiKey,
} from '#src/flows/access/manage_api_keys.ts';
import { isUuid, uuidv7 } from '#src/foundation/identifiers.ts';
import { accountPath } from '#src/oidc/provider.ts';
import { field, goTo, type PageState, parseForm } from '../interaction/interaction_step.ts';
import {
  type AccountPagesOptions,
  asOwner,
  formOf,
  inLocale,
  noticeOf,
  ownerOf,
  ownForm,
  showOwnPage,
} from './account_page_kit.ts';
import type { NewApiKeyError } from './own_api_keys_models.ts';
import { FRESH_SECONDS, type OwnPagesKit, type OwnVisit } from './own_pages.ts';

const keysPath = `${accountPath}/api-keys` as const;
const newKeyPath = `${accountPath}/api-keys/new` as const;

const deleteForm = z.strictObject({ ...ownForm, key: field });
const newKeyForm = z.strictObject({
  ...ownForm,
  id: z.uuid(),
  name: field.default(''),
  scopes: field.default(''),
  days: field.default(''),
});
type Typed = Pick<z.infer<typeof newKeyForm>, 'id' | 'name' | 'scopes' | 'days'>;

/** More than a tenant lets anybody have. */
const mostKeys = 1_000;
const usualDays = 90;
const dayMilliseconds = 86_400_000;

export function mountOwnApiKeyPages(router: Router<PageState>, kit: OwnPagesKit, options: AccountPagesOptions): void {
  const { accountServices: services } = options;

  router.get(`/t/:slug${keysPath}`, async (ctx) => {
    const visit = await kit.requireOwnSession(ctx, ctx.state, { path: keysPath });
    if (visit === undefined) return;
    const mayMake = mayMakeKeys(settingsOf(visit), await permissionsOf(visit));
    showOwnPage(visit, {
      name: 'account_api_keys',
      model: {
        ...formOf(kit, visit),
        at: services.clock(),
        keys: await listOwnApiKeys(services, { ...ownerOf(visit), limit: mostKeys }),
        newKeyAddress: mayMake ? kit.addressOf(ctx.state, newKeyPath) : undefined,
        notice: noticeOf(visit, ['deleted', 'gone']),
      },
    });
  });

  router.post(`/t/:slug${keysPath}`, async (ctx) => {
    const sent = await kit.readOwnForm(ctx, ctx.state, { path: keysPath });
    if (sent === undefined) return;
    const { visit } = sent;
    const { key: id } = parseForm(deleteForm, sent.fields);
    const deleted = isUuid(id) ? await revokeApiKey(asOwner(services, visit), { ...ownerOf(visit), id }) : undefined;
    goTo(ctx, `${kit.addressOf(ctx.state, keysPath)}?done=${deleted?.outcome === 'revoked' ? 'deleted' : 'gone'}`);
  });

  // A key outlives the session that made it: whoever found an open browser makes none.
  const wanted = { path: newKeyPath, freshSeconds: FRESH_SECONDS };

  router.get(`/t/:slug${newKeyPath}`, async (ctx) => {
    const visit = await kit.requireOwnSession(ctx, ctx.state, wanted);
    if (visit === undefined) return;
    const days = String(Math.min(usualDays, settingsOf(visit)['api_keys.maximum_days']));
    await showNewKey(visit, { typed: { id: uuidv7(services.clock()), name: '', scopes: '', days } });
  });

  router.post(`/t/:slug${newKeyPath}`, async (ctx) => {
    const sent = await kit.readOwnForm(ctx, ctx.state, wanted);
    if (sent === undefined) return;
    const { visit } = sent;
    const typed = parseForm(newKeyForm, sent.fields);
    if (typed.ui_locales !== undefined) return showNewKey(inLocale(options, visit, typed.ui_locales), { typed });
    const created = await createApiKey(asOwner(services, visit), {
      ...ownerOf(visit),
      id: typed.id,
      settings: settingsOf(visit),
      name: typed.name,
      scopes: typed.scopes.split(/\s+/).filter((scope) => scope !== ''),
      expiresAt: endOf(typed.days),
    });
    if (created.outcome === 'created') return showNewKey(visit, { typed, key: created.key });
    await showNewKey(visit, { typed, errors: errorsOf(created), status: 400 });
  });

  /** What is no number of days has ended before it began, and is refused as that. */
  function endOf(days: string): Date {
    const count = /^\s*\d{1,5}\s*$/.test(days) ? Number(days) : 0;
    return new Date(services.clock().getTime() + count * dayMilliseconds);
  }

  async function permissionsOf(visit: OwnVisit): Promise<readonly string[]> {
    const { tenantId, userId } = ownerOf(visit);
    return (await readRights(services.database.tenant(tenantId), userId)).permissions;
  }

  async function showNewKey(visit: OwnVisit, { typed, key, errors, status }: ShownKey): Promise<void> {
    const { id, name, scopes, days } = typed;
    showOwnPage(visit, {
      name: 'new_api_key',
      status,
      languageSwitch: key === undefined ? { kind: 'form' } : undefined,
      model: {
        ...formOf(kit, visit),
        ...{ id, name, scopes, days, key, errors },
        backAddress: kit.addressOf(visit.state, keysPath),
        maximumDays: settingsOf(visit)['api_keys.maximum_days'],
        available: grantableScopes(await permissionsOf(visit)),
      },
    });
  }
}

interface ShownKey {
  readonly typed: Typed;
  readonly key?: string;
  readonly errors?: readonly NewApiKeyError[];
  readonly status?: number;
}

function settingsOf({ state }: OwnVisit) {
  return state.engine.people;
}

function errorsOf(refused: Exclude<CreateApiKeyOutcome, { readonly outcome: 'created' }>): readonly NewApiKeyError[] {
  switch (refused.outcome) {
    case 'too_many':
      return [{ field: undefined, problem: 'too_many', maximum: refused.maximum }];
    case 'not_allowed':
    case 'unknown':
      return [{ field: undefined, problem: 'not_allowed' }];
    case 'made_before':
      return [{ field: undefined, problem: 'made_before' }];
    case 'refused':
      return fieldErrorsOf(refused.faults);
    default: {
      const never: never = refused;
      return never;
    }
  }
}

/** One message for each field, however much is wrong with it. */
function fieldErrorsOf(faults: readonly KeyFault[]): readonly NewApiKeyError[] {
  const wrong = new Set(faults.map((fault) => fault.field));
  const scopes = faults.flatMap((fault) => ('scope' in fault ? [fault.scope] : []));
  return [
    ...(wrong.has('name') ? [{ field: 'name' } as const] : []),
    ...(wrong.has('scopes') ? [{ field: 'scopes', scopes } as const] : []),
    ...(wrong.has('expires_at') ? [{ field: 'days' } as const] : []),
  ];
}
