-- Why: a tenant may say that earlier passwords do not come back (password.history). Hashes of them are kept only for that, only
-- where it is wished, and never more than 24 of one person; like the password they are the person's and seen through a membership.

create table password_history (
  user_id        uuid not null references users (id) on delete cascade,
  -- A UUIDv7: in the order in which they were replaced.
  id             uuid not null,
  password_hash  text not null,
  replaced_at    timestamptz not null,
  primary key (user_id, id)
);
select isolate_by_membership('password_history');
grant select, insert, delete on password_history to poort_app;
