/**
 * Questions about the database itself, for `poort doctor` and readiness. Everything is read as `poort_platform`, which may see
 * the catalogue and no tenant's rows; each question answers with what is wrong, in words, or with nothing.
 */
import type { Database } from './database.ts';
import { listMigrations, oldestSupportedMajor } from './migrate.ts';

export async function readServerVersion(database: Database): Promise<{ name: string; supported: boolean }> {
  const rows = await database.platform.query<{ name: string; number: number }>(
    `select current_setting('server_version') as name, current_setting('server_version_num')::int as number`,
  );
  const { name = '?', number = 0 } = rows[0] ?? {};
  return { name, supported: Math.floor(number / 10_000) >= oldestSupportedMajor };
}

export async function findPendingMigrations(database: Database): Promise<readonly string[]> {
  const rows = await database.platform.query<{ name: string }>('select name from schema_migrations');
  const applied = new Set(rows.map((row) => row.name));
  return (await listMigrations()).filter((name) => !applied.has(name));
}

/** The roles that serve must not be able to reach around row level security, whatever the code does. */
export async function findRoleProblems(database: Database): Promise<readonly string[]> {
  const rows = await database.platform.query<{
    name: string;
    superuser: boolean;
    bypasses: boolean;
    creates_roles: boolean;
    inherits_from: readonly string[];
    owns: readonly string[];
  }>(
    `select r.rolname as name, r.rolsuper as superuser, r.rolbypassrls as bypasses, r.rolcreaterole as creates_roles,
            array(select g.rolname::text from pg_auth_members m join pg_roles g on g.oid = m.roleid where m.member = r.oid) as inherits_from,
            array(select c.oid::regclass::text from pg_class c where c.relowner = r.oid
                  union all select p.oid::regprocedure::text from pg_proc p where p.proowner = r.oid) as owns
       from pg_roles r where r.rolname in ('poort_app', 'poort_platform') order by r.rolname`,
  );
  const missing = ['poort_app', 'poort_platform'].filter((name) => !rows.some((row) => row.name === name));
  return [
    ...missing.map((name) => `${name} does not exist`),
    ...rows.flatMap((row) => [
      ...(row.superuser ? [`${row.name} is a superuser`] : []),
      ...(row.bypasses ? [`${row.name} bypasses row level security`] : []),
      ...(row.creates_roles ? [`${row.name} may create roles`] : []),
      ...row.inherits_from.map((group) => `${row.name} is a member of ${group}`),
      ...row.owns.map((owned) => `${row.name} owns ${owned}`),
    ]),
  ];
}

/** The owner of the database: undefined when it is an ordinary role. */
export async function findOwnerProblem(database: Database): Promise<string | undefined> {
  const rows = await database.platform.query<{ name: string; superuser: boolean; bypasses: boolean }>(
    `select r.rolname as name, r.rolsuper as superuser, r.rolbypassrls as bypasses
       from pg_database d join pg_roles r on r.oid = d.datdba where d.datname = current_database()`,
  );
  const [owner] = rows;
  if (owner === undefined || (!owner.superuser && !owner.bypasses)) return undefined;
  return `${owner.name} is ${owner.superuser ? 'a superuser' : 'a role that bypasses row level security'}`;
}

/** Tables that hold tenants' data, and what each lacks of its isolation. */
export async function findIsolationProblems(database: Database): Promise<{
  readonly tables: number;
  readonly problems: readonly string[];
}> {
  const rows = await database.platform.query<{ name: string; forced: boolean; policies: number; unchecked: number }>(
    `select c.oid::regclass::text as name, c.relrowsecurity and c.relforcerowsecurity as forced,
            (select count(*)::int from pg_policy p where p.polrelid = c.oid and p.polcmd = '*'
                and p.polqual is not null and p.polwithcheck is not null) as policies,
            (select count(*)::int from pg_policy p where p.polrelid = c.oid and p.polcmd in ('*', 'a', 'w')
                and p.polwithcheck is null) as unchecked
       from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname = 'public' and c.relkind in ('r', 'p')
        and (c.relname in ('tenants', 'users') or exists (
              select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped))
      order by 1`,
  );
  const problems = rows.flatMap(({ name, forced, policies, unchecked }) => [
    ...(forced ? [] : [`${name} does not force row level security`]),
    ...(policies > 0 ? [] : [`${name} has no policy with USING and WITH CHECK`]),
    ...(unchecked === 0 ? [] : [`${name} has a policy that does not check what is written`]),
  ]);
  return { tables: rows.length, problems };
}
