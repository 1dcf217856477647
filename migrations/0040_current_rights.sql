-- Why: introspection says what a person may do at this moment, not when their token was issued (docs/decisions/0040): a role that was taken
-- away, switched off or is over opens nothing any more, although the token lives. For an opaque token the person comes along with the
-- artifact already; for a structured one they come along here, in the same read.

-- As in 0027, with the person of a token that has a grant.
drop function structured_tokens_find(uuid, bytea[], bytea[], text[], text[]);
create function structured_tokens_find(p_tenant_id uuid, p_jti_hashes bytea[], p_grant_hashes bytea[], p_subjects text[],
                                       p_client_ids text[])
returns table (ordinal integer, grant_payload json, account json)
language plpgsql security invoker set enable_seqscan = off as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  for i in 1 .. cardinality(p_jti_hashes) loop
    if p_grant_hashes[i] is not null then
      return query
        select i, g.payload,
               (select row_to_json(r) from (
                 select u.id, u.email::text, u.email_verified, u.given_name, u.family_name, u.locale, u.updated_at, e.roles, e.permissions
                   from users u cross join lateral effective_roles(p_tenant_id, u.id) e where u.id = g.account_id) r)
          from artifacts g
         where g.tenant_id = p_tenant_id and g.kind = 'Grant' and g.id_hash = p_grant_hashes[i]
           and (select m.status = 'active' from memberships m where m.tenant_id = p_tenant_id and m.user_id = g.account_id)
           and (select u.status = 'active' from users u where u.id = g.account_id)
           and (select c.status = 'active' from clients c where c.tenant_id = p_tenant_id and c.client_id = g.client_id)
           and coalesce((select d.state from devices d where d.tenant_id = p_tenant_id and d.grant_hash = p_grant_hashes[i]), 'active') = 'active'
           and (g.client_id = p_client_ids[i]
                or (    (select c.status = 'active' from clients c where c.tenant_id = p_tenant_id and c.client_id = p_client_ids[i])
                    and (select d.kind from artifacts d
                          where d.tenant_id = p_tenant_id and d.kind = 'DeniedToken' and d.id_hash = p_jti_hashes[i]) is null));
    else
      return query
        select i, null::json, null::json
         where (select c.status = 'active' from clients c where c.tenant_id = p_tenant_id and c.client_id = p_subjects[i])
           and (p_subjects[i] = p_client_ids[i]
                or (select c.status = 'active' from clients c where c.tenant_id = p_tenant_id and c.client_id = p_client_ids[i]))
           and (select d.kind from artifacts d
                 where d.tenant_id = p_tenant_id and d.kind = 'DeniedToken' and d.id_hash = p_jti_hashes[i]) is null;
    end if;
  end loop;
end $$;
grant execute on function structured_tokens_find(uuid, bytea[], bytea[], text[], text[]) to poort_app;
