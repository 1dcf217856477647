-- Why: signing keys change by themselves. A key is published from the moment its row is there (`created_at`), so the other
-- instants of its life are added; where a row of the version before has none, the oldest possible one stands in, and a retired key
-- without an end is given one by the job. The platform may learn which tenants have something due, and no more: the work itself is
-- bound to the tenant.

alter table signing_keys
  add column activated_at           timestamptz,
  add column published_until        timestamptz,
  add column rotation_requested_at  timestamptz;
-- Two processes that make the next key at the same moment make one.
create unique index one_next_signing_key on signing_keys (tenant_id, alg) where status = 'next';
-- A key that nothing is signed with any more goes, and one that was stolen goes at once.
grant delete on signing_keys to poort_app;

create policy definer_counts on apis for select to poort_definer using (true);
grant select (tenant_id, signing_alg, status) on apis to poort_definer;
grant select (created_at, activated_at, published_until, rotation_requested_at, private_sealed) on signing_keys to poort_definer;

-- Active tenants that lack a key, or have one that is to sign or to go; in the order of their ids, those after `p_after`. The same
-- judgement as `planDueSteps` in src/domain/signing_key.ts, which decides.
create function tenants_with_keys_due(p_now timestamptz, p_ripening_seconds integer, p_rotate_after_seconds integer,
                                      p_after uuid, p_limit integer) returns setof uuid
language sql security definer stable set search_path = pg_catalog, public, pg_temp as $$
  select t.id from public.tenants t
   where t.status = 'active' and t.id > p_after
     and (exists (select from (select unnest(array['ES256', 'RS256'])
                               union select a.signing_alg from public.apis a where a.tenant_id = t.id and a.status = 'active'
                               union select k.alg from public.signing_keys k where k.tenant_id = t.id and k.status <> 'retired') needed (alg)
                   where (select count(*) from public.signing_keys k
                           where k.tenant_id = t.id and k.alg = needed.alg and k.status in ('active', 'next')) < 2)
          or exists (select from public.signing_keys n
                       join public.signing_keys a on a.tenant_id = n.tenant_id and a.alg = n.alg and a.status = 'active'
                      where n.tenant_id = t.id and n.status = 'next'
                        and n.created_at + make_interval(secs => p_ripening_seconds) <= p_now
                        and (n.rotation_requested_at is not null
                             or coalesce(a.activated_at, a.created_at) + make_interval(secs => p_rotate_after_seconds) <= p_now))
          or exists (select from public.signing_keys k
                      where k.tenant_id = t.id and k.status = 'retired'
                        and (k.published_until is null or k.published_until <= p_now)))
   order by t.id limit p_limit
$$;
grant execute on function tenants_with_keys_due(timestamptz, integer, integer, uuid, integer) to poort_platform;

-- Tenants, suspended ones too, that have something sealed under another master key than this one. The id of the master key
-- stands in front of what it sealed (src/foundation/sealing.ts).
create function tenants_sealed_otherwise(p_key_id bytea, p_after uuid, p_limit integer) returns setof uuid
language sql security definer stable set search_path = pg_catalog, public, pg_temp as $$
  select distinct k.tenant_id from public.signing_keys k
   where k.tenant_id > p_after and substring(k.private_sealed from 2 for 4) <> p_key_id
   order by k.tenant_id limit p_limit
$$;
grant execute on function tenants_sealed_otherwise(bytea, uuid, integer) to poort_platform;

grant poort_definer to current_user;
grant create on schema public to poort_definer;
alter function tenants_with_keys_due(timestamptz, integer, integer, uuid, integer) owner to poort_definer;
alter function tenants_sealed_otherwise(bytea, uuid, integer) owner to poort_definer;
revoke create on schema public from poort_definer;
revoke poort_definer from current_user;

-- When the database was first opened with the master key that seals now: what browsers hold was signed with the one before until then.
alter table installation add column sealed_since timestamptz;
