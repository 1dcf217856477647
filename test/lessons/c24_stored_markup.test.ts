/**
 * C24: markup in the name of a client, an organisation, a scope, a person or a request must stay text wherever it is shown. Every text of
 * every page is tried, whoever adds a page; and what strangers can really write is followed through the product into a browser.
 */
import { jest } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import { createApi } from '#src/flows/clients/manage_clients.ts';
import { brandTenant } from '#src/flows/tenants/manage_branding.ts';
import { createTenant } from '#src/flows/tenants/manage_tenants.ts';
import { locales } from '#src/http/pages/kit/translations.ts';
import { describeWithChromium, launchChromium } from '#test/support/browser.ts';
import { signInAs, visit } from '#test/support/browser_visit.ts';
import { squarePng } from '#test/support/logos.ts';
import { markupCorpus } from '#test/support/markup_corpus.ts';
import { pageStates, type Shown } from '#test/support/page_fixtures.ts';
import { type PageServer, startPageServer } from '#test/support/page_server.ts';
import { shellFor } from '#test/support/pages/page_state.ts';
import { type RunningApplication, registerClient, startForeignSite } from '#test/support/relying_parties.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorizationRequest } from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

jest.setTimeout(120_000);

/** Each tag with the names of its attributes: what markup in a text would add to. */
function shapeOf(html: string): readonly string[] {
  return [...html.matchAll(/<([a-z!/][^\s>]*)((?:\s+[^\s=>"]+(?:="[^"]*")?)*)\s*\/?>/giu)].map(
    ([, tag = '', rest = '']) =>
      [tag, ...[...rest.matchAll(/([^\s=>"]+)(?:="[^"]*")?/gu)].map(([, name = '']) => name)].join(' '),
  );
}

/** Which of a fixed set something is, and nothing that anybody wrote. */
const choices = /\.(?:kind|error|result|notice|state|method|methods|reason|factor|status)$/u;

function textsOf(shown: Shown): readonly string[] {
  const paths = new Set<string>();
  shown.withTexts((text, path) => {
    if (!choices.test(path) || path === 'model.oauth.error') paths.add(path);
    return text;
  });
  return [...paths];
}

function withText(shown: Shown, wanted: string, text: string): Shown {
  return shown.withTexts((written, path) => (path === wanted ? text : written));
}

describe('C24: markup in a text', () => {
  it.each(pageStates)('adds nothing to the page, in any text of it: $name', (shown) => {
    const paths = textsOf(shown);
    expect(paths.length).toBeGreaterThan(0);
    for (const path of paths) {
      // A web address leads somewhere and a word does not: that, too, is for the text to say, and the only thing.
      const expected = ['words', 'https://x.example/', '/path'].map((plain) =>
        JSON.stringify(shapeOf(withText(shown, path, plain).render(shellFor('nl')))),
      );
      for (const payload of markupCorpus) {
        const html = withText(shown, path, payload).render(shellFor('nl'));
        expect({ path, payload, html: expected.includes(JSON.stringify(shapeOf(html))) }).toEqual({
          path,
          payload,
          html: true,
        });
        // But for a file that the page itself offers, which a browser saves and never opens.
        expect(html.replace(/href="data:text\/plain;charset=utf-8,[^"]*" download=/gu, '')).not.toMatch(
          /href="(?:javascript|data|\/\/)/iu,
        );
      }
    }
  });
});

describeWithChromium('C24: in a browser', () => {
  let browser: Browser;

  beforeAll(async () => {
    browser = await launchChromium();
  });

  afterAll(() => browser?.close());

  /** Whatever runs says so: as a call, a dialog, another document, or in the browser's own complaints. */
  async function watch(
    origins: readonly string[],
    use: (page: Page, check: (name: string) => Promise<void>) => Promise<void>,
  ): Promise<void> {
    await visit(browser, { origins }, async ({ page, complaints }) => {
      const dialogs: string[] = [];
      page.on('dialog', (dialog) => {
        dialogs.push(dialog.message());
        dialog.dismiss().catch(() => undefined);
      });
      await page.addInitScript('globalThis.poortRan = () => { console.error("it ran"); };');
      await use(page, async (name) => {
        const foreign = await page.evaluate(
          `[...document.querySelectorAll('svg:not(.qr svg), iframe, math, base, meta[http-equiv], script:not([src]), style')]
            .map((element) => element.outerHTML)`,
        );
        expect({ name, foreign, dialogs, complaints: [...complaints] }).toEqual({
          name,
          foreign: [],
          dialogs: [],
          complaints: [],
        });
      });
    });
  }

  it('nothing of any page runs, whichever of its texts it is in', async () => {
    const spoilt = new Map<string, Shown>();
    for (const shown of pageStates.filter(({ state }) => ['initial', 'error', 'success'].includes(state)))
      for (let round = 0; round < 3; round += 1) {
        const paths = textsOf(shown);
        const payloadOf = (path: string) =>
          markupCorpus[(paths.indexOf(path) + round * 5) % markupCorpus.length] ?? path;
        spoilt.set(
          `${shown.name} ${round}`,
          shown.withTexts((text, path) => (paths.includes(path) ? payloadOf(path) : text)),
        );
      }
    const find = (name: string): Shown => {
      const shown = spoilt.get(name);
      if (shown === undefined) throw new Error(`no page is called ${name}`);
      return shown;
    };
    const server: PageServer = await startPageServer(find);
    try {
      await watch([server.origin], async (page, check) => {
        for (const name of spoilt.keys()) {
          await page.goto(server.addressOf(name, locales[0]));
          await check(name);
        }
      });
    } finally {
      await server.close();
    }
  });

  describe('what strangers write', () => {
    let server: TestServer;
    let acme: TestTenant;
    let site: RunningApplication;

    beforeAll(async () => {
      server = await startTestServer();
      acme = await createTestTenant(server, 'acme');
      site = await startForeignSite();
    });

    afterAll(async () => {
      await site?.close();
      await server?.close();
    });

    it.each(markupCorpus)('stays text all the way through the product: %s', async (payload) => {
      const redirectUri = `${site.origin}/callback`;
      const audience = `https://api.acme.test/${markupCorpus.indexOf(payload)}`;
      const { context } = server;
      const description = payload.replaceAll(/[\u202c\u202e]/g, '');
      const api = await createApi(context, {
        tenantId: acme.id,
        api: { audience, tokenFormat: 'opaque', scopes: [`readings:read=${description}`] },
      });
      expect(api.outcome).toBe('created');
      const client = await registerClient(server, acme, {
        name: description,
        type: 'web',
        firstParty: false,
        redirectUris: [redirectUri],
      });
      // A name that no door lets in any more, but an older version or another program may have written.
      await queryAsSuperuser(server.database, 'update tenants set name = $1 where slug = $2', [payload, 'acme']);
      await queryAsSuperuser(server.database, 'update clients set name = $1 where client_id = $2', [
        payload,
        client.clientId,
      ]);
      await brandTenant(context, { id: acme.id, change: { logo: squarePng(), logoAlt: description } });

      await watch([server.origin, site.origin], async (page, check) => {
        const asked = { redirect_uri: redirectUri, scope: 'openid readings:read', resource: audience };
        const hostile = { login_hint: payload, state: payload, nonce: payload, ui_locales: payload, display: 'page' };
        await page.goto(authorizationRequest(acme, client, { ...asked, ...hostile }).url);
        await check('sign-in');
        await signInAs(page, { email: payload, password: payload });
        await check('sign-in after a mistake');
        await page.goto(authorizationRequest(acme, client, { ...asked, state: payload }).url);
        await signInAs(page, acme.person);
        await page.locator('[value=deny]').waitFor();
        await check('consent');
        await page.locator('[value=deny]').click();
        await page.waitForURL(`${redirectUri}?**`);
        expect(new URL(page.url()).searchParams.get('state')).toBe(payload);
        for (const wrong of [
          { client_id: payload },
          { redirect_uri: payload },
          { response_type: payload, scope: payload, prompt: payload, resource: payload },
        ]) {
          await page.goto(authorizationRequest(acme, client, { ...asked, ...wrong } as Record<string, string>).url);
          await check(JSON.stringify(wrong));
        }
        await page.goto(`${acme.issuer}/logout?${new URLSearchParams({ client_id: client.clientId, state: payload })}`);
        await check('logout');
        await page.goto(`${acme.issuer}/interaction/${encodeURIComponent(payload)}`);
        await check('an address that is over');
        await page.goto(`${acme.issuer}/${encodeURIComponent(payload)}?ui_locales=${encodeURIComponent(payload)}`);
        await check('an address that never was');
        await page.goto(`${acme.issuer}?${encodeURIComponent(payload)}=${encodeURIComponent(payload)}`);
        await check('home');
      });
    });
  });

  it('a tenant cannot be made with a name that turns a sentence around', async () => {
    const server = await startTestServer();
    try {
      const made = await createTenant(server.context, { slug: 'turned', name: 'Bank \u202egnp.exe' });
      expect(made).toEqual({ outcome: 'refused', reason: 'name' });
    } finally {
      await server.close();
    }
  });
});
