/**
 * Lesson C27, flow state that the browser supplies (CVE-2026-7571, CVE-2024-4540): what a browser holds names what we keep, and
 * nothing else. Every cookie and every hidden field, changed, cut, taken away, and swapped between interactions, clients, persons and
 * tenants, at every step of a flow: the flow does not go on, and the honest one still does afterwards.
 */
import * as jose from 'jose';
import { addMember } from '#src/flows/people/manage_people.ts';
import { formType, openInteraction } from '#test/support/attack_surface.ts';
import { forms } from '#test/support/forms.ts';
import { type RawAnswer, sendRaw } from '#test/support/raw_http.ts';
import type { Person } from '#test/support/relying_party.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorizationRequest, createUserAgent, exchangeCode, readForm } from '#test/support/user_agent.ts';
import { callbackUri, createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';

type Jar = readonly (readonly [name: string, value: string])[];

/** A step of a flow, ready to be taken: everything that the browser would send. */
interface Step {
  readonly target: string;
  readonly form?: Readonly<Record<string, string>>;
  readonly jar: Jar;
  readonly verifier: string;
}

interface Flow {
  readonly tenant: TestTenant;
  readonly client: TestClient;
  readonly person: Person;
}

interface StepKind {
  readonly name: string;
  /** Cookies that hold the step: without each of them, as it was given, there is none. */
  readonly held: readonly string[];
  /** The address names the step as well, so a whole cookie of another step does not fit. Elsewhere it opens its own step. */
  readonly isNamed: boolean;
  reach(flow: Flow): Promise<Step>;
}

describe('C27: what a browser holds', () => {
  let server: TestServer;
  let acme: TestTenant;
  let globex: TestTenant;
  let grace: Person;

  beforeAll(async () => {
    server = await startTestServer();
    [acme, globex] = [await createTestTenant(server, 'acme'), await createTestTenant(server, 'globex')];
    grace = { email: 'grace@acme.test', password: 'correct horse of another person' };
    const { outcome } = await addMember(server.context, {
      tenantId: acme.id,
      ...grace,
      roles: ['user'],
      verified: true,
    });
    expect(outcome).not.toBe('refused');
  });

  afterAll(async () => {
    expect(server.log).toEqual([]);
    await server.close();
  });

  const jarOf = (cookies: readonly string[]): Jar =>
    cookies.map((cookie) => {
      const at = cookie.indexOf('=');
      return [cookie.slice(0, at), cookie.slice(at + 1)] as const;
    });

  function take({ target, form }: Pick<Step, 'target' | 'form'>, jar: Jar): Promise<RawAnswer> {
    const cookie = jar.map((pair) => pair.join('=')).join('; ');
    return sendRaw(server.config.http.port, {
      method: form === undefined ? 'GET' : 'POST',
      target,
      headers: [
        ['Host', new URL(server.origin).host],
        ['Accept', 'text/html'],
        ...(cookie === '' ? [] : [['Cookie', cookie] as const]),
        ...(form === undefined ? [] : [formType]),
      ],
      ...(form === undefined ? {} : { body: new URLSearchParams(form).toString() }),
    });
  }

  /** On to the next step, to the application with a code, or signed out. */
  function hasGoneOn({ status, header }: RawAnswer): boolean {
    if (status !== 303) return false;
    const location = new URL(header('location') ?? '', server.origin);
    return location.searchParams.get('error') === null;
  }

  const pathOf = (url: string): string => {
    const { pathname, search } = new URL(url, server.origin);
    return pathname + search;
  };

  async function reachSignIn({ tenant, client, person }: Flow, extra: Readonly<Record<string, string>> = {}) {
    const agent = createUserAgent(server.origin);
    const request = authorizationRequest(tenant, client, extra);
    const page = await agent.follow(request.url);
    const form = { ...readForm(page).hidden, email: person.email, password: person.password };
    return { agent, page, form, verifier: request.verifier };
  }

  async function reachConsent(flow: Flow) {
    // Also who has agreed before is asked.
    const { agent, page, form, verifier } = await reachSignIn(flow, { prompt: 'consent' });
    const consent = await agent.submit(page, form);
    expect(consent.body).toContain('name="decision"');
    return { agent, page: consent, form: { ...readForm(consent).hidden, decision: 'allow' }, verifier };
  }

  type Reached = Awaited<ReturnType<typeof reachSignIn>>;

  const atForm = ({ agent, page, form, verifier }: Omit<Reached, 'form'> & { form: Record<string, string> }): Step => ({
    target: pathOf(page.url),
    form,
    jar: jarOf(agent.cookies(page.url)),
    verifier,
  });

  /** Answers the form, and stops before the browser follows back to the request. */
  async function afterForm(reached: Omit<Reached, 'form'> & { form: Record<string, string> }): Promise<Step> {
    const answer = await reached.agent.request(reached.page.url, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams(reached.form).toString(),
    });
    const { agent, verifier } = reached;
    const back = new URL(answer.headers.get('location') ?? '', server.origin).href;
    return { target: pathOf(back), jar: jarOf(agent.cookies(back)), verifier };
  }

  const pending = ['_interaction', '_interaction.sig'];
  const wayBack = ['_interaction_resume', '_interaction_resume.sig'];
  const signedIn = ['_session', '_session.sig'];
  const silentRequest: StepKind = {
    name: 'a request without pages',
    held: signedIn,
    isNamed: false,
    async reach(flow) {
      const { agent, page, form } = await reachSignIn(flow);
      await agent.submit(page, form);
      const { url, verifier } = authorizationRequest(flow.tenant, flow.client, { prompt: 'none' });
      return { target: pathOf(url), jar: jarOf(agent.cookies(url)), verifier };
    },
  };
  const steps: readonly StepKind[] = [
    {
      name: 'the sign-in form',
      held: pending,
      isNamed: true,
      reach: async (flow) => atForm(await reachSignIn(flow)),
    },
    {
      name: 'the way back from signing in',
      held: wayBack,
      isNamed: false,
      reach: async (flow) => afterForm(await reachSignIn(flow)),
    },
    {
      name: 'the consent form',
      held: pending,
      isNamed: true,
      reach: async ({ tenant, person }) => atForm(await reachConsent({ tenant, person, client: tenant.clients.third })),
    },
    {
      name: 'the way back from consent',
      held: [...wayBack, ...signedIn],
      isNamed: false,
      reach: async ({ tenant, person }) =>
        afterForm(await reachConsent({ tenant, person, client: tenant.clients.third })),
    },
    silentRequest,
    {
      name: 'the sign-out form',
      held: signedIn,
      isNamed: false,
      async reach(flow) {
        const { agent, page, form, verifier } = await reachSignIn(flow);
        await agent.submit(page, form);
        const logout = await agent.request(`${flow.tenant.issuer}/logout`);
        const { action, hidden } = readForm(logout);
        const jar = jarOf(agent.cookies(new URL(action, logout.url).href));
        return { target: pathOf(action), form: { ...hidden, logout: 'yes' }, jar, verifier };
      },
    },
  ];

  const home = (): Flow => ({ tenant: acme, client: acme.clients.web, person: acme.person });

  const changes: readonly (readonly [string, (value: string) => string])[] = [
    ['begins otherwise', (value) => (value.startsWith('A') ? 'B' : 'A') + value.slice(1)],
    ['ends early', (value) => value.slice(0, -1)],
    ['goes on', (value) => `${value}A`],
    ['is in other case', (value) => (value === value.toUpperCase() ? value.toLowerCase() : value.toUpperCase())],
    ['is quoted', (value) => `"${value}x"`],
    ['is empty', () => ''],
  ];

  describe.each(steps.map((step) => [step.name, step] as const))('for %s', (_name, kind) => {
    const replace = (jar: Jar, name: string, value: string | undefined): Jar =>
      jar.flatMap((pair) => (pair[0] !== name ? [pair] : value === undefined ? [] : [[name, value] as const]));

    it('is signed, and one changed byte of it, or its absence, ends the way', async () => {
      const step = await kind.reach(home());
      const names = step.jar.map(([name]) => name);
      expect(names).toEqual(expect.arrayContaining([...kind.held]));
      const wentOn: string[] = [];
      for (const name of kind.held) {
        const value = step.jar.find(([known]) => known === name)?.[1] ?? '';
        for (const [change, tamper] of changes)
          if (hasGoneOn(await take(step, replace(step.jar, name, tamper(value))))) wentOn.push(`${name} ${change}`);
        if (hasGoneOn(await take(step, replace(step.jar, name, undefined)))) wentOn.push(`${name} is missing`);
      }
      expect(wentOn).toEqual([]);
      expect(hasGoneOn(await take(step, step.jar))).toBe(true);
    });

    it('is of no use to another interaction, client, person or tenant', async () => {
      const step = await kind.reach(home());
      const others: readonly (readonly [string, Flow])[] = [
        ['interaction', home()],
        ['client', { ...home(), client: acme.clients.spa }],
        ['person', { ...home(), person: grace }],
        ['tenant', { tenant: globex, client: globex.clients.web, person: globex.person }],
      ];
      const wentOn: string[] = [];
      for (const [name, flow] of others) {
        const other = await kind.reach(flow);
        const otherValue = (cookie: string) => other.jar.find(([known]) => known === cookie)?.[1];
        // One cookie of the other alone has the wrong signature, or is the wrong signature.
        for (const cookie of kind.held)
          if (hasGoneOn(await take(step, replace(step.jar, cookie, otherValue(cookie)))))
            wentOn.push(`${cookie} of another ${name}`);
        if (!kind.isNamed && name !== 'tenant') continue;
        // Whole and well signed, but the address names something else.
        if (hasGoneOn(await take(step, other.jar))) wentOn.push(`everything of another ${name}`);
        if (hasGoneOn(await take(other, step.jar))) wentOn.push(`everything of ours at another ${name}`);
        if (name === 'tenant') {
          const moved = { ...step, target: step.target.replace('/t/acme/', '/t/globex/') };
          for (const jar of kind.isNamed ? [step.jar, other.jar] : [step.jar])
            if (hasGoneOn(await take(moved, jar))) wentOn.push('the whole step at another tenant');
        }
        expect(hasGoneOn(await take(other, other.jar))).toBe(true);
      }
      expect(wentOn).toEqual([]);
      expect(hasGoneOn(await take(step, step.jar))).toBe(true);
    });

    it('says nothing in itself: no name, no address, no decision is in a cookie or a field', async () => {
      const step = await kind.reach(home());
      const values = [...step.jar.map(([, value]) => value), ...Object.values(step.form ?? {})].filter(
        (value) => ![acme.person.email, acme.person.password, 'allow', 'yes'].includes(value),
      );
      expect(values.length).toBeGreaterThan(1);
      const told = [acme.person.id, acme.person.email, acme.clients.web.clientId, acme.id, callbackUri, 'openid'];
      for (const value of values) {
        for (const text of [value, decodeURIComponent(value), Buffer.from(value, 'base64url').toString('latin1')])
          expect(told.filter((word) => text.includes(word))).toEqual([]);
        expect(value).toMatch(/^[\w-]+$/);
      }
    });
  });

  it('cannot give the consent of one person to another, who is signed in in the same browser', async () => {
    const third = acme.clients.third;
    const consented = await afterForm(await reachConsent({ tenant: acme, client: third, person: acme.person }));
    const theirs = await silentRequest.reach({ ...home(), person: grace });
    const mixed = [
      ...consented.jar.filter(([name]) => !name.startsWith('_session')),
      ...theirs.jar.filter(([name]) => name.startsWith('_session')),
    ];
    expect(hasGoneOn(await take(consented, mixed))).toBe(false);
  });

  it('opens its own way and no other: at the address of ours, the cookie of another sign-in ends that one', async () => {
    const [ours, theirs] = [
      await afterForm(await reachSignIn(home())),
      await afterForm(await reachSignIn({ ...home(), person: grace })),
    ];
    const answer = await take(ours, theirs.jar);
    const code = new URL(answer.header('location') ?? '', server.origin).searchParams.get('code') ?? '';
    expect(await redeemAs(code, theirs.verifier)).toBe(await subjectOf(grace));
    const own = await take(ours, ours.jar);
    const ownCode = new URL(own.header('location') ?? '', server.origin).searchParams.get('code') ?? '';
    expect(await redeemAs(ownCode, ours.verifier)).toBe(acme.person.id);
  });

  it('cannot sign one person in with the session of another: that session is ended first', async () => {
    const step = await afterForm(await reachSignIn(home()));
    const theirs = await silentRequest.reach({ ...home(), person: grace });
    const planted = theirs.jar.filter(([name]) => name.startsWith('_session'));
    const answer = await take(step, [...step.jar, ...planted]);
    expect(answer.header('location')).toBeUndefined();
    expect(answer.body).toContain(`action="${acme.issuer}/logout/confirm"`);
    // And the planted session has not become theirs meanwhile.
    const silent = await take(theirs, theirs.jar);
    const code = new URL(silent.header('location') ?? '', server.origin).searchParams.get('code') ?? '';
    expect(await redeemAs(code, theirs.verifier)).not.toBe(acme.person.id);
  });

  const redeemAs = async (code: string, verifier: string): Promise<string | undefined> => {
    const callback = new URL(callbackUri);
    const { json } = await exchangeCode(acme, acme.clients.web, { code, verifier, callback });
    return jose.decodeJwt(String(json['id_token'])).sub;
  };

  async function subjectOf(person: Person): Promise<string | undefined> {
    const silent = await silentRequest.reach({ ...home(), person });
    const answer = await take(silent, silent.jar);
    const code = new URL(answer.header('location') ?? '', server.origin).searchParams.get('code') ?? '';
    return redeemAs(code, silent.verifier);
  }

  describe('cannot be added to', () => {
    const smuggled = {
      client_id: 'nobody',
      redirect_uri: 'https://evil.example/callback',
      scope: 'openid email readings:write',
      account_id: '00000000-0000-4000-8000-000000000000',
      accountId: '00000000-0000-4000-8000-000000000000',
      login: '{"accountId":"x"}',
      acr: 'urn:poort:acr:mfa',
      prompt: 'none',
      tenant: 'globex',
      grantId: 'x',
      remember: 'true',
      return_to: 'https://evil.example',
      response_mode: 'fragment',
    };

    it.each(forms.filter(({ tokenName }) => tokenName === 'csrf').map((form) => [form.view, form] as const))(
      'by a field of the form that we did not put there (%s)',
      async (_view, kind) => {
        const form = await kind.open(server, acme);
        const step = { target: form.path, jar: jarOf(form.agent.cookies(server.origin + form.path)) };
        for (const [name, value] of Object.entries(smuggled)) {
          const answer = await take(
            { ...step, form: { ...form.hidden, ...kind.fields(acme, form), [name]: value } },
            step.jar,
          );
          expect({ name, status: answer.status }).toEqual({ name, status: 400 });
        }
        const believed = await take({ ...step, form: { ...form.hidden, ...kind.fields(acme, form) } }, step.jar);
        expect(kind.answer === undefined ? hasGoneOn(believed) : believed.status === kind.answer).toBe(true);
      },
    );

    it('by the address of the way back: the request is the one that was made', async () => {
      const step = await afterForm(await reachSignIn(home()));
      const { client_id: _other, ...said } = smuggled;
      const address = `${step.target}?${new URLSearchParams({ ...said, client_id: acme.clients.spa.clientId })}`;
      const answer = await take({ target: address }, step.jar);
      const callback = new URL(answer.header('location') ?? '', server.origin);
      if (answer.status !== 303) return expect(answer.status).toBe(400);
      expect(callback.href.startsWith(`${callbackUri}?`)).toBe(true);
      const code = callback.searchParams.get('code') ?? '';
      const { verifier } = step;
      const tokens = await exchangeCode(acme, acme.clients.web, { code, verifier, callback });
      expect(tokens.json['scope']).toBe('openid profile email');
      expect(jose.decodeJwt(String(tokens.json['id_token']))).toMatchObject({
        sub: acme.person.id,
        acr: 'urn:poort:acr:password',
      });
    });

    it('by a cookie of our language choice: it holds a language, or is not listened to', async () => {
      const { agent, path } = await openInteraction(server, { tenant: acme });
      for (const value of ['en', 'nl', 'xx', '../../etc', '%3Cscript%3E', '__proto__']) {
        const page = await take({ target: path }, [...jarOf(agent.cookies()), ['poort_locale', value]]);
        expect(page.status).toBe(200);
        expect(page.body).toMatch(value === 'en' ? /<html lang="en"/ : /<html lang="(nl|en)"/);
        expect(page.body).not.toContain('<script>');
      }
    });
  });
});
