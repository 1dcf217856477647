/** A browser is sent only where a client is registered, compared byte for byte. */
import { createClient } from '#src/flows/clients/manage_clients.ts';
import { formType, openInteraction } from '#test/support/attack_surface.ts';
import { type RawAnswer, sendRaw } from '#test/support/raw_http.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { lookalikes, registeredAddress as registered } from '#test/support/url_corpus.ts';
import { authorizationRequest, authorize, createUserAgent, exchangeCode } from '#test/support/user_agent.ts';
import { createTestTenant, postLogoutUri, type TestClient, type TestTenant } from '#test/support/world.ts';

describe('an authorization request', () => {
  let server: TestServer;
  let acme: TestTenant;
  let client: TestClient;

  beforeAll(async () => {
    server = await startTestServer();
    acme = await createTestTenant(server, 'acme');
    const created = await createClient(server.context, {
      tenantId: acme.id,
      client: { name: 'one address', type: 'web', firstParty: true, redirectUris: [registered] },
    });
    if (created.outcome !== 'created') throw new Error(JSON.stringify(created));
    client = { clientId: created.clientId, clientSecret: created.clientSecret ?? '' };
  });

  afterAll(async () => {
    expect(server.log).toEqual([]);
    await server.close();
  });

  const get = (target: string): Promise<RawAnswer> =>
    sendRaw(server.config.http.port, {
      target,
      headers: [
        ['Host', new URL(server.origin).host],
        ['Accept', 'text/html'],
      ],
    });
  const postForm = (target: string, form: string): Promise<RawAnswer> =>
    sendRaw(server.config.http.port, {
      method: 'POST',
      target,
      headers: [['Host', new URL(server.origin).host], ['Accept', 'text/html'], formType],
      body: form,
    });

  function parameters(redirectUri: string | undefined, extra: Readonly<Record<string, string>> = {}): string {
    const { searchParams } = new URL(authorizationRequest(acme, client, extra).url);
    searchParams.delete('redirect_uri');
    if (redirectUri !== undefined) searchParams.append('redirect_uri', redirectUri);
    return searchParams.toString();
  }

  function expectNoRedirect(answer: RawAnswer, what: string): void {
    expect({
      what,
      status: answer.status,
      location: answer.header('location'),
      refresh: answer.header('refresh'),
    }).toEqual({
      what,
      status: 400,
      location: undefined,
      refresh: undefined,
    });
    // Neither a link nor a form of the page leads where the stranger wanted, and no policy allows it.
    expect(answer.body).not.toMatch(/(?:href|action|src|content)="[^"]*evil\.example/i);
    expect(answer.body).not.toMatch(/(?:href|action|src)="\s*(?:javascript|data|vbscript):/i);
    expect(answer.header('content-security-policy')).toContain("form-action 'self';");
  }

  it('with the registered address begins a sign-in', async () => {
    expect((await get(`/t/acme/authorize?${parameters(registered)}`)).status).toBe(303);
  });

  it.each(lookalikes)('is not answered at %p', async (redirectUri) => {
    // With and without `prompt=none`: an error, too, must not be sent there.
    expectNoRedirect(await get(`/t/acme/authorize?${parameters(redirectUri)}`), 'GET');
    expectNoRedirect(await get(`/t/acme/authorize?${parameters(redirectUri, { prompt: 'none' })}`), 'GET, no prompt');
    const posted = (await postForm('/t/acme/authorize', parameters(redirectUri))).header('location') ?? '';
    expect(posted.startsWith(`${acme.issuer}/authorize?`)).toBe(true);
    expectNoRedirect(await get(posted.slice(server.origin.length)), 'POST');
    expectNoRedirect(
      await get(`/t/acme/authorize?${parameters(redirectUri, { response_type: 'nonsense', scope: '' })}`),
      'GET, with other mistakes',
    );
  });

  it('cannot be pushed with another address either', async () => {
    for (const redirectUri of lookalikes) {
      const answer = await sendRaw(server.config.http.port, {
        method: 'POST',
        target: '/t/acme/par',
        headers: [
          ['Host', new URL(server.origin).host],
          formType,
          ['Authorization', `Basic ${Buffer.from(`${client.clientId}:${client.clientSecret}`).toString('base64')}`],
        ],
        body: parameters(redirectUri),
      });
      expect({ redirectUri, status: answer.status }).toEqual({ redirectUri, status: 400 });
    }
  });

  it('with two addresses, or none, is answered nowhere', async () => {
    const twice = `${parameters(registered)}&redirect_uri=${encodeURIComponent('https://evil.example/')}`;
    expectNoRedirect(await get(`/t/acme/authorize?${twice}`), 'ours first');
    const reversed = `redirect_uri=${encodeURIComponent('https://evil.example/')}&${parameters(registered)}`;
    expectNoRedirect(await get(`/t/acme/authorize?${reversed}`), 'ours last');
    expectNoRedirect(await get(`/t/acme/authorize?${parameters(undefined)}`), 'none');
    expectNoRedirect(await get(`/t/acme/authorize?${parameters('')}`), 'empty');
    expectNoRedirect(await get(`/t/acme/authorize?${parameters(undefined)}&redirect_uri[]=${registered}`), 'a list');
  });

  it('of an application on the own machine may choose its port (RFC 8252 §7.3), and nothing else', async () => {
    const { native } = acme.clients;
    const request = (redirectUri: string): Promise<RawAnswer> => {
      const { search } = new URL(authorizationRequest(acme, native, { redirect_uri: redirectUri }).url);
      return get(`/t/acme/authorize${search}`);
    };
    expect((await request('http://127.0.0.1:49152/callback')).status).toBe(303);
    for (const other of [
      'http://127.0.0.1:49152/callback/',
      'http://127.0.0.1:49152/other',
      'http://127.0.0.1:49152/callback?x=1',
      'http://127.0.0.1:x/callback',
      'http://127.0.0.1:49152@evil.example/callback',
      'http://127.0.0.1.evil.example:49152/callback',
      'http://127.0.0.2:49152/callback',
      'http://localhost:49152/callback',
      'http://[::1]:49152/callback',
      'https://127.0.0.1:49152/callback',
      'http://127.1:49152/callback',
      'http://2130706433:49152/callback',
    ])
      expectNoRedirect(await request(other), other);
  });

  it('of an unknown client is answered nowhere', async () => {
    for (const clientId of ['nobody', '', acme.clients.device.clientId, 'x'.repeat(5_000)]) {
      const query = new URLSearchParams({
        client_id: clientId,
        redirect_uri: registered,
        response_type: 'code',
        scope: 'openid',
      });
      expectNoRedirect(await get(`/t/acme/authorize?${query}`), clientId.slice(0, 20));
    }
  });

  it.each([
    'returnTo',
    'return_to',
    'next',
    'url',
    'redirect',
    'continue',
    'ui_locales',
    'target_link_uri',
    'RelayState',
  ])('follows no %s', async (name) => {
    const evil = 'https://evil.example/';
    const opened = await openInteraction(server, { tenant: acme, extra: { [name]: evil } });
    const query = `?${name}=${encodeURIComponent(evil)}`;
    const page = await opened.agent.request(opened.url + query);
    expect(page.status).toBe(200);
    expect(page.body).not.toContain('evil.example');
    expect(page.headers.get('content-security-policy')).not.toContain('evil.example');
    const answered = await opened.agent.request(opened.url + query, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({
        csrf: opened.csrf,
        email: acme.person.email,
        password: acme.person.password,
      }).toString(),
    });
    expect(answered.status).toBe(303);
    expect(answered.headers.get('location')).not.toContain('evil.example');
    for (const path of ['', '/logout', '/logout/success', '/authorize']) {
      const answer = await get(`/t/acme${path}${query}`);
      expect(answer.header('location')).toBeUndefined();
      expect(answer.body).not.toContain('evil.example');
    }
  });

  describe('to sign out', () => {
    const foreign = [
      'https://evil.example/',
      `${postLogoutUri}/`,
      `${postLogoutUri}?x=1`,
      `${postLogoutUri}#x`,
      postLogoutUri.toUpperCase(),
      postLogoutUri.replace('://', '://evil.example@'),
      postLogoutUri.replace(':9', ':9@evil.example'),
      postLogoutUri.replace('http://localhost:9', '//localhost:9'),
      'javascript:alert(1)',
      'data:text/html,x',
      '',
      '/t/acme',
    ];

    async function idTokenOf(): Promise<string> {
      const agent = createUserAgent(server.origin);
      const authorized = await authorize(agent, { tenant: acme, client: acme.clients.web });
      return String((await exchangeCode(acme, acme.clients.web, authorized)).json['id_token']);
    }

    it('leads only to a registered address', async () => {
      const hint = await idTokenOf();
      for (const address of foreign) {
        for (const who of [{ client_id: acme.clients.web.clientId }, { id_token_hint: hint }]) {
          const query = new URLSearchParams({ ...who, post_logout_redirect_uri: address, state: 'x' });
          const answer = await get(`/t/acme/logout?${query}`);
          expect({ address, location: answer.header('location') }).toEqual({ address, location: undefined });
          expect(answer.body).not.toContain('evil.example');
          expect(answer.header('content-security-policy')).not.toContain('evil.example');
          // An empty parameter is none (RFC 6749 §3.1); everything else is refused.
          if (address !== '') expect({ address, status: answer.status }).toEqual({ address, status: 400 });
        }
      }
    });

    it('leads nowhere when nobody says whose address it is', async () => {
      const answer = await get(`/t/acme/logout?${new URLSearchParams({ post_logout_redirect_uri: postLogoutUri })}`);
      expect(answer.header('location')).toBeUndefined();
      expect(answer.header('content-security-policy')).toContain("form-action 'self';");
    });

    it('leads to the registered address with its state, after the person has agreed', async () => {
      const agent = createUserAgent(server.origin);
      await authorize(agent, { tenant: acme, client: acme.clients.web });
      const query = new URLSearchParams({
        client_id: acme.clients.web.clientId,
        post_logout_redirect_uri: postLogoutUri,
        state: 'a&b',
      });
      const asked = await agent.request(`${acme.issuer}/logout?${query}`);
      expect(asked.status).toBe(200);
      const done = await agent.submit(asked, { logout: 'yes' });
      expect(done.url).toBe(`${postLogoutUri}?state=a%26b`);
    });
  });

  describe('of a client that asks to be registered', () => {
    it.each([
      'javascript:alert(1)',
      'data:text/html,x',
      'http://evil.example/',
      'https://a.example/#x',
      'https://u@a.example/',
    ])('with %p is refused, as redirect and as logout address', async (address) => {
      for (const uris of [
        { redirectUris: [address] },
        { redirectUris: [registered], postLogoutRedirectUris: [address] },
      ]) {
        const created = await createClient(server.context, {
          tenantId: acme.id,
          client: { name: 'x', type: 'web', ...uris },
        });
        expect(created.outcome).toBe('refused');
      }
    });
  });
});
