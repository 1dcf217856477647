-- Why: a sign-in waited for the disk five times, and in a storm everybody else's commits waited behind those. What a crash may forget
-- is not waited for: an interaction and the challenge of a page are begun anew by whoever comes back. A sign-in itself, what proved
-- it, the session, the code and their events are on the disk before they are answered, as before.

-- Like artifacts_commit (0011), and on the disk a moment later. For interactions alone.
create function artifacts_commit_soon(p_tenant_id uuid, p_now timestamptz, p_operations json) returns void
language plpgsql security invoker as $$
begin
  perform set_config('synchronous_commit', 'off', true);
  perform artifacts_commit(p_tenant_id, p_now, p_operations, null);
end $$;
grant execute on function artifacts_commit_soon(uuid, timestamptz, json) to poort_app;

-- As in 0023.
create or replace function passkey_challenge_put(p_tenant_id uuid, p_place_hash bytea, p_purpose text, p_challenge_hash bytea, p_user_id uuid, p_expires_at timestamptz)
returns void
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  perform set_config('synchronous_commit', 'off', true);
  insert into passkey_challenges (tenant_id, place_hash, purpose, challenge_hash, user_id, expires_at)
  values (p_tenant_id, p_place_hash, p_purpose, p_challenge_hash, p_user_id, p_expires_at)
  on conflict (tenant_id, place_hash, purpose) do update
    set challenge_hash = excluded.challenge_hash, user_id = excluded.user_id, expires_at = excluded.expires_at;
end $$;
