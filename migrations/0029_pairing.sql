-- Why: the short address that a device shows (`/d/{code}`) names no tenant, so the platform finds it by the hash of the code: the only
-- question asked across tenants about a code, answered with an identifier and nothing else. And nobody pairs without end: what
-- somebody has, and what they have approved and no device has fetched yet, is counted before they approve one more.

create index artifacts_user_codes on artifacts (user_code_hash) where user_code_hash is not null;

-- The definer saw only what has expired (0007); a code that waits is the one living row it may find, by the hash alone.
create policy definer_finds_codes on artifacts for select to poort_definer using (user_code_hash is not null);

-- The tenant whose device waits with this code; null for a code that nobody could approve, and for one that two tenants have at once.
create function tenant_of_user_code(p_user_code_hash bytea, p_now timestamptz) returns uuid
language sql security definer stable set search_path = pg_catalog, public, pg_temp as $$
  select (array_agg(a.tenant_id))[1] from public.artifacts a
   where a.user_code_hash = p_user_code_hash and a.kind = 'DeviceCode' and a.expires_at > p_now and a.consumed_at is null
     and a.grant_hash is null and a.payload ->> 'error' is null
  having count(*) = 1
$$;
grant execute on function tenant_of_user_code(bytea, timestamptz) to poort_platform;
grant poort_definer to current_user;
grant create on schema public to poort_definer;
alter function tenant_of_user_code(bytea, timestamptz) owner to poort_definer;
revoke create on schema public from poort_definer;
revoke poort_definer from current_user;

-- How many devices this person has, those included that they have approved and that have yet to come for their tokens.
create function devices_count(p_tenant_id uuid, p_user_id uuid, p_now timestamptz) returns integer
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  return (select count(*) from devices d where d.tenant_id = p_tenant_id and d.user_id = p_user_id and d.state <> 'retired')
       + (select count(*) from artifacts a
           where a.tenant_id = p_tenant_id and a.account_id = p_user_id and a.kind = 'DeviceCode' and a.consumed_at is null
             and a.expires_at > p_now);
end $$;
grant execute on function devices_count(uuid, uuid, timestamptz) to poort_app;
