import { migrate } from '#src/storage/migrate.ts';
import { findIsolationFaults } from '#test/support/catalogue.ts';
import { createTestDatabase, createTestSealer, type TestDatabase } from '#test/support/cluster.ts';
import { connect, type SqlConnection } from '#test/support/sql.ts';

const tenantColumn = 'tenant_id uuid not null references tenants (id)';
const tenantIsSet = `tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid`;

/** What somebody might add by mistake, and what is said about it. */
const mistakes: readonly (readonly [name: string, statements: string, fault: string | RegExp])[] = [
  [
    'a table without row level security',
    `create table notes (${tenantColumn}, id uuid, primary key (tenant_id, id))`,
    'notes: row level security is not enabled',
  ],
  [
    'a table whose row level security is not forced',
    `create table notes (${tenantColumn}, id uuid, primary key (tenant_id, id));
     select isolate_by_tenant('notes');
     alter table notes no force row level security`,
    'notes: row level security is not forced',
  ],
  ['a table that says nothing about tenants', 'create table notes (id uuid primary key)', 'notes has no tenant_id'],
  [
    'a table without a policy',
    `create table notes (${tenantColumn}, id uuid, primary key (tenant_id, id));
     alter table notes enable row level security;
     alter table notes force row level security`,
    'notes has no policy with USING and WITH CHECK',
  ],
  [
    'a policy without WITH CHECK',
    `create table notes (${tenantColumn}, id uuid, primary key (tenant_id, id));
     alter table notes enable row level security;
     alter table notes force row level security;
     create policy tenant_isolation on notes using (${tenantIsSet})`,
    'notes has no policy with USING and WITH CHECK',
  ],
  [
    'a policy that reads a setting that may be empty',
    `create table notes (${tenantColumn}, id uuid, primary key (tenant_id, id));
     alter table notes enable row level security;
     alter table notes force row level security;
     create policy tenant_isolation on notes using (tenant_id = current_setting('app.tenant_id')::uuid)
       with check (tenant_id = current_setting('app.tenant_id')::uuid)`,
    'notes: the policy tenant_isolation does not say exactly "of the tenant that is set"',
  ],
  [
    'a second policy that lets everyone read',
    'create policy convenience on roles using (true) with check (true)',
    'roles: the policy convenience does not say exactly "of the tenant that is set"',
  ],
  [
    'a policy that lets the platform read what is a tenant’s',
    'create policy convenience on roles for select to poort_platform using (true)',
    'roles: the policy convenience opens more than it may',
  ],
  [
    'a sweeper that could delete what is alive',
    'alter policy definer_sweeps_expired on artifacts using (true)',
    'artifacts: the policy definer_sweeps_expired opens more than it may',
  ],
  [
    'a sweeper that could delete history',
    `create policy definer_sweeps on events for delete to poort_definer using (occurred_at < now() - interval '1 day');
     grant delete on events to poort_definer`,
    'poort_definer may DELETE events',
  ],
  [
    'an eraser that could delete who still belongs somewhere',
    'alter policy definer_erases on users using (true)',
    'users: the policy definer_erases opens more than it may',
  ],
  [
    'an eraser that is not kept to who belongs nowhere',
    'drop policy definer_spares_members on users',
    'users: poort_definer could erase who still belongs to a tenant',
  ],
  [
    'a primary key without the tenant',
    `create table notes (${tenantColumn}, id uuid primary key);
     select isolate_by_tenant('notes')`,
    'notes: the key notes_pkey does not have tenant_id in it',
  ],
  [
    'no primary key',
    `create table notes (${tenantColumn}, id uuid);
     select isolate_by_tenant('notes')`,
    'notes has no primary key',
  ],
  [
    'a unique key that tells one tenant what another has',
    'create unique index one_name on roles (name)',
    'roles: the key one_name does not have tenant_id in it',
  ],
  [
    'a unique key that only carries the tenant along',
    'create unique index one_name on roles (name) include (tenant_id)',
    'roles: the key one_name does not have tenant_id in it',
  ],
  [
    'a foreign key into another tenant',
    `alter table roles add unique (id, tenant_id);
     create table notes (${tenantColumn}, id uuid, other_tenant uuid, role uuid, primary key (tenant_id, id),
                         constraint of_role foreign key (other_tenant, role) references roles (tenant_id, id));
     select isolate_by_tenant('notes')`,
    'notes: the foreign key of_role does not have tenant_id in it',
  ],
  ['a view', 'create view everyone as select id, email from users', 'everyone is a view that reads as its owner'],
  [
    'a function that anyone may run',
    `create function note() returns integer language sql as 'select 1';
     grant execute on function note() to public`,
    'note() may be run by PUBLIC',
  ],
  [
    'a SECURITY DEFINER function of the owner',
    `create function note() returns integer language sql security definer as 'select 1'`,
    'note() is SECURITY DEFINER and does not belong to poort_definer',
  ],
  [
    'a SECURITY DEFINER function whose search_path can be chosen',
    'alter function person_by_email(text) reset all',
    'person_by_email(text) is SECURITY DEFINER without a pinned search_path',
  ],
  [
    'a SECURITY DEFINER function for the role that serves',
    'grant execute on function person_by_email(text) to poort_app',
    'person_by_email(text) may be run by poort_app',
  ],
  ['a way to change history', 'grant update on events to poort_app', 'poort_app may UPDATE events'],
  ['a way to empty a table', 'grant truncate on artifacts to poort_app', 'poort_app may TRUNCATE artifacts'],
  [
    'a partition that can be read past its parent',
    'grant select on device_telemetry_20400101 to poort_app',
    'device_telemetry_20400101 is a partition that poort_app may SELECT',
  ],
  ['a table that anyone may read', 'grant select on roles to public', 'PUBLIC may SELECT roles'],
  [
    'a column that the platform may read',
    'grant select (email) on users to poort_platform',
    'poort_platform may SELECT users',
  ],
  ['a serving role that bypasses', 'alter role poort_app bypassrls', /^poort_app is a superuser, bypasses/],
  ['a serving role that owns', 'alter table roles owner to poort_app', 'poort_app owns table roles'],
  [
    'a serving role that inherits',
    'grant pg_read_all_data to poort_platform',
    'poort_platform is a member of pg_read_all_data',
  ],
  ['a definer that can sign in', 'alter role poort_definer login', 'poort_definer can sign in'],
  [
    'a serving role that may create',
    'grant create on schema public to poort_app',
    'poort_app may create in schema public',
  ],
];

describe('the catalogue of a migrated database', () => {
  let database: TestDatabase;
  let superuser: SqlConnection;

  beforeAll(async () => {
    database = await createTestDatabase();
    // What belongs to the database itself is not copied with a template: a start of the server does the rest.
    await migrate({ ownerUrl: database.ownerUrl, sealer: createTestSealer() });
    superuser = await connect(database.superuserUrl);
  });

  afterAll(async () => {
    await superuser.end();
    await database.drop();
  });

  it('isolates every tenant', async () => {
    expect(await findIsolationFaults(superuser)).toEqual([]);
  });

  it.each(mistakes)('is no longer accepted with %s', async (_name, statements, fault) => {
    await superuser.query('begin');
    try {
      await superuser.query("select device_telemetry_day('2040-01-01')");
      await superuser.query(statements);
      const expected = typeof fault === 'string' ? fault : expect.stringMatching(fault);
      expect(await findIsolationFaults(superuser)).toContainEqual(expected);
    } finally {
      await superuser.query('rollback');
    }
  });

  it('knows the documented exceptions, and no other', async () => {
    const { rows } = await superuser.query<{ name: string }>(
      `select distinct p.polname || ' on ' || c.relname as name from pg_policy p join pg_class c on c.oid = p.polrelid
        where p.polname <> 'tenant_isolation' order by 1`,
    );
    expect(rows.map((row) => row.name)).toEqual([
      'definer_counts on apis',
      'definer_counts on devices',
      'definer_counts on mails',
      'definer_counts on signing_keys',
      'definer_counts on tenants',
      'definer_erases on users',
      'definer_finds_codes on artifacts',
      'definer_looks_up on api_keys',
      'definer_looks_up on memberships',
      'definer_looks_up on operators',
      'definer_looks_up on totp_factors',
      'definer_looks_up on users',
      'definer_sees on passkey_challenges',
      'definer_sees on pending_sign_ins',
      'definer_sees on remembered_devices',
      'definer_sees_expired on artifacts',
      'definer_sees_past on backchannel_logouts',
      'definer_sees_past on idempotency_keys',
      'definer_sees_past on proofs',
      'definer_sees_past on sign_in_attempts',
      'definer_sees_undelivered on backchannel_logouts',
      'definer_spares_members on users',
      'definer_sweeps on passkey_challenges',
      'definer_sweeps on pending_sign_ins',
      'definer_sweeps on remembered_devices',
      'definer_sweeps_expired on artifacts',
      'definer_sweeps_past on backchannel_logouts',
      'definer_sweeps_past on idempotency_keys',
      'definer_sweeps_past on mails',
      'definer_sweeps_past on proofs',
      'definer_sweeps_past on sign_in_attempts',
      'members_only on backup_codes',
      'members_only on passkeys',
      'members_only on password_history',
      'members_only on totp_factors',
      'members_only on users',
      'platform_looks_up on tenants',
    ]);
  });
});
