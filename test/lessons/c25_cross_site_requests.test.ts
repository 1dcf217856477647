/**
 * Lesson C25, forms sent from elsewhere (CVE-2023-34927, GHSA-x445-f3h2-j279): whatever other page, browser or sign-in a form comes
 * from, it does nothing. Every form there is, with everything a browser can say of where it was sent from, and every token but its own.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { findEngineRoute } from '#src/http/engine_routes.ts';
import { endpointPaths } from '#src/oidc/provider.ts';
import { countRows, openInteraction } from '#test/support/attack_surface.ts';
import { type FormKind, forms, type OpenedForm } from '#test/support/forms.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorizationRequest, createUserAgent, type Page, type UserAgent } from '#test/support/user_agent.ts';
import { callbackUri, createTestTenant, type TestTenant } from '#test/support/world.ts';

type Headers = Readonly<Record<string, string>>;

/** What `Sec-Fetch-Site` may say, and whether our own page can have sent it (Fetch Metadata §2.1). */
const sites: readonly (readonly [value: string | undefined, ours: boolean])[] = [
  [undefined, true],
  ['same-origin', true],
  ['none', true],
  ['same-site', false],
  ['cross-site', false],
  ['SAME-ORIGIN', false],
  ['same-origin, cross-site', false],
  ['nonsense', false],
];

describe('C25: a form that was sent from elsewhere', () => {
  let server: TestServer;
  let acme: TestTenant;
  let globex: TestTenant;
  /** Of every form there is, here and at another tenant, each opened once. */
  const otherTokens: string[] = [];

  beforeAll(async () => {
    server = await startTestServer({
      change: (config) => ({ ...config, protocol: { ...config.protocol, ciba: true } }),
    });
    [acme, globex] = [await createTestTenant(server, 'acme'), await createTestTenant(server, 'globex')];
    for (const tenant of [acme, globex])
      for (const form of forms) otherTokens.push((await form.open(server, tenant)).token);
  }, 120_000);

  afterAll(async () => {
    expect(server.log).toEqual([]);
    await server.close();
  });

  /** What `Origin` may say, in the same way. */
  const origins = (): readonly (readonly [value: string | undefined, ours: boolean])[] => {
    const { host, hostname, port } = new URL(server.origin);
    return [
      [undefined, true],
      [server.origin, true],
      ['null', false],
      ['https://evil.example', false],
      [`https://${host}`, false],
      [`http://${hostname}`, false],
      [`http://${hostname}:${Number(port) + 1}`, false],
      [`http://sub.${host}`, false],
      [`http://${host}.evil.example`, false],
      [`http://evil.example#${server.origin}`, false],
      [`${server.origin}/`, false],
    ];
  };

  const combinations = (): readonly { readonly headers: Headers; readonly ours: boolean }[] =>
    sites.flatMap(([site, siteOurs]) =>
      origins().map(([origin, originOurs]) => ({
        headers: {
          ...(site === undefined ? {} : { 'sec-fetch-site': site }),
          ...(origin === undefined ? {} : { origin }),
        },
        ours: siteOurs && originOurs,
      })),
    );

  /** Sends the form with its browser's cookies, following nothing. */
  function send(
    { agent, path }: Pick<OpenedForm, 'agent' | 'path'>,
    fields: Readonly<Record<string, string>>,
    headers: Headers = {},
  ): Promise<Page> {
    return agent.request(server.origin + path, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
      body: new URLSearchParams(fields).toString(),
    });
  }

  const cookiesOf = (agent: UserAgent): readonly string[] =>
    agent.cookies().filter((cookie) => /^_(?:session|interaction)/.test(cookie));

  /** Nothing was decided, nothing written, and no cookie changed. */
  async function expectNothing(
    form: OpenedForm,
    statuses: readonly number[],
    acts: readonly (() => Promise<Page>)[],
  ): Promise<void> {
    const [rows, cookies] = [await countRows(server.database), cookiesOf(form.agent)];
    for (const act of acts) {
      const answer = await act();
      expect(statuses).toContain(answer.status);
      expect(answer.headers.get('location')).toBeNull();
    }
    expect(cookiesOf(form.agent)).toEqual(cookies);
    expect(await countRows(server.database)).toEqual(rows);
  }

  describe('is looked for everywhere', () => {
    it('in every view that has a form', () => {
      // Its own, or one that it takes from a partial.
      const drawsForm = /<form|partials\/(?:destructive|entries|passkey)'/;
      const views = readdirSync(new URL('../../views', import.meta.url), { recursive: true, encoding: 'utf8' });
      const withForm = views
        .filter((view) => view.endsWith('.ejs') && !/(?:^|\/)mail/.test(view))
        .filter((view) => !view.startsWith('partials/'))
        .filter((view) => drawsForm.test(readFileSync(new URL(`../../views/${view}`, import.meta.url), 'utf8')));
      expect(withForm.map((view) => view.replace('.ejs', '')).toSorted()).toEqual(
        forms.map(({ view }) => view).toSorted(),
      );
    });

    it('at every address of the engine: one takes our own form, or asks again by link, or listens to no cookie', async () => {
      const signedIn = createUserAgent(server.origin);
      const page = await openInteraction(server, { tenant: acme, agent: signedIn });
      await signedIn.submit(page.page, acme.person);
      const cookie = signedIn.cookies().join('; ');
      const paths = [...Object.values(endpointPaths), `${endpointPaths.end_session}/confirm`];
      for (const path of paths) {
        const route = findEngineRoute('POST', path);
        if (route?.outcome !== 'served' || route.ownForm || route.asLink) continue;
        // A person's browser opens nothing here: with all its cookies the answer is that of a stranger.
        const ask = (headers: Headers) => fetch(acme.issuer + path, { method: 'POST', headers });
        const [own, stranger] = await Promise.all([ask({ cookie }), ask({})]);
        expect([path, own.status, await own.text()]).toEqual([path, stranger.status, await stranger.text()]);
        expect(own.status).toBeGreaterThanOrEqual(400);
      }
    });
  });

  describe.each(forms.map((form) => [form.view, form] as const))('(%s)', (_view, kind: FormKind) => {
    const { answer: believed = 303 } = kind;

    it('does nothing, whatever the browser says of where it was sent from', async () => {
      const form = await kind.open(server, acme);
      const fields = { ...form.hidden, ...kind.fields(acme, form) };
      const refused = combinations().filter(({ ours }) => !ours);
      expect(refused.length).toBeGreaterThan(70);
      const [rows, cookies] = [await countRows(server.database), cookiesOf(form.agent)];
      const wrong: unknown[] = [];
      for (const { headers } of refused) {
        const { status, headers: answer } = await send(form, fields, headers);
        if (status !== 403 || answer.get('location') !== null) wrong.push({ headers, status });
      }
      expect(wrong).toEqual([]);
      expect(cookiesOf(form.agent)).toEqual(cookies);
      expect(await countRows(server.database)).toEqual(rows);
      // It was the sender that was refused: the same form from our own page is believed.
      expect((await send(form, fields, { origin: server.origin, 'sec-fetch-site': 'same-origin' })).status).toBe(
        believed,
      );
    });

    it('is told from our own, which every browser may send, with Fetch Metadata or without', async () => {
      for (const { headers } of combinations().filter(({ ours }) => ours)) {
        const form = await kind.open(server, acme);
        const answer = await send(form, { ...form.hidden, ...kind.fields(acme, form) }, headers);
        expect({ headers, status: answer.status }).toEqual({ headers, status: believed });
      }
    });

    it('does nothing without the token of this very page, whatever else was sent', async () => {
      const form = await kind.open(server, acme);
      const stale = await kind.open(server, acme);
      await send(stale, { ...stale.hidden, ...kind.fields(acme, stale) });
      const { token } = form;
      const guesses = [
        '',
        'x',
        token.slice(1),
        token.slice(0, -1),
        `${token}A`,
        `A${token}`,
        token.toLowerCase() === token ? token.toUpperCase() : token.toLowerCase(),
        [...token].toReversed().join(''),
        'A'.repeat(token.length),
        form.path.split('/').at(-1) ?? '',
        ...form.agent.cookies().map((cookie) => cookie.slice(cookie.indexOf('=') + 1)),
        stale.token,
        ...otherTokens,
      ];
      const fields = kind.fields(acme, form);
      await expectNothing(
        form,
        [400, 403],
        [() => send(form, fields), ...guesses.map((guess) => () => send(form, { ...fields, [kind.tokenName]: guess }))],
      );
      expect((await send(form, { ...form.hidden, ...kind.fields(acme, form) })).status).toBe(believed);
    });

    it('does nothing in another browser, where its token opens nothing', async () => {
      const form = await kind.open(server, acme);
      const stranger = { ...form, agent: createUserAgent(server.origin) };
      const another = await kind.open(server, acme);
      for (const elsewhere of [stranger, { ...another, path: form.path }])
        await expectNothing(
          elsewhere,
          [400, 403],
          [() => send(elsewhere, { ...form.hidden, ...kind.fields(acme, form) })],
        );
      expect((await send(form, { ...form.hidden, ...kind.fields(acme, form) })).status).toBe(believed);
    });

    it('does nothing a second time, unless that comes to the same', async () => {
      const form = await kind.open(server, acme);
      const fields = { ...form.hidden, ...kind.fields(acme, form) };
      const done = await send(form, fields);
      await form.agent.follow(new URL(done.headers.get('location') ?? '', server.origin).href);
      if (kind.mayRepeat) return expect((await send(form, fields)).status).toBe(believed);
      await expectNothing(form, [400, 403], [() => send(form, fields)]);
    });

    it('does nothing as a link, nor in another encoding', async () => {
      const form = await kind.open(server, acme);
      const fields = new URLSearchParams({ ...form.hidden, ...kind.fields(acme, form) });
      const address = `${server.origin}${form.path}?${fields}`;
      const [rows, cookies] = [await countRows(server.database), cookiesOf(form.agent)];
      for (const type of ['text/plain', 'application/json', 'multipart/form-data; boundary=x']) {
        const body = type === 'application/json' ? JSON.stringify(Object.fromEntries(fields)) : fields.toString();
        const answer = await form.agent.request(server.origin + form.path, {
          method: 'POST',
          headers: { 'content-type': type },
          body,
        });
        expect([400, 415]).toContain(answer.status);
      }
      expect((await form.agent.request(address)).headers.get('location')).toBeNull();
      expect(await countRows(server.database)).toEqual(rows);
      expect(cookiesOf(form.agent)).toEqual(cookies);
    });
  });

  it('may begin a sign-in for an application, but signs nobody in: the person still answers our own page', async () => {
    const { search } = new URL(authorizationRequest(acme, acme.clients.web).url);
    for (const { headers } of combinations()) {
      const agent = createUserAgent(server.origin);
      const asked = await send({ agent, path: '/t/acme/authorize' }, Object.fromEntries(new URLSearchParams(search)), {
        ...headers,
      });
      expect(asked.status).toBe(303);
      expect(asked.headers.get('location')).not.toContain(callbackUri.concat('?'));
      expect(agent.cookies()).toEqual([]);
    }
  });
});
