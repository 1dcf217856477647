/** What examples/web-app decides by itself: its settings, its sessions, and whom it answers. */
import { jest } from '@jest/globals';
import { type DemoApplication, startDemoApplication } from '../../examples/web-app/application.ts';
import type { PendingAuthorization } from '../../examples/web-app/relying_party.ts';
import {
  addPending,
  createSessionStore,
  emptySession,
  readSessionCookie,
  writeSessionCookie,
} from '../../examples/web-app/sessions.ts';
import { readSettings } from '../../examples/web-app/settings.ts';

const credentials = { client_id: 'id', client_secret: 'the-secret' };
const tenant = {
  slug: 'acme',
  name: 'Acme',
  issuer: 'http://127.0.0.1:1/t/acme',
  redirect_uri: 'http://localhost/callback/acme',
  api: { audience: 'https://api.example/readings', scopes: ['readings:read'] },
  resource_server: credentials,
  ...credentials,
};

describe('the settings of the demo application', () => {
  it('are read from the environment, with defaults', () => {
    const read = readSettings({ DEMO_TENANTS: JSON.stringify([tenant]), DEMO_ORIGIN: 'https://demo.example/ignored' });
    expect(read).toEqual({
      outcome: 'read',
      options: { port: 3100, host: '127.0.0.1', origin: 'https://demo.example', tenants: [tenant] },
    });
  });

  it.each(['not json', '[]', '[{"slug":"../x"}]', JSON.stringify([{ ...tenant, issuer: 'javascript:1', extra: 'x' }])])(
    'are refused all at once, without repeating a value: %s',
    (tenants) => {
      const read = readSettings({ DEMO_PORT: '99999', DEMO_TENANTS: tenants });
      if (read.outcome !== 'invalid') throw new Error('it was read');
      expect(read.problems.join('\n')).toMatch(/DEMO_PORT: .*DEMO_TENANTS/s);
      expect(read.problems.join('\n')).not.toContain('the-secret');
    },
  );
});

describe('a session of the demo application', () => {
  it('gets another name each time it is kept, and the old one opens nothing', () => {
    const store = createSessionStore();
    const session = emptySession();
    const first = store.keep(session);
    const second = store.keep(session, first);
    expect(second).not.toBe(first);
    expect(store.find(first)).toBeUndefined();
    expect(store.find(second)).toBe(session);
    expect(store.find(undefined)).toBeUndefined();
  });

  it('forgets the oldest request under way when too many were begun', () => {
    const session = emptySession();
    const pending: PendingAuthorization = {
      slug: 'acme',
      purpose: 'sign_in',
      codeVerifier: '',
      nonce: '',
      exchanges: [],
    };
    for (let number = 1; number <= 11; number += 1) addPending(session, `state-${number}`, pending);
    expect([...session.pending.keys()]).toEqual(Array.from({ length: 10 }, (_, index) => `state-${index + 2}`));
  });

  it('travels in a cookie that scripts cannot read and other sites cannot post with', () => {
    expect(writeSessionCookie('value', true)).toBe('demo_session=value; Path=/; HttpOnly; SameSite=Lax; Secure');
    expect(writeSessionCookie('value', false)).not.toContain('Secure');
    expect(readSessionCookie('other=1; demo_session=value; x=y')).toBe('value');
    expect(readSessionCookie('not_demo_session=value')).toBeUndefined();
  });
});

describe('the demo application', () => {
  let application: DemoApplication;

  beforeAll(async () => {
    application = await startDemoApplication({ port: 0, tenants: [tenant] });
  });

  afterAll(() => application.close());

  function send(method: string, path: string, { origin = application.origin, body = '' } = {}): Promise<Response> {
    return fetch(`http://127.0.0.1:${application.port}${path}`, {
      method,
      redirect: 'manual',
      headers: { origin, 'content-type': 'application/x-www-form-urlencoded' },
      ...(method === 'POST' ? { body } : {}),
    });
  }

  it('refuses what was posted from another page', async () => {
    for (const origin of ['https://evil.example', 'null']) {
      expect((await send('POST', '/sign-in/acme', { origin })).status).toBe(403);
    }
  });

  it('believes no answer to a question it did not ask', async () => {
    const answer = await send('GET', '/callback/acme?code=stolen&state=guessed');
    expect(answer.status).toBe(400);
    expect(await answer.text()).toContain('This attempt is over');
  });

  it('shows a stranger nothing of anybody', async () => {
    for (const [method, path] of [
      ['GET', '/session/acme'],
      ['POST', '/session/acme/userinfo'],
      ['POST', '/session/acme/api-tokens'],
      ['POST', '/sign-out/acme'],
    ] as const) {
      const answer = await send(method, path);
      expect([path, answer.status, answer.headers.get('location')]).toEqual([path, 303, '/']);
    }
    for (const path of ['/session/other', '/elsewhere', '/style.css/..%2f..%2fsettings.ts']) {
      expect((await send('GET', path)).status).toBe(404);
    }
  });

  it('says that it did not work when the authorization server does not answer, and gives nothing away', async () => {
    const logged = jest.spyOn(console, 'error').mockImplementation(() => undefined);
    const answer = await send('POST', '/sign-in/acme');
    expect(answer.status).toBe(502);
    const page = await answer.text();
    expect(page).toContain('That did not work');
    expect(page + logged.mock.calls.join()).not.toContain('the-secret');
    expect(logged.mock.calls).toEqual([[expect.stringMatching(/^POST \/sign-in\/acme: /)]]);
    logged.mockRestore();
  });

  it('reads no endless forms', async () => {
    expect((await send('POST', '/sign-in/acme', { body: 'x'.repeat(9_000) })).status).toBe(413);
  });

  it('sends a policy without anything inline on every page', async () => {
    for (const path of ['/', '/elsewhere', '/callback/acme']) {
      const policy = (await send('GET', path)).headers.get('content-security-policy');
      expect(policy).toContain("default-src 'none'");
      expect(policy).not.toMatch(/unsafe|\*/);
    }
  });
});
