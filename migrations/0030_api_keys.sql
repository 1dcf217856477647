-- Why: programs that have no client and no person at hand call with a key: one long secret, known to the database by its hash alone. A key
-- is made by somebody and is never worth more than they are: what it opens is worked out from their roles at every look, and it is
-- nothing once they are no member, or not for the moment. It dies with their membership.

create table api_keys (
  tenant_id          uuid not null references tenants (id) on delete cascade,
  id                 uuid not null,
  -- SHA-256 of the key, whose 32 bytes or more of randomness need no salt.
  key_hash           bytea not null check (length(key_hash) = 32),
  -- How the key begins, for whoever has to find out which one they hold.
  beginning          text not null check (length(beginning) between 3 and 20),
  name               text not null check (length(name) between 1 and 60),
  scopes             text[] not null default '{}' check (cardinality(scopes) <= 50),
  -- Whose rights bound it; null for a key of the tenant's own, made by an operator.
  user_id            uuid,
  created_at         timestamptz not null,
  expires_at         timestamptz not null check (expires_at > created_at),
  revoked_at         timestamptz,
  -- Written every few seconds, see flows/access/api_keys.ts.
  last_used_at       timestamptz,
  last_used_address  inet,
  uses               bigint not null default 0,
  primary key (tenant_id, id),
  unique (tenant_id, key_hash),
  foreign key (tenant_id, user_id) references memberships (tenant_id, user_id) on delete cascade
);
create index api_keys_by_hash on api_keys (key_hash);
create index api_keys_of_maker on api_keys (tenant_id, user_id, id);
select isolate_by_tenant('api_keys');
grant select, insert, update, delete on api_keys to poort_app;

-- Uses are no change: only what makes a key worth less is announced.
create trigger announce_change after update of scopes, expires_at, revoked_at or delete on api_keys
  for each row execute function announce_change();

-- gRPC has no tenant in an address: the only question that is asked across tenants about a key, answered with an identifier.
create policy definer_looks_up on api_keys for select to poort_definer using (true);
grant select (tenant_id, key_hash) on api_keys to poort_definer;
create function tenant_of_api_key(p_key_hash bytea) returns uuid
language sql security definer stable set search_path = pg_catalog, public, pg_temp as $$
  select k.tenant_id from public.api_keys k where k.key_hash = p_key_hash limit 1
$$;
grant execute on function tenant_of_api_key(bytea) to poort_platform;
grant poort_definer to current_user;
grant create on schema public to poort_definer;
alter function tenant_of_api_key(bytea) owner to poort_definer;
revoke create on schema public from poort_definer;
revoke poort_definer from current_user;

-- A key that opens something, with what its maker may do at this moment (null for a key of the tenant's own) and what the tenant says of
-- keys. Nothing for a key that is over or revoked, and while its maker is blocked, leaving or gone, or its tenant suspended.
create function api_key_read(p_tenant_id uuid, p_key_hash bytea, p_now timestamptz)
returns table (id uuid, name text, scopes text[], user_id uuid, expires_at timestamptz, permissions text[], slug text, settings jsonb)
language plpgsql security invoker set enable_seqscan = off as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  return query
    select k.id, k.name, k.scopes, k.user_id, k.expires_at,
           case when k.user_id is not null then (select e.permissions from effective_roles(p_tenant_id, k.user_id) e) end, t.slug, t.settings
      from api_keys k join tenants t on t.id = p_tenant_id
     where k.tenant_id = p_tenant_id and k.key_hash = p_key_hash and k.revoked_at is null and k.expires_at > p_now and t.status = 'active'
       and (k.user_id is null
            or (    (select m.status = 'active' and m.deletion_due_at is null from memberships m
                      where m.tenant_id = p_tenant_id and m.user_id = k.user_id)
                and (select u.status = 'active' from users u where u.id = k.user_id)));
end $$;
grant execute on function api_key_read(uuid, bytea, timestamptz) to poort_app;

-- What has gathered about the keys of one tenant since the last time. A late note does not turn the clock back.
create function api_keys_note_uses(p_tenant_id uuid, p_notes json) returns void
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  perform set_config('synchronous_commit', 'off', true);
  -- In one order, so that two processes do not wait for each other.
  perform from api_keys k
    where k.tenant_id = p_tenant_id and k.id in (select (n ->> 'id')::uuid from json_array_elements(p_notes) n)
    order by k.id for update;
  update api_keys k
     set uses = k.uses + n.uses,
         last_used_address = case when k.last_used_at is null or n.at >= k.last_used_at then n.address else k.last_used_address end,
         last_used_at = greatest(k.last_used_at, n.at)
    from json_to_recordset(p_notes) as n (id uuid, uses integer, at timestamptz, address inet)
   where k.tenant_id = p_tenant_id and k.id = n.id;
end $$;
grant execute on function api_keys_note_uses(uuid, json) to poort_app;
