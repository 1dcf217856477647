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

-- Counts one attempt and answers with the counts, in the order of the keys. A window starts with its first attempt and is never
-- prolonged by later ones. Once the first key (this identifier from this address) is over its limit, the others are only read:
-- whoever was stopped must not be able to go on and lock the person out from everywhere else.
create function sign_in_attempts_count(p_tenant_id uuid, p_now timestamptz, p_window_seconds integer, p_first_maximum integer,
                                       p_keys bytea[])
returns table (ordinal integer, attempts integer, window_started_at timestamptz)
language plpgsql security invoker as $$
#variable_conflict use_column
declare
  begins timestamptz := p_now - make_interval(secs => p_window_seconds);
  stopped boolean := false;
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  perform set_config('synchronous_commit', 'off', true);
  -- Always in this order, so that two requests cannot wait for each other.
  for i in 1 .. cardinality(p_keys) loop
    ordinal := i;
    if stopped then
      select coalesce(max(case when a.window_started_at > begins then a.attempts end), 0), coalesce(max(a.window_started_at), p_now)
        into attempts, window_started_at
        from sign_in_attempts a where a.tenant_id = p_tenant_id and a.key_hash = p_keys[i];
    else
      insert into sign_in_attempts as a (tenant_id, key_hash, attempts, window_started_at)
      values (p_tenant_id, p_keys[i], 1, p_now)
      on conflict (tenant_id, key_hash) do update set
        attempts = case when a.window_started_at <= begins then 1 else a.attempts + 1 end,
        window_started_at = case when a.window_started_at <= begins then p_now else a.window_started_at end
      returning a.attempts, a.window_started_at into attempts, window_started_at;
    end if;
    stopped := stopped or (i = 1 and attempts > p_first_maximum);
    return next;
  end loop;
end $$;
grant execute on function sign_in_attempts_count(uuid, timestamptz, integer, integer, bytea[]) to poort_app;

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
