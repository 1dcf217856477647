-- Why: failed sign-ins are counted in a transaction of their own, before the password is looked at, so that neither a rolled
-- back sign-in nor a hundred parallel guesses can hide from the count. Unlogged: a crash of the database forgets counters, never people.

create unlogged table sign_in_attempts (
  tenant_id          uuid not null,
  key_hash           bytea not null check (length(key_hash) = 32),
  attempts           integer not null,
  window_started_at  timestamptz not null,
  primary key (tenant_id, key_hash)
) with (fillfactor = 70);
select isolate_by_tenant('sign_in_attempts');
grant select, insert, update, delete on sign_in_attempts to poort_app;

-- Counts one attempt on every key and answers with the counts, in the order of the keys. A window starts with its first
-- attempt and is never prolonged by later ones.
create function sign_in_attempts_count(p_tenant_id uuid, p_now timestamptz, p_window_seconds integer, p_keys bytea[])
returns table (ordinal bigint, attempts integer, window_started_at timestamptz)
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  perform set_config('synchronous_commit', 'off', true);
  return query
    with asked as (select k, o from unnest(p_keys) with ordinality as u (k, o)),
    -- Sorted, so that two requests with the same keys cannot wait for each other.
    counted as (
      insert into sign_in_attempts as a (tenant_id, key_hash, attempts, window_started_at)
      select p_tenant_id, k, 1, p_now from asked order by k
      on conflict (tenant_id, key_hash) do update set
        attempts = case when a.window_started_at <= p_now - make_interval(secs => p_window_seconds) then 1 else a.attempts + 1 end,
        window_started_at = case when a.window_started_at <= p_now - make_interval(secs => p_window_seconds) then p_now
                                 else a.window_started_at end
      returning a.key_hash, a.attempts, a.window_started_at)
    select asked.o, counted.attempts, counted.window_started_at
      from asked join counted on counted.key_hash = asked.k order by asked.o;
end $$;
grant execute on function sign_in_attempts_count(uuid, timestamptz, integer, bytea[]) to poort_app;

-- A success gives its own attempt back and clears the count of this person at this address.
create function sign_in_attempts_forgive(p_tenant_id uuid, p_cleared bytea, p_returned bytea[]) returns void
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  perform set_config('synchronous_commit', 'off', true);
  delete from sign_in_attempts where tenant_id = p_tenant_id and key_hash = p_cleared;
  update sign_in_attempts a set attempts = greatest(a.attempts - 1, 0)
    from (select k from unnest(p_returned) k order by k) r where a.tenant_id = p_tenant_id and a.key_hash = r.k;
end $$;
grant execute on function sign_in_attempts_forgive(uuid, bytea, bytea[]) to poort_app;
