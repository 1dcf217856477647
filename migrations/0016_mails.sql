-- Why: a mail is part of a deed: a deed that is rolled back sends nothing, and a mail that cannot be sent yet is not lost. So it is
-- a row that is written in the transaction of the deed and taken from there for delivery (docs/decisions/0028). Links and codes in
-- it open accounts: they are sealed, and gone once it was sent.

create table mails (
  tenant_id       uuid not null references tenants (id) on delete cascade,
  id              uuid not null,
  -- `none` stands where a mail would have been, so that no trace tells whether there was anybody to write to.
  kind            text not null check (length(kind) between 1 and 40),
  -- Whether anybody who knows an address may have caused it, or only what happened to an account.
  budget          text not null check (budget in ('requested', 'notice')),
  -- False for what was beyond the budget: who goes on asking must not prolong the wait.
  counted         boolean not null,
  -- What was allowed when it was written: to one recipient in an hour and in a day, to all of the tenant in an hour.
  limits          integer[] not null check (cardinality(limits) = 3),
  -- HMAC: whether an address was written to cannot be asked of a stolen database.
  recipient_hash  bytea not null check (length(recipient_hash) = 32),
  -- Recipient, language, links and codes. In a development mailbox: the mail itself, for as long as it is shown.
  sealed          bytea,
  state           text not null default 'waiting' check (state in ('waiting', 'delivered', 'dead')),
  -- Counted when an attempt begins: one that a crash cut off counts too.
  attempts        integer not null default 0,
  attempted_at    timestamptz,
  -- The next attempt; while one is under way, when it is taken for lost.
  due_at          timestamptz not null,
  problem         text,
  created_at      timestamptz not null,
  settled_at      timestamptz,
  -- When what it links to is over: it is not sent after that.
  valid_until     timestamptz not null default 'infinity',
  -- When nobody needs to see it any more.
  expires_at      timestamptz not null default 'infinity',
  primary key (tenant_id, id)
) with (fillfactor = 70);
create index mails_due on mails (tenant_id, due_at) where state = 'waiting';
create index mails_to_nobody on mails (tenant_id, due_at) where state = 'waiting' and kind = 'none';
create index mails_counted on mails (tenant_id, budget, recipient_hash, created_at) where counted;
create index mails_counted_together on mails (tenant_id, budget, created_at) where counted;
-- A development mailbox.
create index mails_kept on mails (tenant_id, settled_at desc, id desc) where state = 'delivered' and sealed is not null;
select isolate_by_tenant('mails');
grant select, insert, update on mails to poort_app;

-- Whether the others leave no room for one more.
create function mail_is_beyond_budget(p_tenant_id uuid, p_id uuid, p_budget text, p_recipient_hash bytea, p_at timestamptz,
                                      p_limits integer[]) returns boolean
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  return p_limits[1] <= (select count(*) from (
           select from mails m where m.tenant_id = p_tenant_id and m.counted and m.budget = p_budget
              and m.recipient_hash = p_recipient_hash and m.created_at > p_at - interval '1 hour' and m.id <> p_id limit p_limits[1]) x)
      or p_limits[2] <= (select count(*) from (
           select from mails m where m.tenant_id = p_tenant_id and m.counted and m.budget = p_budget
              and m.recipient_hash = p_recipient_hash and m.created_at > p_at - interval '1 day' and m.id <> p_id limit p_limits[2]) x)
      or p_limits[3] <= (select count(*) from (
           select from mails m where m.tenant_id = p_tenant_id and m.counted and m.budget = p_budget
              and m.created_at > p_at - interval '1 hour' and m.id <> p_id limit p_limits[3]) x);
end $$;
grant execute on function mail_is_beyond_budget(uuid, uuid, text, bytea, timestamptz, integer[]) to poort_app;

-- False when it is beyond the budget: then a row of kind `none` is written instead.
create function mail_enqueue(p_tenant_id uuid, p_id uuid, p_kind text, p_budget text, p_limits integer[], p_recipient_hash bytea,
                             p_sealed bytea, p_now timestamptz, p_valid_until timestamptz) returns boolean
language plpgsql security invoker as $$
declare
  beyond boolean;
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  beyond := mail_is_beyond_budget(p_tenant_id, p_id, p_budget, p_recipient_hash, p_now, p_limits);
  insert into mails (tenant_id, id, kind, budget, counted, limits, recipient_hash, sealed, due_at, created_at, valid_until)
  values (p_tenant_id, p_id, case when beyond then 'none' else p_kind end, p_budget, not beyond, p_limits, p_recipient_hash,
          case when beyond then null else p_sealed end, p_now, p_now, coalesce(p_valid_until, 'infinity'));
  return not beyond;
end $$;
grant execute on function mail_enqueue(uuid, uuid, text, text, integer[], bytea, bytea, timestamptz, timestamptz) to poort_app;

-- What was queued at the same moment was not seen above. So it is counted again when the transaction commits, one commit of a
-- tenant at a time. As late as that, because nothing is waited for after it: no two transactions can wait for each other, whatever
-- else they hold, and nobody waits for a transaction that is still at work.
create function keep_mail_within_budget() returns trigger
language plpgsql security invoker as $$
begin
  perform pg_advisory_xact_lock(7067682, hashtext(new.tenant_id::text));
  if mail_is_beyond_budget(new.tenant_id, new.id, new.budget, new.recipient_hash, new.created_at, new.limits) then
    update mails set kind = 'none', counted = false, sealed = null where tenant_id = new.tenant_id and id = new.id;
  end if;
  return null;
end $$;
create constraint trigger keep_within_budget after insert on mails deferrable initially deferred
  for each row when (new.counted) execute function keep_mail_within_budget();

-- Takes what is due for delivery. Several workers share: what one has locked the other passes over. What is taken is due again when
-- the lease ends, should the worker die.
create function mails_claim(p_tenant_id uuid, p_now timestamptz, p_lease_seconds integer, p_limit integer)
returns table (id uuid, kind text, sealed bytea, attempts integer, created_at timestamptz, valid_until timestamptz)
language plpgsql security invoker as $$
#variable_conflict use_column
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  update mails m set state = 'delivered', sealed = null, settled_at = p_now, expires_at = p_now
   where m.tenant_id = p_tenant_id
     and m.id = any (array(select n.id from mails n
                            where n.tenant_id = p_tenant_id and n.state = 'waiting' and n.kind = 'none' and n.due_at <= p_now
                            order by n.due_at limit 1000 for update skip locked));
  return query
    with taken as (
      select m.id from mails m
       where m.tenant_id = p_tenant_id and m.state = 'waiting' and m.kind <> 'none' and m.due_at <= p_now
       order by m.due_at limit p_limit for update skip locked)
    update mails m
       set attempts = m.attempts + 1, attempted_at = p_now, due_at = p_now + make_interval(secs => p_lease_seconds)
      from taken
     where m.tenant_id = p_tenant_id and m.id = taken.id
    returning m.id, m.kind, m.sealed, m.attempts, m.created_at, nullif(m.valid_until, 'infinity');
end $$;
grant execute on function mails_claim(uuid, timestamptz, integer, integer) to poort_app;

-- What became of an attempt. False when it is no longer this worker's: its lease was over and another has it. What was sealed is
-- gone with the last attempt; a development mailbox keeps the mail in its place, of the latest `p_kept_mails`.
create function mail_settle(p_tenant_id uuid, p_id uuid, p_attempt integer, p_now timestamptz, p_state text, p_problem text,
                            p_due_at timestamptz, p_kept bytea, p_kept_mails integer, p_events json) returns boolean
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  update mails m
     set state = p_state, problem = p_problem, due_at = p_due_at,
         sealed = case when p_state = 'waiting' then m.sealed else p_kept end,
         settled_at = case when p_state = 'waiting' then null else p_now end,
         -- A delivered one counts for a day, a dead one is shown for a month.
         expires_at = case p_state when 'waiting' then 'infinity' when 'delivered' then p_now else p_now + interval '29 days' end
   where m.tenant_id = p_tenant_id and m.id = p_id and m.attempts = p_attempt and m.state = 'waiting';
  if not found then
    return false;
  end if;
  if p_kept is not null then
    update mails m set sealed = null
     where m.tenant_id = p_tenant_id
       and m.id = any (array(select k.id from mails k
                              where k.tenant_id = p_tenant_id and k.state = 'delivered' and k.sealed is not null
                              order by k.settled_at desc, k.id desc offset p_kept_mails));
  end if;
  if p_events is not null then
    perform events_append(p_tenant_id, p_events);
  end if;
  return true;
end $$;
grant execute on function mail_settle(uuid, uuid, integer, timestamptz, text, text, timestamptz, bytea, integer, json) to poort_app;

-- Across tenants the platform learns who has work and how much, whether mail gets through, and what is sealed with which key.
create policy definer_counts on mails for select to poort_definer using (true);
create policy definer_sweeps_past on mails for delete to poort_definer using (expires_at < (now() - interval '1 day'));
grant select (tenant_id, id, kind, state, due_at, attempted_at, settled_at, problem, expires_at, sealed) on mails to poort_definer;
grant delete on mails to poort_definer;

create function tenants_with_due_mails(p_now timestamptz, p_limit integer) returns setof uuid
language sql security definer stable set search_path = pg_catalog, public, pg_temp as $$
  select m.tenant_id from public.mails m
   where m.state = 'waiting' and m.due_at <= p_now
   group by m.tenant_id order by min(m.due_at), m.tenant_id limit p_limit
$$;
grant execute on function tenants_with_due_mails(timestamptz, integer) to poort_platform;

create function dead_mails() returns integer
language sql security definer stable set search_path = pg_catalog, public, pg_temp as $$
  select count(*)::integer from public.mails m where m.state = 'dead'
$$;
grant execute on function dead_mails() to poort_platform;

-- How many mails wait that failed since the last one got through, or that nobody has taken for a minute.
create function mails_held_up(p_now timestamptz) returns integer
language sql security definer stable set search_path = pg_catalog, public, pg_temp as $$
  select count(*)::integer from public.mails m
   where m.state = 'waiting' and m.kind <> 'none'
     and (m.due_at < p_now - interval '1 minute'
          or m.problem is not null
             and m.attempted_at > coalesce((select max(d.settled_at) from public.mails d where d.state = 'delivered' and d.kind <> 'none'),
                                           '-infinity'))
$$;
grant execute on function mails_held_up(timestamptz) to poort_platform;

create function sweep_mails(p_limit integer) returns integer
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
  swept integer;
begin
  delete from public.mails m where (m.tenant_id, m.id) in (
    select s.tenant_id, s.id from public.mails s where s.expires_at < now() - interval '1 day' limit p_limit);
  get diagnostics swept = row_count;
  return swept;
end $$;
grant execute on function sweep_mails(integer) to poort_platform;

grant poort_definer to current_user;
grant create on schema public to poort_definer;

-- As in 0015, and of mails.
create or replace function tenants_sealed_otherwise(p_key_id bytea, p_after uuid, p_limit integer) returns setof uuid
language sql security definer stable set search_path = pg_catalog, public, pg_temp as $$
  select s.tenant_id
    from (select k.tenant_id from public.signing_keys k where substring(k.private_sealed from 2 for 4) <> p_key_id
          union
          select m.tenant_id from public.totp_factors t join public.memberships m on m.user_id = t.user_id
           where substring(t.secret_sealed from 2 for 4) <> p_key_id
          union
          select m.tenant_id from public.mails m where m.sealed is not null and substring(m.sealed from 2 for 4) <> p_key_id) s
   where s.tenant_id > p_after
   order by s.tenant_id limit p_limit
$$;

alter function tenants_with_due_mails(timestamptz, integer) owner to poort_definer;
alter function dead_mails() owner to poort_definer;
alter function mails_held_up(timestamptz) owner to poort_definer;
alter function sweep_mails(integer) owner to poort_definer;
revoke create on schema public from poort_definer;
revoke poort_definer from current_user;
