-- Why: whoever administers a tenant asks its history who did what, to what, from where and in which request, and gets an answer in
-- milliseconds however long that history is. Time needs no index of its own: the identifier of an event begins with it.
--
-- Tokens that were issued are left out. They are nine of ten rows, nobody reads them as history, and every index entry would be paid for
-- by every token; whoever asks for them is served from the primary key, in bounded parts (src/storage/tables/audit.ts).

create index events_by_actor on events (tenant_id, actor_id, id) where type <> 'token.issued';
create index events_by_target on events (tenant_id, target_id, id) where type <> 'token.issued';
create index events_by_type on events (tenant_id, type, id) where type <> 'token.issued';
create index events_by_client on events (tenant_id, client_id, id) where type <> 'token.issued' and client_id is not null;
create index events_by_address on events (tenant_id, ip, id) where type <> 'token.issued' and ip is not null;
create index events_by_request on events (tenant_id, request_id, id) where type <> 'token.issued' and request_id is not null;

-- Lists of clients and APIs are shown in parts, in the order in which they were made. By time, because no comparison of texts may use an
-- index under row level security.
create index clients_by_age on clients (tenant_id, created_at, client_id);
create index apis_by_age on apis (tenant_id, created_at, audience);

-- Clients and APIs that are not needed any more are removed, with everything that hangs on them. What happened stays in `events`.
grant delete on clients to poort_app;
grant delete on apis to poort_app;
