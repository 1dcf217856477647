-- Why: whoever goes on after too many failures waits longer each time, a lock is not prolonged by trying on, and a person can be
-- let in again before it ends. One statement for all counters of an attempt, as before. The function of 0006 stays for the servers
-- of the version before, and for requests that are only counted (CIBA).

alter table sign_in_attempts
  -- Set when a counter goes over its limit. The window begins anew when it has passed.
  add column locked_until timestamptz,
  add column locks        integer not null default 0,
  -- The first of the locks that are remembered.
  add column locks_since  timestamptz,
  -- The counter of the identifier, for the counters of its addresses and devices: unlocking it unlocks them.
  add column part_of      bytea check (length(part_of) = 32);
create index sign_in_attempts_part_of on sign_in_attempts (tenant_id, part_of) where part_of is not null;

-- Counts one attempt on each of its counters, in their order, up to the first that is over its limit; that one is the answer. No row:
-- all are within. While any of them is locked, nothing is counted at all: an attempt that is refused must neither prolong a lock nor
-- fill the counter of somebody else. `began` is true for exactly one attempt of each lock.
create function sign_in_attempts_try(p_tenant_id uuid, p_now timestamptz, p_memory_seconds integer, p_keys bytea[], p_part_of bytea[],
                                     p_maximums integer[], p_window_seconds integer[], p_first_lock_seconds integer[],
                                     p_longest_lock_seconds integer[])
returns table (ordinal integer, locked_until timestamptz, began boolean)
language plpgsql security invoker as $$
#variable_conflict use_column
declare
  begins    timestamptz;
  remembers timestamptz := p_now - make_interval(secs => p_memory_seconds);
  counted   integer;
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  perform set_config('synchronous_commit', 'off', true);
  began := false;
  for i in 1 .. cardinality(p_keys) loop
    select a.locked_until into locked_until from sign_in_attempts a
     where a.tenant_id = p_tenant_id and a.key_hash = p_keys[i] and a.locked_until > p_now;
    if found then
      ordinal := i;
      return next;
      return;
    end if;
  end loop;
  -- Always in this order, so that two requests cannot wait for each other.
  for i in 1 .. cardinality(p_keys) loop
    begins := p_now - make_interval(secs => p_window_seconds[i]);
    insert into sign_in_attempts as a (tenant_id, key_hash, attempts, window_started_at, part_of)
    values (p_tenant_id, p_keys[i], 1, p_now, p_part_of[i])
    on conflict (tenant_id, key_hash) do update set
      attempts = case when a.locked_until > p_now then a.attempts
                      when a.locked_until is not null or a.window_started_at <= begins then 1 else a.attempts + 1 end,
      window_started_at = case when a.locked_until > p_now then a.window_started_at
                               when a.locked_until is not null or a.window_started_at <= begins then p_now
                               else a.window_started_at end,
      locked_until = case when a.locked_until > p_now then a.locked_until end
    returning a.attempts, a.locked_until into counted, locked_until;
    ordinal := i;
    -- Somebody who came at the same time began it.
    if locked_until is not null then
      return next;
      return;
    end if;
    if counted > p_maximums[i] then
      update sign_in_attempts a set
        locks = case when a.locks_since > remembers then a.locks + 1 else 1 end,
        locks_since = case when a.locks_since > remembers then a.locks_since else p_now end,
        window_started_at = p_now,
        locked_until = p_now + make_interval(secs => least(
          p_first_lock_seconds[i] * power(2, case when a.locks_since > remembers then least(a.locks, 20) else 0 end),
          greatest(p_first_lock_seconds[i], p_longest_lock_seconds[i])))
       where a.tenant_id = p_tenant_id and a.key_hash = p_keys[i]
      returning a.locked_until into locked_until;
      began := true;
      return next;
      return;
    end if;
  end loop;
end $$;
grant execute on function sign_in_attempts_try(uuid, timestamptz, integer, bytea[], bytea[], integer[], integer[], integer[], integer[])
  to poort_app;

-- As in 0006, but in the order in which they are counted, and a lock that has begun meanwhile stays what it is.
create or replace function sign_in_attempts_forgive(p_tenant_id uuid, p_cleared bytea, p_returned bytea[]) returns void
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  perform set_config('synchronous_commit', 'off', true);
  delete from sign_in_attempts where tenant_id = p_tenant_id and key_hash = p_cleared;
  for i in 1 .. cardinality(p_returned) loop
    update sign_in_attempts a set attempts = greatest(a.attempts - 1, 0)
     where a.tenant_id = p_tenant_id and a.key_hash = p_returned[i] and a.locked_until is null;
  end loop;
end $$;

-- Forgets an identifier's counter and those that are part of it.
create function sign_in_attempts_unlock(p_tenant_id uuid, p_key bytea) returns void
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  delete from sign_in_attempts where tenant_id = p_tenant_id and part_of = p_key;
  delete from sign_in_attempts where tenant_id = p_tenant_id and key_hash = p_key;
end $$;
grant execute on function sign_in_attempts_unlock(uuid, bytea) to poort_app;
