-- Why: what somebody asks for who has shown a password or a session (a code at sign-in, a new address, an invitation) has a budget of
-- its own. In one with what strangers ask for, five of their requests kept a person from the code of their second factor.
alter table mails drop constraint mails_budget_check;
alter table mails add constraint mails_budget_check check (budget in ('requested', 'entitled', 'notice'));
