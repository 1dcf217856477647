/**
 * An installation with many tenants and people, written past the product because a hundred thousand times through it takes an hour. Also
 * for bench/administration.ts. Whoever fills it is a superuser.
 */
import type { SqlConnection } from './sql.ts';

export interface Crowd {
  readonly tenants: number;
  /** Members of the first tenant. */
  readonly largest: number;
  /** Members of all the others together. */
  readonly others: number;
}

export const madeTenant = (number: number): string => `00000000-0000-7000-8000-${String(number).padStart(12, '0')}`;

/** Every fortieth member is an editor and every two thousandth an administrator, one of five hundred is disabled; all are users. A tenant has some roles of its own. */
export async function fillInstallation(superuser: Pick<SqlConnection, 'query'>, crowd: Crowd): Promise<void> {
  const { tenants, largest, others } = crowd;
  await superuser.query(`
    insert into tenants (id, slug, name, created_at, updated_at)
      select ('00000000-0000-7000-8000-' || lpad(t::text, 12, '0'))::uuid, 'made-' || t, 'Tenant ' || t, now(), now()
        from generate_series(1, ${tenants}) t;
    create temporary table made as
      select n, ('00000000-0000-7000-9000-' || lpad(n::text, 12, '0'))::uuid as user_id,
             ('00000000-0000-7000-8000-' || lpad((case when n <= ${largest} then 1 else 2 + n % (${tenants} - 1) end)::text, 12, '0'))::uuid
               as tenant_id,
             (array['Ada','Grace','Alan','José','Anna','Bert','Emma','Noor','Sem','Lieke'])[1 + n % 10] as given,
             (array['Lovelace','Hopper','van der Berg','de Vries','Jansen','Bakker','Visser','Smit','Meijer','de Boer','Mulder','Dijkstra',
                    'van Dijk'])[1 + n / 10 % 13] || case when n % 3 = 0 then '' else ' ' || chr(97 + n % 26) || n end as family
        from generate_series(1, ${largest + others}) n;
    insert into memberships (tenant_id, user_id, created_at, status)
      select tenant_id, user_id, timestamptz '2020-01-01' + n * interval '1 minute', case when n % 500 = 0 then 'disabled' else 'active' end
        from made;
    insert into users (id, email, email_canonical, given_name, family_name, created_at, updated_at)
      select user_id, e.address, e.address, given, family, now(), now()
        from made, lateral (select lower(given) || '.' || n || '@example' || n % 50 || '.test' as address) e;
    insert into roles (tenant_id, id, name, built_in, created_at)
      select id, gen_random_uuid(), r, true, now() from tenants, unnest(array['user', 'editor', 'admin']) r where slug like 'made-%';
    insert into roles (tenant_id, id, name, created_at)
      select id, gen_random_uuid(), 'own-' || r, now() from tenants, generate_series(1, 10) r where slug like 'made-%';
    insert into membership_roles (tenant_id, user_id, role_id)
      select made.tenant_id, made.user_id, r.id from made join roles r on r.tenant_id = made.tenant_id
       where r.name = 'user' or r.name = 'editor' and n % 40 = 0 or r.name = 'admin' and n % 2000 = 1;
    drop table made`);
  await superuser.query('vacuum analyze');
}
