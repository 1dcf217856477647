-- Why: programs and administrators manage a tenant over REST. A program that does not hear the answer to its POST asks again, and
-- must not make two of what it wanted one of; what an API key does is recorded as done by that key; and whoever reads the
-- tenant reads also what has come since the built-in roles were written.

create table idempotency_keys (
  tenant_id      uuid not null references tenants (id) on delete cascade,
  -- SHA-256 of who asked and of the key they chose; neither is kept.
  caller_hash    bytea not null check (length(caller_hash) = 32),
  key_hash       bytea not null check (length(key_hash) = 32),
  -- Of method, address and body: the same key for another wish is a mistake.
  request_hash   bytea not null check (length(request_hash) = 32),
  -- Null until the wish is granted. Sealed, for it can hold what is shown only once.
  answer_sealed  bytea,
  created_at     timestamptz not null,
  primary key (tenant_id, caller_hash, key_hash)
);
create index idempotency_keys_by_age on idempotency_keys (created_at);
select isolate_by_tenant('idempotency_keys');
grant select, insert, update, delete on idempotency_keys to poort_app;

create policy definer_sees_past on idempotency_keys for select to poort_definer using (created_at < now() - interval '1 day');
create policy definer_sweeps_past on idempotency_keys for delete to poort_definer using (created_at < now() - interval '1 day');
grant select, delete on idempotency_keys to poort_definer;
create function sweep_idempotency_keys(p_limit integer) returns integer
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
  swept integer;
begin
  delete from public.idempotency_keys where ctid = any (array(
    select ctid from public.idempotency_keys where created_at < now() - interval '1 day' limit p_limit));
  get diagnostics swept = row_count;
  return swept;
end $$;
grant execute on function sweep_idempotency_keys(integer) to poort_platform;
grant poort_definer to current_user;
grant create on schema public to poort_definer;
alter function sweep_idempotency_keys(integer) owner to poort_definer;
revoke create on schema public from poort_definer;
revoke poort_definer from current_user;

alter table events drop constraint events_actor_type_check;
alter table events add constraint events_actor_type_check check (actor_type in ('user', 'client', 'api_key', 'operator', 'system'));

-- The owner, too, sees only the tenant that is set; every tenant's built-in role is meant here, for the length of this transaction.
alter table roles no force row level security;
update roles set permissions = permissions || '{invitations:read,api-keys:read,keys:read,settings:read,webhooks:read}'
 where built_in and name = 'viewer';
alter table roles force row level security;
