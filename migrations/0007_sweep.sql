-- Why: what has expired must not pile up. The sweeper asks by one function, in bounded batches; the policies let its owner see
-- and delete only rows that have been over for a while, so that even a mistake in the function could not touch a living one. A
-- day, because an expired sign-in still leads back to its application, and a used code is still recognised as used; minutes for
-- what nobody asks for again and strangers can make in any number.

create policy definer_sees_expired on artifacts for select to poort_definer using (expires_at < now() - interval '5 minutes');
create policy definer_sweeps_expired on artifacts for delete to poort_definer using (expires_at < now() - interval '5 minutes');
grant select, delete on artifacts to poort_definer;
create policy definer_sees_past on sign_in_attempts for select to poort_definer using (window_started_at < now() - interval '1 day');
create policy definer_sweeps_past on sign_in_attempts for delete to poort_definer using (window_started_at < now() - interval '1 day');
grant select, delete on sign_in_attempts to poort_definer;

-- How many rows went; fewer than the limit means that nothing is left. Zero while another process sweeps.
create function sweep_expired(p_limit integer) returns integer
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
  swept integer;
  past  integer;
begin
  if not pg_try_advisory_xact_lock(7067679) then
    return 0;
  end if;
  delete from public.artifacts where ctid = any (array(
    select ctid from public.artifacts where expires_at < now() - case when kind in ('PushedAuthorizationRequest', 'ReplayDetection', 'AccessToken')
                                                                  then interval '5 minutes' else interval '1 day' end
     limit p_limit));
  get diagnostics swept = row_count;
  delete from public.sign_in_attempts where ctid = any (array(
    select ctid from public.sign_in_attempts where window_started_at < now() - interval '1 day' limit p_limit));
  get diagnostics past = row_count;
  return swept + past;
end $$;
grant execute on function sweep_expired(integer) to poort_platform;
grant poort_definer to current_user;
grant create on schema public to poort_definer;
alter function sweep_expired(integer) owner to poort_definer;
revoke create on schema public from poort_definer;
revoke poort_definer from current_user;
