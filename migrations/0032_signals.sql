-- Why: whoever keeps an answer of ours for a few seconds (a resource server that asked about a token) must hear at once when it is no
-- longer true. What ends something is an event already, written in the transaction that ended it; from here on it is announced as that
-- transaction commits, with identifiers and nothing else. The list is the one of src/domain/signal.ts, and a test compares them.

create function announce_signal() returns trigger language plpgsql set search_path = pg_catalog, public, pg_temp as $$
begin
  perform pg_notify('poort_signals', json_strip_nulls(json_build_object(
    'id', new.id, 'tenant', new.tenant_id, 'type', new.type,
    'user_id', coalesce(new.user_id, new.data ->> 'user'),
    'client_id', case new.target_type when 'client' then new.target_id else new.client_id end,
    'session_id', new.session_id,
    'device_id', case new.target_type when 'device' then new.target_id else new.data ->> 'device_id' end))::text);
  return null;
end $$;
create trigger announce_signal after insert on events for each row when (new.type = any ('{
  api.disabled,
  api_key.revoked,
  client.disabled,
  client.secret_rotated,
  consent.revoked,
  device.expired,
  device.quarantined,
  device.revoked,
  device.transferred,
  devices.quarantined,
  devices.revoked,
  grant.revoked,
  key.retired,
  mfa.removed,
  mfa.reset,
  password.changed,
  password.reset,
  role.assigned,
  session.revoked,
  tenant.deleted,
  tenant.suspended,
  token.reuse_detected,
  token.revoked,
  user.deleted,
  user.disabled,
  user.signed_out
}'::text[])) execute function announce_signal();
