import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DemoFile, seedDemo } from '#src/flows/tenants/seed_demo.ts';
import { readSignInCandidate } from '#src/storage/tables/people.ts';
import { findTenantBySlug } from '#src/storage/tables/tenants.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';

describe('the demo', () => {
  let server: TestServer;
  let dataDirectory: string;

  beforeAll(async () => {
    server = await startTestServer();
  });

  afterAll(async () => {
    await server.close();
  });

  beforeEach(async () => {
    dataDirectory = await mkdtemp(join(tmpdir(), 'poort-demo-'));
  });

  afterEach(async () => {
    await rm(dataDirectory, { recursive: true, force: true });
  });

  const seed = (demoOrigin = 'http://localhost:4000'): Promise<DemoFile> =>
    seedDemo(server.context, { publicUrl: server.origin, demoOrigin, dataDirectory });
  const file = (): string => join(dataDirectory, 'demo.json');

  /** Every secret and every password of the file is tried; resolves to what does not work. */
  async function findWhatIsWrong(demo: DemoFile): Promise<readonly string[]> {
    const wrong: string[] = [];
    for (const { slug, issuer, clients, users } of demo.tenants) {
      const machine = clients.find(({ type }) => type === 'machine');
      const answer = await fetch(`${issuer}/token`, {
        method: 'POST',
        headers: { authorization: `Basic ${btoa(`${machine?.client_id}:${machine?.client_secret}`)}` },
        body: new URLSearchParams({ grant_type: 'client_credentials' }),
      });
      if (answer.status !== 200) wrong.push(`${slug}: the secret of machine`);
      const tenant = await findTenantBySlug(server.context.database, slug);
      if (tenant === undefined) throw new Error(`there is no tenant ${slug}`);
      for (const { email, password } of users) {
        const candidate = await readSignInCandidate(server.context.database.tenant(tenant.id), email);
        const { matches } = await server.context.passwords.verify(candidate?.password_hash ?? undefined, password);
        if (!matches) wrong.push(`${slug}: the password of ${email}`);
      }
    }
    return wrong;
  }

  it('is true on the first run, and the same on the second', async () => {
    const first = await seed();
    expect(await findWhatIsWrong(first)).toEqual([]);
    expect(await seed()).toEqual(first);
    expect(JSON.parse(await readFile(file(), 'utf8'))).toEqual(first);
  });

  it('is true again after its file was lost', async () => {
    const first = await seed();
    await rm(file());
    const second = await seed();
    expect(await findWhatIsWrong(second)).toEqual([]);
    expect(second.operator.password).not.toBe(first.operator.password);
    const ids = (demo: DemoFile): string[] =>
      demo.tenants.flatMap(({ clients }) => clients.map((one) => one.client_id));
    expect(ids(second)).toEqual(ids(first));
  });

  it('is true again after its file was damaged', async () => {
    await seed();
    await writeFile(file(), '{"public_url": "htt');
    expect(await findWhatIsWrong(await seed())).toEqual([]);
  });

  it('is true again when the file tells of another database', async () => {
    const known = await seed();
    const text = JSON.stringify(known)
      .replaceAll(/"client_id":"./g, '"client_id":"another-')
      .replaceAll(/"password":"./g, '"password":"another-');
    await writeFile(file(), text);
    const second = await seed();
    expect(second.operator.password).toMatch(/^another-/);
    expect(await findWhatIsWrong(second)).toEqual([]);
  });

  it('makes what a killed run did not come to', async () => {
    const { tenants, ...others } = await seed();
    const [demo] = tenants;
    const half = { ...others, tenants: [{ ...demo, clients: demo?.clients.slice(0, 2) }] };
    await writeFile(file(), JSON.stringify(half));
    const second = await seed();
    expect(second.tenants).toHaveLength(2);
    expect(await findWhatIsWrong(second)).toEqual([]);
  });

  it('follows the demo application to another port and changes nothing else', async () => {
    const first = await seed();
    const moved = await seed('http://localhost:4001');
    expect(moved.tenants[0]?.clients[0]?.redirect_uris).toEqual(['http://localhost:4001/callback/demo']);
    const { tenants } = JSON.parse(JSON.stringify(moved).replaceAll('localhost:4001', 'localhost:4000')) as DemoFile;
    expect(tenants).toEqual(first.tenants);
  });
});
