-- Why: tenants, the people in them and what they may do. A person is one global identity (`users`) that a tenant sees only
-- through a membership; that rule is the policy on `users`, not a predicate someone has to remember.

create table tenants (
  id          uuid primary key,
  slug        text not null unique check (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$' and length(slug) <= 40),
  name        text not null check (length(name) between 1 and 100),
  status      text not null default 'active' check (status in ('active', 'suspended')),
  domain      text unique check (domain = lower(domain) and length(domain) <= 253),
  locale      text not null default 'nl' check (locale in ('nl', 'en')),
  settings    jsonb not null default '{}',
  created_at  timestamptz not null,
  updated_at  timestamptz not null
);
select isolate_by_tenant('tenants', 'id');
-- The platform finds a tenant by its slug or host before any tenant is known; it changes none. A tenant is made, renamed and
-- suspended from inside itself, together with its roles, keys and event.
create policy platform_looks_up on tenants for select to poort_platform using (true);
grant select on tenants to poort_platform;
grant select, insert, update on tenants to poort_app;

create table users (
  id                   uuid primary key,
  email                citext not null check (length(email::text) between 3 and 254),
  -- The canonical form (NFKC, lower case) that look-ups and uniqueness use: `=` on text is leakproof, on citext it is not,
  -- and under row level security only leakproof operators may use an index.
  email_canonical      text not null unique,
  email_verified       boolean not null default false,
  given_name           text check (length(given_name) <= 100),
  family_name          text check (length(family_name) <= 100),
  locale               text check (locale in ('nl', 'en')),
  password_hash        text,
  password_changed_at  timestamptz,
  status               text not null default 'active' check (status in ('active', 'disabled')),
  created_at           timestamptz not null,
  updated_at           timestamptz not null
);

create table memberships (
  tenant_id        uuid not null references tenants (id) on delete cascade,
  -- Deferred, so that a tenant can add the membership first and then the person: the policy on `users` lets a tenant write
  -- only people who are its members.
  user_id          uuid not null references users (id) on delete cascade deferrable initially deferred,
  status           text not null default 'active' check (status in ('active', 'disabled')),
  last_sign_in_at  timestamptz,
  created_at       timestamptz not null,
  primary key (tenant_id, user_id)
);
create index memberships_of_user on memberships (user_id);
select isolate_by_tenant('memberships');
grant select, insert, update, delete on memberships to poort_app;

alter table users enable row level security;
alter table users force row level security;
-- A scalar subquery and not EXISTS: that is planned as a scan of all of the tenant's members for every row looked at.
create policy members_only on users
  using ((select true from memberships m
           where m.tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid and m.user_id = users.id))
  with check ((select true from memberships m
                where m.tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid and m.user_id = users.id));
grant select, insert, update on users to poort_app;

create table roles (
  tenant_id    uuid not null references tenants (id) on delete cascade,
  id           uuid not null,
  name         text not null check (name ~ '^[a-z][a-z0-9_-]{0,62}$'),
  description  text not null default '',
  permissions  text[] not null default '{}',
  inherits     uuid,
  built_in     boolean not null default false,
  created_at   timestamptz not null,
  primary key (tenant_id, id),
  unique (tenant_id, name),
  foreign key (tenant_id, inherits) references roles (tenant_id, id)
);
select isolate_by_tenant('roles');
grant select, insert, update, delete on roles to poort_app;

create table membership_roles (
  tenant_id  uuid not null,
  user_id    uuid not null,
  role_id    uuid not null,
  primary key (tenant_id, user_id, role_id),
  foreign key (tenant_id, user_id) references memberships (tenant_id, user_id) on delete cascade,
  foreign key (tenant_id, role_id) references roles (tenant_id, id) on delete cascade
);
select isolate_by_tenant('membership_roles');
grant select, insert, delete on membership_roles to poort_app;

-- Adding a known person to a second tenant needs their id, which no tenant may look up. This one question is all that the
-- platform may ask across tenants; `poort_definer` can sign in nowhere and owns nothing else.
create policy definer_looks_up on users for select to poort_definer using (true);
grant select (id, email_canonical) on users to poort_definer;
create function person_by_email(p_email_canonical text) returns uuid
language sql security definer stable set search_path = pg_catalog, public, pg_temp as $$
  select id from public.users where email_canonical = p_email_canonical
$$;
grant execute on function person_by_email(text) to poort_platform;
grant poort_definer to current_user;
grant create on schema public to poort_definer;
alter function person_by_email(text) owner to poort_definer;
revoke create on schema public from poort_definer;
revoke poort_definer from current_user;

-- What a sign-in or a token needs to know of one member, in one round trip.
create function effective_roles(p_tenant_id uuid, p_user_id uuid)
returns table (roles text[], permissions text[])
language sql security invoker stable as $$
  with recursive held as (
    select r.id, r.name, r.permissions, r.inherits
      from membership_roles mr
      join roles r on r.tenant_id = mr.tenant_id and r.id = mr.role_id
     where mr.tenant_id = p_tenant_id and mr.user_id = p_user_id
    union
    select r.id, r.name, r.permissions, r.inherits
      from held h join roles r on r.tenant_id = p_tenant_id and r.id = h.inherits
  )
  select coalesce(array_agg(distinct name order by name), '{}'),
         coalesce((select array_agg(distinct p order by p) from held h2, unnest(h2.permissions) p), '{}')
    from held
$$;
grant execute on function effective_roles(uuid, uuid) to poort_app;

create function account_read(p_tenant_id uuid, p_user_id uuid)
returns table (id uuid, email text, email_verified boolean, given_name text, family_name text, locale text,
               updated_at timestamptz, roles text[], permissions text[])
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  return query
    select u.id, u.email::text, u.email_verified, u.given_name, u.family_name, u.locale, u.updated_at, e.roles, e.permissions
      from users u
      cross join lateral effective_roles(p_tenant_id, u.id) e
     where u.id = p_user_id and u.status = 'active'
       and (select m.status = 'active' from memberships m where m.tenant_id = p_tenant_id and m.user_id = p_user_id);
end $$;
grant execute on function account_read(uuid, uuid) to poort_app;

create function sign_in_candidate(p_tenant_id uuid, p_email_canonical text)
returns table (id uuid, password_hash text, email_verified boolean, locale text, active boolean)
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  return query
    select u.id, u.password_hash, u.email_verified, u.locale,
           u.status = 'active'
           and (select m.status = 'active' from memberships m where m.tenant_id = p_tenant_id and m.user_id = u.id)
      from users u
     where u.email_canonical = p_email_canonical;
end $$;
grant execute on function sign_in_candidate(uuid, text) to poort_app;
