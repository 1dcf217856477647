-- Why: people see what happened to their account and leave when they wish. Events are found by whom they are about; a membership
-- can have an end that is waited for; and of somebody who belongs to no tenant any more nothing is kept (docs/decisions/0031).

-- Whose history an event is part of. Not a token that was issued: there are many of these, nobody reads them as history, and it
-- would cost every one of them an index entry. Generated, so that whatever writes an event cannot forget it.
alter table events add column user_id text generated always as (
  case when type = 'token.issued' then null
       when target_type = 'user' then target_id
       else coalesce(data ->> 'user_id', case when actor_type = 'user' then actor_id end) end) stored;
create index events_of_user on events (tenant_id, user_id, id desc) where user_id is not null;

-- The latest first, from `p_since` on and before the event `p_before`; only of these types unless that is null.
create function events_of_person(p_tenant_id uuid, p_user_id uuid, p_types text[], p_since timestamptz, p_before uuid, p_limit integer)
returns table (id uuid, occurred_at timestamptz, type text, outcome text, reason text, actor_type text, client_id text,
               client_name text, session_id text, ip text, user_agent text, data json)
language plpgsql security invoker as $$
#variable_conflict use_column
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  return query
    select e.id, e.occurred_at, e.type, e.outcome, e.reason, e.actor_type, e.client_id,
           (select c.name from clients c where c.tenant_id = p_tenant_id and c.client_id = e.client_id),
           e.session_id, e.ip, e.user_agent, e.data
      from events e
     where e.tenant_id = p_tenant_id and e.user_id = p_user_id::text and e.id < p_before
       and e.occurred_at >= p_since and (p_types is null or e.type = any (p_types))
     order by e.id desc limit p_limit;
end $$;
grant execute on function events_of_person(uuid, uuid, text[], timestamptz, uuid, integer) to poort_app;

-- When somebody who wants to leave is forgotten; until then they can think better of it.
alter table memberships add column deletion_due_at timestamptz;
create index memberships_to_delete on memberships (deletion_due_at) where deletion_due_at is not null;

grant select (deletion_due_at) on memberships to poort_definer;
create function memberships_to_delete(p_now timestamptz, p_limit integer) returns table (tenant_id uuid, user_id uuid)
language sql security definer stable set search_path = pg_catalog, public, pg_temp as $$
  select m.tenant_id, m.user_id from public.memberships m
   where m.deletion_due_at <= p_now order by m.deletion_due_at limit p_limit
$$;
grant execute on function memberships_to_delete(timestamptz, integer) to poort_platform;

-- Whoever leaves their last tenant goes with it: the person, and by foreign keys every factor, passkey and earlier password. The
-- policies let nobody go who belongs anywhere, so that even a mistake in the function could not. The second because policies that
-- permit add up, and `members_only` is for everybody.
create policy definer_erases on users for delete to poort_definer
  using (not exists (select from memberships m where m.user_id = users.id));
create policy definer_spares_members on users as restrictive for delete to poort_definer
  using (not exists (select from memberships m where m.user_id = users.id));
grant delete on users to poort_definer;

-- Joining and leaving take turns, for each person: who joins a tenant at the moment they leave their last one is not erased with it,
-- and of two tenants that are left at once the second sees that it is the last. Few keys, so that a whole tenant takes few locks.
create function wait_for_leaving() returns trigger language plpgsql set search_path = pg_catalog, public, pg_temp as $$
begin
  perform pg_advisory_xact_lock_shared(7067680, hashtext(new.user_id::text) & 255);
  return new;
end $$;
create trigger joins_in_turn before insert on memberships for each row execute function wait_for_leaving();

create function erase_who_left() returns trigger
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
begin
  perform pg_advisory_xact_lock(7067680, hashtext(old.user_id::text) & 255);
  delete from public.users u where u.id = old.user_id
     and not exists (select from public.memberships m where m.user_id = old.user_id);
  return null;
end $$;
create trigger leaves_nothing after delete on memberships for each row execute function erase_who_left();

grant poort_definer to current_user;
grant create on schema public to poort_definer;
alter function memberships_to_delete(timestamptz, integer) owner to poort_definer;
alter function erase_who_left() owner to poort_definer;
revoke create on schema public from poort_definer;
revoke poort_definer from current_user;
