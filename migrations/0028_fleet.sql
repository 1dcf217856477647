-- Why: devices are many, and somebody has to answer for them. Here is what a fleet needs beside its rows: handing a device to another
-- member so that nothing of the first owner lives on, stopping many at once, what a device last said of itself and said before, when
-- it was heard of (gathered elsewhere, written together), its history, and the end of those nobody hears from any more.

alter table devices
  -- Whom it is offered to; nobody when the address that it was offered to is no member's. Open until then, see docs/decisions/0036.
  add column offered_to uuid,
  add column offered_until timestamptz,
  -- The last time it was turned away, and the word for why.
  add column refused_at timestamptz,
  add column refused_because text check (length(refused_because) between 1 and 60);
alter table devices add foreign key (tenant_id, offered_to) references memberships (tenant_id, user_id) on delete set null (offered_to);
create index devices_offered on devices (tenant_id, offered_to) where offered_to is not null;
create index devices_of_make on devices (tenant_id, model, firmware);
-- For the janitor and the forecast. The first moves with every refresh: some entries a second for thousands of devices.
create index devices_expiring on devices (tenant_id, expires_at) where state <> 'retired';
create index devices_retired on devices (tenant_id, state_changed_at) where state = 'retired';

-- What it last said of itself, and how often within its minute.
create table device_reports (
  tenant_id          uuid not null,
  device_id          uuid not null,
  reported_at        timestamptz not null,
  report             json not null,
  window_started_at  timestamptz not null,
  window_reports     integer not null,
  primary key (tenant_id, device_id),
  foreign key (tenant_id, device_id) references devices (tenant_id, device_id) on delete cascade
) with (fillfactor = 50);
select isolate_by_tenant('device_reports');
grant select, insert, update on device_reports to poort_app;

-- What it said before. A day is a partition: made ahead and dropped by the janitor as the owner (src/storage/telemetry_days.ts), because
-- no other role may create. Row level security and grants are the parent's; a partition has its own policy and is granted to nobody.
-- No foreign key: it would lock the device's row at every report and `devices` at every drop. A trigger takes its place.
create table device_telemetry (
  tenant_id    uuid not null,
  device_id    uuid not null,
  received_at  timestamptz not null,
  id           uuid not null,
  report       json not null,
  primary key (tenant_id, device_id, received_at, id)
) partition by range (received_at);
select isolate_by_tenant('device_telemetry');
grant select, insert, delete on device_telemetry to poort_app;

create function device_telemetry_day(p_day date) returns void
language plpgsql security invoker set search_path = pg_catalog, public, pg_temp as $$
declare
  partition text := 'device_telemetry_' || to_char(p_day, 'YYYYMMDD');
begin
  if to_regclass('public.' || partition) is not null then
    return;
  end if;
  execute format('create table public.%I partition of public.device_telemetry for values from (%L) to (%L)', partition,
                 p_day::timestamp at time zone 'UTC', (p_day + 1)::timestamp at time zone 'UTC');
  perform public.isolate_by_tenant(format('public.%I', partition)::regclass);
end $$;
select device_telemetry_day((now() at time zone 'UTC')::date + n) from generate_series(-1, 7) n;

create function forget_telemetry() returns trigger language plpgsql set search_path = pg_catalog, public, pg_temp as $$
begin
  delete from device_telemetry where tenant_id = old.tenant_id and device_id = old.device_id;
  return null;
end $$;
create trigger leaves_no_telemetry after delete on devices for each row execute function forget_telemetry();

-- Takes what a device says of itself: the last word always, and its history where it is kept. A crash may cost the last moment of it.
-- Null when it was taken; otherwise in how many seconds it may say more, and -1 for a device that is not active.
create function device_report(p_tenant_id uuid, p_device_id uuid, p_id uuid, p_now timestamptz, p_report json, p_firmware text,
                              p_per_minute integer, p_keeps_history boolean) returns integer
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  perform set_config('synchronous_commit', 'off', true);
  if (select d.state from devices d where d.tenant_id = p_tenant_id and d.device_id = p_device_id) is distinct from 'active' then
    return -1;
  end if;
  insert into device_reports as r (tenant_id, device_id, reported_at, report, window_started_at, window_reports)
  values (p_tenant_id, p_device_id, p_now, p_report, p_now, 1)
  on conflict (tenant_id, device_id) do update
    set reported_at = excluded.reported_at, report = excluded.report,
        window_reports = case when r.window_started_at > p_now - interval '1 minute' then r.window_reports + 1 else 1 end,
        window_started_at = case when r.window_started_at > p_now - interval '1 minute' then r.window_started_at else p_now end
    where r.window_started_at <= p_now - interval '1 minute' or r.window_reports < p_per_minute;
  if not found then
    return (select greatest(1, ceil(extract(epoch from r.window_started_at + interval '1 minute' - p_now)))::integer
              from device_reports r where r.tenant_id = p_tenant_id and r.device_id = p_device_id);
  end if;
  if p_firmware is not null then
    update devices d set firmware = p_firmware
     where d.tenant_id = p_tenant_id and d.device_id = p_device_id and d.firmware is distinct from p_firmware;
  end if;
  if p_keeps_history then
    begin
      insert into device_telemetry (tenant_id, device_id, received_at, id, report)
      values (p_tenant_id, p_device_id, p_now, p_id, p_report);
    exception when check_violation then
      -- No partition for today: the janitor has been away for a week. The last word is kept all the same.
      null;
    end;
  end if;
  return null;
end $$;
grant execute on function device_report(uuid, uuid, uuid, timestamptz, json, text, integer, boolean) to poort_app;

-- The latest first, from `p_since` on and before (`p_before_at`, `p_before_id`).
create function device_telemetry_list(p_tenant_id uuid, p_device_id uuid, p_since timestamptz, p_before_at timestamptz,
                                      p_before_id uuid, p_limit integer)
returns table (id uuid, received_at timestamptz, report json)
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  return query
    select t.id, t.received_at, t.report from device_telemetry t
     where t.tenant_id = p_tenant_id and t.device_id = p_device_id and t.received_at >= p_since and t.received_at <= p_before_at
       and (t.received_at, t.id) < (p_before_at, p_before_id)
     order by t.received_at desc, t.id desc limit p_limit;
end $$;
grant execute on function device_telemetry_list(uuid, uuid, timestamptz, timestamptz, uuid, integer) to poort_app;

-- What was noted of devices in a few seconds: when and from where they were heard of, and how long their tokens last by now. Notes may
-- come late and out of order. Locked in one order, so that two servers cannot wait for each other.
create function devices_note(p_tenant_id uuid, p_notes json) returns void
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  perform set_config('synchronous_commit', 'off', true);
  perform 1 from devices d
    where d.tenant_id = p_tenant_id and d.device_id = any (array(select (n ->> 'device_id')::uuid from json_array_elements(p_notes) n))
    order by d.device_id for no key update;
  update devices d
     set last_seen_at = greatest(d.last_seen_at, n.seen_at),
         last_seen_address = case when n.seen_at >= d.last_seen_at then coalesce(n.address, d.last_seen_address) else d.last_seen_address end,
         expires_at = greatest(d.expires_at, n.expires_at),
         refused_at = coalesce(n.refused_at, d.refused_at),
         refused_because = coalesce(n.refused_because, d.refused_because)
    from json_to_recordset(p_notes) as n (device_id uuid, seen_at timestamptz, address inet, expires_at timestamptz,
                                          refused_at timestamptz, refused_because text)
   where d.tenant_id = p_tenant_id and d.device_id = n.device_id;
end $$;
grant execute on function devices_note(uuid, json) to poort_app;

-- Ends a device with everything it has. True for whoever did: what tells of it is written then, and only then. Its grant first, as
-- everything that ends a grant does.
create function device_retire(p_tenant_id uuid, p_device_id uuid, p_now timestamptz, p_events json) returns boolean
language plpgsql security invoker as $$
declare
  its_grant bytea;
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  select d.grant_hash into its_grant from devices d where d.tenant_id = p_tenant_id and d.device_id = p_device_id and d.state <> 'retired';
  if not found then
    return false;
  end if;
  if grant_end(p_tenant_id, its_grant, p_events) then
    return true;
  end if;
  -- Its grant is gone already, swept away perhaps.
  update devices d set state = 'retired', state_changed_at = p_now
   where d.tenant_id = p_tenant_id and d.device_id = p_device_id and d.state <> 'retired';
  if not found then
    return false;
  end if;
  perform events_append(p_tenant_id, p_events);
  return true;
end $$;
grant execute on function device_retire(uuid, uuid, timestamptz, json) to poort_app;

-- Changes the state of many at once: those of this client, model and firmware (null: whichever), `p_limit` at most. How many.
create function devices_change(p_tenant_id uuid, p_now timestamptz, p_state text, p_client_id text, p_model text, p_firmware text,
                               p_limit integer) returns integer
language plpgsql security invoker as $$
#variable_conflict use_column
declare
  chosen  uuid[];
  grants  bytea[];
  told    text[];
  changed integer;
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  select array_agg(c.device_id), array_agg(c.grant_hash) into chosen, grants
    from (select d.device_id, d.grant_hash from devices d
           where d.tenant_id = p_tenant_id
             and (p_client_id is null or d.client_id = p_client_id)
             and (p_model is null or d.model = p_model)
             and (p_firmware is null or d.firmware = p_firmware)
             and d.state = any (case p_state when 'quarantined' then '{active}' when 'active' then '{quarantined}'
                                             else '{active,quarantined}' end::text[])
           order by d.device_id limit p_limit) c;
  if chosen is null then
    return 0;
  end if;
  if p_state = 'retired' then
    -- Locked in one order, and the grants before the devices, as in device_retire.
    perform 1 from artifacts a where a.tenant_id = p_tenant_id and a.kind = 'Grant' and a.id_hash = any (grants) order by a.id_hash for update;
    delete from artifacts a where a.tenant_id = p_tenant_id and a.kind = 'Grant' and a.id_hash = any (grants);
    with deleted as (
      delete from artifacts a where a.tenant_id = p_tenant_id and a.grant_hash = any (grants)
      returning a.client_id, a.account_id, a.payload ->> 'sid' as sid)
    select array_agg(distinct x.client_id || ' ' || x.account_id || ' ' || x.sid) into told from deleted x
     where x.sid is not null and x.account_id is not null;
    perform backchannel_logout_enqueue(p_tenant_id, split_part(t, ' ', 1), split_part(t, ' ', 2)::uuid, split_part(t, ' ', 3))
       from unnest(told) t;
    -- Those whose grant was gone already.
    update devices d set state = 'retired', state_changed_at = p_now
     where d.tenant_id = p_tenant_id and d.device_id = any (chosen) and d.state <> 'retired';
    return cardinality(chosen);
  end if;
  perform 1 from devices d where d.tenant_id = p_tenant_id and d.device_id = any (chosen) order by d.device_id for no key update;
  update devices d set state = p_state, state_changed_at = p_now
   where d.tenant_id = p_tenant_id and d.device_id = any (chosen)
     and d.state = case p_state when 'active' then 'quarantined' else 'active' end;
  get diagnostics changed = row_count;
  return changed;
end $$;
grant execute on function devices_change(uuid, timestamptz, text, text, text, text, integer) to poort_app;

-- The device becomes that of whom it was offered to. Its grant goes on, for another person: whatever speaks for the first one is
-- deleted, or dies because it names somebody else than its grant does, and the chain of refresh tokens goes on in the name of the new
-- owner. The owner until then; null when there is no such offer any more.
create function device_accept(p_tenant_id uuid, p_device_id uuid, p_user_id uuid, p_now timestamptz, p_authentication json) returns uuid
language plpgsql security invoker as $$
#variable_conflict use_column
declare
  its_grant bytea;
  giver     uuid;
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  select d.grant_hash, d.user_id into its_grant, giver from devices d where d.tenant_id = p_tenant_id and d.device_id = p_device_id;
  perform 1 from artifacts a where a.tenant_id = p_tenant_id and a.kind = 'Grant' and a.id_hash = its_grant for update;
  if not found then
    return null;
  end if;
  update devices d set user_id = p_user_id, offered_to = null, offered_until = null
   where d.tenant_id = p_tenant_id and d.device_id = p_device_id and d.offered_to = p_user_id and d.offered_until > p_now
     and d.user_id = giver and d.state <> 'retired';
  if not found then
    return null;
  end if;
  update artifacts a set account_id = p_user_id, payload = (a.payload::jsonb || jsonb_build_object('accountId', p_user_id))::json
   where a.tenant_id = p_tenant_id and a.kind = 'Grant' and a.id_hash = its_grant;
  perform 1 from artifacts a where a.tenant_id = p_tenant_id and a.grant_hash = its_grant order by a.id_hash for update;
  delete from artifacts a
   where a.tenant_id = p_tenant_id and a.grant_hash = its_grant and a.kind not in ('RefreshToken', 'DeviceCode');
  update artifacts a
     set account_id = p_user_id,
         payload = ((a.payload::jsonb - array['claims', 'nonce', 'sid', 'sessionUid', 'amr', 'acr', 'authTime'])
                    || p_authentication::jsonb || jsonb_build_object('accountId', p_user_id))::json
   where a.tenant_id = p_tenant_id and a.grant_hash = its_grant;
  return giver;
end $$;
grant execute on function device_accept(uuid, uuid, uuid, timestamptz, json) to poort_app;

-- Whose history an event is part of, among devices; those of many at once are marked, and part of each one's. Generated, so that
-- whatever writes an event cannot forget it; a column, because no index on an expression serves under row level security.
alter table events add column device_id text generated always as (
  case target_type when 'device' then target_id when 'devices' then '*' else data ->> 'device_id' end) stored;
create index events_of_device on events (tenant_id, device_id, id desc) where device_id is not null;

-- The latest first, before the event `p_before`.
create function events_of_device(p_tenant_id uuid, p_device_id uuid, p_before uuid, p_limit integer)
returns table (id uuid, occurred_at timestamptz, type text, outcome text, reason text, actor_type text, actor_id text, ip text, data json)
language plpgsql security invoker as $$
#variable_conflict use_column
declare
  device record;
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  select d.client_id, d.model, d.firmware, d.paired_at into device from devices d
   where d.tenant_id = p_tenant_id and d.device_id = p_device_id;
  return query
    select e.id, e.occurred_at, e.type, e.outcome, e.reason, e.actor_type, e.actor_id, e.ip, e.data from (
      (select o.* from events o
        where o.tenant_id = p_tenant_id and o.device_id = p_device_id::text and o.id < p_before order by o.id desc limit p_limit)
      union all
      (select m.* from events m
        where m.tenant_id = p_tenant_id and m.device_id = '*' and m.id < p_before and m.occurred_at >= device.paired_at
          and coalesce(m.data ->> 'client_id', device.client_id) = device.client_id
          and coalesce(m.data ->> 'model', device.model, '') = coalesce(device.model, '')
          and coalesce(m.data ->> 'firmware', device.firmware, '') = coalesce(device.firmware, '')
        order by m.id desc limit p_limit)) e
     order by e.id desc limit p_limit;
end $$;
grant execute on function events_of_device(uuid, uuid, uuid, integer) to poort_app;

-- The janitor, of one tenant: devices that fell silent a day ago, and those retired so long ago that nobody asks any more. A device
-- whose tokens live on is not silent, whatever its row says: a note of it was lost.
create function devices_tidy(p_tenant_id uuid, p_now timestamptz, p_forget_before timestamptz, p_limit integer)
returns table (silent uuid[], forgotten integer)
language plpgsql security invoker as $$
#variable_conflict use_column
declare
  grants bytea[];
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  select array_agg(c.device_id), array_agg(c.grant_hash) into silent, grants
    from (select d.device_id, d.grant_hash from devices d
           where d.tenant_id = p_tenant_id and d.state <> 'retired' and d.expires_at < p_now - interval '1 day'
             and not exists (select from artifacts a
                              where a.tenant_id = p_tenant_id and a.grant_hash = d.grant_hash and a.kind = 'RefreshToken' and a.expires_at > p_now)
           order by d.expires_at limit p_limit) c;
  perform 1 from artifacts a where a.tenant_id = p_tenant_id and a.kind = 'Grant' and a.id_hash = any (grants) order by a.id_hash for update;
  delete from artifacts a where a.tenant_id = p_tenant_id and (a.kind = 'Grant' and a.id_hash = any (grants) or a.grant_hash = any (grants));
  update devices d set state = 'retired', state_changed_at = p_now
   where d.tenant_id = p_tenant_id and d.device_id = any (silent) and d.state <> 'retired';
  delete from devices d
   where d.tenant_id = p_tenant_id and d.device_id = any (array(
     select o.device_id from devices o
      where o.tenant_id = p_tenant_id and o.state = 'retired' and o.state_changed_at < p_forget_before
      order by o.state_changed_at limit p_limit));
  get diagnostics forgotten = row_count;
  return query select coalesce(silent, '{}'), forgotten;
end $$;
grant execute on function devices_tidy(uuid, timestamptz, timestamptz, integer) to poort_app;

-- Telemetry that a tenant keeps for less long than the partitions live.
create function telemetry_forget(p_tenant_id uuid, p_before timestamptz, p_limit integer) returns integer
language plpgsql security invoker as $$
declare
  forgotten integer;
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  delete from device_telemetry t
   where t.tenant_id = p_tenant_id and (t.device_id, t.received_at, t.id) in (
     select o.device_id, o.received_at, o.id from device_telemetry o
      where o.tenant_id = p_tenant_id and o.received_at < p_before limit p_limit);
  get diagnostics forgotten = row_count;
  return forgotten;
end $$;
grant execute on function telemetry_forget(uuid, timestamptz, integer) to poort_app;

-- Across tenants the platform learns who has devices, and nothing of them.
create policy definer_counts on devices for select to poort_definer using (true);
grant select (tenant_id) on devices to poort_definer;
create function tenants_with_devices(p_after uuid, p_limit integer) returns setof uuid
language sql security definer stable set search_path = pg_catalog, public, pg_temp as $$
  select distinct d.tenant_id from public.devices d where d.tenant_id > p_after order by d.tenant_id limit p_limit
$$;
grant execute on function tenants_with_devices(uuid, integer) to poort_platform;
grant poort_definer to current_user;
grant create on schema public to poort_definer;
alter function tenants_with_devices(uuid, integer) owner to poort_definer;
revoke create on schema public from poort_definer;
revoke poort_definer from current_user;
