/** Every route of the REST API with who may call it. A route more is a line more here, for somebody to agree with. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describeChain } from '#src/http/api/chains.ts';
import { apiRoutesOf } from '#test/support/api_routes.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;

let server: TestServer;
let acme: TestTenant;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
});

afterAll(() => server.close());

const routes = () => apiRoutesOf(server);

describe('the REST API', () => {
  it('serves these routes to these callers, and no others', () => {
    expect(routes().map(({ method, path, chain }) => `${method} ${path}: ${describeChain(chain)}`)).toEqual([
      'POST /api/v1/auth/register: firstParty',
      'POST /api/v1/auth/login: firstParty',
      'POST /api/v1/auth/mfa/verify: firstParty',
      'POST /api/v1/auth/refresh: firstParty',
      'POST /api/v1/auth/refresh-token: firstParty',
      'POST /api/v1/auth/logout: firstParty token=welcome',
      'GET /api/v1/auth/me: bearer kinds=user firstParty=true',
      'POST /api/v1/auth/mfa/setup: firstParty token=welcome',
      'POST /api/v1/auth/mfa/confirm: firstParty token=welcome',
      'POST /api/v1/auth/mfa/backup-codes: bearer kinds=user firstParty=true',
      'DELETE /api/v1/auth/mfa: bearer kinds=user firstParty=true',
      'POST /api/v1/auth/password/forgot: firstParty',
      'POST /api/v1/auth/password/reset: firstParty',
      'POST /api/v1/auth/email/verify: firstParty',
      'GET /api/v1/user/profile: bearer kinds=user firstParty=true',
      'PUT /api/v1/user/profile: bearer kinds=user firstParty=true',
      'POST /api/v1/user/change-password: bearer kinds=user firstParty=true',
      'GET /api/v1/user/export: bearer kinds=user firstParty=true',
      'DELETE /api/v1/user: bearer kinds=user firstParty=true',
      'GET /api/v1/user/sessions: bearer kinds=user firstParty=true',
      'GET /api/v1/user/sessions/{id}: bearer kinds=user firstParty=true',
      'DELETE /api/v1/user/sessions: bearer kinds=user firstParty=true',
      'DELETE /api/v1/user/sessions/{id}: bearer kinds=user firstParty=true',
      'GET /api/v1/user/consents: bearer kinds=user firstParty=true',
      'GET /api/v1/user/consents/{id}: bearer kinds=user firstParty=true',
      'DELETE /api/v1/user/consents: bearer kinds=user firstParty=true',
      'DELETE /api/v1/user/consents/{id}: bearer kinds=user firstParty=true',
      'POST /api/v1/api-keys: bearer scope=api_keys:manage kinds=user',
      'GET /api/v1/api-keys: bearer scope=api_keys:manage kinds=user',
      'DELETE /api/v1/api-keys/{id}: bearer scope=api_keys:manage kinds=user',
      'GET /api/v1/service/status: serviceKey',
      'POST /api/v1/permissions/check: bearer or serviceKey scope=permissions:check',
      'GET /api/v1/user/devices: bearer scope=devices:manage kinds=user',
      'GET /api/v1/user/devices/{id}: bearer scope=devices:manage kinds=user',
      'PATCH /api/v1/user/devices/{id}: bearer scope=devices:manage kinds=user',
      'DELETE /api/v1/user/devices/{id}: bearer scope=devices:manage kinds=user',
      'DELETE /api/v1/user/devices: bearer scope=devices:manage kinds=user',
      'GET /api/v1/user/devices/{id}/telemetry: bearer scope=devices:manage kinds=user',
      'GET /api/v1/admin/devices: permitted permission=devices:read',
      'GET /api/v1/admin/devices/{id}: permitted permission=devices:read',
      'GET /api/v1/admin/devices/{id}/events: permitted permission=devices:read',
      'GET /api/v1/admin/devices/{id}/telemetry: permitted permission=devices:read',
      'PATCH /api/v1/admin/devices/{id}: permitted permission=devices:write',
      'DELETE /api/v1/admin/devices/{id}: permitted permission=devices:write',
      'POST /api/v1/admin/devices: permitted permission=devices:write',
      'POST /api/v1/devices/self/telemetry: bearer scope=telemetry:write kinds=device',
      'POST /api/v1/access/v1/evaluation: bearer or serviceKey scope=permissions:check',
      'POST /api/v1/access/v1/evaluations: bearer or serviceKey scope=permissions:check',
      'GET /api/v1/admin/roles: permitted permission=roles:read',
      'POST /api/v1/admin/roles: permitted permission=roles:write',
      'GET /api/v1/admin/roles/{id}: permitted permission=roles:read',
      'PATCH /api/v1/admin/roles/{id}: permitted permission=roles:write',
      'DELETE /api/v1/admin/roles/{id}: permitted permission=roles:write',
      'GET /api/v1/admin/users/{id}/roles: permitted permission=roles:read',
      'POST /api/v1/admin/users/{id}/roles: permitted permission=roles:write',
      'DELETE /api/v1/admin/users/{id}/roles/{role_id}: permitted permission=roles:write',
      'GET /api/v1/admin/users/{id}/permissions: permitted permission=roles:read',
      'GET /api/v1/admin/permissions: permitted permission=roles:read',
      'POST /api/v1/admin/permissions: permitted permission=roles:write',
      'GET /api/v1/admin/permissions/{name}: permitted permission=roles:read',
      'PATCH /api/v1/admin/permissions/{name}: permitted permission=roles:write',
      'DELETE /api/v1/admin/permissions/{name}: permitted permission=roles:write',
      'GET /api/v1/admin/users: permitted permission=users:read',
      'POST /api/v1/admin/users: permitted permission=users:write',
      'GET /api/v1/admin/users/{id}: permitted permission=users:read',
      'PATCH /api/v1/admin/users/{id}: permitted permission=users:write',
      'DELETE /api/v1/admin/users/{id}: permitted permission=users:write',
      'POST /api/v1/admin/users/{id}/unlock: permitted permission=users:write',
      'POST /api/v1/admin/users/{id}/password-reset: permitted permission=users:write',
      'POST /api/v1/admin/users/{id}/second-factor-reset: permitted permission=users:write',
      'GET /api/v1/admin/users/{id}/sessions: permitted permission=sessions:read',
      'DELETE /api/v1/admin/users/{id}/sessions: permitted permission=sessions:write',
      'GET /api/v1/admin/users/{id}/consents: permitted permission=users:read',
      'DELETE /api/v1/admin/users/{id}/consents/{client_id}: permitted permission=users:write',
      'GET /api/v1/admin/users/{id}/api-keys: permitted permission=api-keys:read',
      'GET /api/v1/admin/invitations: permitted permission=invitations:read',
      'POST /api/v1/admin/invitations: permitted permission=invitations:write',
      'GET /api/v1/admin/invitations/{id}: permitted permission=invitations:read',
      'DELETE /api/v1/admin/invitations/{id}: permitted permission=invitations:write',
      'GET /api/v1/admin/sessions: permitted permission=sessions:read',
      'GET /api/v1/admin/sessions/{id}: permitted permission=sessions:read',
      'DELETE /api/v1/admin/sessions/{id}: permitted permission=sessions:write',
      'GET /api/v1/admin/clients: permitted permission=clients:read',
      'POST /api/v1/admin/clients: permitted permission=clients:write',
      'GET /api/v1/admin/clients/{id}: permitted permission=clients:read',
      'PATCH /api/v1/admin/clients/{id}: permitted permission=clients:write',
      'DELETE /api/v1/admin/clients/{id}: permitted permission=clients:write',
      'POST /api/v1/admin/clients/{id}/secrets: permitted permission=clients:write',
      'GET /api/v1/admin/apis: permitted permission=apis:read',
      'POST /api/v1/admin/apis: permitted permission=apis:write',
      'GET /api/v1/admin/apis/{id}: permitted permission=apis:read',
      'PATCH /api/v1/admin/apis/{id}: permitted permission=apis:write',
      'DELETE /api/v1/admin/apis/{id}: permitted permission=apis:write',
      'GET /api/v1/admin/api-keys: permitted permission=api-keys:read',
      'POST /api/v1/admin/api-keys: permitted permission=api-keys:write',
      'GET /api/v1/admin/api-keys/{id}: permitted permission=api-keys:read',
      'DELETE /api/v1/admin/api-keys/{id}: permitted permission=api-keys:write',
      'GET /api/v1/admin/keys: permitted permission=keys:read',
      'GET /api/v1/admin/keys/{id}: permitted permission=keys:read',
      'POST /api/v1/admin/keys: permitted permission=keys:write',
      'DELETE /api/v1/admin/keys/{id}: permitted permission=keys:write',
      'GET /api/v1/admin/settings: permitted permission=settings:read',
      'PATCH /api/v1/admin/settings: permitted permission=settings:write',
      'GET /api/v1/admin/branding: permitted permission=settings:read',
      'PATCH /api/v1/admin/branding: permitted permission=settings:write',
      'GET /api/v1/admin/audit: permitted permission=audit:read',
      'GET /api/v1/admin/audit/export: permitted permission=audit:read',
      'GET /api/v1/admin/webhooks: permitted permission=webhooks:read',
      'GET /api/v1/openapi.json: public',
    ]);
  });

  it('refuses who shows nothing at every route that is not public, before anything else', async () => {
    for (const { method, path, chain } of routes()) {
      if (chain.chain === 'public' || chain.chain === 'firstParty') continue;
      const answer = await fetch(`${acme.issuer}${path.replace('{id}', 'x')}`, { method });
      expect({ method, path, status: answer.status }).toEqual({ method, path, status: 401 });
      expect(answer.headers.get('www-authenticate')).toContain('realm=');
    }
  });

  it('takes no other method, and says which it takes', async () => {
    for (const path of new Set(routes().map((route) => route.path))) {
      const taken = routes().flatMap((route) => (route.path === path ? [route.method] : []));
      for (const method of methods.filter((candidate) => !taken.includes(candidate))) {
        const answer = await fetch(`${acme.issuer}${path.replace('{id}', 'x')}`, { method });
        expect({ method, path, status: answer.status }).toEqual({ method, path, status: 405 });
        for (const allowed of taken) expect(answer.headers.get('allow')).toContain(allowed);
      }
    }
  });

  it('has no route that is mounted beside the list', () => {
    const folder = fileURLToPath(new URL('../../../src/http/', import.meta.url));
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
    const mounting = files.filter((file) => /router\.\w+\([^)]*\/api\//s.test(readFileSync(folder + file, 'utf8')));
    expect(files.length).toBeGreaterThan(50);
    // The description of all tenants' API: of the installation, and for anybody.
    expect(mounting).toEqual(['reference.ts']);
  });
});
