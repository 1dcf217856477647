-- Why: what a mailed link or code proves must be good once, for one purpose, at one tenant, and for so long. One table for all of
-- them, so that there is one place where they are made, looked at and used up (docs/decisions/0032). The database knows neither the
-- link's token nor the browser's handle, only their SHA-256; a code of eight digits is kept as an HMAC, because eight digits can be tried.
create table proofs (
  tenant_id    uuid not null,
  id           uuid not null,
  purpose      text not null check (purpose in ('registration', 'verification', 'email_change', 'password_reset', 'unlock', 'invitation')),
  -- Canonical. Whose mailbox it was sent to.
  address      text not null check (length(address) between 3 and 254),
  -- Whom it is about, where that is somebody who is known.
  user_id      uuid references users (id) on delete cascade,
  token_hash   bytea not null check (length(token_hash) = 32),
  -- Of the value that only the browser has in which it was asked for.
  handle_hash  bytea check (length(handle_hash) = 32),
  code_mac     bytea check (length(code_mac) = 32),
  tries        integer not null default 0,
  -- What waits to become true: a registration's names and password hash, an invitation's roles.
  payload      json not null,
  created_at   timestamptz not null,
  expires_at   timestamptz not null,
  ended        text check (ended in ('used', 'replaced', 'revoked')),
  ended_at     timestamptz,
  primary key (tenant_id, id)
);
create unique index proofs_token on proofs (tenant_id, token_hash);
create unique index proofs_handle on proofs (tenant_id, handle_hash) where handle_hash is not null;
create index proofs_of_address on proofs (tenant_id, address) where ended is null;
create index proofs_of_user on proofs (tenant_id, user_id) where ended is null;
create index proofs_over on proofs (expires_at);
select isolate_by_tenant('proofs');
grant select, insert, update, delete on proofs to poort_app;

-- Makes one. With `p_replaces` it is the only living one of its purpose for this person, or for this address where nobody is known.
create function proof_put(p_tenant_id uuid, p_id uuid, p_purpose text, p_address text, p_user_id uuid, p_token_hash bytea,
                          p_handle_hash bytea, p_code_mac bytea, p_payload json, p_now timestamptz, p_expires_at timestamptz,
                          p_replaces boolean) returns void
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  update proofs set ended = 'replaced', ended_at = p_now
   where p_replaces and tenant_id = p_tenant_id and ended is null and purpose = p_purpose and address = p_address;
  update proofs set ended = 'replaced', ended_at = p_now
   where p_replaces and tenant_id = p_tenant_id and ended is null and purpose = p_purpose and user_id = p_user_id;
  insert into proofs (tenant_id, id, purpose, address, user_id, token_hash, handle_hash, code_mac, payload, created_at, expires_at)
  values (p_tenant_id, p_id, p_purpose, p_address, p_user_id, p_token_hash, p_handle_hash, p_code_mac, p_payload, p_now, p_expires_at);
end $$;
grant execute on function proof_put(uuid, uuid, text, text, uuid, bytea, bytea, bytea, json, timestamptz, timestamptz, boolean) to poort_app;

-- A living one, by the token of its link or by the handle of its browser.
create function proof_read(p_tenant_id uuid, p_token_hash bytea, p_handle_hash bytea, p_now timestamptz)
returns table (id uuid, purpose text, address text, user_id uuid, handle_hash bytea, code_mac bytea, tries integer, payload json,
               expires_at timestamptz)
language plpgsql security invoker as $$
#variable_conflict use_column
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  return query
    select p.id, p.purpose, p.address, p.user_id, p.handle_hash, p.code_mac, p.tries, p.payload, p.expires_at from proofs p
     where p.tenant_id = p_tenant_id and p.token_hash = p_token_hash and p.ended is null and p.expires_at > p_now
    union all
    select p.id, p.purpose, p.address, p.user_id, p.handle_hash, p.code_mac, p.tries, p.payload, p.expires_at from proofs p
     where p.tenant_id = p_tenant_id and p.handle_hash = p_handle_hash and p.ended is null and p.expires_at > p_now;
end $$;

-- The same, and counts a try: on its own, before anything is looked at. No row when there were too many.
create function proof_try(p_tenant_id uuid, p_token_hash bytea, p_handle_hash bytea, p_now timestamptz, p_maximum integer)
returns table (id uuid, purpose text, address text, user_id uuid, handle_hash bytea, code_mac bytea, tries integer, payload json,
               expires_at timestamptz)
language plpgsql security invoker as $$
#variable_conflict use_column
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  return query
    update proofs p set tries = p.tries + 1
     where p.tenant_id = p_tenant_id and p.ended is null and p.expires_at > p_now and p.tries < p_maximum
       and p.id = any (array(select f.id from proofs f where f.tenant_id = p_tenant_id and f.token_hash = p_token_hash
                             union all
                             select f.id from proofs f where f.tenant_id = p_tenant_id and f.handle_hash = p_handle_hash))
    returning p.id, p.purpose, p.address, p.user_id, p.handle_hash, p.code_mac, p.tries, p.payload, p.expires_at;
end $$;
grant execute on function proof_read(uuid, bytea, bytea, timestamptz) to poort_app;
grant execute on function proof_try(uuid, bytea, bytea, timestamptz, integer) to poort_app;

-- What was mailed for this person at this tenant counts no more.
create function proofs_end_of_person(p_tenant_id uuid, p_user_id uuid, p_now timestamptz) returns void
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  update proofs set ended = 'replaced', ended_at = p_now where tenant_id = p_tenant_id and user_id = p_user_id and ended is null;
end $$;
grant execute on function proofs_end_of_person(uuid, uuid, timestamptz) to poort_app;

-- Nor do the browsers that it knows as theirs.
create function person_forget(p_tenant_id uuid, p_user_id uuid, p_now timestamptz) returns void
language plpgsql security invoker as $$
begin
  perform proofs_end_of_person(p_tenant_id, p_user_id, p_now);
  delete from remembered_devices where tenant_id = p_tenant_id and user_id = p_user_id;
end $$;
grant execute on function person_forget(uuid, uuid, timestamptz) to poort_app;

-- Beside the id (0002): whether the address was ever proven. Whoever holds an address that is not proven holds nothing.
grant select (email_verified) on users to poort_definer;
create function person_of_address(p_email_canonical text) returns table (id uuid, proven boolean)
language sql security definer stable set search_path = pg_catalog, public, pg_temp as $$
  select u.id, u.email_verified from public.users u where u.email_canonical = p_email_canonical
$$;
grant execute on function person_of_address(text) to poort_platform;

create policy definer_sees_past on proofs for select to poort_definer using (expires_at < now() - interval '1 day');
create policy definer_sweeps_past on proofs for delete to poort_definer using (expires_at < now() - interval '1 day');
grant select, delete on proofs to poort_definer;
create function sweep_proofs(p_limit integer) returns integer
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
  swept integer;
begin
  delete from public.proofs where ctid = any (array(
    select ctid from public.proofs where expires_at < now() - interval '1 day' limit p_limit));
  get diagnostics swept = row_count;
  return swept;
end $$;
grant execute on function sweep_proofs(integer) to poort_platform;

grant poort_definer to current_user;
grant create on schema public to poort_definer;
alter function person_of_address(text) owner to poort_definer;
alter function sweep_proofs(integer) owner to poort_definer;
revoke create on schema public from poort_definer;
revoke poort_definer from current_user;
