/**
 * Row C7, artefacts that are good once (Zitadel CVE-2025-46815, Keycloak CVE-2026-37982, authentik CVE-2022-23555): for each kind,
 * many uses of one value at the same moment, at two servers of one installation. One wins, and nothing of the others is left.
 */
import { createHash } from 'node:crypto';
import * as jose from 'jose';
import Provider from 'oidc-provider';
import { artifactModels } from '#adapters/artifacts_adapter.ts';
import { hashOf, UnitOfWork } from '#adapters/unit_of_work.ts';
import { createClient } from '#src/flows/clients/manage_clients.ts';
import { openDatabase } from '#src/storage/database.ts';
import { openInteraction } from '#test/support/attack_surface.ts';
import { createAuthenticator, passkeyOptionsOf } from '#test/support/authenticator.ts';
import { forms } from '#test/support/forms.ts';
import { registerHelpDesk } from '#test/support/help_desk.ts';
import { callServer, type Installation, startInstallation } from '#test/support/installation.ts';
import { openOwnPage, shownSecretOf } from '#test/support/own_pages.ts';
import { giveBackupCodes, newPersonWithTotp, totpCode } from '#test/support/second_factor.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import {
  authorizationRequest,
  authorize,
  createUserAgent,
  type EndpointAnswer,
  type Page,
  readForm,
  type UserAgent,
} from '#test/support/user_agent.ts';
import { callbackUri, createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';

let installation: Installation;
let acme: TestTenant;

beforeAll(async () => {
  installation = await startInstallation();
  acme = await createTestTenant(installation.first, 'acme');
});

afterAll(() => installation.close());

/** Uses the one value of this kind at a server of the installation; true when it was accepted. */
type Use = (port: number) => Promise<boolean>;

interface SingleUseKind {
  /** Makes one value that nobody has used. */
  readonly mint: () => Promise<Use>;
}

const tokenUrl = (): string => `${acme.issuer}/token`;
const accepted = ({ status }: EndpointAnswer): boolean => status === 200;

async function configureClient({ clientId }: TestClient, settings: object): Promise<void> {
  const values = [acme.id, clientId, JSON.stringify(settings)];
  await queryAsSuperuser(
    installation.first.database,
    'update clients set settings = $3 where tenant_id = $1 and client_id = $2',
    values,
  );
}

async function proofOfPossession(): Promise<string> {
  const { privateKey, publicKey } = await jose.generateKeyPair('ES256');
  return new jose.SignJWT({ htm: 'POST', htu: tokenUrl() })
    .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk: await jose.exportJWK(publicKey) })
    .setJti(crypto.randomUUID())
    .setIssuedAt()
    .sign(privateKey);
}

/** Sends a page's form to one of the servers as its browser would; true when that led on. */
async function sendForm(
  port: number,
  { agent, page }: { readonly agent: UserAgent; readonly page: Page },
  fields: Readonly<Record<string, string>>,
): Promise<boolean> {
  const { action, hidden } = readForm(page);
  const headers = { cookie: agent.cookies(action).join('; ') };
  const answer = await callServer(port, action, { form: { ...hidden, ...fields }, headers });
  return answer.status === 303;
}

/** The same second factor in one sign-in after another, each of which has got as far as that. */
async function inSignInsOf(
  { email, password }: { readonly email: string; readonly password: string },
  fields: Readonly<Record<string, string>>,
): Promise<Use> {
  const waiting: { readonly agent: UserAgent; readonly page: Page }[] = [];
  for (let count = 0; count < 26; count += 1) {
    const { agent, page } = await openInteraction(installation.first, { tenant: acme });
    waiting.push({ agent, page: await agent.submit(page, { email, password }) });
  }
  return async (port) => {
    const next = waiting.pop();
    return next !== undefined && sendForm(port, next, fields);
  };
}

/** Every kind of value that opens something once. */
const kinds: Readonly<Record<string, SingleUseKind>> = {
  AuthorizationCode: {
    async mint() {
      const client = acme.clients.web;
      const { code, verifier } = await authorize(createUserAgent(installation.first.origin), { tenant: acme, client });
      const form = { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: callbackUri };
      return async (port) => accepted(await callServer(port, tokenUrl(), { client, form }));
    },
  },
  'RefreshToken of a strict client': {
    async mint() {
      const client = acme.clients.third;
      await configureClient(client, { refresh_grace_seconds: 0 });
      const { code, verifier } = await authorize(createUserAgent(installation.first.origin), { tenant: acme, client });
      const form = { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: callbackUri };
      const tokens = await callServer(installation.ports[0] ?? 0, tokenUrl(), { client, form });
      const refresh_token = String(tokens.json['refresh_token']);
      return async (port) =>
        accepted(await callServer(port, tokenUrl(), { client, form: { grant_type: 'refresh_token', refresh_token } }));
    },
  },
  PushedAuthorizationRequest: {
    async mint() {
      const client = acme.clients.web;
      const agent = createUserAgent(installation.first.origin);
      await authorize(agent, { tenant: acme, client });
      const form = Object.fromEntries(new URL(authorizationRequest(acme, client).url).searchParams);
      const pushed = await callServer(installation.ports[0] ?? 0, `${acme.issuer}/par`, { client, form });
      const request = new URLSearchParams({
        client_id: client.clientId,
        request_uri: String(pushed.json['request_uri']),
      });
      const headers = { cookie: agent.cookies().join('; ') };
      return async (port) => {
        const answer = await callServer(port, `${acme.issuer}/authorize?${request}`, { method: 'GET', headers });
        return new URL(answer.headers.get('location') ?? 'none:').searchParams.has('code');
      };
    },
  },
  'client assertion': {
    async mint() {
      const { privateKey, publicKey } = await jose.generateKeyPair('ES256');
      const made = await createClient(installation.first.context, {
        tenantId: acme.id,
        client: { name: 'Signer', type: 'machine', jwks: { keys: [await jose.exportJWK(publicKey)] } },
      });
      if (made.outcome !== 'created') throw new Error('refused');
      const client_assertion = await new jose.SignJWT({})
        .setProtectedHeader({ alg: 'ES256' })
        .setIssuer(made.clientId)
        .setSubject(made.clientId)
        .setAudience(acme.issuer)
        .setJti(crypto.randomUUID())
        .setIssuedAt()
        .setExpirationTime('1 minute')
        .sign(privateKey);
      const form = {
        grant_type: 'client_credentials',
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion,
      };
      return async (port) => accepted(await callServer(port, tokenUrl(), { form }));
    },
  },
  BackchannelAuthenticationRequest: {
    async mint() {
      const client = await registerHelpDesk(installation.first, acme, installation.ports);
      const { person } = acme;
      const [port = 0] = installation.ports;
      const asked = { scope: 'openid', login_hint: person.email };
      const request = await callServer(port, `${acme.issuer}/bc-authorize`, { client, form: asked });
      const agent = createUserAgent(installation.first.origin);
      const signIn = await agent.follow(`${acme.issuer}/approvals`);
      const page = await agent.submit(signIn, { email: person.email, password: person.password });
      await agent.submit(page, { decision: 'allow' });
      const form = {
        grant_type: 'urn:openid:params:grant-type:ciba',
        auth_req_id: String(request.json['auth_req_id']),
      };
      return async (at) => accepted(await callServer(at, tokenUrl(), { client, form }));
    },
  },
  'code of an authenticator app': {
    async mint() {
      const person = await newPersonWithTotp(installation.first, acme);
      const code = totpCode(person.secret, new Date());
      return inSignInsOf(person, { code });
    },
  },
  'backup code': {
    async mint() {
      const person = await newPersonWithTotp(installation.first, acme);
      const [code = ''] = await giveBackupCodes(installation.first, acme, person.id);
      return inSignInsOf(person, { backup_code: code });
    },
  },
  'answer of a passkey': {
    async mint() {
      const person = await newPersonWithTotp(installation.first, acme);
      const path = '/account/second-factor/passkeys/new';
      const { agent, page } = await openOwnPage(installation.first, acme, { person, path });
      const authenticator = createAuthenticator(installation.first.origin).ask(passkeyOptionsOf(page));
      await agent.submit(page, { name: 'Key', passkey: authenticator.register() });
      const signIn = await openInteraction(installation.first, { tenant: acme });
      // The counter stands still, so that only the challenge can tell.
      const passkey = authenticator.ask(passkeyOptionsOf(signIn.page)).assert({ signCount: 0 });
      return (port) => sendForm(port, signIn, { email: '', passkey });
    },
  },
  'set of backup codes that is put away': {
    async mint() {
      const { id, email, password } = await newPersonWithTotp(installation.first, acme);
      await queryAsSuperuser(installation.first.database, 'delete from totp_factors where user_id = $1', [id]);
      const extra = { acr_values: 'urn:poort:acr:mfa' };
      const { agent, page: start } = await openInteraction(installation.first, { tenant: acme, extra });
      const setUp = await agent.submit(start, { email, password });
      const page = await agent.submit(setUp, { code: totpCode(shownSecretOf(setUp), new Date()) });
      return (port) => sendForm(port, { agent, page }, { saved: 'yes' });
    },
  },
  'DPoP proof': {
    async mint() {
      const headers = { dpop: await proofOfPossession() };
      const form = { grant_type: 'client_credentials' };
      return async (port) =>
        accepted(await callServer(port, tokenUrl(), { client: acme.clients.machine, form, headers }));
    },
  },
};

/** What a mailed link or code proves: the form that brings it back, as the page showed it, sent again and again. */
const mailedKinds: Readonly<Record<string, SingleUseKind>> = Object.fromEntries(
  ['enter_code', 'verify', 'reset', 'invite'].map((view) => [
    `proof that is brought back by the form ${view}`,
    {
      async mint() {
        const kind = forms.find((form) => form.view === view);
        if (kind === undefined) throw new Error(`there is no form ${view}`);
        const opened = await kind.open(installation.first, acme);
        const form = { ...opened.hidden, ...kind.fields(acme, opened) };
        const headers = { cookie: opened.agent.cookies().join('; '), origin: installation.first.origin };
        return async (port) =>
          (await callServer(port, installation.first.origin + opened.path, { form, headers })).status === 303;
      },
    },
  ]),
);

describe.each(Object.entries({ ...kinds, ...mailedKinds }))('a %s', (_kind, { mint }) => {
  it('used at the same moment at two servers opens once', async () => {
    for (let round = 0; round < 3; round += 1) {
      const use = await mint();
      const uses = Array.from({ length: 24 }, (_, index) => use(installation.ports[index % 2] ?? 0));
      expect((await Promise.all(uses)).filter((won) => won)).toHaveLength(1);
      for (const port of installation.ports) expect(await use(port)).toBe(false);
    }
  });
});

/**
 * Behind the product, for the kinds whose endpoint is off: the storage port of two servers, each with connections of its own.
 */
describe('every model that the engine uses up', () => {
  const engine = new Provider('http://localhost:1');
  const usedUp = artifactModels.filter((model) => {
    const { prototype } = (engine as unknown as Record<string, { prototype?: object }>)[model] ?? {};
    return prototype !== undefined && 'consume' in prototype;
  });

  it('is one of those tried here', () => {
    expect([...usedUp].sort()).toEqual([
      'AuthorizationCode',
      'BackchannelAuthenticationRequest',
      'DeviceCode',
      'PreAuthorizedCode',
      'PushedAuthorizationRequest',
      'RefreshToken',
    ]);
  });

  it.each(usedUp)('%s is used up once by two servers', async (model) => {
    const { urls, clock } = installation.first.server.house;
    const open = () => openDatabase({ appUrl: urls.app, platformUrl: urls.platform, onFault: () => undefined });
    const servers = [open(), open()];
    const unitAt = (index: number): UnitOfWork => {
      const database = servers[index % 2];
      if (database === undefined) throw new Error('there are two servers');
      return new UnitOfWork({ tenant: database.tenant(acme.id), origin: {}, clock });
    };
    try {
      const id = hashOf(`${model} ${crypto.randomUUID()}`);
      const making = unitAt(0);
      const nothing = { account_id: undefined, client_id: undefined, grant_id: undefined, session_uid: undefined };
      const expires_at = new Date(clock().getTime() + 60_000).toISOString();
      making.store({ kind: model, id, payload: {}, expires_at, user_code: undefined, ...nothing }, 'insert');
      await making.commit();
      const attempts = Array.from({ length: 24 }, async (_, index) => {
        const unit = unitAt(index);
        unit.consume(model, id);
        await unit.commit();
      });
      const outcomes = await Promise.allSettled(attempts);
      expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    } finally {
      await Promise.all(servers.map((server) => server.close()));
    }
  });
});

describe('a code that comes back', () => {
  it('ends what it gave: access, refresh and the tokens of a later refresh', async () => {
    const client = acme.clients.web;
    const { code, verifier } = await authorize(createUserAgent(installation.first.origin), { tenant: acme, client });
    const form = { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: callbackUri };
    const [here = 0, there = 0] = installation.ports;
    const first = (await callServer(here, tokenUrl(), { client, form })).json;
    const renewal = { grant_type: 'refresh_token', refresh_token: String(first['refresh_token']) };
    const second = (await callServer(there, tokenUrl(), { client, form: renewal })).json;
    expect((await callServer(there, tokenUrl(), { client, form })).json['error']).toBe('invalid_grant');
    for (const token of [first['access_token'], second['access_token'], second['refresh_token']]) {
      const asked = { client, form: { token: String(token) } };
      for (const port of installation.ports)
        expect((await callServer(port, `${acme.issuer}/introspect`, asked)).json).toEqual({ active: false });
    }
    const told = await queryAsSuperuser<Record<string, unknown>>(
      installation.first.database,
      `select reason, target_id, session_id is not null as session from events where type = 'token.reuse_detected'
         order by occurred_at desc, id desc limit 1`,
    );
    expect(told).toEqual([{ reason: 'authorization_code_already_consumed', target_id: acme.person.id, session: true }]);
    // And a value nobody ever made ends nothing.
    const unknown = { ...form, code: `ac_${createHash('sha256').update('nothing').digest('base64url')}` };
    expect((await callServer(here, tokenUrl(), { client, form: unknown })).json['error']).toBe('invalid_grant');
  });
});
