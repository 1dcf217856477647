-- Why: a client that waits for a person on another device asks again and again (CIBA §7.3, RFC 8628 §3.5), and how often is for the
-- server to say. Whether a poll comes too early is decided by one conditional statement, so that of two at once one is early. And a
-- person is shown what waits for them, which is asked for by who they are. No default and no rewrite: the old version goes on serving.

alter table artifacts add column polled_at timestamptz;

-- False when the last poll that was let through is less than the interval ago, or there is nothing to poll for.
create function artifact_poll(p_tenant_id uuid, p_kind text, p_id_hash bytea, p_now timestamptz, p_interval_seconds integer)
returns boolean
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  perform set_config('synchronous_commit', 'off', true);
  update artifacts a set polled_at = p_now
   where a.tenant_id = p_tenant_id and a.kind = p_kind and a.id_hash = p_id_hash
     and (a.polled_at is null or a.polled_at <= p_now - make_interval(secs => p_interval_seconds));
  return found;
end $$;
grant execute on function artifact_poll(uuid, text, bytea, timestamptz, integer) to poort_app;

create index artifacts_backchannel_requests on artifacts (tenant_id, account_id)
  where kind = 'BackchannelAuthenticationRequest' and grant_hash is null;

-- What waits for one person's answer, the latest first.
create function backchannel_requests_pending(p_tenant_id uuid, p_account_id uuid, p_now timestamptz, p_limit integer)
returns table (id_hash bytea, client_id text, payload json, created_at timestamptz, expires_at timestamptz)
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  return query
    select a.id_hash, a.client_id, a.payload, a.created_at, a.expires_at
      from artifacts a
     where a.tenant_id = p_tenant_id and a.account_id = p_account_id and a.kind = 'BackchannelAuthenticationRequest'
       and a.grant_hash is null and a.consumed_at is null and a.expires_at > p_now and a.payload ->> 'error' is null
       and artifact_is_alive(p_tenant_id, a.account_id, a.client_id)
     order by a.created_at desc, a.id_hash limit p_limit;
end $$;
grant execute on function backchannel_requests_pending(uuid, uuid, timestamptz, integer) to poort_app;
