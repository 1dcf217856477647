import { sweep } from '#src/flows/sweep.ts';
import { startJobs } from '#src/server.ts';
import { connect, type SqlConnection } from '#test/support/sql.ts';
import { startTestServer, type TestServer } from '#test/support/test_server.ts';
import { authorize, createUserAgent, exchangeCode, introspect, refresh } from '#test/support/user_agent.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

describe('the sweeper', () => {
  let server: TestServer;
  let acme: TestTenant;
  let superuser: SqlConnection;

  beforeAll(async () => {
    server = await startTestServer();
    acme = await createTestTenant(server, 'acme');
    superuser = await connect(server.database.superuserUrl);
  });

  afterAll(async () => {
    await superuser.end();
    await server.close();
  });

  const countArtifacts = async (): Promise<number> =>
    (await superuser.query<{ n: number }>('select count(*)::int as n from artifacts')).rows[0]?.n ?? 0;

  it('takes what has been over for a day and leaves every living thing', async () => {
    const { web } = acme.clients;
    const tokens = await exchangeCode(
      acme,
      web,
      await authorize(createUserAgent(server.origin), { tenant: acme, client: web }),
    );
    const living = await countArtifacts();
    await superuser.query(
      `insert into artifacts (tenant_id, kind, id_hash, payload, created_at, expires_at)
       select $1, 'AccessToken', sha256(i::text::bytea), '{}', now() - interval '3 days', now() - interval '25 hours'
         from generate_series(1, 5000) i`,
      [acme.id],
    );
    await superuser.query(
      `insert into artifacts (tenant_id, kind, id_hash, payload, created_at, expires_at)
       values ($1, 'Interaction', sha256('young'), '{}', now(), now() - interval '23 hours'),
              ($1, 'PushedAuthorizationRequest', sha256('flood'), '{}', now(), now() - interval '6 minutes')`,
      [acme.id],
    );

    expect(await sweep(server.context.database)).toBe(5001);
    expect(await countArtifacts()).toBe(living + 1);
    expect((await introspect(acme, web, String(tokens.json['access_token']))).json['active']).toBe(true);
    expect((await refresh(acme, web, String(tokens.json['refresh_token']))).status).toBe(200);
  });

  it('runs as a job, and in one process at a time', async () => {
    await superuser.query(
      `insert into artifacts (tenant_id, kind, id_hash, payload, created_at, expires_at)
       values ($1, 'AccessToken', sha256('old'), '{}', now(), now() - interval '2 days')`,
      [acme.id],
    );
    const before = await countArtifacts();
    const jobs = startJobs(server.server.house);
    await superuser.query('begin');
    await superuser.query('select pg_advisory_xact_lock(7067679)');
    await jobs.runAll();
    expect(await countArtifacts()).toBe(before);
    await superuser.query('rollback');
    await jobs.runAll();
    expect(await countArtifacts()).toBe(before - 1);
    await jobs.stop();
  });

  it('cannot be made to touch living rows, not even by the role that owns it', async () => {
    await superuser.query('begin');
    await superuser.query('set local role poort_definer');
    const { rowCount } = await superuser.query('delete from artifacts where expires_at > now()');
    await superuser.query('rollback');
    expect(rowCount).toBe(0);
    expect(await countArtifacts()).toBeGreaterThan(0);
  });
});
