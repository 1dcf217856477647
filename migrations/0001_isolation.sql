-- Why: every later migration leans on these: the extensions, the closed public schema, and `isolate_by_tenant`, through
-- which a table cannot forget any part of its isolation (enabled, forced, USING and WITH CHECK).
--
-- The roles themselves (poort_app, poort_platform, poort_definer) are made by src/storage/migrate.ts just before this file
-- runs: they belong to the cluster, not to the database, and two of them carry a password.

create extension if not exists citext;
create extension if not exists pgcrypto;

revoke all on schema public from public;
grant usage on schema public to poort_app, poort_platform, poort_definer;

-- A function that anyone may run unless told otherwise is how a SECURITY DEFINER body leaks: nobody may, unless granted.
alter default privileges revoke execute on functions from public;

-- `nullif(…, '')`: after a transaction the setting is '' and not absent; both mean "no tenant", and no tenant sees no rows.
create function isolate_by_tenant(p_table regclass, p_column text default 'tenant_id') returns void
language plpgsql set search_path = pg_catalog, public as $$
begin
  execute format('alter table %s enable row level security', p_table);
  execute format('alter table %s force row level security', p_table);
  execute format(
    'create policy tenant_isolation on %s using (%2$I = nullif(current_setting(''app.tenant_id'', true), '''')::uuid)'
    || ' with check (%2$I = nullif(current_setting(''app.tenant_id'', true), '''')::uuid)',
    p_table, p_column);
end $$;
