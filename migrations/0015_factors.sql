-- Why: whoever signs in with more than a password needs a place for the factors, and a sign-in that has only got half way must
-- be known to the server and to nobody else. Factors belong to the person, as the password does, and are seen by a tenant through
-- a membership; what is half done belongs to the tenant where it was begun (docs/decisions/0026).

-- For tables of things that are a person's and not a tenant's: the rule of `users`, by `user_id`.
create function isolate_by_membership(p_table regclass) returns void
language plpgsql set search_path = pg_catalog, public as $$
begin
  execute format('alter table %s enable row level security', p_table);
  execute format('alter table %s force row level security', p_table);
  execute format(
    'create policy members_only on %1$s'
    || ' using ((select true from memberships m where m.tenant_id = nullif(current_setting(''app.tenant_id'', true), '''')::uuid and m.user_id = %1$s.user_id))'
    || ' with check ((select true from memberships m where m.tenant_id = nullif(current_setting(''app.tenant_id'', true), '''')::uuid and m.user_id = %1$s.user_id))',
    p_table);
end $$;

-- RFC 6238. `pending` until a code has confirmed it; of each state at most one, so that a new one can be set up beside the old.
create table totp_factors (
  user_id        uuid not null references users (id) on delete cascade,
  state          text not null check (state in ('pending', 'active')),
  secret_sealed  bytea not null,
  -- The step of the last code that was accepted: an equal or earlier one never is again (RFC 6238 §5.2).
  last_step      integer not null default 0,
  created_at     timestamptz not null,
  primary key (user_id, state)
);
select isolate_by_membership('totp_factors');
grant select, insert, update, delete on totp_factors to poort_app;

-- SHA-256 of 80 random bits: nothing to guess, so nothing to slow down.
create table backup_codes (
  user_id     uuid not null references users (id) on delete cascade,
  code_hash   bytea not null check (length(code_hash) = 32),
  used_at     timestamptz,
  created_at  timestamptz not null,
  primary key (user_id, code_hash)
);
select isolate_by_membership('backup_codes');
grant select, insert, update, delete on backup_codes to poort_app;

-- WebAuthn credentials. A public key opens nothing.
create table passkeys (
  user_id        uuid not null references users (id) on delete cascade,
  credential_id  bytea not null check (length(credential_id) between 16 and 1023),
  rp_id          text not null,
  public_key     bytea not null,
  sign_count     bigint not null,
  transports     text[] not null default '{}',
  aaguid         uuid,
  -- Synced to other devices of the person (WebAuthn §6.1.3).
  backed_up      boolean not null,
  name           text not null check (length(name) between 1 and 100),
  created_at     timestamptz not null,
  last_used_at   timestamptz,
  primary key (user_id, credential_id)
);
-- One credential is one person's. Its name in a look-up, too: a passkey says which it is before it says whose.
create unique index passkeys_credential on passkeys (credential_id);
select isolate_by_membership('passkeys');
grant select, insert, update, delete on passkeys to poort_app;

-- A name to sign in with, unique within the tenant; the canonical form is what is looked up.
alter table memberships add column username text check (length(username) between 2 and 64);
alter table memberships add column username_canonical text;
create unique index memberships_username on memberships (tenant_id, username_canonical) where username_canonical is not null;

-- A sign-in that has got some way and no further. Known by where it was begun (the interaction of a browser, the token of a
-- program), for one person at one client, for so long and for so many tries.
create table pending_sign_ins (
  tenant_id   uuid not null,
  key_hash    bytea not null check (length(key_hash) = 32),
  user_id     uuid not null references users (id) on delete cascade,
  client_id   text not null,
  -- What has been proven: [{"method": "password", "at": "…"}]
  factors     json not null,
  -- What still has to be: a second factor of one's own, or first to set one up.
  wanted      text not null check (wanted in ('second_factor', 'enrolment')),
  tries       integer not null default 0,
  created_at  timestamptz not null,
  expires_at  timestamptz not null,
  primary key (tenant_id, key_hash)
);
create index pending_sign_ins_of_user on pending_sign_ins (tenant_id, user_id);
select isolate_by_tenant('pending_sign_ins');
grant select, insert, update, delete on pending_sign_ins to poort_app;

-- Counts a try, on its own, before anything is looked at. No row: over, somebody else's, or tried too often.
create function pending_sign_in_try(p_tenant_id uuid, p_key_hash bytea, p_client_id text, p_now timestamptz, p_maximum integer)
returns table (user_id uuid, factors json, wanted text, tries integer)
language plpgsql security invoker as $$
#variable_conflict use_column
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  return query
    update pending_sign_ins s set tries = s.tries + 1
     where s.tenant_id = p_tenant_id and s.key_hash = p_key_hash and s.client_id = p_client_id
       and s.expires_at > p_now and s.tries < p_maximum
    returning s.user_id, s.factors, s.wanted, s.tries;
end $$;
grant execute on function pending_sign_in_try(uuid, bytea, text, timestamptz, integer) to poort_app;

create function pending_sign_in_read(p_tenant_id uuid, p_key_hash bytea, p_client_id text, p_now timestamptz, p_maximum integer)
returns table (user_id uuid, factors json, wanted text, tries integer)
language plpgsql security invoker as $$
#variable_conflict use_column
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  return query
    select s.user_id, s.factors, s.wanted, s.tries from pending_sign_ins s
     where s.tenant_id = p_tenant_id and s.key_hash = p_key_hash and s.client_id = p_client_id
       and s.expires_at > p_now and s.tries < p_maximum;
end $$;
grant execute on function pending_sign_in_read(uuid, bytea, text, timestamptz, integer) to poort_app;

-- A browser in which a person has signed in before: a cookie of 256 random bits, known here by its SHA-256.
create table remembered_devices (
  tenant_id                  uuid not null,
  token_hash                 bytea not null check (length(token_hash) = 32),
  -- Names it on the person's page; opens nothing.
  id                         uuid not null,
  user_id                    uuid not null,
  user_agent                 text,
  ip                         text,
  created_at                 timestamptz not null,
  last_used_at               timestamptz not null,
  -- Until then no second factor is asked for here, because the person wished it and the tenant allows it.
  second_factor_spared_until timestamptz,
  expires_at                 timestamptz not null,
  primary key (tenant_id, token_hash),
  foreign key (tenant_id, user_id) references memberships (tenant_id, user_id) on delete cascade
);
create index remembered_devices_of_user on remembered_devices (tenant_id, user_id);
select isolate_by_tenant('remembered_devices');
grant select, insert, update, delete on remembered_devices to poort_app;

-- Everything a sign-in needs to know of one person, in one round trip. No row: nobody of this tenant.
create function sign_in_person_by_id(p_tenant_id uuid, p_user_id uuid, p_device_hash bytea default null)
returns table (id uuid, email text, password_hash text, email_verified boolean, given_name text, family_name text, locale text,
               active boolean, roles text[], totp boolean, backup_codes integer, passkeys integer,
               device_known boolean, second_factor_spared_until timestamptz)
language plpgsql security invoker as $$
#variable_conflict use_column
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  return query
    select u.id, u.email::text, u.password_hash, u.email_verified, u.given_name, u.family_name, u.locale,
           u.status = 'active' and m.status = 'active',
           (select e.roles from effective_roles(p_tenant_id, u.id) e),
           exists (select from totp_factors t where t.user_id = u.id and t.state = 'active'),
           (select count(*)::integer from backup_codes b where b.user_id = u.id and b.used_at is null),
           (select count(*)::integer from passkeys p where p.user_id = u.id),
           d.token_hash is not null,
           d.second_factor_spared_until
      from users u
      join memberships m on m.tenant_id = p_tenant_id and m.user_id = u.id
      left join remembered_devices d
             on d.tenant_id = p_tenant_id and d.token_hash = p_device_hash and d.user_id = u.id and d.expires_at > now()
     where u.id = p_user_id;
end $$;
grant execute on function sign_in_person_by_id(uuid, uuid, bytea) to poort_app;

-- The same by address or by name. A name never looks like an address (src/domain/username.ts), so there is at most one.
create function sign_in_person(p_tenant_id uuid, p_identifier text, p_device_hash bytea)
returns table (id uuid, email text, password_hash text, email_verified boolean, given_name text, family_name text, locale text,
               active boolean, roles text[], totp boolean, backup_codes integer, passkeys integer,
               device_known boolean, second_factor_spared_until timestamptz)
language plpgsql security invoker as $$
#variable_conflict use_column
declare
  found_id uuid;
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  select u.id into found_id from users u where u.email_canonical = p_identifier;
  if found_id is null then
    select m.user_id into found_id from memberships m where m.tenant_id = p_tenant_id and m.username_canonical = p_identifier;
  end if;
  return query select * from sign_in_person_by_id(p_tenant_id, found_id, p_device_hash);
end $$;
grant execute on function sign_in_person(uuid, text, bytea) to poort_app;

-- Where else a person is a member: a new password ends what the old one opened in all of these.
create policy definer_looks_up on memberships for select to poort_definer using (true);
grant select (tenant_id, user_id) on memberships to poort_definer;
create function tenants_of_person(p_user_id uuid) returns setof uuid
language sql security definer stable set search_path = pg_catalog, public, pg_temp as $$
  select m.tenant_id from public.memberships m where m.user_id = p_user_id order by m.tenant_id
$$;
grant execute on function tenants_of_person(uuid) to poort_platform;

-- For the function below: tenants that have a member whose TOTP secret is sealed otherwise.
create policy definer_looks_up on totp_factors for select to poort_definer using (true);
grant select on totp_factors to poort_definer;
-- Half-done sign-ins and forgotten browsers end by themselves; as in 0007, a day after they did.
create policy definer_sweeps on pending_sign_ins for delete to poort_definer using (expires_at < now() - interval '1 day');
create policy definer_sees on pending_sign_ins for select to poort_definer using (true);
create policy definer_sweeps on remembered_devices for delete to poort_definer using (expires_at < now() - interval '1 day');
create policy definer_sees on remembered_devices for select to poort_definer using (true);
grant select, delete on pending_sign_ins, remembered_devices to poort_definer;
create function sweep_half_done(p_limit integer) returns integer
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
  swept integer;
  more  integer;
begin
  delete from public.pending_sign_ins where ctid = any (array(
    select ctid from public.pending_sign_ins where expires_at < now() - interval '1 day' limit p_limit));
  get diagnostics swept = row_count;
  delete from public.remembered_devices where ctid = any (array(
    select ctid from public.remembered_devices where expires_at < now() - interval '1 day' limit p_limit));
  get diagnostics more = row_count;
  return swept + more;
end $$;
grant execute on function sweep_half_done(integer) to poort_platform;

grant poort_definer to current_user;
grant create on schema public to poort_definer;
-- As in 0012, and TOTP secrets.
create or replace function tenants_sealed_otherwise(p_key_id bytea, p_after uuid, p_limit integer) returns setof uuid
language sql security definer stable set search_path = pg_catalog, public, pg_temp as $$
  select s.tenant_id
    from (select k.tenant_id from public.signing_keys k where substring(k.private_sealed from 2 for 4) <> p_key_id
          union
          select m.tenant_id from public.totp_factors t join public.memberships m on m.user_id = t.user_id
           where substring(t.secret_sealed from 2 for 4) <> p_key_id) s
   where s.tenant_id > p_after
   order by s.tenant_id limit p_limit
$$;
alter function tenants_of_person(uuid) owner to poort_definer;
alter function sweep_half_done(integer) owner to poort_definer;
revoke create on schema public from poort_definer;
revoke poort_definer from current_user;
