/** Both sides of a pairing: a device that asks and polls, and a person who types its code in a browser without a screen. */
import { deviceGrantType } from '#src/domain/device_grant.ts';
import { totpCode } from './second_factor.ts';
import type { TestServer } from './test_server.ts';
import { callEndpoint, createUserAgent, type EndpointAnswer, type Page, type UserAgent } from './user_agent.ts';
import type { TestClient, TestTenant } from './world.ts';

type Form = Readonly<Record<string, string>>;

/** RFC 8628 §3.2. */
export interface BegunPairing {
  readonly device_code: string;
  readonly user_code: string;
  readonly verification_uri: string;
  readonly verification_uri_complete: string;
}

/** A device begins. Throws when it may not. */
export async function beginPairing(
  tenant: TestTenant,
  {
    form = {},
    client = tenant.clients.device,
    address,
  }: { readonly form?: Form; readonly client?: TestClient; readonly address?: string } = {},
): Promise<BegunPairing> {
  const asked = { scope: 'openid offline_access', ...form };
  const headers = address === undefined ? {} : { 'x-forwarded-for': address };
  const { status, json } = await callEndpoint(tenant.issuer, '/device_authorization', { client, form: asked, headers });
  if (status !== 200) throw new Error(`${status} ${JSON.stringify(json)}`);
  return json as unknown as BegunPairing; // as the specification has it; tests look at what they need
}

export function pollFor(
  tenant: TestTenant,
  { device_code: code }: BegunPairing,
  client: TestClient = tenant.clients.device,
): Promise<EndpointAnswer> {
  const form = { grant_type: deviceGrantType, device_code: code };
  return callEndpoint(tenant.issuer, '/token', { client, form });
}

export interface Pairer {
  readonly agent: UserAgent;
  /** Opens the page and sends this as the code. */
  type(userCode: string): Promise<Page>;
  /** The same, and signs in where that is asked for: the page that compares. */
  compare(userCode: string): Promise<Page>;
  signIn(page: Page): Promise<Page>;
  /** Through everything, to where it ends. */
  answer(userCode: string, decision: 'allow' | 'deny', deviceName?: string): Promise<Page>;
}

/** Somebody with a telephone, not signed in yet. */
export function createPairer(
  server: TestServer,
  tenant: TestTenant,
  {
    person = tenant.person,
    agent = createUserAgent(server.origin),
  }: {
    readonly person?: { readonly email: string; readonly password: string; readonly secret?: string };
    readonly agent?: UserAgent;
  } = {},
): Pairer {
  const pairer: Pairer = {
    agent,
    type: async (userCode) => agent.submit(await agent.follow(`${tenant.issuer}/device`), { user_code: userCode }),
    async signIn(page) {
      let shown = page;
      if (shown.body.includes('name="password"'))
        shown = await agent.submit(shown, { email: person.email, password: person.password });
      if (person.secret !== undefined && shown.url.includes('/interaction/') && shown.body.includes('name="code"'))
        shown = await agent.submit(shown, { code: totpCode(person.secret, server.context.clock()) });
      return shown;
    },
    compare: async (userCode) => pairer.signIn(await pairer.type(userCode)),
    async answer(userCode, decision, deviceName) {
      const page = await pairer.compare(userCode);
      return agent.submit(page, { decision, device_name: deviceName ?? deviceNameOn(page) });
    },
  };
  return pairer;
}

/** What the device will be called as the page proposes it. */
export function deviceNameOn({ body }: Page): string {
  return /name="device_name"[^>]*value="([^"]*)"/.exec(body)?.[1] ?? '';
}
