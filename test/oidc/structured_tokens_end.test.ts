/** What ends a JWT access token, at processes that were told nothing: within a second, like everything else. */
import { disableClient } from '#src/flows/clients/manage_clients.ts';
import { changeMembershipStatus } from '#src/flows/people/manage_people.ts';
import { changeTenantStatus } from '#src/flows/tenants/manage_tenants.ts';
import { callServer, type Installation, startInstallation } from '#test/support/installation.ts';
import { ageUsedValues, queryAsSuperuser } from '#test/support/superuser.ts';
import {
  authorize,
  callEndpoint,
  createUserAgent,
  exchangeCode,
  refresh,
  type UserAgent,
} from '#test/support/user_agent.ts';
import { createTestTenant, postLogoutUri, type TestTenant } from '#test/support/world.ts';

interface Held {
  readonly accessToken: string;
  readonly refreshToken: string;
  readonly idToken: string;
  readonly agent: UserAgent;
}

describe('a JWT access token is dead within a second, at every process, after', () => {
  let installation: Installation;

  beforeAll(async () => {
    installation = await startInstallation();
  }, 60_000);

  afterAll(() => installation.close());

  const comeIn = async (tenant: TestTenant): Promise<Held> => {
    const agent = createUserAgent(installation.first.origin);
    const { web } = tenant.clients;
    const extra = { scope: 'openid readings:read', resource: tenant.jwtApi };
    const { json } = await exchangeCode(tenant, web, await authorize(agent, { tenant, client: web, extra }));
    return {
      accessToken: String(json['access_token']),
      refreshToken: String(json['refresh_token']),
      idToken: String(json['id_token']),
      agent,
    };
  };
  const isActive = async (port: number, tenant: TestTenant, token: string): Promise<boolean> => {
    const call = { client: tenant.clients.resource_server, form: { token } };
    const { status, json } = await callServer(port, `${tenant.issuer}/introspect`, call);
    // A tenant that is suspended says nothing at all about a token.
    return status === 200 && json['active'] === true;
  };
  const expectEnded = async (tenant: TestTenant, token: string): Promise<void> => {
    const endedAt = performance.now();
    for (const port of installation.ports.toReversed()) {
      let active = await isActive(port, tenant, token);
      while (active && performance.now() - endedAt < 1_000) active = await isActive(port, tenant, token);
      expect(active).toBe(false);
    }
  };
  const expectAlive = async (tenant: TestTenant, token: string): Promise<void> => {
    // Twice: the second time every process remembers that it has seen the signature.
    for (const port of [...installation.ports, ...installation.ports])
      expect(await isActive(port, tenant, token)).toBe(true);
  };
  const sql = (text: string, values: readonly unknown[]) => queryAsSuperuser(installation.first.database, text, values);
  const revoke = (tenant: TestTenant, token: string) =>
    callEndpoint(tenant.issuer, '/revoke', { client: tenant.clients.web, form: { token } });

  const endings: Readonly<Record<string, (tenant: TestTenant, held: Held) => Promise<unknown>>> = {
    'its revocation': (tenant, { accessToken }) => revoke(tenant, accessToken),
    'the revocation of its refresh token': (tenant, { refreshToken }) => revoke(tenant, refreshToken),
    'the reuse of its refresh token': async (tenant, { refreshToken }) => {
      const { web } = tenant.clients;
      const successor = String((await refresh(tenant, web, refreshToken)).json['refresh_token']);
      await refresh(tenant, web, successor);
      await ageUsedValues(installation.first.database, 120);
      await refresh(tenant, web, refreshToken);
    },
    'the person’s sign-out': async (tenant, { agent, idToken }) => {
      const query = new URLSearchParams({ id_token_hint: idToken, post_logout_redirect_uri: postLogoutUri });
      await agent.submit(await agent.follow(`${tenant.issuer}/logout?${query}`), { logout: 'yes' });
    },
    'the person was disabled': ({ person }) => sql("update users set status = 'disabled' where id = $1", [person.id]),
    'the membership was disabled': ({ id, person }) =>
      changeMembershipStatus(installation.first.context, { tenantId: id, email: person.email, status: 'disabled' }),
    'the client was disabled': ({ id, clients }) =>
      disableClient(installation.first.context, { tenantId: id, clientId: clients.web.clientId }),
    'the API was disabled': ({ id, jwtApi }) =>
      sql("update apis set status = 'disabled' where tenant_id = $1 and audience = $2", [id, jwtApi]),
    'the tenant was suspended': ({ id }) => changeTenantStatus(installation.first.context, { id, status: 'suspended' }),
    'its signing key was removed': ({ id }) =>
      sql("delete from signing_keys where tenant_id = $1 and alg = 'ES256'", [id]),
  };

  it.each(Object.entries(endings))('%s', async (name, end) => {
    const tenant = await createTestTenant(installation.first, name.replaceAll(/[^a-z]+/g, '-').slice(0, 40));
    const held = await comeIn(tenant);
    await expectAlive(tenant, held.accessToken);
    await end(tenant, held);
    await expectEnded(tenant, held.accessToken);
  });

  it.each(['its revocation', 'its client was disabled'])('%s, when a client asked in its own name', async (name) => {
    const tenant = await createTestTenant(installation.first, `machine-${name.length}`);
    const { machine } = tenant.clients;
    const form = { grant_type: 'client_credentials', resource: tenant.jwtApi, scope: 'readings:read' };
    const { json } = await callEndpoint(tenant.issuer, '/token', { client: machine, form });
    const token = String(json['access_token']);
    await expectAlive(tenant, token);
    if (name === 'its revocation') await callEndpoint(tenant.issuer, '/revoke', { client: machine, form: { token } });
    else await disableClient(installation.first.context, { tenantId: tenant.id, clientId: machine.clientId });
    await expectEnded(tenant, token);
  });
});
