/** Every form that Poort shows, by the view that draws it: how a person gets to see it, and what they would send. */

import { createApiKey } from '#src/flows/access/manage_api_keys.ts';
import { offerDevice } from '#src/flows/devices/hand_over_device.ts';
import { createInvitation } from '#src/flows/people/manage_invitations.ts';
import { openInteraction } from './attack_surface.ts';
import { type Authenticator, createAuthenticator, passkeyOptionsOf } from './authenticator.ts';
import { beginPairing, createPairer } from './device_pairing.ts';
import { pairDevice } from './fleet.ts';
import { registerHelpDesk } from './help_desk.ts';
import { openOwnPage as openPageOf, shownSecretOf } from './own_pages.ts';
import { giveBackupCodes, givePasskey, newPersonWithTotp, totpCode } from './second_factor.ts';
import type { TestServer } from './test_server.ts';
import {
  authorize,
  callEndpoint,
  createUserAgent,
  type Page,
  type PageForm,
  readForm,
  type UserAgent,
} from './user_agent.ts';
import { createVisitor, goodPassword, newAddress, proofFor, registered } from './visitor.ts';
import { type NewPerson, newPerson, type TestClient, type TestTenant } from './world.ts';

export interface OpenedForm extends PageForm {
  readonly agent: UserAgent;
  readonly page: Page;
  /** Of the action, below the origin. */
  readonly path: string;
  /** The value that proves the form to be ours. */
  readonly token: string;
}

export interface FormKind {
  readonly view: string;
  /** The hidden field that proves it to be ours. */
  readonly tokenName: 'csrf' | 'xsrf';
  /** How it is answered when it is believed; 303 unless told otherwise. */
  readonly answer?: number;
  /** Sent twice it is wished twice: it says how things are to be, and comes to the same. */
  readonly mayRepeat?: true;
  /** What the person decides, beside the hidden fields. */
  fields(tenant: TestTenant, form: OpenedForm): Readonly<Record<string, string>>;
  /** In a browser of its own unless one is given. */
  open(server: TestServer, tenant: TestTenant, agent?: UserAgent): Promise<OpenedForm>;
}

const credentials = ({ person }: TestTenant) => ({ email: person.email, password: person.password });

/** Signed in, and asked by an application of somebody else. */
async function openConsent(server: TestServer, tenant: TestTenant, agent: UserAgent): Promise<OpenedForm> {
  const client: TestClient = tenant.clients.third;
  // Also who has agreed before is asked.
  const extra = { prompt: 'login consent' };
  const signIn = await openInteraction(server, { tenant, client, agent, extra });
  return opened(agent, await agent.submit(signIn.page, credentials(tenant)), 'csrf');
}

/** An application asks for the person by a channel of its own (CIBA), for which this switches the tenant on. */
async function askAtAnotherDevice(server: TestServer, tenant: TestTenant): Promise<void> {
  const client = await registerHelpDesk(server, tenant, [server.config.http.port]);
  const form = { scope: 'openid', login_hint: tenant.person.email };
  const { status } = await callEndpoint(tenant.issuer, '/bc-authorize', { client, form });
  if (status !== 200) throw new Error(`the request was refused: ${status}`);
}

/** Who opened one of their own pages in a browser. */
const owners = new WeakMap<UserAgent, NewPerson>();

/** One of the pages of somebody who is new here, so that what one form does is not met by the next. */
async function openOwnPage(
  server: TestServer,
  tenant: TestTenant,
  { path, agent, prepare, onwards }: OwnPageToOpen,
): Promise<OpenedForm> {
  const person = await newPerson(server, tenant);
  owners.set(agent, person);
  await prepare?.(person);
  agent.forgetCookies();
  const signIn = await agent.follow(`${tenant.issuer}/account${path}`);
  const page = await agent.submit(signIn, { email: person.email, password: person.password });
  const [link] = onwards?.exec(page.body) ?? [];
  return opened(agent, link === undefined ? page : await agent.follow(server.origin + link), 'csrf');
}

interface OwnPageToOpen {
  readonly path: string;
  readonly agent: UserAgent;
  /** What must be there for the page to have its form. */
  readonly prepare?: (person: NewPerson) => Promise<unknown>;
  /** A link on it that is followed to the form. */
  readonly onwards?: RegExp;
}

/** They have a device. */
function pairForOwner(server: TestServer, tenant: TestTenant) {
  return (person: NewPerson) => pairDevice(server, tenant, { pairer: createPairer(server, tenant, { person }) });
}

/** Somebody else's device is offered to them. */
function offerToOwner(server: TestServer, tenant: TestTenant) {
  return async ({ email }: NewPerson): Promise<void> => {
    const { deviceId } = await pairDevice(server, tenant);
    await offerDevice(server.context, { tenantId: tenant.id, deviceId, email });
  };
}

function signInElsewhere(server: TestServer, tenant: TestTenant, client: TestClient) {
  return (person: NewPerson) => authorize(createUserAgent(server.origin), { tenant, client, person });
}

function makeKey(server: TestServer, { id: tenantId }: TestTenant) {
  const key = { settings: server.config.people, name: 'robot', scopes: [], expiresAt: undefined };
  return ({ id: userId }: NewPerson) => createApiKey(server.context, { tenantId, userId, ...key });
}

/** An application asks for both factors, and the person has one: the other is set up. */
async function openSetUp(server: TestServer, tenant: TestTenant, agent: UserAgent): Promise<Page> {
  const { email, password } = await newPerson(server, tenant);
  const extra = { prompt: 'login', acr_values: 'urn:poort:acr:mfa' };
  const signIn = await openInteraction(server, { tenant, agent, extra });
  return agent.submit(signIn.page, { email, password });
}

/** One of the own pages, of somebody with an app, backup codes and a passkey. */
async function openOwn(server: TestServer, tenant: TestTenant, agent: UserAgent, path: string): Promise<OpenedForm> {
  agent.forgetCookies();
  const person = await newPersonWithTotp(server, tenant);
  await giveBackupCodes(server, tenant, person.id);
  await givePasskey(server, tenant, person.id);
  const { page } = await openPageOf(server, tenant, { person, path, agent });
  return opened(agent, page, 'csrf');
}

/** What asks for a passkey in a browser. */
const authenticators = new WeakMap<UserAgent, Authenticator>();

/** Of the app whose code is asked for in a browser. */
const secrets = new WeakMap<UserAgent, string>();

/** Of the device whose code is typed in a browser. */
const pairings = new WeakMap<UserAgent, string>();

/** What was mailed to whoever uses a browser. */
const mailed = new WeakMap<UserAgent, { readonly link: string; readonly code: string }>();

function tokenOf(link: string | undefined): string {
  return link === undefined ? '' : (new URL(link).searchParams.get('token') ?? '');
}

export const forms: readonly FormKind[] = [
  {
    view: 'account_profile',
    tokenName: 'csrf',
    mayRepeat: true,
    fields: () => ({ given_name: 'Augusta', family_name: 'King', locale: 'en' }),
    open: (server, tenant, agent = createUserAgent(server.origin)) =>
      openOwnPage(server, tenant, { path: '/profile', agent }),
  },
  {
    view: 'account_email',
    tokenName: 'csrf',
    mayRepeat: true,
    fields: () => ({ email: newAddress() }),
    open: (server, tenant, agent = createUserAgent(server.origin)) =>
      openOwnPage(server, tenant, { path: '/email', agent }),
  },
  {
    view: 'account_password',
    tokenName: 'csrf',
    fields: (_tenant, { agent }) => ({
      password: owners.get(agent)?.password ?? '',
      new_password: 'seven violet otters at noon',
    }),
    open: (server, tenant, agent = createUserAgent(server.origin)) =>
      openOwnPage(server, tenant, { path: '/password', agent }),
  },
  {
    view: 'account_sessions',
    tokenName: 'csrf',
    mayRepeat: true,
    fields: () => ({}),
    open: (server, tenant, agent = createUserAgent(server.origin)) =>
      openOwnPage(server, tenant, {
        path: '/sessions',
        agent,
        prepare: signInElsewhere(server, tenant, tenant.clients.web),
      }),
  },
  {
    view: 'account_applications',
    tokenName: 'csrf',
    mayRepeat: true,
    fields: () => ({}),
    open: (server, tenant, agent = createUserAgent(server.origin)) =>
      openOwnPage(server, tenant, {
        path: '/applications',
        agent,
        prepare: signInElsewhere(server, tenant, tenant.clients.third),
      }),
  },
  {
    view: 'account_api_keys',
    tokenName: 'csrf',
    mayRepeat: true,
    fields: () => ({}),
    open: (server, tenant, agent = createUserAgent(server.origin)) =>
      openOwnPage(server, tenant, { path: '/api-keys', agent, prepare: makeKey(server, tenant) }),
  },
  {
    view: 'new_api_key',
    tokenName: 'csrf',
    answer: 200,
    fields: () => ({ name: 'robot', scopes: '', days: '30' }),
    open: (server, tenant, agent = createUserAgent(server.origin)) =>
      openOwnPage(server, tenant, { path: '/api-keys/new', agent }),
  },
  {
    view: 'account_devices',
    tokenName: 'csrf',
    mayRepeat: true,
    fields: () => ({ decline: 'yes' }),
    open: (server, tenant, agent = createUserAgent(server.origin)) =>
      openOwnPage(server, tenant, { path: '/devices', agent, prepare: offerToOwner(server, tenant) }),
  },
  {
    view: 'account_device',
    tokenName: 'csrf',
    mayRepeat: true,
    fields: () => ({ name: 'Bureaulamp' }),
    open: (server, tenant, agent = createUserAgent(server.origin)) =>
      openOwnPage(server, tenant, {
        path: '/devices',
        agent,
        prepare: pairForOwner(server, tenant),
        onwards: /\/t\/[a-z0-9-]+\/account\/devices\?device=[\w-]+/,
      }),
  },
  {
    view: 'account_export',
    tokenName: 'csrf',
    answer: 200,
    mayRepeat: true,
    fields: () => ({}),
    open: (server, tenant, agent = createUserAgent(server.origin)) =>
      openOwnPage(server, tenant, { path: '/export', agent }),
  },
  {
    view: 'account_delete',
    tokenName: 'csrf',
    answer: 200,
    fields: () => ({ decision: 'delete', confirm: 'yes' }),
    open: (server, tenant, agent = createUserAgent(server.origin)) =>
      openOwnPage(server, tenant, { path: '/delete', agent }),
  },
  {
    view: 'sign_in',
    tokenName: 'csrf',
    fields: credentials,
    open: async (server, tenant, agent = createUserAgent(server.origin)) =>
      opened(agent, (await openInteraction(server, { tenant, agent })).page, 'csrf'),
  },
  {
    view: 'second_factor',
    tokenName: 'csrf',
    fields: (_tenant, { agent }) => ({ code: totpCode(secrets.get(agent) ?? '', new Date()) }),
    async open(server, tenant, agent = createUserAgent(server.origin)) {
      const { email, password, secret } = await newPersonWithTotp(server, tenant);
      secrets.set(agent, secret);
      const signIn = await openInteraction(server, { tenant, agent, extra: { prompt: 'login' } });
      return opened(agent, await agent.submit(signIn.page, { email, password }), 'csrf');
    },
  },
  {
    view: 'set_up_totp',
    tokenName: 'csrf',
    fields: (_tenant, { page }) => ({ code: totpCode(shownSecretOf(page), new Date()) }),
    open: async (server, tenant, agent = createUserAgent(server.origin)) =>
      opened(agent, await openSetUp(server, tenant, agent), 'csrf'),
  },
  {
    view: 'backup_codes',
    tokenName: 'csrf',
    fields: (_tenant, { hidden }) => ({ saved: 'yes', set: hidden['set'] ?? '' }),
    async open(server, tenant, agent = createUserAgent(server.origin)) {
      const setUp = await openSetUp(server, tenant, agent);
      const codes = await agent.submit(setUp, { code: totpCode(shownSecretOf(setUp), new Date()) });
      return opened(agent, codes, 'csrf');
    },
  },
  {
    view: 'own_second_factor',
    tokenName: 'csrf',
    fields: (_tenant, { hidden }) => ({ device: hidden['device'] ?? '' }),
    open: (server, tenant, agent = createUserAgent(server.origin)) =>
      openOwn(server, tenant, agent, '/account/second-factor'),
  },
  {
    view: 'factor_deed',
    tokenName: 'csrf',
    fields: () => ({}),
    open: (server, tenant, agent = createUserAgent(server.origin)) =>
      openOwn(server, tenant, agent, '/account/second-factor/app/remove'),
  },
  {
    view: 'own_passkeys',
    tokenName: 'csrf',
    fields: (_tenant, { hidden }) => ({ id: hidden['id'] ?? '', deed: 'remove' }),
    open: (server, tenant, agent = createUserAgent(server.origin)) =>
      openOwn(server, tenant, agent, '/account/second-factor/passkeys'),
  },
  {
    view: 'new_passkey',
    tokenName: 'csrf',
    fields(_tenant, { agent, page }) {
      const authenticator = authenticators.get(agent)?.ask(passkeyOptionsOf(page));
      return { name: 'Key', passkey: authenticator?.register() ?? '' };
    },
    async open(server, tenant, agent = createUserAgent(server.origin)) {
      authenticators.set(agent, createAuthenticator(server.origin));
      return openOwn(server, tenant, agent, '/account/second-factor/passkeys/new');
    },
  },
  {
    view: 'consent',
    tokenName: 'csrf',
    fields: () => ({ decision: 'allow' }),
    open: (server, tenant, agent = createUserAgent(server.origin)) => openConsent(server, tenant, agent),
  },
  {
    view: 'approvals',
    tokenName: 'csrf',
    fields: () => ({ decision: 'allow' }),
    async open(server, tenant, agent = createUserAgent(server.origin)) {
      await askAtAnotherDevice(server, tenant);
      const page = await agent.follow(`${tenant.issuer}/approvals`);
      const shown = page.body.includes('name="password"') ? await agent.submit(page, credentials(tenant)) : page;
      return opened(agent, shown, 'csrf');
    },
  },
  {
    view: 'device',
    tokenName: 'csrf',
    fields: (_tenant, { agent }) => ({ user_code: pairings.get(agent) ?? '' }),
    async open(server, tenant, agent = createUserAgent(server.origin)) {
      pairings.set(agent, (await beginPairing(tenant)).user_code);
      return opened(agent, await agent.follow(`${tenant.issuer}/device`), 'csrf');
    },
  },
  {
    view: 'device_confirm',
    tokenName: 'csrf',
    fields: () => ({ decision: 'allow', device_name: 'Sensor' }),
    async open(server, tenant, agent = createUserAgent(server.origin)) {
      const { user_code: userCode } = await beginPairing(tenant);
      return opened(agent, await createPairer(server, tenant, { agent }).compare(userCode), 'csrf');
    },
  },
  {
    view: 'signup',
    tokenName: 'csrf',
    fields: () => ({ email: newAddress(), password: goodPassword }),
    open: async (server, tenant, agent = createUserAgent(server.origin)) =>
      opened(agent, await agent.follow(`${tenant.issuer}/signup`), 'csrf'),
  },
  {
    view: 'enter_code',
    tokenName: 'csrf',
    fields: (_tenant, { agent }) => ({ code: mailed.get(agent)?.code ?? '' }),
    async open(server, tenant, agent = createUserAgent(server.origin)) {
      const email = newAddress();
      const page = await createVisitor(server, tenant, agent).signUp({ email });
      mailed.set(agent, await proofFor(server, tenant, email));
      return opened(agent, page, 'csrf');
    },
  },
  {
    view: 'verify',
    tokenName: 'csrf',
    fields: (_tenant, { agent }) => ({ token: tokenOf(mailed.get(agent)?.link) }),
    async open(server, tenant, agent = createUserAgent(server.origin)) {
      const email = newAddress();
      await createVisitor(server, tenant, agent).signUp({ email });
      const proof = await proofFor(server, tenant, email);
      mailed.set(agent, proof);
      return opened(agent, await agent.follow(proof.link), 'csrf');
    },
  },
  {
    view: 'forgot',
    tokenName: 'csrf',
    fields: () => ({ email: newAddress() }),
    open: async (server, tenant, agent = createUserAgent(server.origin)) =>
      opened(agent, await agent.follow(`${tenant.issuer}/forgot`), 'csrf'),
  },
  {
    view: 'reset',
    tokenName: 'csrf',
    fields: (_tenant, { agent }) => ({ token: tokenOf(mailed.get(agent)?.link), new_password: goodPassword }),
    async open(server, tenant, agent = createUserAgent(server.origin)) {
      const { email } = await registered(server, tenant);
      await createVisitor(server, tenant, agent).send('forgot', { email });
      const proof = await proofFor(server, tenant, email);
      mailed.set(agent, proof);
      return opened(agent, await agent.follow(proof.link), 'csrf');
    },
  },
  {
    view: 'invite',
    tokenName: 'csrf',
    fields: (_tenant, { agent }) => ({ token: tokenOf(mailed.get(agent)?.link), new_password: goodPassword }),
    async open(server, tenant, agent = createUserAgent(server.origin)) {
      const email = newAddress();
      const invitation = { tenant, policy: server.config.people, email, roles: [], locale: 'nl' } as const;
      await createInvitation({ ...server.context, publicUrl: server.origin }, invitation);
      const proof = await proofFor(server, tenant, email);
      mailed.set(agent, proof);
      return opened(agent, await agent.follow(proof.link), 'csrf');
    },
  },
  {
    view: 'logout',
    tokenName: 'xsrf',
    fields: () => ({ logout: 'yes' }),
    async open(server, tenant, agent = createUserAgent(server.origin)) {
      const signIn = await openInteraction(server, { tenant, agent, extra: { prompt: 'login' } });
      await agent.submit(signIn.page, credentials(tenant));
      return opened(agent, await agent.request(`${tenant.issuer}/logout`), 'xsrf');
    },
  },
];

function opened(agent: UserAgent, page: Page, tokenName: string): OpenedForm {
  const form = readForm(page);
  const token = form.hidden[tokenName];
  if (token === undefined) throw new Error(`no ${tokenName} on ${page.url}`);
  return { ...form, agent, page, path: new URL(form.action, page.url).pathname, token };
}
