-- Why: a tenant's pages should look like the tenant's: one colour and one logo, and nothing that a tenant could write (no HTML, no
-- stylesheet, no SVG). What the pages need to know comes with the tenant's row, which every process has already; the picture itself
-- is read only by who asks for it.

-- Written only by domain/brand.ts, and read by it again with the same suspicion.
alter table tenants add column brand jsonb not null default '{}' check (length(brand::text) <= 2000);

create table tenant_logos (
  tenant_id   uuid not null references tenants (id) on delete cascade,
  -- The first half of SHA-256, in its address: another picture is another address.
  version     text not null check (version ~ '^[0-9a-f]{32}$'),
  media_type  text not null check (media_type in ('image/png', 'image/webp')),
  body        bytea not null check (length(body) between 20 and 204800),
  updated_at  timestamptz not null,
  primary key (tenant_id)
);
select isolate_by_tenant('tenant_logos');
grant select, insert, update, delete on tenant_logos to poort_app;

create function tenant_logo_read(p_tenant_id uuid) returns table (version text, media_type text, body bytea)
language plpgsql security invoker as $$
begin
  perform set_config('app.tenant_id', p_tenant_id::text, true);
  return query select l.version, l.media_type, l.body from tenant_logos l where l.tenant_id = p_tenant_id;
end $$;
grant execute on function tenant_logo_read(uuid) to poort_app;
