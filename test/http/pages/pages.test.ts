import { readdirSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { wcagContrast } from 'culori';
import { HtmlValidate, StaticConfigLoader } from 'html-validate';
import { displayName, safeAddress } from '#src/http/pages/kit/page_shell.ts';
import { assets, renderPage } from '#src/http/pages/kit/render.ts';
import { locales, texts } from '#src/http/pages/kit/translations.ts';
import { pageState, pageStates } from '#test/support/page_fixtures.ts';
import { shellFor } from '#test/support/pages/page_state.ts';

const viewsDirectory = new URL('../../../views/', import.meta.url);

// Every tag of a document with its attributes; enough for HTML that html-validate has already accepted.
function tagsOf(html: string): readonly { readonly tag: string; readonly attributes: ReadonlyMap<string, string> }[] {
  return [...html.matchAll(/<([a-z][a-z0-9]*)((?:\s+[^\s=>"]+(?:="[^"]*")?)*)\s*\/?>/giu)].map(
    ([, tag = '', rest = '']) => ({
      tag: tag.toLowerCase(),
      attributes: new Map(
        [...rest.matchAll(/([^\s=>"]+)(?:="([^"]*)")?/gu)].map(([, name = '', value = '']) => [
          name.toLowerCase(),
          value,
        ]),
      ),
    }),
  );
}

// What every key of the locale files starts with.
const rooms = Object.keys(texts.nl);

const validator = new HtmlValidate(
  new StaticConfigLoader({
    root: true,
    extends: ['html-validate:recommended', 'html-validate:document', 'html-validate:a11y'],
    rules: {
      'attribute-boolean-style': 'error',
      'require-sri': 'off', // every file is our own, from our own origin
      'input-attributes': 'off', // `autocapitalize` on an e-mail field is idle by the standard, but some phone keyboards heed it
      'no-inline-style': ['error', { allowedProperties: [] }],
      'long-title': 'off', // step, application and tenant: what tells two tabs apart
    },
  }),
);

describe.each(locales)('a page in %s', (locale) => {
  it.each(pageStates)('is valid HTML: $name', async ({ render }) => {
    const report = await validator.validateString(render(shellFor(locale)));
    expect(
      report.results.flatMap((result) => result.messages.map((fault) => `${fault.line}: ${fault.message}`)),
    ).toEqual([]);
  });

  it.each(pageStates)('has one heading, one title and its language: $name', ({ render }) => {
    const html = render(shellFor(locale));
    expect(html.match(/<h1>/gu)).toHaveLength(1);
    expect(html).toContain(`<html lang="${locale}">`);
    expect(html).toMatch(/<title>[^<]+ - Zorggroep De Linde<\/title>/u);
    expect(
      tagsOf(html)
        .find(({ tag }) => tag === 'a')
        ?.attributes.get('href'),
    ).toBe('#main');
  });

  it.each(pageStates)('has no inline script, style or handler: $name', ({ render }) => {
    const html = render(shellFor(locale));
    expect(html).not.toMatch(/<style|<script(?![^>]* src=)|javascript:/iu);
    const attributes = tagsOf(html).flatMap((tag) => [...tag.attributes.keys()]);
    expect(attributes.filter((name) => name === 'style' || name.startsWith('on'))).toEqual([]);
  });

  it.each(pageStates)('asks no other origin for anything: $name', ({ render }) => {
    const loaded = tagsOf(render(shellFor(locale)))
      .filter(({ tag }) => ['script', 'link', 'img', 'iframe', 'source', 'object', 'form'].includes(tag))
      .map(({ attributes }) => attributes.get('src') ?? attributes.get('href') ?? attributes.get('action'));
    expect(loaded.filter((address) => address?.startsWith('/') !== true)).toEqual([]);
  });

  it.each(pageStates)('shows words, never a key or a hole: $name', ({ render }) => {
    const text = render(shellFor(locale)).replace(/<[^>]*>/gu, '\n');
    expect(text).not.toMatch(/\{\{|\}\}|\bundefined\b|\bnull\b|\[object|NaN/u);
    expect(text.split(/\s+/u).filter((word) => rooms.includes(word.split('.')[0] ?? '') && /\.\w/u.test(word))).toEqual(
      [],
    );
  });

  it.each(pageStates)('fits in 15 KiB compressed: $name', ({ render }) => {
    expect(gzipSync(render(shellFor(locale))).length).toBeLessThanOrEqual(15 * 1024);
  });
});

describe('the title', () => {
  it('begins with the word for error where something failed, and nowhere else', () => {
    for (const { name, page, state, render } of pageStates) {
      const failed = page === 'problem' || state.startsWith('error');
      const starts = [/<title>Fout: /u.test(render(shellFor('nl'))), /<title>Error: /u.test(render(shellFor('en')))];
      expect({ name, starts }).toEqual({ name, starts: [failed, failed] });
    }
  });
});

describe('the sign-in form', () => {
  const model = { action: '/act', csrf: 'token' };

  it('carries exactly the fields email, password and csrf', () => {
    const names = tagsOf(renderPage('sign_in', shellFor('nl'), model)).flatMap(
      ({ attributes }) => attributes.get('name') ?? [],
    );
    expect(names.filter((name) => !['viewport', 'color-scheme', 'robots'].includes(name))).toEqual([
      'csrf',
      'email',
      'password',
    ]);
  });

  it('lets a password manager and a passkey fill it, and never cuts a long password', () => {
    const fields = tagsOf(renderPage('sign_in', shellFor('nl'), model)).filter(({ tag }) => tag === 'input');
    const email = fields.find(({ attributes }) => attributes.get('name') === 'email')?.attributes;
    const password = fields.find(({ attributes }) => attributes.get('name') === 'password')?.attributes;
    expect([email?.get('type'), email?.get('autocomplete')]).toEqual(['email', 'username webauthn']);
    expect([email?.get('autocapitalize'), email?.get('spellcheck')]).toEqual(['none', 'false']);
    expect([password?.get('type'), password?.get('autocomplete')]).toEqual(['password', 'current-password']);
    expect([email?.has('maxlength'), password?.has('maxlength'), password?.has('value')]).toEqual([
      false,
      false,
      false,
    ]);
  });

  it.each([
    ['on the address', 'email', model],
    ['on the password when the address is known', 'password', { ...model, loginHint: 'ada@linde.example' }],
    ['nowhere after a failure', undefined, { ...model, email: 'ada@linde.example', error: 'credentials' as const }],
  ])('puts the cursor %s', (_where, expected, given) => {
    const focused = tagsOf(renderPage('sign_in', shellFor('nl'), given)).filter(({ attributes }) =>
      attributes.has('autofocus'),
    );
    expect(focused.map(({ attributes }) => attributes.get('name'))).toEqual(expected === undefined ? [] : [expected]);
  });

  it('keeps what was typed rather than the hint, and prints no password', () => {
    const html = renderPage('sign_in', shellFor('nl'), {
      ...model,
      email: 'typed@x.example',
      loginHint: 'hint@x.example',
    });
    expect(html).toContain('value="typed@x.example"');
    expect(html).not.toContain('hint@x.example');
  });

  it('ties wrong credentials to both fields and links the summary to the password', () => {
    const html = renderPage('sign_in', shellFor('nl'), { ...model, email: 'ada@x.example', error: 'credentials' });
    const fields = tagsOf(html).filter(({ attributes }) => attributes.get('aria-invalid') === 'true');
    expect(fields.map(({ attributes }) => [attributes.get('name'), attributes.get('aria-describedby')])).toEqual([
      ['email', 'password-error'],
      ['password', 'password-error'],
    ]);
    expect(html).toContain('<p class="field-error" id="password-error">E-mailadres of wachtwoord klopt niet.</p>');
    expect(html).toContain('<a href="#password">E-mailadres of wachtwoord klopt niet.</a>');
    expect(html).toMatch(/<div class="summary" role="alert" tabindex="-1"/u);
  });

  it('counts the minutes in words that fit, and offers a reset only where there is one', () => {
    const throttled = (minutes: number, forgot?: string) =>
      renderPage('sign_in', shellFor('nl'), {
        ...model,
        error: 'throttled',
        retryAfterMinutes: minutes,
        links: { forgot },
      });
    expect(throttled(14.2, '/forgot')).toContain('Te veel pogingen. Wacht 15 minuten of herstel uw wachtwoord.');
    expect(throttled(0)).toContain('Te veel pogingen. Wacht 1 minuut en probeer het opnieuw.');
  });
});

describe('the consent form', () => {
  const consent = pageState('consent initial');

  it('offers deny first, allow beside it in the same dress, and the cursor on neither', () => {
    const html = consent.render(shellFor('en'));
    const buttons = tagsOf(html).filter(({ attributes }) => attributes.get('name') === 'decision');
    expect(buttons.map(({ attributes }) => attributes.get('value'))).toEqual(['deny', 'allow']);
    expect(new Set(buttons.map(({ attributes }) => attributes.get('class'))).size).toBe(1);
    expect(html).not.toContain('autofocus');
  });

  it('names the application, the account, where one will be sent and every right in words', () => {
    const text = consent.render(shellFor('nl')).replace(/<[^>]*>/gu, '');
    for (const words of [
      'Zorgplanner',
      'ada.de.vries@linde.example',
      'planner.example',
      'Uw rooster lezen',
      'planning:read',
    ]) {
      expect(text).toContain(words);
    }
    expect(text).toContain('toegang houden als u er niet bent');
    expect(text).toContain('doorgeven hoe het met uw apparaat gaat');
  });

  it('shows the scheme where an installed app will be opened', () => {
    const html = pageState('consent for an installed app').render(shellFor('nl'));
    expect(html).toContain('com.example.planner</bdi>');
  });
});

describe('the logout form', () => {
  it("posts the engine's token, and says yes only by its own button", () => {
    const html = renderPage('logout', shellFor('en'), { action: '/t/linde/logout/confirm', xsrf: 'secret' });
    const tags = tagsOf(html);
    expect(tags.find(({ tag }) => tag === 'form')?.attributes.get('action')).toBe('/t/linde/logout/confirm');
    expect(html).toContain('<input type="hidden" name="xsrf" value="secret">');
    const buttons = tags
      .filter(({ tag }) => tag === 'button')
      .map(({ attributes }) => [attributes.get('name'), attributes.get('value')]);
    expect(buttons).toEqual([
      ['logout', 'yes'],
      [undefined, undefined],
    ]);
  });
});

describe('the problem page', () => {
  it('tells the reference, the moment in Dutch time, and folds the OAuth code away', () => {
    const html = pageState('problem with an oauth error').render(shellFor('nl'));
    expect(html).toContain('<code>0193f0a2-7c1e-7f6a-9b7e-4c1d2e3f4a5b</code>');
    expect(html).toContain('23 november 2026 om 14:04:05 CET');
    expect(html.indexOf('invalid_redirect_uri')).toBeGreaterThan(html.indexOf('<details>'));
    expect(html).toContain('<dd lang="en">redirect_uri did not match');
  });
});

describe('the language switch', () => {
  it('is a link that keeps the address and adds the language', () => {
    const html = renderPage('expired', shellFor('nl'), {});
    expect(html).toContain('href="/t/linde/interaction/abc?step=1&amp;ui_locales=en" lang="en" hreflang="en"');
  });

  it('is a button of the form, after its own submit button, where there is something typed to keep', () => {
    const shell = shellFor('nl', { languageSwitch: { kind: 'form' } });
    const html = renderPage('sign_in', shell, { action: '/act', csrf: 'token' });
    // The first submit button of a form is what Enter presses: a language button before it would swallow every sign-in.
    expect(html.indexOf('name="ui_locales"')).toBeGreaterThan(html.indexOf('class="button" type="submit"'));
    expect(html).toContain('type="submit" form="step" name="ui_locales" value="en" lang="en" formnovalidate');
  });
});

describe('a hostile name', () => {
  const payloads = [
    '"><svg onload=alert(1)>',
    "'><img src=x onerror=alert(1)>",
    '</title><script>alert(1)</script>',
    '<%= process.env %>',
    '{{email}} $t(sign_in.step)',
    '--><script>alert(1)</script>',
  ];

  function hostilePages(payload: string): readonly string[] {
    const shell = shellFor('nl', {
      tenantName: payload,
      applicationName: payload,
      requestId: payload,
      languageSwitch: { kind: 'link', address: `/t/linde?x=${payload}` },
    });
    const application = { name: payload, address: `https://x.example/${payload}` };
    return [
      ...(['credentials', 'throttled'] as const).map((error) =>
        renderPage('sign_in', shell, {
          action: payload,
          csrf: payload,
          email: payload,
          error,
          links: { forgot: `/${payload}` },
        }),
      ),
      renderPage('sign_in', shell, { action: payload, csrf: payload, loginHint: payload }),
      renderPage('consent', shell, {
        action: payload,
        csrf: payload,
        applicationName: payload,
        account: payload,
        scopes: [{ name: payload, description: payload }, { name: payload }, { name: 'openid' }],
        redirectUri: payload,
      }),
      renderPage('expired', shell, { application }),
      renderPage('logout', shell, { action: payload, xsrf: payload, account: payload }),
      ...(['signed_out', 'signed_out_of_application', 'stayed'] as const).map((result) =>
        renderPage('logged_out', shell, { result, application }),
      ),
      renderPage('problem', shell, {
        kind: 'fault',
        at: new Date(0),
        oauth: { error: payload, description: payload },
        application,
      }),
      renderPage('home', shell, { accountAddress: `/${payload}` }),
    ];
  }

  it.each(payloads)('stays text wherever it is shown: %s', async (payload) => {
    const expected = hostilePages('Zorgplanner').map((html) => tagsOf(html).map(({ tag }) => tag));
    const pages = hostilePages(payload);
    expect(pages.map((html) => tagsOf(html).map(({ tag }) => tag))).toEqual(expected);
    for (const html of pages) {
      expect(html).not.toMatch(/<svg|<script>|<img src=x/iu);
      expect(
        tagsOf(html)
          .flatMap(({ attributes }) => [...attributes.keys()])
          .filter((name) => name.startsWith('on')),
      ).toEqual([]);
    }
  });

  it('is neither filled in by the translations nor run as a template', () => {
    const html = renderPage('home', shellFor('nl', { tenantName: '{{tenant}} $t(sign_in.step) <%= 1 %>' }), {});
    expect(html).toContain('<h1>De inlogdienst van {{tenant}} $t(sign_in.step) &lt;%= 1 %&gt;</h1>');
  });

  it('cannot turn the reading direction around, hide control characters, or fill the page', () => {
    expect(displayName('Bank\u202egnp.exe\u0000\u200b')).toBe('Bank gnp.exe');
    expect([...displayName('é'.repeat(5000))]).toHaveLength(100);
  });
});

describe('an address from a registration', () => {
  it.each([
    'javascript:alert(1)',
    'JaVaScRiPt:alert(1)',
    ' javascript:alert(1)',
    'java\nscript:alert(1)',
    'data:text/html,x',
    '//evil.example',
    '/\\evil.example',
    '/\t/evil.example',
    'evil.example',
    '',
  ])('becomes no link: %j', (address) => {
    expect(safeAddress(address)).toBeUndefined();
    expect(renderPage('expired', shellFor('nl'), { application: { name: 'App', address } })).not.toContain(
      'class="button"',
    );
  });

  it.each(['https://planner.example/start', 'http://localhost:3100/', '/t/linde/account'])(
    'becomes a link: %s',
    (address) => {
      expect(safeAddress(address)).toBe(address);
    },
  );
});

describe('a template', () => {
  const templates = readdirSync(viewsDirectory, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ejs'),
  );

  it.each(templates)('prints unescaped only an include or the body of the layout: %s', (name) => {
    const source = readFileSync(new URL(name, viewsDirectory), 'utf8');
    const unescaped = [...source.matchAll(/<%-([\s\S]*?)%>/gu)].map(([, code = '']) => code.replace(/-$/u, '').trim());
    const allowed = (code: string) =>
      /^include\('partials\/[a-z_]+'(?:, \{ [a-z]+: [a-z.]+ \})?\)$/iu.test(code) ||
      (name === 'layouts/page.ejs' && code === 'view.body');
    expect(unescaped.filter((code) => !allowed(code))).toEqual([]);
  });

  it.each(templates)('asks only for texts that exist: %s', (name) => {
    const source = readFileSync(new URL(name, viewsDirectory), 'utf8');
    const keys = [...source.matchAll(/view\.t\('([a-z_.]+)'\)/gu)].map(([, key = '']) => key);
    const found = (key: string) =>
      key
        .split('.')
        .reduce<unknown>((branch, part) => (branch as Record<string, unknown> | undefined)?.[part], texts.nl);
    expect(keys.filter((key) => typeof found(key) !== 'string')).toEqual([]);
  });
});

describe('the colours', () => {
  const stylesheet = readFileSync(new URL('assets/poort.css', viewsDirectory), 'utf8');
  const tokensOf = (block: string): ReadonlyMap<string, string> =>
    new Map([...block.matchAll(/--([a-z-]+): (#[0-9a-f]{6});/gu)].map(([, name = '', value = '']) => [name, value]));
  const [light = '', dark = ''] = [...stylesheet.matchAll(/:root \{([^}]*)\}/gu)].map(([, block]) => block);
  const grounds = ['paper', 'arch-far', 'arch-near', 'card'];
  // WCAG 2.2 1.4.3 and 1.4.11. The arch is here and not in the browser: axe cannot see in front of it.
  const pairs: readonly (readonly [readonly string[], readonly string[], number])[] = [
    [['ink', 'soft', 'accent', 'accent-deep'], grounds, 4.5],
    [['ink', 'accent', 'accent-deep'], ['tint', 'field'], 4.5],
    [['danger', 'ink'], ['danger-tint', 'card'], 4.5],
    [['on-accent'], ['accent', 'accent-deep'], 4.5],
    [['focus'], [...grounds, 'tint', 'danger-tint', 'field'], 3],
    [['edge'], ['card', 'field'], 3],
  ];

  it.each([
    ['light', light],
    ['dark', dark],
  ])('can be told apart by everybody in the %s scheme (items 4, 8)', (_scheme, block) => {
    const tokens = tokensOf(block);
    const contrast = (one: string, other: string) => wcagContrast(tokens.get(one) ?? '', tokens.get(other) ?? '');
    const faint = pairs.flatMap(([texts, backgrounds, least]) =>
      texts.flatMap((text) =>
        backgrounds
          .filter((background) => !(contrast(text, background) >= least))
          .map((background) => `${text} on ${background}: ${contrast(text, background)}`),
      ),
    );
    expect(faint).toEqual([]);
  });

  it('are tokens alone: no rule names a colour of its own, but the white around a QR code', () => {
    const rules = stylesheet.replaceAll(/:root \{[^}]*\}/gu, '');
    expect([...rules.matchAll(/#[0-9a-f]{3,8}\b|rgb\(|hsl\(/gu)].map(([colour]) => colour)).toEqual(['#fff']);
  });
});

describe('the files beside the pages', () => {
  const sizeOf = (extension: string) =>
    assets.filter(({ path }) => path.endsWith(extension)).reduce((total, { body }) => total + gzipSync(body).length, 0);

  it('stay small: 10 KiB of style, and 8 KiB of script on any page, compressed (item "Speed")', () => {
    expect(sizeOf('.css')).toBeGreaterThan(0);
    expect(sizeOf('.css')).toBeLessThanOrEqual(10 * 1024);
    for (const { name, render } of pageStates) {
      const loaded = tagsOf(render(shellFor('nl'))).flatMap(({ tag, attributes }) =>
        tag === 'script' ? [attributes.get('src')] : [],
      );
      const scripts = assets.filter(({ path }) => loaded.includes(`/assets${path}`));
      // The library for passkeys is extra, and only where it is used.
      const own = scripts.filter(({ path }) => !path.startsWith('/webauthn.'));
      const bytes = own.reduce((total, { body }) => total + gzipSync(body).length, 0);
      expect({ name, missing: loaded.length - scripts.length, fits: bytes <= 8 * 1024 }).toEqual({
        name,
        missing: 0,
        fits: true,
      });
    }
  });

  it('carry their content in their name, and every page refers only to them', () => {
    for (const { path, etag } of assets) expect(path).toContain(etag.replaceAll('"', ''));
    const known = new Set(assets.map(({ path }) => `/assets${path}`));
    const referred = pageStates.flatMap(({ render }) =>
      tagsOf(render(shellFor('nl')))
        .filter(({ tag }) => ['script', 'link', 'img'].includes(tag))
        .map(({ attributes }) => attributes.get('src') ?? attributes.get('href') ?? ''),
    );
    // What is the tenant's own carries its content in its address as well.
    const own = /^\/t\/linde\/(?:brand\.css|logo)\?v=[0-9a-f]+$/u;
    expect(referred.filter((address) => !known.has(address) && !own.test(address))).toEqual([]);
  });

  it('load nothing from elsewhere', () => {
    for (const { body } of assets)
      expect(body.toString().replace('http://www.w3.org/2000/svg', '')).not.toMatch(/https?:|@import|url\(/u);
  });
});
