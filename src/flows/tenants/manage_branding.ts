/** How a tenant's pages and mails look: one colour and one logo. Every process shows it within a second. */
import { hash } from 'node:crypto';
import {
  isColorCorrected,
  paletteOf,
  parseBrandColor,
  parseLogoAlt,
  readBrand,
  type TenantBrand,
} from '#src/domain/brand.ts';
import { type LogoRefusal, parseLogo } from '#src/domain/logo.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import { deleteLogo, lockBrand, putLogo, updateBrand } from '#src/storage/tables/tenant_brands.ts';
import type { FlowContext } from '../flow_context.ts';

export interface BrandChange {
  /** Takes back everything that was set before what else is said here. */
  readonly clear?: boolean | undefined;
  /** `null`: that of the house. */
  readonly color?: string | null | undefined;
  /** `null`: none. */
  readonly logo?: Buffer | null | undefined;
  readonly logoAlt?: string | undefined;
}

export type BrandOutcome =
  | {
      readonly outcome: 'branded';
      readonly brand: TenantBrand;
      /** What people see in the light where the chosen colour could not be read. */
      readonly correctedColor: string | undefined;
    }
  | { readonly outcome: 'refused'; readonly reason: 'color' | 'logo_alt' | 'no_logo' | `logo_${LogoRefusal}` };

export async function brandTenant(
  context: FlowContext,
  {
    id,
    change,
    guard,
  }: {
    readonly id: TenantId;
    readonly change: BrandChange;
    /** Called with the brand as it is stored, locked: throws when it is not the one that whoever asks had looked at. */
    readonly guard?: ((brand: unknown) => void) | undefined;
  },
): Promise<BrandOutcome> {
  const color = typeof change.color === 'string' ? parseBrandColor(change.color) : change.color;
  if (typeof change.color === 'string' && color === undefined) return { outcome: 'refused', reason: 'color' };
  const alt = change.logoAlt === undefined ? undefined : parseLogoAlt(change.logoAlt);
  if (change.logoAlt !== undefined && alt === undefined) return { outcome: 'refused', reason: 'logo_alt' };
  const picture = change.logo === undefined || change.logo === null ? undefined : parseLogo(change.logo);
  if (picture?.outcome === 'invalid') return { outcome: 'refused', reason: `logo_${picture.reason}` };

  const now = context.clock();
  const tenant = context.database.tenant(id);
  return tenant.transaction(async (transaction) => {
    const stored = await lockBrand(transaction, id);
    guard?.(stored);
    const before = readBrand(stored);
    const kept = change.clear === true ? {} : before;
    const start = change.logo === null ? { color: kept.color } : kept;
    const version = picture === undefined ? undefined : logoVersion(picture.body);
    const fresh =
      picture === undefined || version === undefined
        ? start.logo
        : { version, width: picture.width, height: picture.height, alt: start.logo?.alt ?? '' };
    // A name for a picture that is not there would be lost without a word.
    if (alt !== undefined && fresh === undefined) return { outcome: 'refused', reason: 'no_logo' };
    const brand: TenantBrand = {
      color: color === null ? undefined : (color ?? start.color),
      logo: fresh === undefined ? undefined : { ...fresh, alt: alt ?? fresh.alt },
    };
    if (picture !== undefined && version !== undefined)
      await putLogo(transaction, { id, logo: { version, media_type: picture.mediaType, body: picture.body }, now });
    else if (brand.logo === undefined) await deleteLogo(transaction, id);
    await updateBrand(transaction, { id, brand, now });
    const event = {
      type: 'tenant.branded',
      outcome: 'success',
      actor: context.actor,
      target: { type: 'tenant', id },
      data: { color: brand.color ?? 'none', logo: brand.logo?.version ?? 'none' },
    } as const;
    await appendEvent(transaction, { tenant, event, origin: context.origin, now });
    return { outcome: 'branded', brand, correctedColor: correctionOf(brand.color) };
  });
}

/** What names a picture: the same picture has the same name everywhere. */
export function logoVersion(body: Buffer): string {
  return hash('sha256', body).slice(0, 32);
}

function correctionOf(color: string | undefined): string | undefined {
  return color !== undefined && isColorCorrected(color) ? paletteOf(color, 'light').accent : undefined;
}
