/**
 * Row C14, escalation at the token step (authentik CVE-2024-52287, better-auth GHSA-p2fr-6hmx-4528, Keycloak CVE-2026-9795 and -9704,
 * Casdoor CVE-2026-9094): whatever is asked for and in whatever order, a token holds what was granted, what its client may have, what
 * its tenant defines, and of permissions what the person has. Random requests through the running product.
 */
import fc from 'fast-check';
import * as jose from 'jose';
import { createRole } from '#src/flows/access/manage_roles.ts';
import { createApi } from '#src/flows/clients/manage_clients.ts';
import { addMember } from '#src/flows/people/manage_people.ts';
import { registerAs } from '#test/support/protocol.ts';
import { passPages } from '#test/support/relying_party.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import {
  authorizationRequest,
  callEndpoint,
  createUserAgent,
  type EndpointAnswer,
  introspect,
} from '#test/support/user_agent.ts';
import { callbackUri, createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';

const personScopes = ['openid', 'profile', 'email', 'offline_access'] as const;
/** What each API of the tenant defines; the two share one scope, and have one each. */
const apiScopes: Readonly<Record<string, readonly string[]>> = {
  'https://api.acme.test/jobs': ['jobs:read', 'jobs:run', 'shared:read'],
  'https://api.acme.test/files': ['files:read', 'files:write', 'shared:read'],
};
const audiences = Object.keys(apiScopes);
const pool = [...personScopes, ...new Set(Object.values(apiScopes).flat()), 'admin', 'secrets:read', 'readings:read'];

interface Subject {
  readonly name: string;
  readonly client: TestClient;
  readonly scopes: readonly string[];
}

let server: TestServer;
let acme: TestTenant;
let subjects: readonly Subject[];
let machine: TestClient;
/** What the two people may do at the APIs, through a role of one of them. */
const permissionsOf = { ada: [], grace: ['jobs:run', 'files:write'] } as const;
const machineScopes = ['jobs:read', 'shared:read'];
const limited = { email: 'grace@acme.test', password: 'a password for Grace' };

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  for (const [audience, scopes] of Object.entries(apiScopes)) {
    const created = await createApi(server.context, { tenantId: acme.id, api: { audience, scopes } });
    if (created.outcome !== 'created') throw new Error(created.outcome);
  }
  const role = { name: 'runner', permissions: permissionsOf.grace };
  const made = await createRole(server.context, { tenantId: acme.id, role });
  if (made.outcome !== 'created') throw new Error(made.outcome);
  const roles = ['viewer', 'runner'];
  const member = await addMember(server.context, { tenantId: acme.id, ...limited, roles, verified: true });
  if (member.outcome === 'refused') throw new Error(member.reason);
  const subjectOf = async (
    name: string,
    { type, firstParty, scopes }: { type: 'web' | 'spa'; firstParty: boolean; scopes: readonly string[] },
  ): Promise<Subject> => ({
    name,
    client: await registerAs(server, acme, { name, type, firstParty, redirectUris: [callbackUri], scopes }),
    scopes: [...personScopes, ...scopes],
  });
  subjects = await Promise.all([
    subjectOf('of the house', { type: 'web', firstParty: true, scopes: ['jobs:read', 'jobs:run', 'files:read'] }),
    subjectOf('in a browser', { type: 'spa', firstParty: true, scopes: ['shared:read'] }),
    subjectOf('of somebody else', {
      type: 'web',
      firstParty: false,
      scopes: ['jobs:read', 'files:write', 'shared:read'],
    }),
    subjectOf('with none', { type: 'web', firstParty: true, scopes: [] }),
  ]);
  machine = await registerAs(server, acme, { name: 'Machine', type: 'machine', scopes: machineScopes });
});

afterAll(async () => {
  expect(server.log).toEqual([]);
  await server.close();
});

const someScopes = fc.subarray(pool);
const elsewhere = 'https://api.elsewhere.test/';
const someResources = fc.oneof(
  { weight: 8, arbitrary: fc.subarray(audiences) },
  { weight: 1, arbitrary: fc.subarray([...audiences, elsewhere]) },
);
/** At the token step: mostly one that was named at the start. */
const nextResource = fc.oneof(
  { weight: 6, arbitrary: fc.constant('named' as const) },
  { weight: 1, arbitrary: fc.constantFrom(undefined, ...audiences, elsewhere) },
);
const oneResource = fc.option(fc.constantFrom(...audiences, elsewhere), { nil: undefined });

interface Issued {
  readonly scopes: readonly string[];
  readonly audience: string | undefined;
  readonly permissions: readonly string[];
  readonly refreshToken: string | undefined;
}

/** What the token itself says, not what the answer says about it; both must agree. */
async function read({ json }: EndpointAnswer, client: TestClient): Promise<Issued> {
  const token = String(json['access_token']);
  const claims: Readonly<Record<string, unknown>> = token.startsWith('at_')
    ? (await introspect(acme, client, token)).json
    : jose.decodeJwt(token);
  const scopes = String(claims['scope'] ?? '')
    .split(' ')
    .filter((scope) => scope !== '');
  expect(json['scope'] ?? '').toBe(scopes.join(' '));
  return {
    scopes,
    audience: claims['aud'] === undefined ? undefined : String(claims['aud']),
    permissions: Array.isArray(claims['permissions']) ? claims['permissions'].map(String) : [],
    refreshToken: json['refresh_token'] === undefined ? undefined : String(json['refresh_token']),
  };
}

function isWithin(scopes: readonly string[], ...limits: readonly (readonly string[])[]): boolean {
  return limits.every((limit) => scopes.every((scope) => limit.includes(scope)));
}

/** The rule itself. Scopes about the person go without an audience, those of an API with it alone. */
interface Limits {
  readonly asked: readonly string[];
  readonly subject: Subject;
  readonly person: keyof typeof permissionsOf;
}

function expectWithin(issued: Issued, { asked, subject, person }: Limits): void {
  const defined = issued.audience === undefined ? personScopes : (apiScopes[issued.audience] ?? []);
  expect({ issued, within: isWithin(issued.scopes, asked, subject.scopes, defined) }).toEqual({ issued, within: true });
  expect(isWithin(issued.permissions, defined, permissionsOf[person])).toBe(true);
}

const withResources = (
  form: Record<string, string>,
  resource: string | undefined,
  scopes: readonly string[] | undefined,
) => ({
  ...form,
  ...(resource === undefined ? {} : { resource }),
  ...(scopes === undefined ? {} : { scope: scopes.join(' ') }),
});

describe('C14: a token', () => {
  it('holds no more than was asked for, granted, registered and defined, at every step', async () => {
    let tokens = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.nat({ max: 3 }),
        fc.constantFrom('ada' as const, 'grace' as const),
        someScopes,
        someResources,
        nextResource,
        fc.array(fc.tuple(nextResource, fc.option(someScopes, { nil: undefined })), { minLength: 1, maxLength: 2 }),
        async (which, who, asked, resources, tokenResource, refreshes) => {
          const subject = subjects[which];
          if (subject === undefined) throw new Error('no such client');
          const { client } = subject;
          const person = who === 'ada' ? acme.person : limited;
          const { url, verifier } = authorizationRequest(acme, client, { scope: ['openid', ...asked].join(' ') });
          const choose = (next: string | undefined): string | undefined => (next === 'named' ? resources.at(-1) : next);
          const named = resources.map((resource) => `&resource=${encodeURIComponent(resource)}`).join('');
          const agent = createUserAgent(server.origin);
          const callback = await passPages(agent, url + named, { person });
          const code = callback.searchParams.get('code');
          // What is no API of this tenant ends the request.
          if (code === null) return;
          const form = { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: callbackUri };
          const answer = await callEndpoint(acme.issuer, '/token', {
            client,
            form: withResources(form, choose(tokenResource), undefined),
          });
          if (answer.status !== 200) {
            expect(answer.status).toBe(400);
            return;
          }
          tokens += 1;
          let issued = await read(answer, client);
          const all = ['openid', ...asked];
          expectWithin(issued, { asked: all, subject, person: who });
          if (issued.audience !== undefined) expect(resources).toContain(issued.audience);

          for (const [resource, scopes] of refreshes) {
            if (issued.refreshToken === undefined) return;
            const renewed = await callEndpoint(acme.issuer, '/token', {
              client,
              form: withResources(
                { grant_type: 'refresh_token', refresh_token: issued.refreshToken },
                choose(resource),
                scopes,
              ),
            });
            if (renewed.status !== 200) {
              expect(renewed.status).toBe(400);
              return;
            }
            tokens += 1;
            issued = await read(renewed, client);
            expectWithin(issued, {
              asked: scopes === undefined || scopes.length === 0 ? all : scopes,
              subject,
              person: who,
            });
            expectWithin(issued, { asked: all, subject, person: who });
            if (issued.audience !== undefined) expect(resources).toContain(issued.audience);
          }
        },
      ),
      { numRuns: 60 },
    );
    // The property was about something.
    expect(tokens).toBeGreaterThan(10);
  });

  it('of a machine holds what it asked for of its own scopes, or there is none', async () => {
    await fc.assert(
      fc.asyncProperty(someScopes, oneResource, async (asked, resource) => {
        const answer = await callEndpoint(acme.issuer, '/token', {
          client: machine,
          form: withResources({ grant_type: 'client_credentials' }, resource, asked.length === 0 ? undefined : asked),
        });
        const defined = resource === undefined ? [] : (apiScopes[resource] ?? []);
        const mayHave = isWithin(asked, machineScopes, defined);
        const isApi = resource === undefined || apiScopes[resource] !== undefined;
        if (answer.status !== 200) {
          expect({ status: answer.status, asked, resource, refusable: !mayHave || !isApi }).toMatchObject({
            status: 400,
            refusable: true,
          });
          return;
        }
        const { scopes } = await read(answer, machine);
        expect(isWithin(scopes, asked, machineScopes, defined)).toBe(true);
      }),
      { numRuns: 60 },
    );
  });
});
