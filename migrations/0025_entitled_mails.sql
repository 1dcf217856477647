-- Why: what somebody asks for who has shown a password or a session (a code at sign-in, a new address, an invitation) has a budget of
-- its own. In one with what strangers ask for, five of their requests kept a person from the code of their second factor. That an account
-- was locked has one, too: whoever causes locks must not use up what tells of changes.
alter table mails drop constraint mails_budget_check;
alter table mails add constraint mails_budget_check check (budget in ('requested', 'entitled', 'lock', 'notice'));

-- As in 0016, but what stands in for a mail to nobody fills only the budget of its recipient: a stranger who asks for addresses that
-- nobody has would otherwise keep everybody else's mail from a whole tenant.
create or replace function mail_is_beyond_budget(p_tenant_id uuid, p_id uuid, p_budget text, p_recipient_hash bytea, p_at timestamptz,
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
           select from mails m where m.tenant_id = p_tenant_id and m.counted and m.budget = p_budget and m.kind <> 'none'
              and m.created_at > p_at - interval '1 hour' and m.id <> p_id limit p_limits[3]) x);
end $$;

-- Why: what a claim of an unproven account forgets (0024) must be all that its earlier holder left for the owner to fall over: what
-- they agreed to for applications, and the name they chose to sign in with.
create or replace function person_claim(p_tenant_id uuid, p_user_id uuid, p_now timestamptz) returns void
language plpgsql security invoker as $$
begin
  perform person_forget(p_tenant_id, p_user_id, p_now);
  delete from consents where tenant_id = p_tenant_id and user_id = p_user_id;
  update memberships set deletion_due_at = null, username = null, username_canonical = null
   where tenant_id = p_tenant_id and user_id = p_user_id
     and (deletion_due_at is not null or username_canonical is not null);
end $$;
