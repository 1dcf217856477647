-- Why: a start with another master key than the one this database was made with must be noticed before anything is changed: it
-- would set new passwords for the serving roles, so that servers with the right key could no longer connect, and no signing key
-- would open. One sealed value, made at the first migration, tells. It is no tenant's data and holds no secret.

create table installation (
  singleton   boolean primary key default true check (singleton),
  seal_check  bytea not null
);
revoke all on installation from public;
