/** The questions of OpenID AuthZEN (Authorization API 1.0), as a policy enforcement point puts them. */
import { createApiKey } from '#src/flows/access/manage_api_keys.ts';
import { createRole } from '#src/flows/access/manage_roles.ts';
import { addMember } from '#src/flows/people/manage_people.ts';
import { type ApiCallAnswer, callApi, personToken } from '#test/support/api_calls.ts';
import { defaultPeopleSettings } from '#test/support/people_settings.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, type NewPerson, newPerson, type TestTenant } from '#test/support/world.ts';

let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;
let clerk: NewPerson;
let key: string;

beforeAll(async () => {
  server = await startTestServer();
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
  const role = { name: 'clerk', permissions: ['invoices:pay', 'invoices:read'] };
  expect(await createRole(server.context, { tenantId: acme.id, role })).toMatchObject({ outcome: 'created' });
  const email = 'clerk@people.test';
  const password = `correct horse ${email}`;
  const added = await addMember(server.context, {
    tenantId: acme.id,
    email,
    password,
    roles: ['clerk'],
    verified: true,
  });
  if (added.outcome === 'refused') throw new Error(added.reason);
  clerk = { id: added.userId, email, password };
  key = await makeKey(acme, ['permissions:check']);
});

afterAll(() => server.close());

async function makeKey(tenant: TestTenant, scopes: readonly string[]): Promise<string> {
  const wanted = { tenantId: tenant.id, userId: undefined, name: 'point', scopes, expiresAt: undefined };
  const made = await createApiKey(server.context, { ...wanted, settings: defaultPeopleSettings });
  if (made.outcome !== 'created') throw new Error(made.outcome);
  return made.key;
}

const about = (id: string, name = 'pay', type = 'user') => ({
  subject: { type, id },
  action: { name },
  resource: { type: 'invoices', id: '42' },
});
const ask = (body: unknown, options: Parameters<typeof callApi>[2] = { key }): Promise<ApiCallAnswer> =>
  callApi(acme.issuer, '/access/v1/evaluation', { method: 'POST', body, ...options });
const askAll = (body: unknown, options: Parameters<typeof callApi>[2] = { key }): Promise<ApiCallAnswer> =>
  callApi(acme.issuer, '/access/v1/evaluations', { method: 'POST', body, ...options });

describe('an evaluation', () => {
  it('is yes for whoever has the permission, and no for everybody else', async () => {
    expect(await ask(about(clerk.id))).toMatchObject({ status: 200, json: { decision: true } });
    for (const question of [
      about(clerk.id, 'delete'),
      about(acme.person.id),
      about(globex.person.id),
      about('0197d5c8-7a54-7c1e-b2d7-3f5a0c9e1b42'),
      about('nobody'),
      about(clerk.id, '*'),
      about(clerk.id, 'pay', 'service'),
      { ...about(clerk.id), resource: { type: 'invoices:pay', id: '1' } },
    ])
      expect((await ask(question)).json).toEqual({ decision: false });
  });

  it('takes what else is said of each part, which decides nothing', async () => {
    const context = { time: '2030-01-01T00:00:00Z' };
    const properties = { permissions: ['invoices:delete'], roles: ['admin'], nested: { deep: [1] } };
    const { subject, action, resource } = about(clerk.id, 'delete');
    const question = {
      subject: { ...subject, properties, extra: 1 },
      action: { ...action, properties },
      resource,
      context,
    };
    expect((await ask(question)).json).toEqual({ decision: false });
    expect((await ask({ ...question, action: { name: 'pay' }, extra: true })).json).toEqual({ decision: true });
  });

  it.each([
    ['no subject', { ...about('x'), subject: undefined }, '#/subject'],
    ['a subject without an identifier', { ...about('x'), subject: { type: 'user' } }, '#/subject/id'],
    ['no action', { ...about('x'), action: undefined }, '#/action'],
    ['a resource that is a text', { ...about('x'), resource: 'invoices' }, '#/resource'],
  ])('is refused with %s', async (_what, question, pointer) => {
    expect((await ask(question)).json).toMatchObject({ status: 400, code: 'invalid_request', errors: [{ pointer }] });
  });

  it('is for who may ask: about others as permissions/check has it, about oneself for everybody', async () => {
    const bob = await newPerson(server, acme);
    const token = await personToken(server, acme, { person: clerk });
    expect((await ask(about(clerk.id), { token })).json).toEqual({ decision: true });
    expect((await ask(about(bob.id), { token })).json).toMatchObject({ status: 403, code: 'insufficient_permission' });
    const mixed = { evaluations: [about(clerk.id), about(bob.id)] };
    expect((await askAll(mixed, { token })).json).toMatchObject({ status: 403, code: 'insufficient_permission' });
    const admin = await personToken(server, acme);
    expect((await ask(about(clerk.id), { token: admin })).json).toEqual({ decision: true });
    const other = await makeKey(acme, ['introspect']);
    expect((await ask(about(clerk.id), { key: other })).json['code']).toBe('insufficient_scope');
    const foreign = await makeKey(globex, ['permissions:check']);
    expect((await ask(about(clerk.id), { key: foreign })).status).toBe(401);
    expect((await ask(about(clerk.id), {})).status).toBe(401);
  });

  it('comes back with the identifier of its request', async () => {
    const id = 'b0a3c7f2-6a1d-4f0e-9c36-6f3f2a0d9a11';
    expect((await ask(about(clerk.id), { key, headers: { 'x-request-id': id } })).headers.get('x-request-id')).toBe(id);
  });
});

describe('several evaluations', () => {
  const { subject, resource } = about('x');
  const asked = ['read', 'delete', 'pay'].map((name) => ({ action: { name } }));
  const all = () => ({ subject: { ...subject, id: clerk.id }, resource, evaluations: asked });
  const decisions = ({ json }: ApiCallAnswer) =>
    (json['evaluations'] as { decision: boolean }[]).map(({ decision }) => decision);

  it('take what they do not say themselves from what is said for all', async () => {
    expect(decisions(await askAll(all()))).toEqual([true, false, true]);
    const own = { ...all(), evaluations: [{ ...about(acme.person.id) }, ...asked] };
    expect(decisions(await askAll(own))).toEqual([false, true, false, true]);
  });

  it('end where whoever asks has heard enough', async () => {
    const with_ = (evaluations_semantic: string) => ({ ...all(), options: { evaluations_semantic } });
    expect(decisions(await askAll(with_('execute_all')))).toEqual([true, false, true]);
    expect(decisions(await askAll(with_('deny_on_first_deny')))).toEqual([true, false]);
    expect(decisions(await askAll(with_('permit_on_first_permit')))).toEqual([true]);
    expect((await askAll(with_('guess'))).status).toBe(400);
  });

  it('are a single one when there is none of them', async () => {
    expect((await askAll(about(clerk.id))).json).toEqual({ decision: true });
    expect((await askAll({ ...about(clerk.id), evaluations: [] })).json).toEqual({ decision: true });
    expect((await askAll({ subject })).json).toMatchObject({ errors: [{ pointer: '#/action', code: 'missing' }] });
  });

  it('are refused as a whole when one lacks a part, or there are too many', async () => {
    const lacking = { subject, evaluations: [about(clerk.id), { action: { name: 'pay' } }] };
    const pointer = '#/evaluations/1/resource';
    expect((await askAll(lacking)).json).toMatchObject({ status: 400, errors: [{ pointer }] });
    const many = { evaluations: Array.from({ length: 101 }, () => about(clerk.id)) };
    expect((await askAll(many)).json).toMatchObject({ status: 400, errors: [{ pointer: '#/evaluations' }] });
  });
});

describe('where to ask', () => {
  it('is told by the metadata of each tenant, at both addresses', async () => {
    const metadata = {
      policy_decision_point: acme.issuer,
      access_evaluation_endpoint: `${acme.issuer}/api/v1/access/v1/evaluation`,
      access_evaluations_endpoint: `${acme.issuer}/api/v1/access/v1/evaluations`,
    };
    for (const address of [
      `${acme.issuer}/.well-known/authzen-configuration`,
      `${server.origin}/.well-known/authzen-configuration/t/acme`,
    ]) {
      const answer = await fetch(address);
      expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
      expect(await answer.json()).toEqual(metadata);
      expect((await fetch(address, { method: 'POST' })).status).toBe(405);
    }
    expect((await fetch(`${server.origin}/.well-known/authzen-configuration/t/nobody`)).status).toBe(404);
  });
});
