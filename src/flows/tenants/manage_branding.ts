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
  readonly color?: string | undefined;
  readonly logo?: Buffer | undefined;
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
  { id, change }: { readonly id: TenantId; readonly change: BrandChange },
): Promise<BrandOutcome> {
  const color = change.color === undefined ? undefined : parseBrandColor(change.color);
  if (change.color !== undefined && color === undefined) return { outcome: 'refused', reason: 'color' };
  const alt = change.logoAlt === undefined ? undefined : parseLogoAlt(change.logoAlt);
  if (change.logoAlt !== undefined && alt === undefined) return { outcome: 'refused', reason: 'logo_alt' };
  const picture = change.logo === undefined ? undefined : parseLogo(change.logo);
  if (picture?.outcome === 'invalid') return { outcome: 'refused', reason: `logo_${picture.reason}` };

  const now = context.clock();
  const tenant = context.database.tenant(id);
  return tenant.transaction(async (transaction) => {
    const before = readBrand(await lockBrand(transaction, id));
    const start = change.clear === true ? {} : before;
    const version = picture === undefined ? undefined : logoVersion(picture.body);
    const fresh =
      picture === undefined || version === undefined
        ? start.logo
        : { version, width: picture.width, height: picture.height, alt: start.logo?.alt ?? '' };
    // A name for a picture that is not there would be lost without a word.
    if (alt !== undefined && fresh === undefined) return { outcome: 'refused', reason: 'no_logo' };
    const brand: TenantBrand = {
      color: color ?? start.color,
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
