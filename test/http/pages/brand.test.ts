/** A tenant's own look, over HTTP: where it comes from, that it reaches every process, and that nothing in it can be more than a look. */
import { parseLogo } from '#src/domain/logo.ts';
import { type BrandChange, brandTenant } from '#src/flows/tenants/manage_branding.ts';
import { pngChunk, pngWith, squarePng, webpWith } from '#test/support/logos.ts';
import { eventually } from '#test/support/sql.ts';
import { queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let beside: TestServer;
let acme: TestTenant;
let globex: TestTenant;

beforeAll(async () => {
  server = await startTestServer();
  beside = await startTestServer({ beside: server });
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
});

afterAll(async () => {
  await beside.close();
  await server.close();
});

const brand = (change: BrandChange, tenant = acme) => brandTenant(server.context, { id: tenant.id, change });

async function homeOf(tenant: TestTenant, at: TestServer = server): Promise<string> {
  const response = await fetch(`${at.origin}/t/${tenant.slug}`, { headers: { accept: 'text/html' } });
  return response.text();
}

const stylesheetOn = (page: string): string | undefined => /href="([^"]*brand\.css[^"]*)"/.exec(page)?.[1];
const logoOn = (page: string): string | undefined => /<img class="logo" src="([^"]*)"/.exec(page)?.[1];

describe('a tenant’s look', () => {
  it('comes as a stylesheet and a picture of our own origin, to be kept for ever (items 17, 55)', async () => {
    const logo = squarePng(120);
    expect(await brand({ color: '#7A1FA2', logo, logoAlt: 'Acme & zonen' })).toMatchObject({
      outcome: 'branded',
      correctedColor: undefined,
    });
    await eventually('the page has the colour', async () => stylesheetOn(await homeOf(acme)) !== undefined);
    const page = await homeOf(acme);
    expect(page).toContain('width="40" height="40" alt="Acme &amp; zonen"');
    expect(page).not.toContain('#7a1fa2');

    const css = await fetch(server.origin + stylesheetOn(page));
    expect(css.headers.get('content-type')).toBe('text/css; charset=utf-8');
    expect(css.headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
    expect(await css.text()).toContain('--accent: #7a1fa2;');
    const picture = await fetch(server.origin + logoOn(page));
    expect(picture.headers.get('content-type')).toBe('image/png');
    expect(picture.headers.get('x-content-type-options')).toBe('nosniff');
    expect(picture.headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(picture.headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
    expect(Buffer.from(await picture.arrayBuffer())).toEqual(logo);

    // Under another name it is what it is now, and asked for again.
    const stale = await fetch(`${acme.issuer}/brand.css?v=000000000000`);
    expect(stale.headers.get('cache-control')).toBe('no-cache');
    expect(await homeOf(globex)).toContain('class="mark"');
    for (const path of ['brand.css', 'logo']) expect((await fetch(`${globex.issuer}/${path}`)).status).toBe(404);
  });

  it('reaches the other processes, under a new address', async () => {
    const seen = new Set([stylesheetOn(await homeOf(acme, beside))]);
    for (const color of ['#005ea5', '#7a1f5c']) {
      await brand({ color });
      await eventually('the other process has it', async () => !seen.has(stylesheetOn(await homeOf(acme, beside))));
      const address = stylesheetOn(await homeOf(acme, beside));
      seen.add(address);
      expect(await (await fetch(beside.origin + address)).text()).toContain(color);
    }
  });

  it('keeps the picture when the colour changes, and takes all of it back', async () => {
    await brand({ logo: squarePng(64), logoAlt: 'Acme', color: '#005ea5' });
    const changed = await brand({ color: '#7a1fa2' });
    expect(changed).toMatchObject({ brand: { color: '#7a1fa2', logo: { width: 64, alt: 'Acme' } } });
    expect(await brand({ clear: true })).toMatchObject({ brand: { color: undefined, logo: undefined } });
    await eventually('the page is the house’s again', async () => (await homeOf(acme)).includes('class="mark"'));
    expect((await fetch(`${acme.issuer}/logo`)).status).toBe(404);
  });

  it('that could not be read is corrected, and says to what; the choice stays on record', async () => {
    const branded = await brand({ color: '#ffe600' }, globex);
    expect(branded).toMatchObject({ outcome: 'branded', brand: { color: '#ffe600' } });
    expect(branded.outcome === 'branded' && branded.correctedColor).toMatch(/^#[0-9a-f]{6}$/);
    const types = ['tenant.branded'];
    const [event] = await readEvents(server.database, { tenantId: globex.id, types });
    expect(event).toMatchObject({ outcome: 'success', data: { color: '#ffe600', logo: 'none' } });
  });

  it.each([
    ['color', { color: 'red;}body{display:none}' }],
    ['logo_alt', { logo: squarePng(), logoAlt: 'a\u202eb' }],
    ['no_logo', { clear: true, logoAlt: 'nothing to see' }],
    ['logo_not_png_or_webp', { logo: Buffer.from('<svg onload="alert(1)"/>') }],
    ['logo_damaged', { logo: squarePng().subarray(0, 60) }],
  ] as const)('is refused for %s, and nothing changes', async (reason, change) => {
    await brand({ color: '#005ea5' });
    expect(await brand(change)).toEqual({ outcome: 'refused', reason });
    const [row] = await queryAsSuperuser<{ brand: unknown }>(
      server.database,
      `select brand from tenants where slug = 'acme'`,
    );
    expect(row?.brand).toMatchObject({ color: '#005ea5' });
  });

  it('holds nothing but the picture, also when a second file came with it (C24)', async () => {
    const script = '<script>alert(1)</script>';
    const polyglots = [
      pngWith({ chunks: [pngChunk('tEXt', Buffer.from(script))], after: script }),
      Buffer.concat([webpWith(), Buffer.from(script)]),
    ];
    for (const logo of polyglots) {
      expect(logo.toString('latin1')).toContain(script);
      expect(await brand({ logo })).toMatchObject({ outcome: 'branded' });
      const served = Buffer.from(await (await fetch(`${acme.issuer}/logo`)).arrayBuffer());
      expect(served.toString('latin1')).not.toContain('script');
      expect(parseLogo(served).outcome).toBe('valid');
    }
  });

  it('is not believed when somebody wrote something else into the database (C24)', async () => {
    const hostile = {
      color: '#005ea5;}*{}',
      logo: { version: '"><script>', width: 1, height: 1, alt: '"><svg onload=x>' },
    };
    await queryAsSuperuser(server.database, `update tenants set brand = $1 where slug = 'globex'`, [
      JSON.stringify(hostile),
    ]);
    await eventually('the page is the house’s', async () => stylesheetOn(await homeOf(globex)) === undefined);
    expect(await homeOf(globex)).not.toMatch(/<script>|<svg|class="logo"/);
  });
});
