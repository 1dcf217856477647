/** A small believable world: a tenant with a person, an API of each format and a client of each type. */
import type { ClientType } from '#src/domain/client.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import { createApi, createClient } from '#src/flows/clients/manage_clients.ts';
import { addMember } from '#src/flows/people/manage_people.ts';
import { createTenant } from '#src/flows/tenants/manage_tenants.ts';
import type { TestServer } from './test_server.ts';

export const callbackUri = 'http://localhost:9/callback';
export const postLogoutUri = 'http://localhost:9/signed-out';

export interface TestClient {
  readonly clientId: string;
  readonly clientSecret: string;
}

export interface TestTenant {
  readonly id: TenantId;
  readonly slug: string;
  readonly issuer: string;
  readonly person: { readonly id: UserId; readonly email: string; readonly password: string };
  readonly jwtApi: string;
  readonly opaqueApi: string;
  /** First-party, except `third`: a web client of somebody else. Public clients have an empty secret. */
  readonly clients: Readonly<Record<ClientType | 'third', TestClient>>;
}

export const apiScopes = ['readings:read', 'readings:write'] as const;

export async function createTestTenant(
  server: TestServer,
  slug: string,
  email = `ada@${slug}.test`,
): Promise<TestTenant> {
  const { context, origin } = server;
  const created = await createTenant(context, { slug, name: slug[0]?.toUpperCase() + slug.slice(1) });
  if (created.outcome !== 'created') throw new Error(created.reason);
  const tenantId = created.id;
  const password = `correct horse ${email}`;
  const member = await addMember(context, {
    tenantId,
    email,
    password,
    roles: ['admin'],
    verified: true,
    givenName: 'Ada',
    familyName: 'Lovelace',
  });
  if (member.outcome === 'refused') throw new Error(`${member.reason} ${member.detail}`);
  const jwtApi = `https://api.${slug}.test/readings`;
  const opaqueApi = `https://api.${slug}.test/archive`;
  const scopes = [...apiScopes];
  for (const [audience, tokenFormat] of [
    [jwtApi, 'jwt'],
    [opaqueApi, 'opaque'],
  ] as const) {
    const api = await createApi(context, {
      tenantId,
      api: { audience, tokenFormat, scopes: scopes.map((scope) => `${scope}=May ${scope}`) },
    });
    if (api.outcome !== 'created') throw new Error(api.outcome);
  }
  const make = async (type: ClientType, name: string, firstParty: boolean): Promise<TestClient> => {
    const person = type === 'web' || type === 'spa' || type === 'native';
    const client = await createClient(context, {
      tenantId,
      client: {
        name,
        type,
        firstParty,
        ...(person
          ? {
              redirectUris: [type === 'native' ? 'http://127.0.0.1/callback' : callbackUri],
              postLogoutRedirectUris: [postLogoutUri],
            }
          : {}),
        ...(type === 'resource_server' ? {} : { scopes }),
      },
    });
    if (client.outcome !== 'created') throw new Error(JSON.stringify(client.problems));
    return { clientId: client.clientId, clientSecret: client.clientSecret ?? '' };
  };
  return {
    id: tenantId,
    slug,
    issuer: `${origin}/t/${slug}`,
    person: { id: member.userId, email, password },
    jwtApi,
    opaqueApi,
    clients: {
      web: await make('web', 'web', true),
      spa: await make('spa', 'spa', true),
      native: await make('native', 'native', true),
      device: await make('device', 'device', true),
      machine: await make('machine', 'machine', true),
      resource_server: await make('resource_server', 'resource_server', true),
      third: await make('web', 'Somebody else', false),
    },
  };
}

export interface NewPerson {
  readonly id: UserId;
  readonly email: string;
  readonly password: string;
}

let lastPerson = 0;

/** A member of their own, whose address is proven; of each of these tenants. */
export async function newPerson({ context }: TestServer, ...tenants: readonly TestTenant[]): Promise<NewPerson> {
  lastPerson += 1;
  const email = `person-${lastPerson}@people.test`;
  const password = `correct horse ${email}`;
  let id: UserId | undefined;
  for (const { id: tenantId } of tenants) {
    const added = await addMember(context, { tenantId, email, password, roles: [], verified: true });
    if (added.outcome === 'refused') throw new Error(added.reason);
    id = added.userId;
  }
  if (id === undefined) throw new Error('a person belongs to a tenant');
  return { id, email, password };
}
