/** How a tenant looks, over REST: one colour and one logo (docs/pages.md). */
import { z } from 'zod';
import type { Config } from '#config/config.ts';
import { isColorCorrected, paletteOf, readBrand } from '#src/domain/brand.ts';
import { MAXIMUM_LOGO_BYTES } from '#src/domain/logo.ts';
import { isStorable } from '#src/domain/stored_text.ts';
import { issuerOf } from '#src/domain/tenant.ts';
import { type BrandOutcome, brandTenant } from '#src/flows/tenants/manage_branding.ts';
import { showTenant } from '#src/flows/tenants/manage_tenants.ts';
import type { TenantRow } from '#src/storage/tables/tenants.ts';
import { type Problem, ProblemRaised, problems } from '../problems.ts';
import { permitted } from './chains.ts';
import { unchanged } from './entity_tags.ts';
import { type ManagementServices, managementContext } from './management.ts';
import { type ApiRoute, route } from './routes.ts';

export interface BrandingRoutesOptions {
  readonly apiServices: ManagementServices;
  readonly config: Config;
}

const path = '/api/v1/admin/branding';

const shownBrand = z
  .object({
    color: z.string().nullable(),
    color_shown: z
      .string()
      .nullable()
      .describe('In the light: darker than the one that was chosen where that could not be read'),
    logo: z.object({ url: z.string(), width: z.int(), height: z.int(), alt: z.string() }).nullable(),
  })
  .meta({ id: 'Branding' });

const changes = z
  .strictObject({
    color: z.string().max(100).nullable().describe('#rrggbb'),
    logo: z
      .base64()
      .max(Math.ceil(MAXIMUM_LOGO_BYTES / 3) * 4)
      .nullable()
      .describe('A PNG or WebP in base64; one that is larger than a body may be is set by the command line'),
    logo_alt: z.string().max(1_000).describe('Said instead of the logo'),
  })
  .partial()
  .refine(isStorable, 'holds characters that cannot be kept');

export function brandingRoutes({ apiServices, config }: BrandingRoutesOptions): readonly ApiRoute[] {
  return [
    route({
      summary: 'How the tenant looks',
      method: 'GET',
      path,
      chain: permitted('settings:read'),
      answers: shownBrand,
      async handle({ engine }) {
        const tenant = await showTenant(apiServices, engine.tenant.id);
        if (tenant === undefined) throw new ProblemRaised(problems.notFound());
        return { status: 200, body: present(tenant) };
      },
    }),
    route({
      summary: 'Change how the tenant looks; null takes back (RFC 7396)',
      method: 'PATCH',
      path,
      chain: permitted('settings:write'),
      body: changes,
      answers: shownBrand,
      async handle(request) {
        const { engine, body } = request;
        const { color, logo, logo_alt: logoAlt } = body;
        const branded = await brandTenant(managementContext(apiServices, request), {
          id: engine.tenant.id,
          change: { color, logoAlt, logo: typeof logo === 'string' ? Buffer.from(logo, 'base64') : logo },
          guard: unchanged(request, (brand: unknown) => present({ ...engine.tenant, brand })),
        });
        if (branded.outcome === 'refused') throw new ProblemRaised(refusalOf(branded.reason));
        return { status: 200, body: present({ ...engine.tenant, brand: branded.brand }) };
      },
    }),
  ];

  function present(tenant: TenantRow): z.output<typeof shownBrand> {
    const { color, logo } = readBrand(tenant.brand);
    const corrected = color !== undefined && isColorCorrected(color) ? paletteOf(color, 'light').accent : color;
    const address = `${issuerOf(tenant, config.http.publicUrl)}/logo`;
    return {
      color: color ?? null,
      color_shown: corrected ?? null,
      logo:
        logo === undefined
          ? null
          : { url: `${address}?v=${logo.version}`, width: logo.width, height: logo.height, alt: logo.alt },
    };
  }
}

type BrandRefusal = Extract<BrandOutcome, { outcome: 'refused' }>['reason'];

const refusals: Readonly<Record<BrandRefusal, readonly [field: 'color' | 'logo' | 'logo_alt', detail: string]>> = {
  color: ['color', 'is written #rrggbb'],
  logo_alt: ['logo_alt', 'is one line of at most 120 characters'],
  no_logo: ['logo_alt', 'is said instead of a logo, and there is none'],
  logo_too_large: ['logo', `has at most ${MAXIMUM_LOGO_BYTES} bytes`],
  logo_not_png_or_webp: ['logo', 'is a PNG or a WebP; an SVG can hold a program'],
  logo_damaged: ['logo', 'is damaged'],
  logo_animated: ['logo', 'does not move'],
  logo_dimensions: ['logo', 'is 16 to 2000 pixels wide and high'],
};

function refusalOf(reason: BrandRefusal): Problem {
  const [field, detail] = refusals[reason];
  return problems.invalidFields([{ pointer: `#/${field}`, code: reason, detail }]);
}
