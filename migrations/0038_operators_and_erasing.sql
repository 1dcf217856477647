-- Why: an installation with hundreds of tenants is run by people who sign in, and a tenant that nobody needs any more must be able to
-- go with everything it has (docs/decisions/0043).

-- Members of their home tenant who may act on every tenant. Whoever leaves the tenant is no operator any more.
create table operators (
  tenant_id   uuid not null,
  user_id     uuid not null,
  created_at  timestamptz not null,
  primary key (tenant_id, user_id),
  foreign key (tenant_id, user_id) references memberships (tenant_id, user_id) on delete cascade
);
select isolate_by_tenant('operators');
grant select, insert, delete on operators to poort_app;

-- A token does not say whose it is: the door of the platform tries the tenants whose members may be operators.
create policy definer_looks_up on operators for select to poort_definer using (true);
grant select (tenant_id) on operators to poort_definer;
create function tenants_of_operators() returns setof uuid
language sql security definer stable set search_path = pg_catalog, public, pg_temp as $$
  select distinct tenant_id from public.operators order by tenant_id
$$;
grant execute on function tenants_of_operators() to poort_platform;
grant poort_definer to current_user;
grant create on schema public to poort_definer;
alter function tenants_of_operators() owner to poort_definer;
revoke create on schema public from poort_definer;
revoke poort_definer from current_user;

-- Until `deletion_due_at` nobody is served and everything can come back. From 'deleted' on nothing can; the row stays when all else is
-- gone, so that nobody ever gets the slug, and with it the issuer that others trusted. `erased_at`: nothing is left.
alter table tenants
  add column deletion_due_at timestamptz,
  add column erased_at timestamptz,
  drop constraint tenants_status_check,
  add constraint tenants_status_check check (status in ('active', 'suspended', 'deleted'));
create index tenants_to_erase on tenants (deletion_due_at) where deletion_due_at is not null and erased_at is null;

-- What nothing but the end of its tenant removes.
grant delete on apis, authorization_details_types, backchannel_logouts, clients, device_reports, mails to poort_app;

-- One step of erasing a deleted tenant: at most `p_limit` rows of one table, those that others refer to last; how many went, and 0 when
-- nothing is left. The tables are read from the catalogue, so that none that comes later can be forgotten. Inside the tenant like any
-- other work: row level security lets it reach no row of another one. People whom no other tenant knows go with their membership
-- (migrations/0021). History stays, and names nobody.
create function tenant_erase(p_tenant_id uuid, p_limit integer) returns integer
language plpgsql security invoker as $$
declare
  place  record;
  erased integer;
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  if (select t.status from tenants t where t.id = p_tenant_id) is distinct from 'deleted' then
    raise exception 'only a deleted tenant is erased';
  end if;
  for place in
    with recursive places as (
      select c.oid, c.oid::regclass::text as name
        from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
       where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition and c.relname <> 'events'),
    ways as (
      select p.oid, 0 as length from places p
      union
      select f.conrelid, w.length + 1 from ways w join pg_constraint f on f.contype = 'f' and f.confrelid = w.oid and f.conrelid <> w.oid
       where w.length < 16)
    select p.name, exists (select from pg_constraint f where f.contype = 'f' and f.conrelid = p.oid and f.confrelid = p.oid) as refers_to_itself
      from places p join ways w on w.oid = p.oid group by p.oid, p.name order by max(w.length) desc, p.name
  loop
    -- Rows that refer to each other go together.
    execute format('delete from %1$s where tenant_id = $1 and ctid = any (array(select ctid from %1$s where tenant_id = $1 limit $2))', place.name)
      using p_tenant_id, case when place.refers_to_itself then null else p_limit end;
    get diagnostics erased = row_count;
    if erased > 0 then
      return erased;
    end if;
  end loop;
  return 0;
end $$;
grant execute on function tenant_erase(uuid, integer) to poort_app;
