-- Why: a JWT access token is stored nowhere, yet introspection must know whether it still lives. One read answers for all that
-- its life hangs on: its grant with the member, the person and the client behind it, or else the client it speaks for. What is
-- not under its own client's grant is ended by a row of the kind `DeniedToken` under the hash of its `jti`, until it expires.

create function structured_tokens_find(p_tenant_id uuid, p_jti_hashes bytea[], p_grant_hashes bytea[], p_subjects text[],
                                       p_client_ids text[])
returns table (ordinal integer, grant_payload json)
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  for i in 1 .. cardinality(p_jti_hashes) loop
    if p_grant_hashes[i] is not null then
      return query
        select i, g.payload
          from artifacts g
         where g.tenant_id = p_tenant_id and g.kind = 'Grant' and g.id_hash = p_grant_hashes[i]
           and (select m.status = 'active' from memberships m where m.tenant_id = p_tenant_id and m.user_id = g.account_id)
           and (select u.status = 'active' from users u where u.id = g.account_id)
           and (select c.status = 'active' from clients c where c.tenant_id = p_tenant_id and c.client_id = g.client_id)
           and (g.client_id = p_client_ids[i]
                or (    (select c.status = 'active' from clients c where c.tenant_id = p_tenant_id and c.client_id = p_client_ids[i])
                    and (select d.kind from artifacts d
                          where d.tenant_id = p_tenant_id and d.kind = 'DeniedToken' and d.id_hash = p_jti_hashes[i]) is null));
    else
      return query
        select i, null::json
         where (select c.status = 'active' from clients c where c.tenant_id = p_tenant_id and c.client_id = p_subjects[i])
           and (p_subjects[i] = p_client_ids[i]
                or (select c.status = 'active' from clients c where c.tenant_id = p_tenant_id and c.client_id = p_client_ids[i]))
           and (select d.kind from artifacts d
                 where d.tenant_id = p_tenant_id and d.kind = 'DeniedToken' and d.id_hash = p_jti_hashes[i]) is null;
    end if;
  end loop;
end $$;
grant execute on function structured_tokens_find(uuid, bytea[], bytea[], text[], text[]) to poort_app;
