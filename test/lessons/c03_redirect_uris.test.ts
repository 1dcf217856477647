/**
 * Row C3, lenient comparison of redirect URIs (authentik CVE-2024-52289 and CVE-2026-41569, Keycloak CVE-2024-8883, CVE-2026-3872,
 * CVE-2026-7504, CVE-2026-9689, better-auth GHSA-86j7-9j95-vpqj): bytes are compared, there is no pattern to compare with, and a
 * parameter that is given twice counts as neither. More than 200 vectors, at both doors through which an address comes.
 */
import { registerAs } from '#test/support/protocol.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { lookalikes, mutations, NOWHERE, registeredAddress } from '#test/support/url_corpus.ts';
import { authorizationRequest, createUserAgent } from '#test/support/user_agent.ts';
import { createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';

const vectors = [...new Set([...lookalikes, ...mutations(), ...NOWHERE.map(([uri]) => uri)])];

let server: TestServer;
let acme: TestTenant;
let client: TestClient;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  client = await registerAs(server, acme, {
    name: 'One address',
    type: 'web',
    firstParty: true,
    redirectUris: [registeredAddress],
  });
});

afterAll(async () => {
  expect(server.log).toEqual([]);
  await server.close();
});

interface Answer {
  readonly status: number;
  readonly location: string | null;
}

async function authorizeWith(query: string): Promise<Answer> {
  const page = await createUserAgent(server.origin).request(`${acme.issuer}/authorize?${query}`);
  return { status: page.status, location: page.headers.get('location') };
}

async function push(body: string): Promise<Answer> {
  const authorization = `Basic ${Buffer.from(`${client.clientId}:${client.clientSecret}`).toString('base64')}`;
  const answer = await fetch(`${acme.issuer}/par`, {
    method: 'POST',
    headers: { authorization, 'content-type': 'application/x-www-form-urlencoded' },
    body,
  });
  return { status: answer.status, location: answer.headers.get('location') };
}

function parametersWith(redirectUri: string): string {
  const { searchParams } = new URL(authorizationRequest(acme, client).url);
  searchParams.set('redirect_uri', redirectUri);
  return searchParams.toString();
}

const refused: Answer = { status: 400, location: null };

describe('C3: a redirect URI', () => {
  it('is the registered one', async () => {
    expect((await authorizeWith(parametersWith(registeredAddress))).status).toBe(303);
    expect((await push(parametersWith(registeredAddress))).status).toBe(201);
  });

  it(`is none of ${vectors.length} others, neither asked for nor pushed`, async () => {
    expect(vectors.length).toBeGreaterThan(200);
    for (const uri of vectors) {
      const parameters = parametersWith(uri);
      expect({ uri, ...(await authorizeWith(parameters)) }).toEqual({ uri, ...refused });
      expect({ uri, ...(await push(parameters)) }).toEqual({ uri, ...refused });
    }
  });

  it('given twice, in any order and any spelling, is given not at all', async () => {
    const good = encodeURIComponent(registeredAddress);
    const evil = encodeURIComponent('https://evil.test/cb');
    const rest = new URLSearchParams(parametersWith(registeredAddress));
    rest.delete('redirect_uri');
    const names = ['redirect_uri', 'redirect%5Furi', '%72edirect_uri', 'redirect_%75ri'];
    const polluted = names.flatMap((name) => [
      `redirect_uri=${good}&${rest}&${name}=${evil}`,
      `${name}=${evil}&${rest}&redirect_uri=${good}`,
      `redirect_uri=${good}&${name}=${good}&${rest}`,
    ]);
    for (const query of polluted) {
      expect({ query, ...(await authorizeWith(query)) }).toEqual({ query, ...refused });
      expect({ query, ...(await push(query)) }).toEqual({ query, ...refused });
    }
    // Other names are other parameters: they neither help nor harm, and there is still no address.
    for (const query of [
      `redirect_uri[]=${good}&${rest}`,
      `redirect_uri.0=${good}&${rest}`,
      `Redirect_Uri=${good}&${rest}`,
    ]) {
      expect({ query, ...(await authorizeWith(query)) }).toEqual({ query, ...refused });
    }
  });

  it('is not found by any other parameter that comes twice', async () => {
    const query = parametersWith(registeredAddress);
    for (const name of ['client_id', 'response_type', 'scope', 'state', 'code_challenge', 'code_challenge_method']) {
      const { status, location } = await authorizeWith(`${query}&${name}=x`);
      // What is wrong may be told to the client, at its own address, and nowhere else.
      expect({ name, ok: status === 400 || (location ?? '').startsWith(`${registeredAddress}&error=`) }).toEqual({
        name,
        ok: true,
      });
      expect((await push(`${query}&${name}=x`)).status).toBe(400);
    }
  });
});
