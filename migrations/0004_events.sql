-- Why: one pipe for everything that happened. The table is the audit log and the outbox; a row is written in the transaction
-- that made it true and never changes again, whoever asks: by grant for the roles of the product, by trigger for the owner.
-- No foreign key to `tenants`: history outlives what it tells about, and the hot path would lock one tenant's row for every token.

create table events (
  tenant_id    uuid not null,
  id           uuid not null,
  occurred_at  timestamptz not null,
  type         text not null check (type ~ '^[a-z_]+\.[a-z_]+$'),
  outcome      text not null check (outcome in ('success', 'failure')),
  reason       text,
  actor_type   text check (actor_type in ('user', 'client', 'operator', 'system')),
  actor_id     text,
  target_type  text,
  target_id    text,
  client_id    text,
  session_id   text,
  ip           text,
  user_agent   text,
  request_id   text,
  data         json,
  primary key (tenant_id, id)
);
select isolate_by_tenant('events');
grant select, insert on events to poort_app;

create function refuse_change_of_events() returns trigger language plpgsql set search_path = pg_catalog, public as $$
begin
  raise exception 'events are append-only' using errcode = 'insufficient_privilege';
end $$;
create trigger append_only_rows before update or delete on events for each row execute function refuse_change_of_events();
create trigger append_only_table before truncate on events for each statement execute function refuse_change_of_events();

create function events_append(p_tenant_id uuid, p_events json) returns void
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  insert into events (tenant_id, id, occurred_at, type, outcome, reason, actor_type, actor_id, target_type, target_id,
                      client_id, session_id, ip, user_agent, request_id, data)
  select p_tenant_id, e.id, e.occurred_at, e.type, e.outcome, e.reason, e.actor_type, e.actor_id, e.target_type, e.target_id,
         e.client_id, e.session_id, e.ip, e.user_agent, e.request_id, e.data
    from json_to_recordset(p_events) as e (id uuid, occurred_at timestamptz, type text, outcome text, reason text,
         actor_type text, actor_id text, target_type text, target_id text, client_id text, session_id text, ip text,
         user_agent text, request_id text, data json);
end $$;
grant execute on function events_append(uuid, json) to poort_app;
