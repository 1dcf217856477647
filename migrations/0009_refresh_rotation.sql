-- Why: a refresh token rotates in one line and can be repeated (docs/decisions/0019). Its successor is derived from it, so two
-- servers that rotate the same token make the same row; whoever comes second within the grace finds the work done. How long ago a
-- token was used is told by the database's clock: those of the servers may differ. When a token is used beyond its grace, the whole
-- grant dies, and what tells of it is written by the one request that ended it.
--
-- The functions that were replaced stay for servers of the version before; a later migration drops them.

-- What a client registered beyond the columns; src/domain/client_settings.ts owns what may stand in it.
alter table clients add column settings jsonb not null default '{}' check (jsonb_typeof(settings) = 'object');

create function client_find(p_tenant_id uuid, p_client_id text)
returns table (client_id text, name text, type text, first_party boolean, redirect_uris text[],
               post_logout_redirect_uris text[], backchannel_logout_uri text, scopes text[], audiences text[],
               token_endpoint_auth_method text, jwks jsonb, settings jsonb, secret_hashes text[])
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  return query
    select c.client_id, c.name, c.type, c.first_party, c.redirect_uris, c.post_logout_redirect_uris, c.backchannel_logout_uri,
           c.scopes, c.audiences, c.token_endpoint_auth_method, c.jwks, c.settings,
           array(select encode(s.secret_hash, 'hex') from client_secrets s
                  where s.tenant_id = p_tenant_id and s.client_id = c.client_id order by s.slot)
      from clients c
     where c.tenant_id = p_tenant_id and c.client_id = p_client_id and c.status = 'active';
end $$;
grant execute on function client_find(uuid, text) to poort_app;

-- As in 0002, but each inherited role can only be looked up by its whole key, whatever plan it becomes part of.
create or replace function effective_roles(p_tenant_id uuid, p_user_id uuid)
returns table (roles text[], permissions text[])
language sql security invoker stable as $$
  with recursive held as (
    select r.id, r.name, r.permissions, r.inherits
      from membership_roles mr
     cross join lateral (select o.id, o.name, o.permissions, o.inherits from roles o
                          where o.tenant_id = p_tenant_id and o.id = mr.role_id limit 1) r
     where mr.tenant_id = p_tenant_id and mr.user_id = p_user_id
    union
    select r.id, r.name, r.permissions, r.inherits
      from held h
     cross join lateral (select o.id, o.name, o.permissions, o.inherits from roles o
                          where o.tenant_id = p_tenant_id and o.id = h.inherits limit 1) r
  )
  select coalesce(array_agg(distinct name order by name), '{}'),
         coalesce((select array_agg(distinct p order by p) from held h2, unnest(h2.permissions) p), '{}')
    from held
$$;

-- One read answers for the artifact, its grant and, where it will be asked for next, its account; and for all artifacts that are
-- asked for at the same moment, in one plan: starting one costs more than a look-up. The settings keep that plan to index look-ups,
-- made once and for good, also while the table is young and its statistics say that reading all of it would be cheaper.
create function artifacts_read(p_tenant_id uuid, p_kinds text[], p_id_hashes bytea[], p_with_account boolean[])
returns table (ordinal integer, payload json, consumed_at timestamptz, consumed_seconds double precision,
               grant_hash bytea, grant_payload json, account json)
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
                 from users u cross join lateral effective_roles(p_tenant_id, u.id) e where u.id = a.account_id) r) end
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

-- Uses a single-use value up: true for the first who asks. With a grace, true also for who asks soon enough for the same
-- successor again; with `p_while_unused`, only until that has been used itself. Another successor (derived by a server that has
-- another master key yet) is refused: it would be a fork.
create function artifact_consume(p_tenant_id uuid, p_now timestamptz, p_kind text, p_id_hash bytea, p_grace_seconds integer,
                                 p_successor_hash bytea, p_while_unused boolean) returns boolean
language plpgsql security invoker as $$
begin
  -- What was used is kept to be recognised, but a device that is paired for years must not leave years of it.
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
                    where s.tenant_id = p_tenant_id and s.kind = p_kind and s.id_hash = p_successor_hash), false);
end $$;
grant execute on function artifact_consume(uuid, timestamptz, text, bytea, integer, bytea, boolean) to poort_app;

-- Tells the applications that are to hear of it that a grant ended. Nobody is told yet.
create function backchannel_logout_enqueue(p_tenant_id uuid, p_client_id text, p_account_id uuid, p_sid text) returns void
language plpgsql security invoker as $$
begin
  return;
end $$;
grant execute on function backchannel_logout_enqueue(uuid, text, uuid, text) to poort_app;

-- Ends a grant and all that was issued under it. True for the one who ended it: what tells of it is written then, and only then.
create function grant_end(p_tenant_id uuid, p_grant_hash bytea, p_events json) returns boolean
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
  foreach ended_sid in array coalesce(gone, '{}') loop
    perform backchannel_logout_enqueue(p_tenant_id, ended.client_id, ended.account_id, ended_sid);
  end loop;
  return true;
end $$;
grant execute on function grant_end(uuid, bytea, json) to poort_app;

-- As in 0005, with `consume` in its grace, `insert_if_absent` for successors, and `end_grant`.
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
    end case;
  end loop;
  if p_events is not null then
    perform events_append(p_tenant_id, p_events);
  end if;
end $$;

-- What many requests at once changed, in one transaction. Each request may use up one value (`p_consumptions`) and adds rows and
-- events, marked with its position; when its value was already used, nothing of it is written, and the others go on. Returns the
-- positions of those. The caller gives the consumptions in one order, so that two such transactions cannot wait for each other.
-- A successor (`p_successors`) may be there already: whoever rotates the same token makes the same one.
create function artifacts_commit_together(p_tenant_id uuid, p_now timestamptz, p_consumptions json, p_rows json, p_successors json,
                                          p_events json)
returns integer[]
language plpgsql security invoker as $$
declare
  c    record;
  lost integer[] := '{}';
  made text[] := '{}';
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  for c in
    select * from json_to_recordset(p_consumptions) as x (
      "position" integer, kind text, id text, grace_seconds integer, successor text, while_unused boolean)
  loop
    -- Repeated within this very call, where the successor is not written yet.
    if c.grace_seconds > 0 and c.successor = any (made) then
      continue;
    elsif artifact_consume(p_tenant_id, p_now, c.kind, decode(c.id, 'hex'), c.grace_seconds, decode(c.successor, 'hex'),
                           c.while_unused) then
      made := made || c.successor;
    else
      lost := lost || c."position";
    end if;
  end loop;
  if p_rows is not null then
    insert into artifacts (tenant_id, kind, id_hash, payload, account_id, client_id, grant_hash, session_uid,
                           user_code_hash, created_at, expires_at)
    select p_tenant_id, r.kind, decode(r.id, 'hex'), r.payload, r.account_id, r.client_id, decode(r.grant_id, 'hex'),
           r.session_uid, decode(r.user_code, 'hex'), p_now, r.expires_at
      from json_to_recordset(p_rows) as r ("position" integer, kind text, id text, payload json, account_id uuid, client_id text,
           grant_id text, session_uid text, user_code text, expires_at timestamptz)
     where r."position" <> all (lost);
  end if;
  if p_successors is not null then
    insert into artifacts (tenant_id, kind, id_hash, payload, account_id, client_id, grant_hash, session_uid,
                           user_code_hash, created_at, expires_at)
    select p_tenant_id, r.kind, decode(r.id, 'hex'), r.payload, r.account_id, r.client_id, decode(r.grant_id, 'hex'),
           r.session_uid, decode(r.user_code, 'hex'), p_now, r.expires_at
      from json_to_recordset(p_successors) as r ("position" integer, kind text, id text, payload json, account_id uuid,
           client_id text, grant_id text, session_uid text, user_code text, expires_at timestamptz)
     where r."position" <> all (lost)
    on conflict (tenant_id, kind, id_hash) do nothing;
  end if;
  if p_events is not null then
    if lost <> '{}' then
      p_events := (select json_agg(e) from json_array_elements(p_events) e where (e ->> 'position')::integer <> all (lost));
    end if;
    if p_events is not null then
      perform events_append(p_tenant_id, p_events);
    end if;
  end if;
  return lost;
end $$;
grant execute on function artifacts_commit_together(uuid, timestamptz, json, json, json, json) to poort_app;
