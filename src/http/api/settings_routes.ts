/** What a tenant says for itself, over REST: every setting with the value that holds and where it comes from, and how it looks. */
import { z } from 'zod';
import type { Config } from '#config/config.ts';
import { peopleSettingsOf } from '#src/domain/people_settings.ts';
import { protocolFeaturesOf } from '#src/domain/protocol_features.ts';
import { isStorable } from '#src/domain/stored_text.ts';
import { lifetimeSettingsOf, lifetimesIn } from '#src/domain/tenant_lifetimes.ts';
import {
  listTenantSettings,
  ownSettings,
  parseTenantSettingValue,
  readTenantSettings,
  type TenantSettingChange,
  type TenantSettings,
  tenantSettingValues,
} from '#src/domain/tenant_settings.ts';
import { configureTenant, type SettingFault, showTenant } from '#src/flows/tenants/manage_tenants.ts';
import type { TenantRow } from '#src/storage/tables/tenants.ts';
import { type FieldFault, ProblemRaised, problems } from '../problems.ts';
import { permitted } from './chains.ts';
import { unchanged } from './entity_tags.ts';
import { type ManagementServices, managementContext } from './management.ts';
import { type ApiRoute, route } from './routes.ts';

export interface SettingsRoutesOptions {
  readonly apiServices: ManagementServices;
  readonly config: Config;
}

const path = '/api/v1/admin/settings';

const locales = z.enum(['nl', 'en']);
const settingValue = z.union([z.boolean(), z.number(), z.string(), z.array(z.string())]);
const shownSettings = z
  .object({
    name: z.string().describe('What people read'),
    locale: locales.describe('The language of pages and mails for who has not chosen one'),
    settings: z.record(z.string(), settingValue).describe('What the tenant says itself'),
    effective: z
      .record(
        z.string(),
        z.object({
          value: settingValue,
          source: z.enum(['tenant', 'installation']),
          installation: settingValue.describe(
            'What holds where the tenant says nothing; of a lifetime the longest there is',
          ),
          expected: z.string().describe('Completes the sentence "Set it to …"'),
        }),
      )
      .describe('What holds'),
  })
  .meta({ id: 'TenantSettings' });

const changes = z
  .strictObject({
    name: z.string().max(1_000),
    locale: locales,
    settings: z.record(z.string().max(200), z.union([settingValue, z.null()])),
  })
  .partial()
  .refine(isStorable, 'holds characters that cannot be kept');

export function settingsRoutes({ apiServices, config }: SettingsRoutesOptions): readonly ApiRoute[] {
  return [
    route({
      summary: 'What the tenant says for itself, and what holds',
      method: 'GET',
      path,
      chain: permitted('settings:read'),
      answers: shownSettings,
      handle: async ({ engine }) => ({ status: 200, body: await found(engine.tenant) }),
    }),
    route({
      summary: 'Say otherwise, or with null take back what was said (RFC 7396)',
      method: 'PATCH',
      path,
      chain: permitted('settings:write'),
      body: changes,
      answers: shownSettings,
      async handle(request) {
        const { engine, body } = request;
        const configured = await configureTenant(managementContext(apiServices, request), {
          id: engine.tenant.id,
          changes: readChanges(body.settings ?? {}),
          name: body.name,
          locale: body.locale,
          lifetimes: config.lifetimes,
          guard: unchanged(request, present),
          by: request.caller.permissions,
        });
        if (configured.outcome === 'refused')
          throw new ProblemRaised(problems.invalidFields(configured.faults.map(presentFault)));
        return { status: 200, body: await found(engine.tenant) };
      },
    }),
  ];

  /** As it is stored: the engine may know a change a moment later. */
  async function found({ id }: Pick<TenantRow, 'id'>) {
    const tenant = await showTenant(apiServices, id);
    if (tenant === undefined) throw new ProblemRaised(problems.notFound());
    return present(tenant);
  }

  function present({ name, locale, settings }: TenantRow): z.output<typeof shownSettings> {
    const own = readTenantSettings(settings);
    const said = ownSettings(own);
    const installation = new Map(tenantSettingValues(installationSettings(config)));
    const holding = new Map(tenantSettingValues(holdingSettings(config, own)));
    const effective = listTenantSettings().flatMap(({ name: setting, expected }) => {
      const value = holding.get(setting);
      const otherwise = installation.get(setting);
      if (value === undefined || otherwise === undefined) return [];
      const source = said[setting] === undefined ? ('installation' as const) : ('tenant' as const);
      return [[setting, { value: copied(value), source, installation: copied(otherwise), expected }] as const];
    });
    return {
      name,
      locale,
      settings: Object.fromEntries(Object.entries(said).map(([setting, value]) => [setting, copied(value)])),
      effective: Object.fromEntries(effective),
    };
  }
}

type Installation = SettingsRoutesOptions['config'];

/** What the installation says, in the form in which a tenant would say it. */
function installationSettings({ protocol, people, lifetimes }: Installation): TenantSettings {
  return { protocol, people, lifetimes: lifetimeSettingsOf(lifetimes) };
}

function holdingSettings({ protocol, people, lifetimes }: Installation, own: TenantSettings): TenantSettings {
  return {
    protocol: protocolFeaturesOf(protocol, own.protocol),
    people: peopleSettingsOf(people, own.people),
    lifetimes: lifetimeSettingsOf(lifetimesIn(lifetimes, own.lifetimes)),
  };
}

function copied(value: boolean | number | string | readonly string[]): z.output<typeof settingValue> {
  return typeof value === 'object' ? [...value] : value;
}

/** All that is wrong at once. Throws `ProblemRaised`. */
function readChanges(written: Readonly<Record<string, unknown>>): readonly TenantSettingChange[] {
  const faults: FieldFault[] = [];
  const read = Object.entries(written).flatMap(([name, value]): readonly TenantSettingChange[] => {
    const known = listTenantSettings().find((setting) => setting.name === name);
    if (known !== undefined && value === null) return [{ name: known.name, value: undefined }];
    const parsed = parseTenantSettingValue(name, value);
    if (parsed.outcome === 'valid') return [parsed.change];
    const detail = parsed.reason === 'value' ? `has to be ${parsed.expected}` : 'is no setting of a tenant';
    faults.push({ pointer: pointerTo(name), code: parsed.reason, detail });
    return [];
  });
  if (faults.length > 0) throw new ProblemRaised(problems.invalidFields(faults));
  return read;
}

function presentFault(fault: SettingFault): FieldFault {
  const code = fault.problem;
  switch (fault.problem) {
    case 'syntax':
      return { pointer: '#/name', code, detail: 'is 1 to 100 characters, none of them a control character' };
    case 'beyond_the_installation':
      return {
        pointer: pointerTo(fault.name),
        code,
        detail: `is at most what the installation says: ${fault.maximum}`,
      };
    case 'unknown_role':
      return { pointer: pointerTo(fault.name), code, detail: 'is no role of the tenant' };
    case 'manages_the_tenant':
      return {
        pointer: pointerTo(fault.name),
        code,
        detail: 'may manage the tenant: nobody gets that by letting themselves in',
      };
    case 'beyond_your_own':
      return { pointer: pointerTo(fault.name), code, detail: 'may do more than you may yourself' };
    case 'would_lock_you_out':
      return { pointer: pointerTo(fault.name), code, detail: 'does not have the address on it that you call from' };
    default: {
      const never: never = fault;
      return never;
    }
  }
}

function pointerTo(setting: string): string {
  return `#/settings/${encodeURIComponent(setting.replaceAll('~', '~0').replaceAll('/', '~1'))}`;
}
