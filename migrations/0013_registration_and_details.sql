-- Why: two extensions that a tenant may switch on need to keep something: what clients may register themselves with, and what APIs
-- let applications ask people for. Nothing here is used while they are off.

-- Clients may register themselves (RFC 7591) with an initial access token that an operator gave out: so many uses, until then, these
-- types and scopes at most. Each registered client holds one registration access token for its own entry (RFC 7592). Both are kept
-- as SHA-256 only, and used up by one conditional statement.

create table initial_access_tokens (
  tenant_id   uuid not null references tenants (id) on delete cascade,
  id          uuid not null,
  token_hash  bytea not null check (length(token_hash) = 32),
  types       text[] not null check (cardinality(types) > 0),
  scopes      text[] not null default '{}',
  uses_left   integer not null check (uses_left >= 0),
  expires_at  timestamptz not null,
  created_at  timestamptz not null,
  primary key (tenant_id, id),
  unique (tenant_id, token_hash)
);
select isolate_by_tenant('initial_access_tokens');
grant select, insert, update, delete on initial_access_tokens to poort_app;

create table client_registrations (
  tenant_id   uuid not null,
  client_id   text not null,
  token_hash  bytea not null check (length(token_hash) = 32),
  -- Which token it was registered with. No foreign key: that one is cleared away, this stays as long as the client.
  initial_access_token_id  uuid not null,
  created_at  timestamptz not null,
  primary key (tenant_id, client_id),
  foreign key (tenant_id, client_id) references clients (tenant_id, client_id) on delete cascade
);
select isolate_by_tenant('client_registrations');
grant select, insert, delete on client_registrations to poort_app;

-- What an API lets applications ask people for beyond scopes (RFC 9396). The sentence is what a person reads on the consent page;
-- the fields it names are all that such a request may hold, so that nobody agrees to what is not shown.
create table authorization_details_types (
  tenant_id   uuid not null references tenants (id) on delete cascade,
  type        text not null check (length(type) between 1 and 100),
  audience    text not null,
  sentence    text not null check (length(sentence) between 1 and 300),
  created_at  timestamptz not null,
  primary key (tenant_id, type),
  foreign key (tenant_id, audience) references apis (tenant_id, audience) on delete cascade
);
select isolate_by_tenant('authorization_details_types');
grant select, insert on authorization_details_types to poort_app;
create trigger announce_change after insert or update or delete on authorization_details_types
  for each row execute function announce_change();

create function authorization_details_types_read(p_tenant_id uuid)
returns table (type text, audience text, sentence text)
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  return query select t.type, t.audience, t.sentence from authorization_details_types t
    where t.tenant_id = p_tenant_id order by t.type limit 100;
end $$;
grant execute on function authorization_details_types_read(uuid) to poort_app;
