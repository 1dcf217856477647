-- Why: what a tenant registers: its clients with at most two live secrets each, its APIs (resource servers, RFC 8707) and
-- its signing keys. A change of any of them tells every process, so that caches are never older than the change.

create table clients (
  tenant_id                   uuid not null references tenants (id) on delete cascade,
  client_id                   text not null check (client_id ~ '^[A-Za-z0-9_-]{1,64}$'),
  name                        text not null check (length(name) between 1 and 100),
  type                        text not null check (type in ('web', 'spa', 'native', 'device', 'machine', 'resource_server')),
  status                      text not null default 'active' check (status in ('active', 'disabled')),
  first_party                 boolean not null default false,
  redirect_uris               text[] not null default '{}',
  post_logout_redirect_uris   text[] not null default '{}',
  backchannel_logout_uri      text,
  scopes                      text[] not null default '{}',
  -- For a resource server: the audiences it stands for. Empty: every API of its tenant.
  audiences                   text[] not null default '{}',
  token_endpoint_auth_method  text not null,
  jwks                        jsonb,
  created_at                  timestamptz not null,
  updated_at                  timestamptz not null,
  primary key (tenant_id, client_id)
);
select isolate_by_tenant('clients');
grant select, insert, update on clients to poort_app;

-- Two slots, so that a secret can be rotated without an outage and a third one cannot exist. Only SHA-256 of a secret is
-- kept: it is 256 random bits, which no dictionary holds.
create table client_secrets (
  tenant_id    uuid not null,
  client_id    text not null,
  slot         smallint not null check (slot in (1, 2)),
  secret_hash  bytea not null check (length(secret_hash) = 32),
  created_at   timestamptz not null,
  primary key (tenant_id, client_id, slot),
  foreign key (tenant_id, client_id) references clients (tenant_id, client_id) on delete cascade
);
select isolate_by_tenant('client_secrets');
grant select, insert, update, delete on client_secrets to poort_app;

create table apis (
  tenant_id     uuid not null references tenants (id) on delete cascade,
  audience      text not null check (length(audience) between 1 and 500),
  token_format  text not null default 'jwt' check (token_format in ('jwt', 'opaque')),
  signing_alg   text not null default 'ES256' check (signing_alg in ('ES256', 'RS256', 'EdDSA')),
  scopes        jsonb not null default '[]',
  status        text not null default 'active' check (status in ('active', 'disabled')),
  created_at    timestamptz not null,
  primary key (tenant_id, audience)
);
select isolate_by_tenant('apis');
grant select, insert, update on apis to poort_app;

-- The private part is sealed with the master key and bound to tenant and kid: a row copied elsewhere opens nowhere.
create table signing_keys (
  tenant_id       uuid not null references tenants (id) on delete cascade,
  kid             text not null check (length(kid) between 8 and 64),
  alg             text not null check (alg in ('ES256', 'RS256', 'EdDSA')),
  status          text not null check (status in ('next', 'active', 'retired')),
  public_jwk      jsonb not null check (not public_jwk ?| array['d', 'p', 'q', 'dp', 'dq', 'qi', 'k']),
  private_sealed  bytea not null,
  created_at      timestamptz not null,
  primary key (tenant_id, kid)
);
create unique index one_active_signing_key on signing_keys (tenant_id, alg) where status = 'active';
select isolate_by_tenant('signing_keys');
grant select, insert, update on signing_keys to poort_app;

create function announce_change() returns trigger language plpgsql set search_path = pg_catalog, public as $$
declare
  changed record := case tg_op when 'DELETE' then old else new end;
  tenant  uuid   := case tg_table_name when 'tenants' then (to_jsonb(changed) ->> 'id')::uuid
                                       else (to_jsonb(changed) ->> 'tenant_id')::uuid end;
  item    text   := case tg_table_name when 'clients' then to_jsonb(changed) ->> 'client_id'
                                       when 'client_secrets' then to_jsonb(changed) ->> 'client_id'
                                       when 'tenants' then to_jsonb(changed) ->> 'slug'
                                       else '' end;
begin
  perform pg_notify('poort_changes', json_build_object('table', tg_table_name, 'tenant', tenant, 'item', item)::text);
  return null;
end $$;
create trigger announce_change after insert or update or delete on tenants        for each row execute function announce_change();
create trigger announce_change after insert or update or delete on clients        for each row execute function announce_change();
create trigger announce_change after insert or update or delete on client_secrets for each row execute function announce_change();
create trigger announce_change after insert or update or delete on apis           for each row execute function announce_change();
create trigger announce_change after insert or update or delete on signing_keys   for each row execute function announce_change();

create function client_read(p_tenant_id uuid, p_client_id text)
returns table (client_id text, name text, type text, first_party boolean, redirect_uris text[],
               post_logout_redirect_uris text[], backchannel_logout_uri text, scopes text[], audiences text[],
               token_endpoint_auth_method text, jwks jsonb, secret_hashes text[])
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  return query
    select c.client_id, c.name, c.type, c.first_party, c.redirect_uris, c.post_logout_redirect_uris, c.backchannel_logout_uri,
           c.scopes, c.audiences, c.token_endpoint_auth_method, c.jwks,
           array(select encode(s.secret_hash, 'hex') from client_secrets s
                  where s.tenant_id = p_tenant_id and s.client_id = c.client_id order by s.slot)
      from clients c
     where c.tenant_id = p_tenant_id and c.client_id = p_client_id and c.status = 'active';
end $$;
grant execute on function client_read(uuid, text) to poort_app;

create function tenant_material(p_tenant_id uuid)
returns table (keys json, apis json)
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  return query select
    (select coalesce(json_agg(json_build_object('kid', k.kid, 'alg', k.alg, 'status', k.status, 'public_jwk', k.public_jwk,
                                                'private_sealed', encode(k.private_sealed, 'base64'))
                              order by k.created_at), '[]') from signing_keys k where k.tenant_id = p_tenant_id),
    (select coalesce(json_agg(json_build_object('audience', a.audience, 'token_format', a.token_format,
                                                'signing_alg', a.signing_alg, 'scopes', a.scopes)
                              order by a.audience), '[]')
       from apis a where a.tenant_id = p_tenant_id and a.status = 'active');
end $$;
grant execute on function tenant_material(uuid) to poort_app;

-- Readiness: how many active tenants could not sign a token. A number, nothing about which.
create policy definer_counts on signing_keys for select to poort_definer using (true);
create policy definer_counts on tenants for select to poort_definer using (true);
grant select (tenant_id, alg, status) on signing_keys to poort_definer;
grant select (id, status) on tenants to poort_definer;
create function tenants_without_active_keys() returns integer
language sql security definer stable set search_path = pg_catalog, public, pg_temp as $$
  select count(*)::int from public.tenants t
   where t.status = 'active'
     and (select count(*) from public.signing_keys k
           where k.tenant_id = t.id and k.status = 'active' and k.alg in ('ES256', 'RS256')) < 2
$$;
grant execute on function tenants_without_active_keys() to poort_platform;
grant poort_definer to current_user;
grant create on schema public to poort_definer;
alter function tenants_without_active_keys() owner to poort_definer;
revoke create on schema public from poort_definer;
revoke poort_definer from current_user;
