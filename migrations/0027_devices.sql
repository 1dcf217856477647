-- Why: a paired device is a thing of its own: somebody owns it, gives it a name, sees when it was last there, stops it and lets it go
-- on. Its row comes into being with its first tokens and says what it may; every read of a token under its grant looks at it, so
-- that a quarantined device is nobody from one moment to the next, on every path, while its siblings notice nothing.

create table devices (
  tenant_id          uuid not null,
  device_id          uuid not null,
  client_id          text not null,
  -- Its owner: the member who paired it, or to whom it was given since.
  user_id            uuid not null,
  name               text not null check (length(name) between 1 and 60),
  model              text check (length(model) between 1 and 60),
  firmware           text check (length(firmware) between 1 and 60),
  -- RFC 7638, of the key its tokens are bound to (RFC 9449).
  key_thumbprint     text check (length(key_thumbprint) = 43),
  grant_hash         bytea not null check (length(grant_hash) = 32),
  -- quarantined: nothing of it works until it is released. retired: its grant has ended, for ever.
  state              text not null default 'active' check (state in ('active', 'quarantined', 'retired')),
  state_changed_at   timestamptz not null,
  scopes             text[] not null default '{}',
  paired_at          timestamptz not null,
  paired_address     inet,
  last_seen_at       timestamptz not null,
  last_seen_address  inet,
  -- When it falls silent unless it is heard of before.
  expires_at         timestamptz not null,
  primary key (tenant_id, device_id),
  foreign key (tenant_id, client_id) references clients (tenant_id, client_id) on delete cascade,
  foreign key (tenant_id, user_id) references memberships (tenant_id, user_id) on delete cascade
);
create unique index devices_by_grant on devices (tenant_id, grant_hash);
create index devices_of_owner on devices (tenant_id, user_id);
create index devices_of_client on devices (tenant_id, client_id);
select isolate_by_tenant('devices');
grant select, insert, update, delete on devices to poort_app;

-- Whatever ends a grant (its owner, a thief's token, a password that changed) retires the device that lived by it. The sweep takes
-- grants that nothing can have lived by for a day, and leaves the row as it is.
create function retire_device() returns trigger language plpgsql set search_path = pg_catalog, public, pg_temp as $$
begin
  if current_user <> 'poort_definer' then
    update devices set state = 'retired', state_changed_at = now()
     where tenant_id = old.tenant_id and grant_hash = old.id_hash and state <> 'retired';
  end if;
  return null;
end $$;
create trigger retires_device after delete on artifacts for each row when (old.kind = 'Grant') execute function retire_device();

-- What a request changed, and the device it paired: both or neither. A device that asks again, because it never heard the answer, is
-- the same one, and is told of once.
create function artifacts_commit_with_device(p_tenant_id uuid, p_now timestamptz, p_operations json, p_events json, p_device json,
                                             p_device_events json)
returns void language plpgsql security invoker as $$
begin
  perform artifacts_commit(p_tenant_id, p_now, p_operations, p_events);
  insert into devices (tenant_id, device_id, client_id, user_id, name, model, firmware, key_thumbprint, grant_hash, state_changed_at, scopes,
                       paired_at, paired_address, last_seen_at, last_seen_address, expires_at)
  select p_tenant_id, d.device_id, d.client_id, d.user_id, d.name, d.model, d.firmware, d.key_thumbprint, decode(d.grant_id, 'hex'), p_now,
         d.scopes, p_now, d.address, p_now, d.address, d.expires_at
    from json_to_record(p_device) as d (device_id uuid, client_id text, user_id uuid, name text, model text, firmware text,
         key_thumbprint text, grant_id text, scopes text[], address inet, expires_at timestamptz)
  on conflict (tenant_id, device_id) do nothing;
  if found then
    perform events_append(p_tenant_id, p_device_events);
  end if;
end $$;
grant execute on function artifacts_commit_with_device(uuid, timestamptz, json, json, json, json) to poort_app;

-- As in 0009, with the state of the device that an artifact belongs to.
drop function artifacts_read(uuid, text[], bytea[], boolean[]);
create function artifacts_read(p_tenant_id uuid, p_kinds text[], p_id_hashes bytea[], p_with_account boolean[])
returns table (ordinal integer, payload json, consumed_at timestamptz, consumed_seconds double precision,
               grant_hash bytea, grant_payload json, account json, device_state text)
language plpgsql security invoker set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  return query
    select k.n::integer, a.payload, a.consumed_at, extract(epoch from clock_timestamp() - a.consumed_at)::double precision, a.grant_hash,
           (select g.payload from artifacts g
             where g.tenant_id = p_tenant_id and g.kind = 'Grant' and g.id_hash = a.grant_hash),
           case when k.with_account and a.account_id is not null then (
             select row_to_json(r) from (
               select u.id, u.email::text, u.email_verified, u.given_name, u.family_name, u.locale, u.updated_at, e.roles, e.permissions
                 from users u cross join lateral effective_roles(p_tenant_id, u.id) e where u.id = a.account_id) r) end,
           (select d.state from devices d
             where d.tenant_id = p_tenant_id and d.grant_hash = case k.kind when 'Grant' then k.id_hash else a.grant_hash end)
      from unnest(p_kinds, p_id_hashes, p_with_account) with ordinality as k (kind, id_hash, with_account, n)
     -- `limit` keeps each a look-up of its own: as a join it was planned, while the table was empty, as a scan of all of a tenant's.
     cross join lateral (select o.payload, o.consumed_at, o.grant_hash, o.account_id, o.client_id from artifacts o
                          where o.tenant_id = p_tenant_id and o.kind = k.kind and o.id_hash = k.id_hash limit 1) a
     where (a.account_id is null
            or (    (select m.status = 'active' from memberships m where m.tenant_id = p_tenant_id and m.user_id = a.account_id)
                and (select u.status = 'active' from users u where u.id = a.account_id)))
       and (a.client_id is null
            or (select c.status = 'active' from clients c where c.tenant_id = p_tenant_id and c.client_id = a.client_id));
end $$;
grant execute on function artifacts_read(uuid, text[], bytea[], boolean[]) to poort_app;

-- As in 0010, and no token of a device that is not active.
create or replace function structured_tokens_find(p_tenant_id uuid, p_jti_hashes bytea[], p_grant_hashes bytea[], p_subjects text[],
                                       p_client_ids text[])
returns table (ordinal integer, grant_payload json)
language plpgsql security invoker set enable_seqscan = off as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  for i in 1 .. cardinality(p_jti_hashes) loop
    if p_grant_hashes[i] is not null then
      return query
        select i, g.payload
          from artifacts g
         where g.tenant_id = p_tenant_id and g.kind = 'Grant' and g.id_hash = p_grant_hashes[i]
           and (select m.status = 'active' from memberships m where m.tenant_id = p_tenant_id and m.user_id = g.account_id)
           and (select u.status = 'active' from users u where u.id = g.account_id)
           and (select c.status = 'active' from clients c where c.tenant_id = p_tenant_id and c.client_id = g.client_id)
           and coalesce((select d.state from devices d where d.tenant_id = p_tenant_id and d.grant_hash = p_grant_hashes[i]), 'active') = 'active'
           and (g.client_id = p_client_ids[i]
                or (    (select c.status = 'active' from clients c where c.tenant_id = p_tenant_id and c.client_id = p_client_ids[i])
                    and (select d.kind from artifacts d
                          where d.tenant_id = p_tenant_id and d.kind = 'DeniedToken' and d.id_hash = p_jti_hashes[i]) is null));
    else
      return query
        select i, null::json
         where (select c.status = 'active' from clients c where c.tenant_id = p_tenant_id and c.client_id = p_subjects[i])
           and (p_subjects[i] = p_client_ids[i]
                or (select c.status = 'active' from clients c where c.tenant_id = p_tenant_id and c.client_id = p_client_ids[i]))
           and (select d.kind from artifacts d
                 where d.tenant_id = p_tenant_id and d.kind = 'DeniedToken' and d.id_hash = p_jti_hashes[i]) is null;
    end if;
  end loop;
end $$;

-- As in 0009; what is made of a device code is a refresh token.
create or replace function artifact_consume(p_tenant_id uuid, p_now timestamptz, p_kind text, p_id_hash bytea, p_grace_seconds integer,
                                 p_successor_hash bytea, p_while_unused boolean) returns boolean
language plpgsql security invoker as $$
begin
  update artifacts set consumed_at = clock_timestamp(), expires_at = least(expires_at, p_now + interval '30 days')
   where tenant_id = p_tenant_id and kind = p_kind and id_hash = p_id_hash and consumed_at is null and expires_at > p_now;
  if found then
    return true;
  end if;
  if coalesce(p_grace_seconds, 0) = 0 then
    return false;
  end if;
  return coalesce((select a.consumed_at > clock_timestamp() - make_interval(secs => p_grace_seconds) from artifacts a
                    where a.tenant_id = p_tenant_id and a.kind = p_kind and a.id_hash = p_id_hash), false)
     and coalesce((select s.consumed_at is null or not p_while_unused from artifacts s
                    where s.tenant_id = p_tenant_id and s.kind = case p_kind when 'DeviceCode' then 'RefreshToken' else p_kind end
                      and s.id_hash = p_successor_hash), false);
end $$;

-- How long the owner of this code has to wait between two polls by now; null as long as nobody was too quick (RFC 8628 §3.5).
alter table artifacts add column poll_seconds smallint;

-- A device asks whether somebody has decided. While nobody has, one conditional statement notes the poll, or refuses it as too early and
-- makes the interval longer, for this code and for good; afterwards, and for whatever is none of this client's, it is a look-up.
create function device_code_poll(p_tenant_id uuid, p_id_hash bytea, p_client_id text, p_now timestamptz, p_interval integer,
                                 p_tolerance integer, p_longer integer, p_longest integer)
returns table (in_time boolean, payload json, consumed_at timestamptz, consumed_seconds double precision, grant_hash bytea,
               grant_payload json, account json, device_state text)
language plpgsql security invoker as $$
#variable_conflict use_column
declare
  pending json;
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  perform set_config('synchronous_commit', 'off', true);
  update artifacts a set polled_at = p_now
   where a.tenant_id = p_tenant_id and a.kind = 'DeviceCode' and a.id_hash = p_id_hash and a.client_id = p_client_id
     and a.grant_hash is null and a.consumed_at is null and a.expires_at > p_now and a.payload ->> 'error' is null
     and (a.polled_at is null or a.polled_at <= p_now - make_interval(secs => coalesce(a.poll_seconds, p_interval) - p_tolerance))
   returning a.payload into pending;
  if found then
    return query select true, pending, null::timestamptz, null::double precision, null::bytea, null::json, null::json, null::text;
    return;
  end if;
  update artifacts a set poll_seconds = least(coalesce(a.poll_seconds, p_interval) + p_longer, p_longest)
   where a.tenant_id = p_tenant_id and a.kind = 'DeviceCode' and a.id_hash = p_id_hash and a.client_id = p_client_id
     and a.grant_hash is null and a.consumed_at is null and a.expires_at > p_now and a.payload ->> 'error' is null
   returning a.payload into pending;
  if found then
    return query select false, pending, null::timestamptz, null::double precision, null::bytea, null::json, null::json, null::text;
    return;
  end if;
  return query select true, r.payload, r.consumed_at, r.consumed_seconds, r.grant_hash, r.grant_payload, r.account, r.device_state
    from artifacts_read(p_tenant_id, array['DeviceCode'], array[p_id_hash], array[true]) r;
end $$;
grant execute on function device_code_poll(uuid, bytea, text, timestamptz, integer, integer, integer, integer) to poort_app;
