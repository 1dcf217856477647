-- Why: what the engine keeps (codes, tokens, grants, sessions, interactions …). The key is SHA-256 of the value, every look-up
-- has a plain column, the payload is never queried. A row is found only while its account, membership and client are alive,
-- so that no path through the engine can forget to ask.
-- No foreign key to `tenants`: every insert would lock the tenant's row; the client and the member are checked at each find.

create table artifacts (
  tenant_id       uuid not null,
  kind            text not null,
  id_hash         bytea not null check (length(id_hash) = 32),
  payload         json not null,
  account_id      uuid,
  client_id       text,
  grant_hash      bytea,
  session_uid     text,
  user_code_hash  bytea,
  consumed_at     timestamptz,
  created_at      timestamptz not null,
  expires_at      timestamptz not null,
  primary key (tenant_id, kind, id_hash)
) with (fillfactor = 85);
create index artifacts_by_grant on artifacts (tenant_id, grant_hash) where grant_hash is not null;
create index artifacts_by_account on artifacts (tenant_id, account_id) where account_id is not null;
create unique index artifacts_session_by_uid on artifacts (tenant_id, session_uid) where kind = 'Session';
create unique index artifacts_by_user_code on artifacts (tenant_id, user_code_hash) where user_code_hash is not null;
select isolate_by_tenant('artifacts');
grant select, insert, update, delete on artifacts to poort_app;

-- Whether the account and the client behind an artifact are enabled. Scalar subqueries on whole primary keys, here and below:
-- they can only be index look-ups, where joins and EXISTS were planned as scans of all of a tenant's grants or members
-- while a table was young and its statistics old.
create function artifact_is_alive(p_tenant_id uuid, p_account_id uuid, p_client_id text) returns boolean
language sql security invoker stable as $$
  select (p_account_id is null
          or (    (select m.status = 'active' from memberships m where m.tenant_id = p_tenant_id and m.user_id = p_account_id)
              and (select u.status = 'active' from users u where u.id = p_account_id)))
     and (p_client_id is null
          or (select c.status = 'active' from clients c where c.tenant_id = p_tenant_id and c.client_id = p_client_id))
$$;
grant execute on function artifact_is_alive(uuid, uuid, text) to poort_app;

-- One read answers for the artifact and its grant, and for all artifacts that are asked for at the same moment: an introspection
-- is at most one round trip.
create function artifacts_find(p_tenant_id uuid, p_kinds text[], p_id_hashes bytea[])
returns table (ordinal integer, payload json, consumed_at timestamptz, grant_hash bytea, grant_payload json)
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  for i in 1 .. cardinality(p_kinds) loop
    return query
      select i, a.payload, a.consumed_at, a.grant_hash,
             (select g.payload from artifacts g
               where g.tenant_id = p_tenant_id and g.kind = 'Grant' and g.id_hash = a.grant_hash)
        from artifacts a
       where a.tenant_id = p_tenant_id and a.kind = p_kinds[i] and a.id_hash = p_id_hashes[i]
         and (a.account_id is null
              or (    (select m.status = 'active' from memberships m where m.tenant_id = p_tenant_id and m.user_id = a.account_id)
                  and (select u.status = 'active' from users u where u.id = a.account_id)))
         and (a.client_id is null
              or (select c.status = 'active' from clients c where c.tenant_id = p_tenant_id and c.client_id = a.client_id));
  end loop;
end $$;
grant execute on function artifacts_find(uuid, text[], bytea[]) to poort_app;

create function session_find_by_uid(p_tenant_id uuid, p_session_uid text)
returns table (id_hash bytea, payload json)
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  return query
    select a.id_hash, a.payload from artifacts a
     where a.tenant_id = p_tenant_id and a.kind = 'Session' and a.session_uid = p_session_uid
       and artifact_is_alive(p_tenant_id, a.account_id, a.client_id);
end $$;
grant execute on function session_find_by_uid(uuid, text) to poort_app;

create function artifact_find_by_user_code(p_tenant_id uuid, p_user_code_hash bytea)
returns table (id_hash bytea, payload json, consumed_at timestamptz)
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  return query
    select a.id_hash, a.payload, a.consumed_at from artifacts a
     where a.tenant_id = p_tenant_id and a.user_code_hash = p_user_code_hash
       and artifact_is_alive(p_tenant_id, a.account_id, a.client_id);
end $$;
grant execute on function artifact_find_by_user_code(uuid, bytea) to poort_app;

-- Everything one request changed, in one transaction and one round trip: single-use values are consumed by one conditional
-- statement, and when any of them was already gone nothing of the request happens at all (SQLSTATE PT409, detail = kind).
create function artifacts_commit(p_tenant_id uuid, p_now timestamptz, p_operations json, p_events json) returns void
language plpgsql security invoker as $$
declare
  o record;
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  for o in
    select * from json_to_recordset(p_operations) as x (
      "do" text, kind text, id text, payload json, account_id uuid, client_id text, grant_id text, session_uid text,
      user_code text, expires_at timestamptz, required boolean)
  loop
    case o."do"
      when 'insert' then
        insert into artifacts (tenant_id, kind, id_hash, payload, account_id, client_id, grant_hash, session_uid,
                               user_code_hash, created_at, expires_at)
        values (p_tenant_id, o.kind, decode(o.id, 'hex'), o.payload, o.account_id, o.client_id, decode(o.grant_id, 'hex'),
                o.session_uid, decode(o.user_code, 'hex'), p_now, o.expires_at);
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
        update artifacts set consumed_at = p_now
         where tenant_id = p_tenant_id and kind = o.kind and id_hash = decode(o.id, 'hex')
           and consumed_at is null and expires_at > p_now;
        if not found then
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
    end case;
  end loop;
  if p_events is not null then
    perform events_append(p_tenant_id, p_events);
  end if;
end $$;
grant execute on function artifacts_commit(uuid, timestamptz, json, json) to poort_app;

create function interaction_tombstone(p_tenant_id uuid, p_id_hash bytea) returns table (client_id text)
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  return query select a.client_id from artifacts a
    where a.tenant_id = p_tenant_id and a.kind = 'Interaction' and a.id_hash = p_id_hash;
end $$;
grant execute on function interaction_tombstone(uuid, bytea) to poort_app;
