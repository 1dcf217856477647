-- Why: an administrator sees who is signed in, and who was invited, without anything being read from end to end: both lie in tables that
-- hold very much else (artifacts, proofs).

create index artifacts_sessions_by_age on artifacts (tenant_id, created_at, session_uid) where kind = 'Session' and account_id is not null;
create index proofs_invitations on proofs (tenant_id, id) where purpose = 'invitation';
