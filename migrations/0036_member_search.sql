-- Why: an administrator finds one member among tens of thousands while they type. `users` is everybody's, and its policy is asked row by
-- row: a search that begins there reads the whole installation. So a membership carries what is searched for, and every search begins at
-- (tenant_id, …). A foreign key keeps the copy true: PostgreSQL follows a change of the person to their memberships of all tenants, which
-- none of our roles may do, and refuses a membership that says something else. The lock on `memberships` lasts as long as filling it.

-- The form in which names are compared: accents off, small letters, one space, and no longer than an index entry may be (NFKD makes up to
-- eighteen characters of one). Both what is kept and what is asked for go through it.
create function search_form(p_text text) returns text
language sql immutable parallel safe as $$
  select left(lower(btrim(regexp_replace(regexp_replace(normalize(p_text, nfkd), '[\u0300-\u036f]', '', 'g'), '\s+', ' ', 'g'))), 120)
$$;
grant execute on function search_form(text) to poort_app;

alter table users
  add column name_search text not null
    generated always as (search_form(coalesce(given_name, '') || ' ' || coalesce(family_name, ''))) stored,
  -- `van der Berg` is looked for from its beginning, and from its last word.
  add column family_search text not null generated always as (search_form(coalesce(family_name, ''))) stored;
alter table users add constraint users_search unique (id, email_canonical, name_search, family_search);

-- In the order of bytes, so that a beginning is a range and the operators are those that row level security lets an index use.
alter table memberships
  add column email_canonical text collate "C" not null default '',
  add column name_search text collate "C" not null default '',
  add column family_search text collate "C" not null default '';

alter table users no force row level security;
alter table memberships no force row level security;
update memberships m set email_canonical = u.email_canonical, name_search = u.name_search, family_search = u.family_search
  from users u where u.id = m.user_id;
-- Deferred, as the key on the person alone (0002): a membership may come before its person.
alter table memberships add constraint memberships_search
  foreign key (user_id, email_canonical, name_search, family_search)
  references users (id, email_canonical, name_search, family_search)
  on update cascade on delete cascade deferrable initially deferred;
alter table users force row level security;
alter table memberships force row level security;

alter table memberships add column family_word text collate "C" not null
  generated always as (substring(family_search from '[^ ]*$')) stored;

-- A person who is known joins: locked, so that a change of theirs that is under way is waited for and not missed.
create function copy_person_to_membership() returns trigger
language plpgsql security invoker as $$
declare
  person record;
begin
  select u.email_canonical, u.name_search, u.family_search into person from users u where u.id = new.user_id for share;
  if found then
    update memberships m
       set email_canonical = person.email_canonical, name_search = person.name_search, family_search = person.family_search
     where m.tenant_id = new.tenant_id and m.user_id = new.user_id;
  end if;
  return null;
end $$;
create trigger joins_with_what_is_searched after insert on memberships
  for each row execute function copy_person_to_membership();

-- A new person has the membership through which they were made, and no other.
create function copy_new_person() returns trigger
language plpgsql security invoker as $$
begin
  update memberships m
     set email_canonical = new.email_canonical, name_search = new.name_search, family_search = new.family_search
   where m.user_id = new.id;
  return null;
end $$;
create trigger begins_with_what_is_searched after insert on users for each row execute function copy_new_person();

create index memberships_by_email on memberships (tenant_id, email_canonical, user_id);
create index memberships_by_name on memberships (tenant_id, name_search, user_id);
create index memberships_by_family on memberships (tenant_id, family_search);
-- Beside `memberships_username`, which is in the order of whatever language the database was made in.
create index memberships_by_username on memberships (tenant_id, username_canonical collate "C") where username_canonical is not null;
create index memberships_by_family_word on memberships (tenant_id, family_word);
create index memberships_by_age on memberships (tenant_id, created_at, user_id);
create index memberships_by_status on memberships (tenant_id, status, created_at, user_id);
