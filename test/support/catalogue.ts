/**
 * What the catalogue of a database says about its isolation. The rules: tenant data lies behind forced row level
 * security with a policy for reading and writing, the tenant is in every key, and the roles that serve can do no more than they
 * must. A table that is not known to be free of tenant data counts as tenant data: forgetting is what this is here for.
 */
import type { SqlConnection } from './sql.ts';

/** Tables without tenant data. */
const freeTables = ['schema_migrations', 'schema_migrations_lock', 'installation'];

/** Tables of what is a person's and no tenant's, with the column that names the person: one global identity, many memberships. */
export const personTables: Readonly<Record<string, string>> = {
  users: 'id',
  totp_factors: 'user_id',
  backup_codes: 'user_id',
  passkeys: 'user_id',
  password_history: 'user_id',
};

/** What may be said of a person whom the definer erases: that they belong nowhere any more. */
const belongsNowhere = '(NOT (EXISTS ( SELECT\n   FROM memberships m\n  WHERE (m.user_id = users.id))))';

/** Tables whose rows end by themselves and are swept for all tenants at once. */
// One a line, so that two who add one do not meet.
const sweptTables = [
  'artifacts',
  'backchannel_logouts',
  'idempotency_keys',
  'mails',
  'pending_sign_ins',
  'proofs',
  'remembered_devices',
  'passkey_challenges',
  'sign_in_attempts',
] satisfies readonly string[];

/** Each answers with one `fault` for each breach, in words. `$free` and `$swept` are the lists above. */
const checks: readonly string[] = [
  // Every table is a tenant's, or is named above.
  `select format('%s has no tenant_id', t.name) as fault from tables t
    where t.tenant_column is null and t.name <> all ($persons)`,

  `select format('%s: row level security is not enabled', t.name) as fault from tables t where not t.enabled`,

  `select format('%s: row level security is not forced', t.name) as fault from tables t where not t.forced`,

  // A policy for everyone and everything, for what is read and for what is written.
  `select format('%s has no policy with USING and WITH CHECK', t.name) as fault from tables t
    where not exists (select from policies p where p.table_id = t.id and p.for_all and p.for_everyone
                       and p.using_text is not null and p.check_text is not null)`,

  // On a tenant's table it is exactly this one: a second permissive policy would widen it.
  `select format('%s: the policy %s does not say exactly "of the tenant that is set"', p.table_name, p.name) as fault
     from policies p join tables t on t.id = p.table_id
    where p.for_everyone and t.tenant_column is not null
      and (p.using_text <> tenant_is_set(t.tenant_column) or p.check_text <> tenant_is_set(t.tenant_column))`,

  `select format('%s: the policy %s does not ask for a membership in the tenant that is set', p.table_name, p.name) as fault
     from policies p join unnest($persons, $columns) person (name, id_column) on person.name = p.table_name
    where p.for_everyone
      and (p.using_text is distinct from p.check_text
           or p.using_text !~ 'm\\.tenant_id = \\(NULLIF\\(current_setting\\(''app\\.tenant_id''::text, true\\), ''''::text\\)\\)::uuid'
           or p.using_text !~ ('m\\.user_id = ' || p.table_name || '\\.' || person.id_column || '\\)'))`,

  // Whoever else gets a policy may look and not touch; only the platform (at tenants) and the definer do. The sweeper's may delete,
  // but only what has been over for a day; and who belongs to no tenant any more is erased.
  `select format('%s: the policy %s opens more than it may', p.table_name, p.name) as fault from policies p
    where not p.for_everyone
      and not (p.for_select and (p.role_names = '{poort_definer}'
                                 or p.role_names = '{poort_platform}' and p.table_name = 'tenants'))
      and not (p.for_delete and p.role_names = '{poort_definer}' and p.table_name = any ($swept)
               and p.using_text ~ '^\\([a-z_]+ < \\(now\\(\\) - ''(1 day|00:05:00)''::interval\\)\\)$')
      and not (p.for_delete and p.role_names = '{poort_definer}' and p.table_name = 'users' and p.using_text = $nowhere)`,

  // Policies that permit add up, and everybody's lets a tenant's own people through: only one that restricts keeps the definer to it.
  `select 'users: poort_definer could erase who still belongs to a tenant' as fault
    where not exists (select from pg_policy p where p.polrelid = 'users'::regclass and not p.polpermissive and p.polcmd = 'd'
                         and p.polroles = array['poort_definer'::regrole::oid] and pg_get_expr(p.polqual, p.polrelid) = $nowhere)`,

  // Keys. One global identity is the documented exception: users has none of a tenant's.
  `select format('%s has no primary key', t.name) as fault from tables t
    where not exists (select from pg_index i where i.indrelid = t.id and i.indisprimary)`,

  `select format('%s: the key %s does not have %s in it', t.name, i.indexrelid::regclass, t.tenant_column) as fault
     from tables t join pg_index i on i.indrelid = t.id
    where i.indisunique and t.tenant_column is not null and (t.name <> 'tenants' or i.indisprimary)
      and not exists (select from pg_attribute a
                       where a.attrelid = t.id and a.attname = t.tenant_column
                         and a.attnum = any ((i.indkey::int2[])[0:i.indnkeyatts - 1]))`,

  `select format('%s: the foreign key %s does not have tenant_id in it', t.name, c.conname) as fault
     from tables t join pg_constraint c on c.conrelid = t.id and c.contype = 'f' join tables other on other.id = c.confrelid
    where other.name <> all ($persons) and t.name <> all ($persons)
      and not exists (select from generate_subscripts(c.conkey, 1) n
                        join pg_attribute a on a.attrelid = t.id and a.attnum = c.conkey[n]
                        join pg_attribute b on b.attrelid = other.id and b.attnum = c.confkey[n]
                       where a.attname = t.tenant_column and b.attname = other.tenant_column)`,

  // A view or a materialised view reads with the rights of its owner.
  `select format('%s is a view that reads as its owner', c.relname) as fault from pg_class c
    where c.relnamespace = 'public'::regnamespace
      and (c.relkind = 'm' or c.relkind = 'v' and not coalesce(c.reloptions @> '{security_invoker=true}', false))
      and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')`,

  // Roles.
  `select format('%s is a superuser, bypasses row level security or makes roles or databases', rolname) as fault from serving
    where rolsuper or rolbypassrls or rolcreaterole or rolcreatedb or rolreplication`,

  `select 'poort_definer can sign in' as fault from serving where rolname = 'poort_definer' and rolcanlogin`,

  `select format('the role %s does not exist', name) as fault from unnest('{poort_app,poort_platform,poort_definer}'::text[]) name
    where not exists (select from serving where rolname = name)`,

  `select format('%s is a member of %s', m.member::regrole, m.roleid::regrole) as fault
     from pg_auth_members m join serving on serving.oid = m.member`,

  `select format('%s owns %s', s.rolname, pg_describe_object(d.classid, d.objid, d.objsubid)) as fault
     from pg_shdepend d join serving s on s.oid = d.refobjid
    where d.refclassid = 'pg_authid'::regclass and d.deptype = 'o' and s.rolname <> 'poort_definer'
      and d.dbid in (0, (select oid from pg_database where datname = current_database()))`,

  `select format('poort_definer owns %s', pg_describe_object(d.classid, d.objid, d.objsubid)) as fault
     from pg_shdepend d join serving s on s.oid = d.refobjid
    where d.refclassid = 'pg_authid'::regclass and d.deptype = 'o' and s.rolname = 'poort_definer'
      and d.dbid in (0, (select oid from pg_database where datname = current_database())) and d.classid <> 'pg_proc'::regclass`,

  `select format('%s may create in %s', s.rolname, place) as fault
     from serving s,
          lateral (select 'schema public' as place where has_schema_privilege(s.oid, 'public', 'create')
                   union all select 'the database' where has_database_privilege(s.oid, current_database(), 'create')
                   union all select 'temporary tables' where has_database_privilege(s.oid, current_database(), 'temp')) p`,

  // Grants on tables and their columns, by grantee: PUBLIC has none.
  `select format('%s may %s %s', coalesce(nullif(g.grantee, 0)::regrole::text, 'PUBLIC'), g.privilege, g.table_name) as fault
     from grants g left join serving s on s.oid = g.grantee
    where not case coalesce(s.rolname, '')
      when 'poort_app' then g.privilege in ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
                            and not (g.table_name = 'events' and g.privilege not in ('SELECT', 'INSERT'))
                            and g.table_name <> all ($free)
      when 'poort_platform' then g.privilege = 'SELECT' and g.table_name in ('tenants', 'schema_migrations')
      when 'poort_definer' then g.table_name <> all ($free)
                                and (g.privilege = 'SELECT'
                                     or g.privilege = 'DELETE' and (g.table_name = any ($swept) or g.table_name = 'users'))
      else false end`,

  // A partition is reached through its parent, under the parent's policy.
  `select format('%s is a partition that %s may %s', g.table_name, g.grantee::regrole, g.privilege) as fault
     from grants g join pg_class c on c.relname = g.table_name and c.relnamespace = 'public'::regnamespace
    where c.relispartition`,

  // Functions. Those of an extension are PostgreSQL's own.
  `select format('%s may be run by PUBLIC', f.signature) as fault from functions f where f.public_may`,

  `select format('%s may be run by %s', f.signature, r.rolname) as fault
     from functions f join pg_roles r on has_function_privilege(r.oid, f.oid, 'execute')
    where not r.rolsuper and r.oid <> f.proowner and not f.from_extension
      and r.rolname not in (case when f.prosecdef then 'poort_platform' else 'poort_app' end)`,

  `select format('%s is SECURITY DEFINER and does not belong to poort_definer', signature) as fault from functions
    where prosecdef and proowner::regrole::text <> 'poort_definer'`,

  `select format('%s is SECURITY DEFINER without a pinned search_path', signature) as fault from functions
    where prosecdef and not coalesce(proconfig @> '{"search_path=pg_catalog, public, pg_temp"}', false)`,

  `select format('%s belongs to poort_definer and is not SECURITY DEFINER', signature) as fault from functions
    where not prosecdef and proowner::regrole::text = 'poort_definer'`,
];

/** What the checks read from. */
const views = `
  tables as materialized (
    select c.oid as id, c.relname as name, c.relrowsecurity as enabled, c.relforcerowsecurity as forced,
           case when c.relname = 'tenants' then 'id'
                else (select a.attname::text from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped)
            end as tenant_column
      from pg_class c
     where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'f') and c.relname <> all ($free)),
  policies as materialized (
    select t.id as table_id, t.name as table_name, p.polname as name, p.polcmd = '*' as for_all, p.polcmd = 'r' as for_select, p.polcmd = 'd' as for_delete,
           p.polroles = '{0}' as for_everyone, array(select r.rolname::text from pg_roles r where r.oid = any (p.polroles)) as role_names,
           pg_get_expr(p.polqual, p.polrelid) as using_text, pg_get_expr(p.polwithcheck, p.polrelid) as check_text
      from tables t join pg_policy p on p.polrelid = t.id where p.polpermissive),
  serving as materialized (
    select * from pg_roles where rolname in ('poort_app', 'poort_platform', 'poort_definer')),
  grants as materialized (
    select c.relname as table_name, x.grantee, x.privilege_type as privilege
      from pg_class c, aclexplode(c.relacl) x
     where c.relnamespace = 'public'::regnamespace and x.grantee <> c.relowner
       and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')
    union
    select c.relname, x.grantee, x.privilege_type
      from pg_class c join pg_attribute a on a.attrelid = c.oid, aclexplode(a.attacl) x
     where c.relnamespace = 'public'::regnamespace and x.grantee <> c.relowner),
  functions as materialized (
    select p.oid, p.oid::regprocedure as signature, p.proowner, p.prosecdef, p.proconfig, e.from_extension,
           not e.from_extension and (p.proacl is null or exists (select from aclexplode(p.proacl) x where x.grantee = 0)) as public_may
      from pg_proc p,
           lateral (select exists (select from pg_depend d
                                    where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e') as from_extension) e
     where p.pronamespace = 'public'::regnamespace)`;

const isolatedColumn = (column: string): string =>
  `format('(%s = (NULLIF(current_setting(''app.tenant_id''::text, true), ''''::text))::uuid)', ${column})`;

/** Every breach of isolation in this database, in words; empty when there is none. Ask as a superuser, who sees the whole catalogue. */
export async function findIsolationFaults(superuser: SqlConnection): Promise<readonly string[]> {
  const faults: string[] = [];
  for (const check of checks) {
    const text = `with ${views} ${check}`
      .replaceAll('$free', `'{${freeTables.join(',')}}'::name[]`)
      .replaceAll('$persons', `'{${Object.keys(personTables).join(',')}}'::name[]`)
      .replaceAll('$columns', `'{${Object.values(personTables).join(',')}}'::text[]`)
      .replaceAll('$nowhere', `E'${belongsNowhere.replaceAll('\n', '\\n')}'`)
      .replaceAll('$swept', `'{${sweptTables.join(',')}}'::name[]`)
      .replace(/tenant_is_set\(([a-z_.]+)\)/g, (_call, column: string) => isolatedColumn(column));
    const { rows } = await superuser.query<{ fault: string }>(text);
    faults.push(...rows.map((row) => row.fault));
  }
  return faults.sort();
}

/** Tables that hold tenant data. A partition is part of the one it is a partition of. */
export async function listTenantTables(superuser: SqlConnection): Promise<readonly string[]> {
  const { rows } = await superuser.query<{ name: string }>(
    `select relname::text as name from pg_class
      where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition and relname <> all ($1) order by 1`,
    [freeTables],
  );
  return rows.map((row) => row.name);
}
