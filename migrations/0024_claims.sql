-- Why: whoever made an account with an address that was not theirs may also have asked for it to be deleted. When the owner of the address
-- has come, that wish is off like everything else (0022, docs/decisions/0032).
create function person_claim(p_tenant_id uuid, p_user_id uuid, p_now timestamptz) returns void
language plpgsql security invoker as $$
begin
  perform person_forget(p_tenant_id, p_user_id, p_now);
  update memberships set deletion_due_at = null
   where tenant_id = p_tenant_id and user_id = p_user_id and deletion_due_at is not null;
end $$;
grant execute on function person_claim(uuid, uuid, timestamptz) to poort_app;
