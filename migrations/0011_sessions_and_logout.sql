-- Why: a session must be seen and ended by others than the browser that has it, with everything that was issued under it, in one
-- transaction and whatever process asks; and the applications that relied on it must hear of it however long they are away. What
-- they are to be told is therefore a row that is written in the transaction that ended the session (docs/decisions/0021).

-- The sessions of one person, and of a tenant. Nothing in it changes while a session is used.
create index artifacts_sessions on artifacts (tenant_id, account_id) where kind = 'Session';

-- Logout tokens to be delivered (OpenID Connect Back-Channel Logout 1.0). `id` is the token's `jti`, the same at every attempt.
create table backchannel_logouts (
  tenant_id   uuid not null,
  id          uuid not null,
  client_id   text not null,
  account_id  uuid not null,
  sid         text,
  state       text not null default 'waiting' check (state in ('waiting', 'delivered', 'dead')),
  -- Counted when an attempt begins: one that a crash cut off counts too.
  attempts    integer not null default 0,
  -- The next attempt; while one is under way, when it is taken for lost.
  due_at      timestamptz not null,
  problem     text,
  created_at  timestamptz not null,
  settled_at  timestamptz,
  -- When nobody needs to see it any more.
  expires_at  timestamptz not null default 'infinity',
  primary key (tenant_id, id),
  foreign key (tenant_id, client_id) references clients (tenant_id, client_id) on delete cascade
) with (fillfactor = 70);
create index backchannel_logouts_due on backchannel_logouts (tenant_id, due_at) where state = 'waiting';
select isolate_by_tenant('backchannel_logouts');
grant select, insert, update on backchannel_logouts to poort_app;

-- Nothing for an application that registered no address or is disabled.
create or replace function backchannel_logout_enqueue(p_tenant_id uuid, p_client_id text, p_account_id uuid, p_sid text) returns void
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  insert into backchannel_logouts (tenant_id, id, client_id, account_id, sid, due_at, created_at)
  select p_tenant_id, gen_random_uuid(), c.client_id, p_account_id, p_sid, now(), now()
    from clients c
   where c.tenant_id = p_tenant_id and c.client_id = p_client_id and c.status = 'active' and c.backchannel_logout_uri is not null;
end $$;
grant execute on function backchannel_logout_enqueue(uuid, text, uuid, text) to poort_app;

-- Every application that a session was used at. The engine keeps them by client, each with a `sid` of its own.
create function session_announce_end(p_tenant_id uuid, p_account_id uuid, p_payload json) returns void
language plpgsql security invoker as $$
begin
  if p_account_id is null then
    return;
  end if;
  perform backchannel_logout_enqueue(p_tenant_id, x.key, p_account_id, x.value ->> 'sid')
     from json_each(p_payload -> 'authorizations') x where x.value ->> 'sid' is not null;
end $$;
grant execute on function session_announce_end(uuid, uuid, json) to poort_app;

create function session_grants(p_payload json) returns bytea[]
language sql security invoker immutable as $$
  select array(select sha256(convert_to(x.value ->> 'grantId', 'UTF8')) from json_each(p_payload -> 'authorizations') x
                where x.value ->> 'grantId' is not null)
$$;
grant execute on function session_grants(json) to poort_app;

-- Ends a session and everything issued under it; no row when there is none. The session is locked first, here and wherever both are
-- changed, so that of two endings one finds nothing, and whoever was using it meanwhile loses (PT409) or is ended with it.
create function session_end(p_tenant_id uuid, p_session_uid text) returns table (account_id uuid, client_ids text[])
language plpgsql security invoker as $$
#variable_conflict use_column
declare
  ended  record;
  grants bytea[];
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  loop
    delete from artifacts a where a.tenant_id = p_tenant_id and a.kind = 'Session' and a.session_uid = p_session_uid
    returning a.account_id, a.payload into ended;
    exit when found;
    -- A sign-in may have given it a new identifier while this waited: the same session, in a row that could not be seen yet.
    if not exists (select from artifacts a where a.tenant_id = p_tenant_id and a.kind = 'Session' and a.session_uid = p_session_uid) then
      return;
    end if;
  end loop;
  grants := session_grants(ended.payload)
    || array(select a.grant_hash from artifacts a
              where a.tenant_id = p_tenant_id and a.account_id = ended.account_id and a.session_uid = p_session_uid
                and a.grant_hash is not null);
  delete from artifacts a where a.tenant_id = p_tenant_id and a.kind = 'Grant' and a.id_hash = any (grants);
  -- Again until nothing is left: an exchange that was under way leaves what it issued when this has waited for it. Locked in the
  -- order in which values are used up (0009), so that neither waits for the other.
  loop
    perform 1 from artifacts a where a.tenant_id = p_tenant_id and a.grant_hash = any (grants) order by a.id_hash for update;
    delete from artifacts a where a.tenant_id = p_tenant_id and a.grant_hash = any (grants);
    exit when not found;
  end loop;
  perform session_announce_end(p_tenant_id, ended.account_id, ended.payload);
  return query select ended.account_id, array(select json_object_keys(ended.payload -> 'authorizations'));
end $$;
grant execute on function session_end(uuid, text) to poort_app;

-- Ends everything of one person at this tenant: sessions, and what outlived or never had one (tokens of a session that expired,
-- devices, sign-ins under way). With `p_kept_session_uid` that one session stays, and what is under it.
create function account_end(p_tenant_id uuid, p_account_id uuid, p_kept_session_uid text)
returns table (session_uids text[], ended_grants integer)
language plpgsql security invoker as $$
#variable_conflict use_column
declare
  kept     bytea[] := '{}';
  ended    record;
  sessions text[] := '{}';
  grants   integer := 0;
  -- Whom to tell: client and `sid`, each pair once.
  told     text[] := '{}';
  deleted  boolean;
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  -- Sessions first and always in the same order, see session_end.
  perform 1 from artifacts a
    where a.tenant_id = p_tenant_id and a.account_id = p_account_id and a.kind = 'Session' order by a.session_uid for update;
  select coalesce(array_agg(g), '{}') into kept
    from artifacts a, unnest(session_grants(a.payload)) g
   where a.tenant_id = p_tenant_id and a.account_id = p_account_id and a.kind = 'Session' and a.session_uid = p_kept_session_uid;
  loop
    deleted := false;
    perform 1 from artifacts a
      where a.tenant_id = p_tenant_id and a.account_id = p_account_id and a.kind <> 'Session' order by a.id_hash for update;
    for ended in
      delete from artifacts a
       where a.tenant_id = p_tenant_id and a.account_id = p_account_id
         and (p_kept_session_uid is null
              or a.session_uid is distinct from p_kept_session_uid
                 and a.id_hash <> all (kept)
                 and (a.grant_hash is null or a.grant_hash <> all (kept))
                 and (a.kind <> 'Interaction' or a.payload -> 'session' ->> 'uid' is distinct from p_kept_session_uid))
      returning a.kind, a.session_uid, a.client_id, a.payload
    loop
      deleted := true;
      case ended.kind
        when 'Session' then
          sessions := sessions || ended.session_uid;
          told := told || array(select x.key || ' ' || (x.value ->> 'sid') from json_each(ended.payload -> 'authorizations') x
                                 where x.value ->> 'sid' is not null);
        when 'Grant' then
          grants := grants + 1;
        -- Of a session that is over already, perhaps: the application may still have one of its own.
        when 'RefreshToken' then
          told := told || (ended.client_id || ' ' || (ended.payload ->> 'sid'));
        else null;
      end case;
    end loop;
    exit when not deleted;
  end loop;
  perform backchannel_logout_enqueue(p_tenant_id, split_part(t, ' ', 1), p_account_id, split_part(t, ' ', 2))
     from (select distinct unnest(told) as t) x where t is not null;
  return query select sessions, grants;
end $$;
grant execute on function account_end(uuid, uuid, text) to poort_app;

-- As in 0009, but an application that gives its own token back (RFC 7009) is not told what it did: it might sign its user out for it.
-- Told is where a value was used twice, and where the person signed out of this one application.
create or replace function grant_end(p_tenant_id uuid, p_grant_hash bytea, p_events json) returns boolean
language plpgsql security invoker as $$
declare
  ended  record;
  gone   text[];
  ended_sid text;
begin
  delete from artifacts where tenant_id = p_tenant_id and kind = 'Grant' and id_hash = p_grant_hash
    returning client_id, account_id into ended;
  if not found then
    return false;
  end if;
  with deleted as (
    delete from artifacts where tenant_id = p_tenant_id and grant_hash = p_grant_hash returning payload ->> 'sid' as sid)
  select array_agg(distinct d.sid) filter (where d.sid is not null) into gone from deleted d;
  if p_events is not null then
    perform events_append(p_tenant_id, p_events);
  end if;
  if not exists (select from json_array_elements(p_events) e
                  where e ->> 'type' = 'token.reuse_detected' or e ->> 'actor_type' = 'user') then
    return true;
  end if;
  foreach ended_sid in array coalesce(gone, '{}') loop
    perform backchannel_logout_enqueue(p_tenant_id, ended.client_id, ended.account_id, ended_sid);
  end loop;
  return true;
end $$;

-- As in 0009, with `end_session`. A request's changes of sessions come first, so that all lock in one order: session, then the rest.
create or replace function artifacts_commit(p_tenant_id uuid, p_now timestamptz, p_operations json, p_events json) returns void
language plpgsql security invoker as $$
declare
  o record;
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  for o in
    select * from json_to_recordset(p_operations) as x (
      "do" text, kind text, id text, payload json, account_id uuid, client_id text, grant_id text, session_uid text,
      user_code text, expires_at timestamptz, required boolean, grace_seconds integer, successor text, while_unused boolean,
      events json)
  loop
    case o."do"
      when 'insert' then
        insert into artifacts (tenant_id, kind, id_hash, payload, account_id, client_id, grant_hash, session_uid,
                               user_code_hash, created_at, expires_at)
        values (p_tenant_id, o.kind, decode(o.id, 'hex'), o.payload, o.account_id, o.client_id, decode(o.grant_id, 'hex'),
                o.session_uid, decode(o.user_code, 'hex'), p_now, o.expires_at);
      -- A successor: whoever derives it makes the same row.
      when 'insert_if_absent' then
        insert into artifacts (tenant_id, kind, id_hash, payload, account_id, client_id, grant_hash, session_uid,
                               user_code_hash, created_at, expires_at)
        values (p_tenant_id, o.kind, decode(o.id, 'hex'), o.payload, o.account_id, o.client_id, decode(o.grant_id, 'hex'),
                o.session_uid, decode(o.user_code, 'hex'), p_now, o.expires_at)
        on conflict (tenant_id, kind, id_hash) do nothing;
      when 'upsert' then
        -- First as what it nearly always is: `insert … on conflict` also waits at the other unique indexes, and two requests of
        -- one session deadlocked there.
        update artifacts set payload = o.payload, account_id = o.account_id, client_id = o.client_id,
               grant_hash = decode(o.grant_id, 'hex'), session_uid = o.session_uid,
               user_code_hash = decode(o.user_code, 'hex'), expires_at = o.expires_at
         where tenant_id = p_tenant_id and kind = o.kind and id_hash = decode(o.id, 'hex');
        if not found then
          insert into artifacts as a (tenant_id, kind, id_hash, payload, account_id, client_id, grant_hash, session_uid,
                                 user_code_hash, created_at, expires_at)
          values (p_tenant_id, o.kind, decode(o.id, 'hex'), o.payload, o.account_id, o.client_id, decode(o.grant_id, 'hex'),
                  o.session_uid, decode(o.user_code, 'hex'), p_now, o.expires_at)
          on conflict (tenant_id, kind, id_hash) do update
            set payload = excluded.payload, account_id = excluded.account_id, client_id = excluded.client_id,
                grant_hash = excluded.grant_hash, session_uid = excluded.session_uid,
                user_code_hash = excluded.user_code_hash, expires_at = excluded.expires_at;
        end if;
      -- What this request has found must still be there: a sign-out in between must not be undone by it.
      when 'update' then
        update artifacts set payload = o.payload, account_id = o.account_id, client_id = o.client_id,
               grant_hash = decode(o.grant_id, 'hex'), session_uid = o.session_uid,
               user_code_hash = decode(o.user_code, 'hex'), expires_at = o.expires_at
         where tenant_id = p_tenant_id and kind = o.kind and id_hash = decode(o.id, 'hex') and consumed_at is null;
        if not found then
          raise exception 'gone' using errcode = 'PT409', detail = o.kind;
        end if;
      when 'take' then
        delete from artifacts where tenant_id = p_tenant_id and kind = o.kind and id_hash = decode(o.id, 'hex');
        if not found then
          raise exception 'gone' using errcode = 'PT409', detail = o.kind;
        end if;
      when 'consume' then
        if not artifact_consume(p_tenant_id, p_now, o.kind, decode(o.id, 'hex'), o.grace_seconds, decode(o.successor, 'hex'),
                                o.while_unused) then
          raise exception 'already consumed' using errcode = 'PT409', detail = o.kind;
        end if;
      when 'unique' then
        insert into artifacts (tenant_id, kind, id_hash, payload, created_at, expires_at)
        values (p_tenant_id, o.kind, decode(o.id, 'hex'), o.payload, p_now, o.expires_at)
        on conflict (tenant_id, kind, id_hash) do nothing;
        if not found then
          raise exception 'seen before' using errcode = 'PT409', detail = o.kind;
        end if;
      when 'destroy' then
        delete from artifacts where tenant_id = p_tenant_id and kind = o.kind and id_hash = decode(o.id, 'hex');
      -- What is left of a finished interaction for a day: enough for the page "this sign-in has expired" to lead back.
      when 'tombstone' then
        update artifacts set payload = '{}', account_id = null, session_uid = null, consumed_at = p_now, expires_at = o.expires_at
         where tenant_id = p_tenant_id and kind = o.kind and id_hash = decode(o.id, 'hex') and consumed_at is null;
        -- One answer ends it: a second one, however parallel, finds it over.
        if not found and o.required then
          raise exception 'already answered' using errcode = 'PT409', detail = o.kind;
        end if;
      when 'revoke' then
        delete from artifacts
         where tenant_id = p_tenant_id and grant_hash = decode(o.grant_id, 'hex') and (o.kind is null or kind = o.kind);
      when 'end_grant' then
        perform grant_end(p_tenant_id, decode(o.grant_id, 'hex'), o.events);
      when 'end_session' then
        perform session_end(p_tenant_id, o.session_uid);
    end case;
  end loop;
  if p_events is not null then
    perform events_append(p_tenant_id, p_events);
  end if;
end $$;

create function sessions_list(p_tenant_id uuid, p_account_id uuid, p_now timestamptz)
returns table (session_uid text, payload json, created_at timestamptz, expires_at timestamptz, applications json)
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  return query
    select a.session_uid, a.payload, a.created_at, a.expires_at,
           (select coalesce(json_agg(json_build_object('client_id', c.client_id, 'name', c.name) order by c.name, c.client_id), '[]')
              from json_object_keys(a.payload -> 'authorizations') k
              join clients c on c.tenant_id = p_tenant_id and c.client_id = k)
      from artifacts a
     where a.tenant_id = p_tenant_id and a.account_id = p_account_id and a.kind = 'Session' and a.expires_at > p_now
     order by a.created_at desc, a.session_uid limit 1000;
end $$;
grant execute on function sessions_list(uuid, uuid, timestamptz) to poort_app;

-- Sessions that nobody came back to: their applications are told. Tokens outlive them (docs/decisions/0016). How many.
create function sessions_expire(p_tenant_id uuid, p_now timestamptz, p_limit integer) returns integer
language plpgsql security invoker as $$
declare
  expired record;
  n       integer := 0;
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  for expired in
    delete from artifacts a
     where a.tenant_id = p_tenant_id and a.kind = 'Session' and a.id_hash = any (array(
       select s.id_hash from artifacts s
        where s.tenant_id = p_tenant_id and s.kind = 'Session' and s.account_id is not null and s.expires_at < p_now
        limit p_limit for update skip locked))
    returning a.account_id, a.payload
  loop
    n := n + 1;
    perform session_announce_end(p_tenant_id, expired.account_id, expired.payload);
  end loop;
  return n;
end $$;
grant execute on function sessions_expire(uuid, timestamptz, integer) to poort_app;

-- Takes what is due for delivery: at most `p_per_client` for each client and none for those that are busy, so that a slow receiver
-- holds up only itself. Several workers share: what one has locked the other passes over. What is taken is due again when the
-- lease ends, should the worker die.
create function backchannel_logouts_claim(p_tenant_id uuid, p_now timestamptz, p_lease_seconds integer, p_limit integer,
                                          p_per_client integer, p_busy text[])
returns table (id uuid, client_id text, account_id uuid, sid text, attempts integer, backchannel_logout_uri text, settings jsonb)
language plpgsql security invoker as $$
#variable_conflict use_column
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  return query
    with due as (
      select l.id, l.due_at, row_number() over (partition by l.client_id order by l.due_at, l.id) as place
        from backchannel_logouts l
       where l.tenant_id = p_tenant_id and l.state = 'waiting' and l.due_at <= p_now and l.client_id <> all (p_busy)),
    taken as (
      select l.id from backchannel_logouts l
       where l.tenant_id = p_tenant_id and l.state = 'waiting' and l.due_at <= p_now
         and l.id = any (array(select due.id from due where due.place <= p_per_client order by due.due_at, due.id limit p_limit))
         for update skip locked)
    update backchannel_logouts l
       set attempts = l.attempts + 1, due_at = p_now + make_interval(secs => p_lease_seconds)
      from taken, clients c
     where l.tenant_id = p_tenant_id and l.id = taken.id and c.tenant_id = p_tenant_id and c.client_id = l.client_id
    returning l.id, l.client_id, l.account_id, l.sid, l.attempts,
              case when c.status = 'active' then c.backchannel_logout_uri end, c.settings;
end $$;
grant execute on function backchannel_logouts_claim(uuid, timestamptz, integer, integer, integer, text[]) to poort_app;

-- What became of an attempt. False when it is no longer this worker's: its lease was over and another has it.
create function backchannel_logout_settle(p_tenant_id uuid, p_id uuid, p_attempt integer, p_now timestamptz, p_state text,
                                          p_problem text, p_due_at timestamptz, p_events json) returns boolean
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  update backchannel_logouts l
     set state = p_state, problem = p_problem, due_at = p_due_at,
         settled_at = case when p_state = 'waiting' then null else p_now end,
         -- A delivered one is shown for a day or two, a dead one for a month.
         expires_at = case p_state when 'waiting' then 'infinity' when 'delivered' then p_now else p_now + interval '29 days' end
   where l.tenant_id = p_tenant_id and l.id = p_id and l.attempts = p_attempt and l.state = 'waiting';
  if not found then
    return false;
  end if;
  if p_events is not null then
    perform events_append(p_tenant_id, p_events);
  end if;
  return true;
end $$;
grant execute on function backchannel_logout_settle(uuid, uuid, integer, timestamptz, text, text, timestamptz, json) to poort_app;

-- Across tenants the platform learns who has work and how much, and nothing else; the work is done as the tenant.
create policy definer_sees_undelivered on backchannel_logouts for select to poort_definer using (state <> 'delivered');
create policy definer_sees_past on backchannel_logouts for select to poort_definer using (expires_at < (now() - interval '1 day'));
create policy definer_sweeps_past on backchannel_logouts for delete to poort_definer using (expires_at < (now() - interval '1 day'));
grant select, delete on backchannel_logouts to poort_definer;

create function tenants_with_due_logouts(p_now timestamptz, p_limit integer) returns setof uuid
language sql security definer stable set search_path = pg_catalog, public, pg_temp as $$
  select l.tenant_id from public.backchannel_logouts l
   where l.state = 'waiting' and l.due_at <= p_now
   group by l.tenant_id order by min(l.due_at), l.tenant_id limit p_limit
$$;
grant execute on function tenants_with_due_logouts(timestamptz, integer) to poort_platform;

create function tenants_with_expired_sessions(p_limit integer) returns setof uuid
language sql security definer stable set search_path = pg_catalog, public, pg_temp as $$
  select distinct a.tenant_id from public.artifacts a
   where a.kind = 'Session' and a.account_id is not null and a.expires_at < now() - interval '5 minutes' limit p_limit
$$;
grant execute on function tenants_with_expired_sessions(integer) to poort_platform;

create function dead_logouts() returns integer
language sql security definer stable set search_path = pg_catalog, public, pg_temp as $$
  select count(*)::integer from public.backchannel_logouts l where l.state = 'dead'
$$;
grant execute on function dead_logouts() to poort_platform;

create function sweep_logouts(p_limit integer) returns integer
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
  swept integer;
begin
  delete from public.backchannel_logouts where ctid = any (array(
    select ctid from public.backchannel_logouts where expires_at < now() - interval '1 day' limit p_limit));
  get diagnostics swept = row_count;
  return swept;
end $$;
grant execute on function sweep_logouts(integer) to poort_platform;

grant poort_definer to current_user;
grant create on schema public to poort_definer;
alter function tenants_with_due_logouts(timestamptz, integer) owner to poort_definer;
alter function tenants_with_expired_sessions(integer) owner to poort_definer;
alter function dead_logouts() owner to poort_definer;
alter function sweep_logouts(integer) owner to poort_definer;
revoke create on schema public from poort_definer;
revoke poort_definer from current_user;
