-- Why: what somebody may do changes while they are here. A role can be switched off, a role can be held until a moment, and a permission
-- of a tenant's own can be described and switched off; all of it counts from the next look on, because every look goes through
-- `effective_roles`. And a tenant that had an administrator keeps one, whatever happens at the same moment (docs/decisions/0040).

alter table roles add column is_active boolean not null default true;
-- Whoever inherits from a role, for what must not lose its last administrator.
create index roles_heirs on roles (tenant_id, inherits) where inherits is not null;

alter table membership_roles add column expires_at timestamptz;
create index membership_roles_of_role on membership_roles (tenant_id, role_id, user_id);
grant update on membership_roles to poort_app;

-- What a tenant says of its own permissions. A role may list one of which nothing is said here: that one is in force.
create table permissions (
  tenant_id    uuid not null references tenants (id) on delete cascade,
  name         text not null check (name ~ '^[a-z][a-z0-9_.-]{0,62}:[a-z][a-z0-9_.-]{0,62}$'),
  description  text not null default '' check (length(description) <= 500),
  is_active    boolean not null default true,
  created_at   timestamptz not null,
  primary key (tenant_id, name)
);
create index permissions_switched_off on permissions (tenant_id, name) where not is_active;
select isolate_by_tenant('permissions');
grant select, insert, update, delete on permissions to poort_app;

-- As in 0009, without what is over or switched off. A role that is switched off gives nothing of its own and nothing that it inherits.
create or replace function effective_roles(p_tenant_id uuid, p_user_id uuid)
returns table (roles text[], permissions text[])
language sql security invoker stable as $$
  with recursive held as (
    select r.id, r.name, r.permissions, r.inherits
      from membership_roles mr
     cross join lateral (select o.id, o.name, o.permissions, o.inherits, o.is_active from roles o
                          where o.tenant_id = p_tenant_id and o.id = mr.role_id limit 1) r
     where mr.tenant_id = p_tenant_id and mr.user_id = p_user_id and (mr.expires_at is null or mr.expires_at > now()) and r.is_active
    union
    select r.id, r.name, r.permissions, r.inherits
      from held h
     cross join lateral (select o.id, o.name, o.permissions, o.inherits, o.is_active from roles o
                          where o.tenant_id = p_tenant_id and o.id = h.inherits limit 1) r
     where r.is_active
  )
  select coalesce(array_agg(distinct name order by name), '{}'),
         coalesce((select array_agg(distinct p order by p) from held h2, unnest(h2.permissions) p
                    where p <> all (array(select off.name from permissions off where off.tenant_id = p_tenant_id and not off.is_active))), '{}')
    from held
$$;

-- Whether somebody administers this tenant who does not cease to by themselves: a living member who is not leaving, with the built-in role
-- `admin` or a role that inherits it, without an end. Until the transaction is over nobody else gets an answer, so of two who would each
-- take one of the last two away the second sees what the first did.
create function administrator_remains(p_tenant_id uuid) returns boolean
language plpgsql security invoker set enable_seqscan = off as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  perform pg_advisory_xact_lock(hashtext('administrators'), hashtext(p_tenant_id::text));
  return exists (
    with recursive administering as (
      select r.id from roles r where r.tenant_id = p_tenant_id and r.name = 'admin' and r.built_in
      union
      select heir.id from administering a join roles heir on heir.tenant_id = p_tenant_id and heir.inherits = a.id and heir.is_active
    )
    select
      from administering a
     cross join lateral (select mr.user_id from membership_roles mr
                          where mr.tenant_id = p_tenant_id and mr.role_id = a.id and mr.expires_at is null) holder
     where (select m.status = 'active' and m.deletion_due_at is null from memberships m
             where m.tenant_id = p_tenant_id and m.user_id = holder.user_id)
       and (select u.status = 'active' from users u where u.id = holder.user_id));
end $$;
grant execute on function administrator_remains(uuid) to poort_app;
