-- Why: a passkey answers a challenge, which is good once, for one purpose, where it was made (WebAuthn §13.4.3). The secret of an
-- app that is being set up belongs to the place where it is shown: whoever has the password could otherwise put theirs in front of
-- the owner's camera. A half-done sign-in can also wait for backup codes to be put away, or for a code that was mailed.

alter table totp_factors add column place_hash bytea check (length(place_hash) = 32);

alter table pending_sign_ins drop constraint pending_sign_ins_wanted_check;
alter table pending_sign_ins add constraint pending_sign_ins_wanted_check
  check (wanted in ('second_factor', 'enrolment', 'backup_codes'));
-- HMAC of eight digits under a key that the database does not have.
alter table pending_sign_ins add column email_code_hash bytea check (length(email_code_hash) = 32);
alter table pending_sign_ins add column email_code_expires_at timestamptz;
alter table pending_sign_ins add column email_codes_sent integer not null default 0;

-- One for each purpose at each place (an interaction, a session): a page that is shown again takes the former one's place.
create table passkey_challenges (
  tenant_id       uuid not null,
  place_hash      bytea not null check (length(place_hash) = 32),
  purpose         text not null check (purpose in ('sign_in', 'second_factor', 'registration')),
  challenge_hash  bytea not null check (length(challenge_hash) = 32),
  -- Whose answer it has to be; nobody knows yet where a sign-in begins.
  user_id         uuid references users (id) on delete cascade,
  expires_at      timestamptz not null,
  primary key (tenant_id, place_hash, purpose)
);
select isolate_by_tenant('passkey_challenges');
grant select, insert, update, delete on passkey_challenges to poort_app;

-- In place of the one that was made there before.
create function passkey_challenge_put(p_tenant_id uuid, p_place_hash bytea, p_purpose text, p_challenge_hash bytea, p_user_id uuid, p_expires_at timestamptz)
returns void
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  insert into passkey_challenges (tenant_id, place_hash, purpose, challenge_hash, user_id, expires_at)
  values (p_tenant_id, p_place_hash, p_purpose, p_challenge_hash, p_user_id, p_expires_at)
  on conflict (tenant_id, place_hash, purpose) do update
    set challenge_hash = excluded.challenge_hash, user_id = excluded.user_id, expires_at = excluded.expires_at;
end $$;
grant execute on function passkey_challenge_put(uuid, bytea, text, bytea, uuid, timestamptz) to poort_app;

create policy definer_sweeps on passkey_challenges for delete to poort_definer using (expires_at < now() - interval '1 day');
create policy definer_sees on passkey_challenges for select to poort_definer using (true);
grant select, delete on passkey_challenges to poort_definer;
create function sweep_passkey_challenges(p_limit integer) returns integer
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
  swept integer;
begin
  delete from public.passkey_challenges where ctid = any (array(
    select ctid from public.passkey_challenges where expires_at < now() - interval '1 day' limit p_limit));
  get diagnostics swept = row_count;
  return swept;
end $$;
grant execute on function sweep_passkey_challenges(integer) to poort_platform;

grant poort_definer to current_user;
grant create on schema public to poort_definer;
alter function sweep_passkey_challenges(integer) owner to poort_definer;
revoke create on schema public from poort_definer;
revoke poort_definer from current_user;
