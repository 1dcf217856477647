/** How the third door stands open: to whom, by which certificates, and how it closes. */
import { Client, credentials, status } from '@grpc/grpc-js';
import { createApiKey } from '#src/flows/access/manage_api_keys.ts';
import { createCertificateAuthority } from '#test/support/certificates.ts';
import { connectGrpc, tlsCredentials } from '#test/support/grpc_client.ts';
import { defaultPeopleSettings } from '#test/support/people_settings.ts';
import { freePort, startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant } from '#test/support/world.ts';

type Environment = Readonly<Record<string, string>>;

async function start(environment: Environment = {}): Promise<TestServer> {
  return startTestServer({ environment: { POORT_GRPC_PORT: String(await freePort()), ...environment } });
}

async function keyFor(server: TestServer): Promise<string> {
  const { id: tenantId } = await createTestTenant(server, 'acme');
  const key = { userId: undefined, name: 'service', scopes: ['introspect'], expiresAt: undefined };
  const made = await createApiKey(server.context, { tenantId, settings: defaultPeopleSettings, ...key });
  if (made.outcome !== 'created') throw new Error(made.outcome);
  return made.key;
}

/** What asking for the description of a server ends with. */
function statusOf(address: string, version: string): Promise<status | undefined> {
  const client = new Client(address, credentials.createInsecure());
  const nothing = (): Buffer => Buffer.alloc(0);
  const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`;
  return new Promise((resolve) => {
    client.makeUnaryRequest(path, nothing, nothing, undefined, (fault) => {
      client.close();
      resolve(fault?.code);
    });
  });
}

describe('the gRPC door', () => {
  it('says that it serves to whoever asks, and describes itself to nobody outside development', async () => {
    const server = await start();
    const address = server.server.grpcAddress ?? '';
    const health = connectGrpc(address, { service: 'health' });
    for (const service of ['', 'identity.v1.IdentityService'])
      expect((await health.call('Check', { service })).response).toMatchObject({ status: 'SERVING' });
    expect((await health.call('Check', { service: 'other' })).status).toBe('NOT_FOUND');
    for (const version of ['v1', 'v1alpha']) expect(await statusOf(address, version)).toBe(status.UNIMPLEMENTED);
    health.close();
    await server.close();
  });

  it('is closed when the server has stopped, and is not there when it is off', async () => {
    const server = await start();
    const address = server.server.grpcAddress ?? '';
    const health = connectGrpc(address, { service: 'health' });
    expect((await health.call('Check', { service: '' })).status).toBe('OK');
    await server.close();
    expect((await health.call('Check', { service: '' })).status).toBe('UNAVAILABLE');
    health.close();
    const off = await startTestServer();
    expect(off.server.grpcAddress).toBeUndefined();
    await off.close();
  });

  it('is a start-up problem with its fix when its port is taken', async () => {
    const server = await start();
    const port = server.server.grpcAddress?.split(':').at(-1) ?? '';
    await expect(startTestServer({ environment: { POORT_GRPC_PORT: port } })).rejects.toMatchObject({
      problems: [{ setting: 'POORT_GRPC_PORT', problem: `port ${port} is in use` }],
    });
    await server.close();
  });

  it('lets in with mutual TLS who has a certificate of the house, and nobody else, whatever their key', async () => {
    const authority = createCertificateAuthority();
    const [own, stranger] = [authority.issue('localhost'), createCertificateAuthority().issue('client')];
    const server = await start({
      POORT_GRPC_TLS_CERTIFICATE: own.certificate,
      POORT_GRPC_TLS_KEY: own.key,
      POORT_GRPC_TLS_CLIENT_AUTHORITY: authority.certificate,
    });
    const key = await keyFor(server);
    const address = server.server.grpcAddress ?? '';
    const callWith = async (credentials: ReturnType<typeof tlsCredentials> | undefined): Promise<string> => {
      const client = connectGrpc(address, { name: 'localhost', ...(credentials === undefined ? {} : { credentials }) });
      const answer = await client.call('VerifyToken', { token: 'x' }, { key });
      client.close();
      return answer.status;
    };
    expect(await callWith(tlsCredentials(authority.certificate, authority.issue('client')))).toBe('OK');
    expect(await callWith(tlsCredentials(authority.certificate))).toBe('UNAVAILABLE');
    expect(await callWith(tlsCredentials(authority.certificate, stranger))).toBe('UNAVAILABLE');
    expect(await callWith(undefined)).toBe('UNAVAILABLE');
    await server.close();
  });
});
