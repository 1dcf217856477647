-- Why: what a person has agreed to must outlive the browser in which they did, so that they are asked once and again only when
-- something new is wanted; and they must be able to see it and take it back, with everything that came of it. Kept is what was
-- agreed to, in full words of the protocol; what an API was told once (RFC 9396) is not.

create table consents (
  tenant_id        uuid not null,
  user_id          uuid not null,
  client_id        text not null,
  -- What kind of application was agreed to. One that has become another kind was not.
  client_type      text not null,
  scopes           text[] not null default '{}',
  -- Claims that were asked for by themselves (OpenID Connect Core 1.0 §5.5).
  claims           text[] not null default '{}',
  -- Scopes of APIs, each as `audience scope`: neither holds a space.
  resource_scopes  text[] not null default '{}',
  granted_at       timestamptz not null,
  -- When something was last added.
  updated_at       timestamptz not null,
  primary key (tenant_id, user_id, client_id),
  foreign key (tenant_id, user_id) references memberships (tenant_id, user_id) on delete cascade,
  foreign key (tenant_id, client_id) references clients (tenant_id, client_id) on delete cascade
);
create index consents_of_client on consents (tenant_id, client_id);
select isolate_by_tenant('consents');
grant select, insert, update, delete on consents to poort_app;

-- Agreeing and taking back wait for each other at the membership: whichever comes last decides over the consent and its grants alike.
create function consent_remember(p_tenant_id uuid, p_consent json, p_now timestamptz) returns void
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  perform 1 from memberships m
    where m.tenant_id = p_tenant_id and m.user_id = (p_consent ->> 'user_id')::uuid for no key update;
  insert into consents as c (tenant_id, user_id, client_id, client_type, scopes, claims, resource_scopes, granted_at, updated_at)
  select p_tenant_id, n.user_id, n.client_id, n.client_type, n.scopes, n.claims, n.resource_scopes, p_now, p_now
    from json_to_record(p_consent) as n (user_id uuid, client_id text, client_type text, scopes text[], claims text[],
                                         resource_scopes text[])
  on conflict (tenant_id, user_id, client_id) do update
    set client_type = excluded.client_type, updated_at = excluded.updated_at,
        scopes = array(select distinct unnest(case when c.client_type = excluded.client_type then c.scopes else '{}' end
                                              || excluded.scopes) order by 1),
        claims = array(select distinct unnest(case when c.client_type = excluded.client_type then c.claims else '{}' end
                                              || excluded.claims) order by 1),
        resource_scopes = array(select distinct unnest(case when c.client_type = excluded.client_type then c.resource_scopes
                                                            else '{}' end || excluded.resource_scopes) order by 1);
end $$;
grant execute on function consent_remember(uuid, json, timestamptz) to poort_app;

-- What a request changed, and what its person agreed to in it: both or neither.
create function artifacts_commit_with_consent(p_tenant_id uuid, p_now timestamptz, p_operations json, p_events json, p_consent json)
returns void language plpgsql security invoker as $$
begin
  perform artifacts_commit(p_tenant_id, p_now, p_operations, p_events);
  perform consent_remember(p_tenant_id, p_consent, p_now);
end $$;
grant execute on function artifacts_commit_with_consent(uuid, timestamptz, json, json, json) to poort_app;

create function consent_read(p_tenant_id uuid, p_user_id uuid, p_client_id text)
returns table (scopes text[], claims text[], resource_scopes text[])
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  return query
    select c.scopes, c.claims, c.resource_scopes from consents c
      join clients a on a.tenant_id = p_tenant_id and a.client_id = c.client_id and a.status = 'active' and a.type = c.client_type
     where c.tenant_id = p_tenant_id and c.user_id = p_user_id and c.client_id = p_client_id;
end $$;
grant execute on function consent_read(uuid, uuid, text) to poort_app;

create function consents_list(p_tenant_id uuid, p_user_id uuid)
returns table (client_id text, name text, scopes text[], claims text[], resource_scopes text[], granted_at timestamptz,
               updated_at timestamptz)
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  return query
    select c.client_id, a.name, c.scopes, c.claims, c.resource_scopes, c.granted_at, c.updated_at from consents c
      join clients a on a.tenant_id = p_tenant_id and a.client_id = c.client_id
     where c.tenant_id = p_tenant_id and c.user_id = p_user_id
     order by a.name, c.client_id limit 1000;
end $$;
grant execute on function consents_list(uuid, uuid) to poort_app;

-- Takes a consent back and ends everything the application has of this person: grants, tokens of every form (a JWT lives by its
-- grant), codes on their way, and what was exchanged for one of them. The session stays; an answer that the person gives at this
-- moment in another tab counts as given after it.
create function consent_revoke(p_tenant_id uuid, p_user_id uuid, p_client_id text)
returns table (remembered boolean, ended_grants integer)
language plpgsql security invoker as $$
#variable_conflict use_column
declare
  ended   record;
  grants  bytea[];
  told    text[] := '{}';
  count   integer := 0;
  deleted boolean;
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  perform 1 from memberships m where m.tenant_id = p_tenant_id and m.user_id = p_user_id for no key update;
  delete from consents c where c.tenant_id = p_tenant_id and c.user_id = p_user_id and c.client_id = p_client_id;
  remembered := found;
  -- Again until nothing is left, and locked in one order: see session_end in 0011.
  loop
    deleted := false;
    grants := array(select a.id_hash from artifacts a
                     where a.tenant_id = p_tenant_id and a.account_id = p_user_id and a.kind = 'Grant' and a.client_id = p_client_id);
    perform 1 from artifacts a
      where a.tenant_id = p_tenant_id and a.account_id = p_user_id and a.kind not in ('Session', 'Interaction')
        and (a.client_id = p_client_id or a.grant_hash = any (grants)) order by a.id_hash for update;
    for ended in
      delete from artifacts a
       where a.tenant_id = p_tenant_id and a.account_id = p_user_id and a.kind not in ('Session', 'Interaction')
         and (a.client_id = p_client_id or a.grant_hash = any (grants))
      returning a.kind, a.client_id, a.payload
    loop
      deleted := true;
      if ended.kind = 'Grant' then
        count := count + 1;
      elsif ended.client_id = p_client_id and ended.payload ->> 'sid' is not null then
        told := told || (ended.payload ->> 'sid');
      end if;
    end loop;
    exit when not deleted;
  end loop;
  perform backchannel_logout_enqueue(p_tenant_id, p_client_id, p_user_id, t) from (select distinct unnest(told) as t) x;
  return query select remembered, count;
end $$;
grant execute on function consent_revoke(uuid, uuid, text) to poort_app;
