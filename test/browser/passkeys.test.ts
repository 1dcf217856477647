/** Passkeys in Chromium with a virtual authenticator: added on the person's own pages, used by autofill, by button, as a second factor. */
import { jest } from '@jest/globals';
import type { Browser, CDPSession, Page } from 'playwright-core';
import { configureTenant } from '#src/flows/tenants/manage_tenants.ts';
import { describeWithChromium, launchChromium } from '#test/support/browser.ts';
import { axeViolations, type BrowserVisit, signInAs, visit } from '#test/support/browser_visit.ts';
import { newPersonWithTotp, totpCode } from '#test/support/second_factor.ts';
import { readEvents } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

jest.setTimeout(90_000);

describeWithChromium('a passkey in Chromium', () => {
  let browser: Browser;
  let server: TestServer;
  let acme: TestTenant;

  beforeAll(async () => {
    server = await startTestServer();
    acme = await createTestTenant(server, 'acme');
    browser = await launchChromium();
  });

  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });

  interface Authenticator {
    readonly session: CDPSession;
    readonly id: string;
  }

  /** One in the device itself, whose owner is there and can be told to look away. */
  async function plugIn(page: Page): Promise<Authenticator> {
    const session = await page.context().newCDPSession(page);
    await session.send('WebAuthn.enable');
    const { authenticatorId: id } = await session.send('WebAuthn.addVirtualAuthenticator', {
      options: {
        protocol: 'ctap2',
        transport: 'internal',
        hasResidentKey: true,
        hasUserVerification: true,
        isUserVerified: true,
        automaticPresenceSimulation: true,
      },
    });
    return { session, id };
  }

  const present = ({ session, id }: Authenticator, enabled: boolean) =>
    session.send('WebAuthn.setAutomaticPresenceSimulation', { authenticatorId: id, enabled });

  const overview = (): string => `${acme.issuer}/account/second-factor`;

  /** Signs in with password and app, and adds a passkey. */
  async function addPasskey({ page }: BrowserVisit): Promise<{
    readonly authenticator: Authenticator;
    readonly person: Awaited<ReturnType<typeof newPersonWithTotp>>;
  }> {
    const person = await newPersonWithTotp(server, acme);
    const authenticator = await plugIn(page);
    // Nothing is offered to who is at the sign-in page while there is none.
    await page.goto(`${overview()}/passkeys/new`);
    await signInAs(page, person);
    await page.locator('#code').fill(totpCode(person.secret, new Date()));
    await page.locator('#step .button').first().click();
    await page.locator('#name').fill('Telefoon');
    expect(await axeViolations(page)).toEqual([]);
    await page.getByRole('button', { name: 'Passkey maken' }).click();
    // The first one comes with backup codes.
    await page.locator('#saved').check();
    await page.locator('#step .button').click();
    await page.getByText('Telefoon').waitFor();
    return { authenticator, person };
  }

  it('is added, signs in by autofill, by the button, and leaves the page usable when it is cancelled', () =>
    visit(browser, { origins: [server.origin], locale: 'nl-NL' }, async (at) => {
      const { page } = at;
      const { authenticator, person } = await addPasskey(at);

      await page.context().clearCookies();
      await page.goto(overview());
      // Under the field, without a press.
      await page.waitForURL(overview());
      await page.getByText('Telefoon').waitFor();
      const signedIn = async () =>
        (await readEvents(server.database, { tenantId: acme.id, types: ['user.signed_in'] })).at(-1);
      expect((await signedIn())?.data).toEqual({ amr: ['hwk', 'mfa', 'user'] });

      // Nobody touches it: the page waits, the password field works, and the button can be pressed.
      await present(authenticator, false);
      await page.context().clearCookies();
      await page.goto(overview());
      const button = page.getByRole('button', { name: 'Inloggen met passkey' });
      await button.waitFor();
      await authenticator.session.send('WebAuthn.setUserVerified', {
        authenticatorId: authenticator.id,
        isUserVerified: false,
      });
      await present(authenticator, true);
      await button.click();
      await page.locator('[data-passkey-problem]').waitFor();
      await present(authenticator, false);
      expect(page.url()).toContain('/interaction/');
      await authenticator.session.send('WebAuthn.setUserVerified', {
        authenticatorId: authenticator.id,
        isUserVerified: true,
      });
      await present(authenticator, true);
      await button.click();
      await page.waitForURL(overview());

      await present(authenticator, false);
      await page.context().clearCookies();
      await page.goto(overview());
      await signInAs(page, person);
      await page.getByRole('button', { name: 'Bevestigen met passkey' }).waitFor();
      expect(await axeViolations(page)).toEqual([]);
      await present(authenticator, true);
      await page.getByRole('button', { name: 'Bevestigen met passkey' }).click();
      await page.waitForURL(overview());
      expect((await signedIn())?.data).toEqual({ amr: ['hwk', 'mfa', 'pwd', 'user'] });
      expect(at.complaints).toEqual([]);
    }));

  it('is not added twice by one authenticator, and can be taken away', () =>
    visit(browser, { origins: [server.origin], locale: 'nl-NL' }, async (at) => {
      const { page } = at;
      await addPasskey(at);
      await page.goto(`${overview()}/passkeys/new`);
      await page.locator('#name').fill('Nog een');
      await page.getByRole('button', { name: 'Passkey maken' }).click();
      await page.locator('[data-passkey-problem]').waitFor();
      await page.goto(`${overview()}/passkeys`);
      await page.getByRole('button', { name: 'Verwijderen' }).click();
      await page.getByText('De passkey is verwijderd.').waitFor();
      expect(at.complaints).toEqual([]);
    }));

  it('does not exist for who has no script: the pages are complete without', () =>
    visit(browser, { origins: [server.origin], locale: 'nl-NL', javaScriptEnabled: false }, async ({ page }) => {
      const person = await newPersonWithTotp(server, acme);
      await page.goto(overview());
      expect(await page.getByRole('button', { name: 'Inloggen met passkey' }).isVisible()).toBe(false);
      await signInAs(page, person);
      await page.locator('#code').fill(totpCode(person.secret, new Date()));
      await page.locator('#step .button').first().click();
      await page.getByRole('link', { name: 'Passkey toevoegen' }).click();
      await page.getByText('met JavaScript aan').waitFor();
    }));

  it('backup codes are downloaded as a file, with script and without', async () => {
    for (const javaScriptEnabled of [true, false])
      await visit(browser, { origins: [server.origin], locale: 'nl-NL', javaScriptEnabled }, async (at) => {
        const { page } = at;
        const person = await newPersonWithTotp(server, acme);
        await page.goto(`${overview()}/backup-codes`);
        await signInAs(page, person);
        await page.locator('#code').fill(totpCode(person.secret, new Date()));
        await page.locator('#step .button').first().click();
        await page.getByRole('button', { name: 'Nieuwe codes maken' }).click();
        const codes = await page.locator('#codes li').allInnerTexts();
        const [download] = await Promise.all([
          page.waitForEvent('download'),
          page.getByRole('link', { name: 'Download als tekstbestand' }).click(),
        ]);
        const chunks: Buffer[] = [];
        for await (const chunk of await download.createReadStream()) chunks.push(chunk);
        expect(download.suggestedFilename()).toBe('back-upcodes.txt');
        expect(Buffer.concat(chunks).toString('utf8')).toContain(codes.join('\r\n'));
        expect(at.complaints).toEqual([]);
      });
  });

  it('is offered nowhere where the organisation has no second factors', async () => {
    const plain = await createTestTenant(server, 'plain');
    const changes = [{ name: 'second_factor.policy', value: 'off' } as const];
    expect(await configureTenant(server.context, { id: plain.id, changes })).toEqual({ outcome: 'changed' });
    await visit(browser, { origins: [server.origin] }, async ({ page }) => {
      do await page.goto(`${plain.issuer}/account/second-factor`);
      while ((await page.locator('[data-passkey]').count()) > 0);
      await signInAs(page, plain.person);
      expect((await page.goto(`${plain.issuer}/account/second-factor/passkeys/new`))?.status()).toBe(404);
      expect((await page.goto(`${plain.issuer}/account/second-factor/app`))?.status()).toBe(404);
    });
  });
});
