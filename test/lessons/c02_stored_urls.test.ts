/**
 * Row C2, open redirects and scripts through a stored address (Zitadel GHSA-v959-qxv6-6f8p, GHSA-pr34-2v5x-6qjq, GHSA-6rx5-m2rc-hmf7,
 * Keycloak CVE-2026-9086, Casdoor CVE-2026-5467): one rule for every address a client can store, and an exact match where it is used.
 */
import { type ClientRequest, planClient } from '#src/domain/client.ts';
import { type EgressPermissions, egressPermissions } from '#src/domain/egress.ts';
import { createClient, updateClient } from '#src/flows/clients/manage_clients.ts';
import { everythingOn, registerAs } from '#test/support/protocol.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { EVERYWHERE, lookalikes, mutations, NOWHERE, registeredAddress } from '#test/support/url_corpus.ts';
import { createUserAgent } from '#test/support/user_agent.ts';
import { createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';

const base: ClientRequest = { name: 'App', type: 'web', redirectUris: ['https://app.example/cb'] };

/** Every place where a client stores an address. */
const fields: Readonly<Record<string, (uri: string) => ClientRequest>> = {
  redirect_uris: (uri) => ({ ...base, redirectUris: [uri] }),
  post_logout_redirect_uris: (uri) => ({ ...base, postLogoutRedirectUris: [uri] }),
  backchannel_logout_uri: (uri) => ({ ...base, backchannelLogoutUri: uri }),
  ...Object.fromEntries(
    ['jwks_uri', 'client_uri', 'logo_uri', 'policy_uri', 'tos_uri', 'initiate_login_uri'].map((name) => [
      name,
      (uri: string) => ({ ...base, settings: { [name]: uri } }),
    ]),
  ),
};

/** Where we call out to is another rule (domain/egress.ts); this one is about how an address reads. */
const everywhere = egressPermissions(['0.0.0.0/0', '::/0', 'localhost']);
const outcomeOf = (request: ClientRequest, permissions?: EgressPermissions): string =>
  planClient(request, { protocol: everythingOn, permissions }).outcome;

describe('C2: an address that a client stores', () => {
  it('is known by this list wherever the plan of a client has one', () => {
    const plan = planClient(
      {
        ...base,
        postLogoutRedirectUris: ['https://app.example/1'],
        backchannelLogoutUri: 'https://app.example/2',
        settings: Object.fromEntries(
          Object.keys(fields)
            .filter((name) => !name.includes('redirect') && name !== 'backchannel_logout_uri')
            .map((name) => [name, 'https://app.example/3']),
        ),
      },
      { protocol: everythingOn, permissions: everywhere },
    );
    if (plan.outcome !== 'planned') throw new Error(JSON.stringify(plan.problems));
    const stored = JSON.stringify(plan.client).match(/https:\/\/app\.example\/[^"]*/g) ?? [];
    expect(stored).toHaveLength(Object.keys(fields).length);
  });

  it.each(Object.keys(fields))('as %s is refused whenever two readers could differ about it', (name) => {
    const request = fields[name];
    if (request === undefined) throw new Error(name);
    for (const [uri] of NOWHERE) expect({ uri, outcome: outcomeOf(request(uri)) }).toEqual({ uri, outcome: 'refused' });
    for (const uri of EVERYWHERE.filter((good) => good.startsWith('https:'))) {
      expect({ uri, outcome: outcomeOf(request(uri), everywhere) }).toEqual({ uri, outcome: 'planned' });
    }
    for (const scheme of [
      'javascript',
      'JavaScript',
      'java\tscript',
      ' javascript',
      'data',
      'DATA',
      'vbscript',
      'blob',
      'file',
    ]) {
      for (const rest of [
        ':alert(1)',
        '://app.example/%0aalert(1)',
        ':text/html,<script>alert(1)</script>',
        ':;base64,PHNjcmlwdD4=',
      ]) {
        expect(outcomeOf(request(scheme + rest))).toBe('refused');
      }
    }
  });
});

describe('C2: at a running server', () => {
  let server: TestServer;
  let acme: TestTenant;
  let client: TestClient;

  beforeAll(async () => {
    server = await startTestServer();
    acme = await createTestTenant(server, 'acme');
    client = await registerAs(server, acme, {
      ...base,
      redirectUris: [registeredAddress],
      postLogoutRedirectUris: [registeredAddress],
    });
  });

  afterAll(async () => {
    expect(server.log).toEqual([]);
    await server.close();
  });

  it('no flow stores what registration refuses, neither at first nor later', async () => {
    const tenantId = acme.id;
    for (const [name, request] of Object.entries(fields)) {
      const wanted = request('javascript:alert(1)');
      expect({ name, ...(await createClient(server.context, { tenantId, client: wanted })) }).toMatchObject({
        name,
        outcome: 'refused',
      });
      const { name: _name, type: _type, settings, ...changes } = wanted;
      const changed = await updateClient(server.context, {
        tenantId,
        clientId: client.clientId,
        changes: { ...changes, settings: settings as Record<string, unknown> },
      });
      expect({ name, ...changed }).toMatchObject({ name, outcome: 'refused' });
    }
  });

  it('signing out leads to the registered address, and to none of its lookalikes', async () => {
    const signOut = async (uri: string): Promise<{ status: number; location: string | null }> => {
      const parameters = new URLSearchParams({ client_id: client.clientId, post_logout_redirect_uri: uri });
      const page = await createUserAgent(server.origin).request(`${acme.issuer}/logout?${parameters}`);
      return { status: page.status, location: page.headers.get('location') };
    };
    expect(await signOut(registeredAddress)).toEqual({ status: 303, location: registeredAddress });
    for (const uri of [...lookalikes, ...mutations()]) {
      expect({ uri, ...(await signOut(uri)) }).toEqual({ uri, status: 400, location: null });
    }
  });
});
