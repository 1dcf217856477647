-- Why: a JWT access token is stored nowhere, yet introspection must know whether it still lives. One read answers for all that
-- its life hangs on: the client, the API, and either its grant with the person behind it or the client it speaks
-- for. A token without a grant is ended by a row of the kind `DeniedToken` under the hash of its `jti`, until it expires.

create function structured_tokens_find(p_tenant_id uuid, p_jti_hashes bytea[], p_grant_hashes bytea[], p_subjects text[],
                                       p_client_ids text[], p_audiences text[])
returns table (ordinal integer, grant_payload json)
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  for i in 1 .. cardinality(p_jti_hashes) loop
    grant_payload := null;
    if p_grant_hashes[i] is not null then
      select g.payload into grant_payload
        from artifacts g
       where g.tenant_id = p_tenant_id and g.kind = 'Grant' and g.id_hash = p_grant_hashes[i]
         and (select m.status = 'active' from memberships m where m.tenant_id = p_tenant_id and m.user_id = g.account_id)
         and (select u.status = 'active' from users u where u.id = g.account_id)
         and (select c.status = 'active' from clients c where c.tenant_id = p_tenant_id and c.client_id = g.client_id);
      continue when grant_payload is null;
    -- What speaks for a client is not a person's: a token that names neither is nobody's.
    elsif (select c.status from clients c where c.tenant_id = p_tenant_id and c.client_id = p_subjects[i]) is distinct from 'active' then
      continue;
    end if;
    if (select c.status = 'active' from clients c where c.tenant_id = p_tenant_id and c.client_id = p_client_ids[i])
       and (select a.status = 'active' from apis a where a.tenant_id = p_tenant_id and a.audience = p_audiences[i])
       and (select d.kind from artifacts d
             where d.tenant_id = p_tenant_id and d.kind = 'DeniedToken' and d.id_hash = p_jti_hashes[i]) is null
    then
      ordinal := i;
      return next;
    end if;
  end loop;
end $$;
grant execute on function structured_tokens_find(uuid, bytea[], bytea[], text[], text[], text[]) to poort_app;
