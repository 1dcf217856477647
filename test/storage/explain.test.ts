/**
 * Every statement of the hot path, explained as the role that serves, on a table that is worth an index. Under row level security
 * only leakproof operators may use one, so a plan that is fine for the owner can be a scan for `poort_app`.
 *
 * The functions hide their statements, so the server itself is asked to tell the plan of everything it runs (auto_explain).
 */
import { listTenantTables } from '#test/support/catalogue.ts';
import { createTestDatabase, type TestDatabase } from '#test/support/cluster.ts';
import { connect, type SqlConnection } from '#test/support/sql.ts';

const tenants = 200;
const perTenant = 100;
const people = 5_000;
const tenant = (number: number): string => `00000000-0000-7000-8000-${String(number).padStart(12, '0')}`;
const acme = tenant(1);
const person = '00000000-0000-7000-9000-000000000007';
const device = '00000000-0000-7000-b000-000000000007';
const last = 'ffffffff-ffff-ffff-ffff-ffffffffffff';
const hash = (name: string): string => `sha256('${name}')`;

/** By name, so that a function without a case here is noticed. */
const calls: Readonly<Record<string, readonly string[]>> = {
  administrator_remains: [`select administrator_remains('${acme}')`],
  api_key_read: [
    `select * from api_key_read('${acme}', ${hash('key 1-7')}, now())`,
    `select * from api_key_read('${acme}', ${hash('key 1-8')}, now())`,
  ],
  api_keys_note_uses: [
    `select api_keys_note_uses('${acme}', '[{"id":"${tenant(7)}","uses":3,"at":"2030-01-01","address":"192.0.2.1"}]')`,
  ],
  account_read: [`select * from account_read('${acme}', '${person}')`],
  artifacts_find: [
    `select * from artifacts_find('${acme}', array['AccessToken'], array[${hash('1-7')}])`,
    `select * from artifacts_find('${acme}', array['Session', 'Grant'], array[${hash('1-8')}, ${hash('1-9')}])`,
  ],
  artifact_consume: [
    `select artifact_consume('${acme}', now(), 'RefreshToken', ${hash('1-6')}, 10, ${hash('1-10')}, true)`,
    `select artifact_consume('${acme}', now(), 'RefreshToken', ${hash('1-6')}, 10, ${hash('1-10')}, true)`,
  ],
  artifacts_commit_together: [
    `select artifacts_commit_together('${acme}', now(), '${JSON.stringify([
      {
        position: 0,
        kind: 'RefreshToken',
        id: '00'.repeat(32),
        grace_seconds: 10,
        successor: '11'.repeat(32),
        while_unused: true,
      },
    ])}', '${JSON.stringify([
      {
        position: 1,
        kind: 'AccessToken',
        id: '22'.repeat(32),
        payload: {},
        grant_id: '33'.repeat(32),
        expires_at: '2040-01-01',
      },
    ])}', '${JSON.stringify([
      { position: 1, kind: 'RefreshToken', id: '44'.repeat(32), payload: {}, expires_at: '2040-01-01' },
    ])}', null)`,
  ],
  artifacts_read: [
    `select * from artifacts_read('${acme}', array['RefreshToken', 'Grant'], array[${hash('1-6')}, ${hash('1-9')}], array[true, false])`,
  ],
  account_end: [
    `select * from account_end('${acme}', '${person}', null)`,
    `select * from account_end('${acme}', '00000000-0000-7000-9000-000000000008', 'uid 1-8')`,
  ],
  backchannel_logout_enqueue: [`select backchannel_logout_enqueue('${acme}', 'client-7', '${person}', 'sid')`],
  backchannel_logout_settle: [
    `select backchannel_logout_settle('${acme}', '${tenant(7)}', 0, now(), 'delivered', null, now(), null)`,
  ],
  backchannel_logouts_claim: [`select * from backchannel_logouts_claim('${acme}', now(), 60, 5, 2, array['client-9'])`],
  grant_end: [`select grant_end('${acme}', ${hash('1-9')}, null)`],
  artifact_find_by_user_code: [`select * from artifact_find_by_user_code('${acme}', ${hash('user code 1-7')})`],
  artifact_poll: [`select artifact_poll('${acme}', 'RefreshToken', ${hash('1-6')}, now(), 5)`],
  devices_count: [`select devices_count('${acme}', '${person}', now())`],
  device_code_poll: [
    `select * from device_code_poll('${acme}', ${hash('1-6')}, 'client-7', now(), 5, 1, 5, 60)`,
    `select * from device_code_poll('${acme}', ${hash('1-5')}, 'client-9', now(), 5, 1, 5, 60)`,
  ],
  artifacts_commit_with_device: [
    `select artifacts_commit_with_device('${acme}', now(), '${JSON.stringify([
      { do: 'insert', kind: 'AccessToken', id: 'aa'.repeat(32), payload: {}, grant_id: 'bb', expires_at: '2040-01-01' },
    ])}', null, '${JSON.stringify({
      device_id: '00000000-0000-7000-9000-000000000001',
      client_id: 'client-7',
      user_id: person,
      name: 'lamp',
      grant_id: '77'.repeat(32),
      scopes: [],
      expires_at: '2040-01-01',
    })}', '[]')`,
  ],
  device_accept: [`select device_accept('${acme}', '${device}', '${person}', now(), '{}')`],
  device_retire: [`select device_retire('${acme}', '${device}', now(), '[]')`],
  device_report: [
    `select device_report('${acme}', '${device}', gen_random_uuid(), now(), '{}', '2', 10, true)`,
    `select device_report('${acme}', '${device}', gen_random_uuid(), now(), '{}', null, 1, true)`,
  ],
  device_telemetry_list: [
    `select * from device_telemetry_list('${acme}', '${device}', now() - interval '1 day', now(), '${last}', 10)`,
  ],
  devices_change: ['quarantined', 'retired'].map(
    // Whoever names a make has all devices of the tenant looked at: a command of an operator's, not of a request.
    (state) => `select devices_change('${acme}', now(), '${state}', null, null, null, 10)`,
  ),
  devices_note: [
    `select devices_note('${acme}', '${JSON.stringify([{ device_id: device, seen_at: '2040-01-01', address: '192.0.2.1' }])}')`,
  ],
  devices_tidy: [`select * from devices_tidy('${acme}', now(), now(), 10)`],
  events_of_device: [`select * from events_of_device('${acme}', '${device}', '${last}', 10)`],
  telemetry_forget: [`select telemetry_forget('${acme}', now(), 10)`],
  backchannel_requests_pending: [`select * from backchannel_requests_pending('${acme}', '${person}', now(), 20)`],
  artifact_is_alive: [`select artifact_is_alive('${acme}', '${person}', 'client-7')`],
  artifacts_commit: [
    [{ do: 'insert', kind: 'AccessToken', id: 'aa', payload: {}, grant_id: 'bb', expires_at: '2040-01-01' }],
    [
      { do: 'upsert', kind: 'Session', id: 'cc', payload: {}, session_uid: 'uid', expires_at: '2040-01-01' },
      { do: 'upsert', kind: 'Session', id: 'cc', payload: {}, session_uid: 'uid', expires_at: '2040-01-01' },
    ],
    [
      { do: 'insert', kind: 'AuthorizationCode', id: 'aa', payload: {}, expires_at: '2040-01-01' },
      { do: 'consume', kind: 'AuthorizationCode', id: 'aa' },
    ],
    [{ do: 'unique', kind: 'ReplayDetection', id: 'dd', payload: {}, expires_at: '2040-01-01' }],
    [{ do: 'tombstone', kind: 'Interaction', id: 'ee', expires_at: '2040-01-01' }],
    [{ do: 'destroy', kind: 'Session', id: 'cc' }],
    [{ do: 'revoke', kind: 'AccessToken', grant_id: 'bb' }],
    [{ do: 'revoke', grant_id: 'bb' }],
    [{ do: 'end_session', session_uid: 'uid 1-8' }],
  ].map((operations) => {
    const filled = operations.map((operation) =>
      Object.fromEntries(
        // SHA-256 in hexadecimal.
        Object.entries(operation).map(([name, value]) => [
          name,
          /^(?:grant_)?id$/.test(name) ? String(value).repeat(32) : value,
        ]),
      ),
    );
    return `select artifacts_commit('${acme}', now(), '${JSON.stringify(filled)}', null)`;
  }),
  artifacts_commit_with_consent: [
    `select artifacts_commit_with_consent('${acme}', now(), '[]', null, '${JSON.stringify({
      user_id: person,
      client_id: 'client-8',
      client_type: 'web',
      scopes: ['openid'],
      claims: [],
      resource_scopes: [],
    })}')`,
  ],
  consent_read: [`select * from consent_read('${acme}', '${person}', 'client-7')`],
  consent_remember: [
    `select consent_remember('${acme}', '${JSON.stringify({
      user_id: person,
      client_id: 'client-7',
      client_type: 'web',
      scopes: ['email'],
      claims: [],
      resource_scopes: [],
    })}', now())`,
  ],
  consent_revoke: [`select * from consent_revoke('${acme}', '${person}', 'client-7')`],
  consents_list: [`select * from consents_list('${acme}', '${person}')`],
  artifacts_commit_soon: [
    `select artifacts_commit_soon('${acme}', now(), '${JSON.stringify([
      { do: 'upsert', kind: 'Interaction', id: 'ab'.repeat(32), payload: {}, expires_at: '2040-01-01' },
    ])}')`,
  ],
  client_find: [`select * from client_find('${acme}', 'client-7')`],
  authorization_details_types_read: [`select * from authorization_details_types_read('${acme}')`],
  client_read: [`select * from client_read('${acme}', 'client-7')`],
  effective_roles: [`select * from effective_roles('${acme}', '${person}')`],
  events_append: [
    `select events_append('${acme}', '[{"id":"${tenant(9)}","occurred_at":"2031-01-01","type":"a.b","outcome":"success"}]')`,
  ],
  events_of_person: [
    `select * from events_of_person('${acme}', '${person}', null, now() - interval '90 days', '${last}', 20)`,
    `select * from events_of_person('${acme}', '${person}', array['user.signed_in'], now() - interval '90 days', '${last}', 20)`,
  ],
  interaction_tombstone: [`select * from interaction_tombstone('${acme}', ${hash('1-7')})`],
  session_announce_end: [
    `select session_announce_end('${acme}', '${person}', '{"authorizations":{"client-7":{"sid":"x"}}}')`,
  ],
  // Looks nothing up: a text in another form.
  search_form: [],
  session_end: [`select * from session_end('${acme}', 'uid 1-8')`],
  session_find_by_uid: [`select * from session_find_by_uid('${acme}', 'uid 1-8')`],
  // Looks nothing up.
  session_grants: [],
  // Reads all sessions of a tenant: once a minute, and only where some have expired.
  sessions_expire: [],
  sessions_list: [`select * from sessions_list('${acme}', '00000000-0000-7000-9000-000000000008', now())`],
  mail_enqueue: [
    `select mail_enqueue('${acme}', '${person}', 'email_code', 'requested', array[5, 20, 1000], ${hash('1-7')}, 'x', now(), null);
     set constraints all immediate`,
  ],
  mail_is_beyond_budget: [
    `select mail_is_beyond_budget('${acme}', '${person}', 'requested', ${hash('1-7')}, now(), array[5, 20, 1000])`,
  ],
  mail_settle: [
    `select mail_settle('${acme}', '${tenant(7)}', 0, now(), 'delivered', null, now(), 'x', 20, null)`,
    `select mail_settle('${acme}', '${tenant(9)}', 0, now(), 'dead', 'x', now(), null, 0, null)`,
  ],
  mails_claim: [`select * from mails_claim('${acme}', now(), 60, 5)`],
  sign_in_attempts_count: [
    `select * from sign_in_attempts_count('${acme}', now(), 900, 5, array[${hash('1-7')}, ${hash('new')}])`,
  ],
  sign_in_attempts_try: [
    `select * from sign_in_attempts_try('${acme}', now(), 86400, array[${hash('1-7')}, ${hash('1-9')}, ${hash('new')}],
       array[${hash('1-8')}, null, null], array[5, 100, 50], array[900, 900, 900], array[900, 900, 900], array[1800, 1800, 1800])`,
    `select * from sign_in_attempts_try('${acme}', now(), 86400, array[${hash('1-7')}], array[null::bytea], array[1], array[900],
       array[900], array[1800])`,
  ],
  sign_in_attempts_unlock: [`select sign_in_attempts_unlock('${acme}', ${hash('1-8')})`],
  sign_in_attempts_forgive: [
    `select sign_in_attempts_forgive('${acme}', ${hash('1-7')}, array[${hash('1-8')}, ${hash('1-9')}])`,
  ],
  // Writes one row by its key.
  passkey_challenge_put: [
    `select passkey_challenge_put('${acme}', ${hash('1-7')}, 'sign_in', ${hash('new')}, null, now())`,
  ],
  pending_sign_in_read: [`select * from pending_sign_in_read('${acme}', ${hash('1-7')}, 'client-7', now(), 5)`],
  pending_sign_in_try: [`select * from pending_sign_in_try('${acme}', ${hash('1-7')}, 'client-7', now(), 5)`],
  person_claim: [`select person_claim('${acme}', '${person}', now())`],
  person_forget: [`select person_forget('${acme}', '${person}', now())`],
  proof_put: [
    `select proof_put('${acme}', '${person}', 'registration', 'person-7@acme.test', null, ${hash('x')}, ${hash('y')}, ${hash('z')}, '{}', now(),
                      now(), true)`,
    `select proof_put('${acme}', '${person}', 'password_reset', 'person-7@acme.test', '${person}', ${hash('x')}, null, null, '{}', now(), now(),
                      true)`,
  ],
  proof_read: [
    `select * from proof_read('${acme}', ${hash('1-7')}, null, now())`,
    `select * from proof_read('${acme}', null, ${hash('1-7')}, now())`,
  ],
  proof_try: [
    `select * from proof_try('${acme}', ${hash('1-7')}, null, now(), 5)`,
    `select * from proof_try('${acme}', null, ${hash('1-7')}, now(), 5)`,
  ],
  proofs_end_of_person: [`select proofs_end_of_person('${acme}', '${person}', now())`],
  sign_in_person: [
    `select * from sign_in_person('${acme}', 'person-7@acme.test', ${hash('1-7')})`,
    `select * from sign_in_person('${acme}', 'name-7', null)`,
  ],
  sign_in_person_by_id: [`select * from sign_in_person_by_id('${acme}', '${person}', ${hash('1-7')})`],
  sign_in_candidate: [`select * from sign_in_candidate('${acme}', 'person-7@acme.test')`],
  structured_tokens_find: [
    `select * from structured_tokens_find('${acme}', array[${hash('jti')}], array[${hash('1-9')}], array['${person}'],
                                          array['client-8'])`,
    `select * from structured_tokens_find('${acme}', array[${hash('jti')}], array[null::bytea], array['client-7'],
                                          array['client-7'])`,
  ],
  // Reads everything that a tenant has: once, when it is gone for good.
  tenant_erase: [],
  tenant_logo_read: [`select * from tenant_logo_read('${acme}')`],
  tenant_material: [`select * from tenant_material('${acme}')`],
};

const seed = `
  insert into tenants (id, slug, name, created_at, updated_at)
    select ('00000000-0000-7000-8000-' || lpad(t::text, 12, '0'))::uuid, 'tenant-' || t, 'Tenant', now(), now()
      from generate_series(1, ${tenants}) t;
  create temporary table everyone as
    select id as tenant_id, t, n from tenants, lateral (select substr(slug, 8)::int as t) x, generate_series(1, ${perTenant}) n;
  insert into users (id, email, email_canonical, created_at, updated_at)
    select ('00000000-0000-7000-9000-' || lpad(n::text, 12, '0'))::uuid, 'person-' || n || '@acme.test',
           'person-' || n || '@acme.test', now(), now() from generate_series(1, ${people}) n;
  insert into memberships (tenant_id, user_id, created_at)
    select tenant_id, ('00000000-0000-7000-9000-' || lpad(n::text, 12, '0'))::uuid, now() from everyone;
  insert into roles (tenant_id, id, name, created_at)
    select tenant_id, ('00000000-0000-7000-a000-' || lpad(n::text, 12, '0'))::uuid, 'role-' || n, now() from everyone where n <= 20;
  update roles set name = 'admin', built_in = true where name = 'role-20';
  update roles set inherits = '00000000-0000-7000-a000-000000000020' where name = 'role-19';
  insert into permissions (tenant_id, name, is_active, created_at)
    select tenant_id, 'thing-' || n || ':read', n > 3, now() from everyone;
  insert into membership_roles (tenant_id, user_id, role_id)
    select m.tenant_id, m.user_id, ('00000000-0000-7000-a000-' || lpad((1 + row_number() over () % 20)::text, 12, '0'))::uuid
      from memberships m;
  insert into clients (tenant_id, client_id, name, type, token_endpoint_auth_method, backchannel_logout_uri, created_at, updated_at)
    select tenant_id, 'client-' || n, 'Client', 'web', 'client_secret_basic', 'https://app.example/', now(), now() from everyone;
  insert into backchannel_logouts (tenant_id, id, client_id, account_id, due_at, created_at)
    select tenant_id, ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'client-' || 1 + n % 10, gen_random_uuid(),
           now() + case when n % 20 = 0 then interval '-1 hour' else interval '1 hour' end, now() from everyone;
  insert into mails (tenant_id, id, kind, budget, counted, limits, recipient_hash, sealed, state, due_at, created_at, settled_at)
    select tenant_id, ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, case when n % 15 = 0 then 'none' else 'email_code' end,
           'requested', true, array[5, 20, 1000], sha256((t || '-' || n)::bytea), 'x',
           case when n < 30 then 'waiting' else 'delivered' end,
           now() + case when n % 5 = 0 then interval '-1 hour' else interval '1 hour' end, now(), now() from everyone;
  insert into client_secrets (tenant_id, client_id, slot, secret_hash, created_at)
    select tenant_id, client_id, 1, sha256(client_id::bytea), now() from clients;
  insert into apis (tenant_id, audience, created_at)
    select tenant_id, 'https://' || n || '.test', now() from everyone where n <= 4;
  insert into authorization_details_types (tenant_id, type, audience, sentence, created_at)
    select tenant_id, 'type-' || n, 'https://' || n || '.test', 'Pay', now() from everyone where n <= 4;
  insert into signing_keys (tenant_id, kid, alg, status, public_jwk, private_sealed, created_at)
    select tenant_id, 'kid-' || lpad(n::text, 8, '0'), 'ES256', 'retired', '{}', '', now()
      from everyone where n <= 4;
  insert into artifacts (tenant_id, kind, id_hash, payload, account_id, client_id, grant_hash, session_uid, user_code_hash,
                         created_at, expires_at)
    select tenant_id, (array['AccessToken', 'Session', 'Grant', 'RefreshToken'])[1 + (n + 1) % 4], sha256((t || '-' || n)::bytea),
           json_build_object('padding', repeat('x', 300), 'authorizations',
                             json_build_object('client-' || n, json_build_object('sid', 'sid', 'grantId', 'grant ' || n))), ('00000000-0000-7000-9000-' || lpad(n::text, 12, '0'))::uuid,
           'client-' || n, sha256((t || '-' || n + 2)::bytea), 'uid ' || t || '-' || n,
           case when n % 10 = 7 then sha256(('user code ' || t || '-' || n)::bytea) end, now(), now() + interval '1 hour'
      from everyone;
  insert into operators (tenant_id, user_id, created_at) select tenant_id, user_id, now() from memberships where right(user_id::text, 1) = '1';
  insert into tenant_logos (tenant_id, version, media_type, body, updated_at)
    select id, md5(slug), 'image/png', repeat('x', 1900)::bytea, now() from tenants;
  insert into consents (tenant_id, user_id, client_id, client_type, scopes, granted_at, updated_at)
    select tenant_id, ('00000000-0000-7000-9000-' || lpad(n::text, 12, '0'))::uuid, 'client-' || n, 'web', '{openid}', now(), now()
      from everyone;
  insert into devices (tenant_id, device_id, client_id, user_id, name, grant_hash, state_changed_at, paired_at, last_seen_at, expires_at)
    select tenant_id, ('00000000-0000-7000-b000-' || lpad(n::text, 12, '0'))::uuid, 'client-' || n,
           ('00000000-0000-7000-9000-' || lpad(n::text, 12, '0'))::uuid, 'lamp', sha256(('device ' || t || '-' || n)::bytea), now(), now(),
           now(), now() + interval '1 hour'
      from everyone;
  insert into device_reports (tenant_id, device_id, reported_at, report, window_started_at, window_reports)
    select tenant_id, device_id, now(), '{}', now(), 1 from devices;
  insert into device_telemetry (tenant_id, device_id, received_at, id, report)
    select tenant_id, device_id, now(), gen_random_uuid(), '{}' from devices;
  insert into api_keys (tenant_id, id, key_hash, beginning, name, user_id, created_at, expires_at)
    select tenant_id, ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, sha256(('key ' || t || '-' || n)::bytea), 'pk_abc', 'robot',
           case when n % 2 = 1 then ('00000000-0000-7000-9000-' || lpad(n::text, 12, '0'))::uuid end, now(), now() + interval '1 hour'
      from everyone;
  insert into sign_in_attempts (tenant_id, key_hash, attempts, window_started_at, part_of)
    select tenant_id, sha256((t || '-' || n)::bytea), 1, now(), sha256((t || '-' || n - n % 2)::bytea) from everyone;
  update memberships set username = 'name-' || right(user_id::text, 4)::int, username_canonical = 'name-' || right(user_id::text, 4)::int;
  insert into totp_factors (user_id, state, secret_sealed, created_at) select id, 'active', 'x', now() from users;
  insert into backup_codes (user_id, code_hash, created_at) select id, sha256((id::text || n)::bytea), now() from users, generate_series(1, 10) n;
  insert into passkeys (user_id, credential_id, rp_id, public_key, sign_count, backed_up, name, created_at)
    select id, sha256(id::text::bytea), 'localhost', 'x', 0, false, 'key', now() from users;
  insert into pending_sign_ins (tenant_id, key_hash, user_id, client_id, factors, wanted, created_at, expires_at)
    select tenant_id, sha256((t || '-' || n)::bytea), ('00000000-0000-7000-9000-' || lpad(n::text, 12, '0'))::uuid, 'client-' || n, '[]',
           'second_factor', now(), now() + interval '1 hour' from everyone;
  insert into proofs (tenant_id, id, purpose, address, user_id, token_hash, handle_hash, code_mac, payload, created_at, expires_at)
    select tenant_id, ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'registration', 'person-' || n || '@acme.test',
           ('00000000-0000-7000-9000-' || lpad(n::text, 12, '0'))::uuid, sha256((t || '-' || n)::bytea), sha256((t || '-' || n)::bytea),
           sha256((t || '-' || n)::bytea), '{}', now(), now() + interval '1 hour' from everyone;
  insert into passkey_challenges (tenant_id, place_hash, purpose, challenge_hash, expires_at)
    select tenant_id, sha256((t || '-' || n)::bytea), 'sign_in', sha256('x'), now() + interval '1 hour' from everyone;
  insert into remembered_devices (tenant_id, token_hash, id, user_id, created_at, last_used_at, expires_at)
    select tenant_id, sha256((t || '-' || n)::bytea), gen_random_uuid(), ('00000000-0000-7000-9000-' || lpad(n::text, 12, '0'))::uuid,
           now(), now(), now() + interval '1 hour' from everyone;
  insert into events (tenant_id, id, occurred_at, type, outcome, target_type, target_id)
    select tenant_id, gen_random_uuid(), now(), 'user.signed_in', 'success', 'user', '00000000-0000-7000-9000-' || lpad(n::text, 12, '0')
      from everyone;
  drop table everyone;
  analyze`;

let database: TestDatabase;
let superuser: SqlConnection;
let tables: readonly string[];

beforeAll(async () => {
  database = await createTestDatabase();
  superuser = await connect(database.superuserUrl);
  await superuser.query(seed);
  tables = await listTenantTables(superuser);
}, 60_000);

afterAll(async () => {
  await superuser.end();
  await database.drop();
});

/** A connection that is `poort_app` and nothing else, whose every plan is told. */
async function connectExplained(to: TestDatabase = database): Promise<SqlConnection> {
  const connection = await connect(to.superuserUrl);
  await connection.query(`
    load 'auto_explain';
    set auto_explain.log_min_duration = 0;
    set auto_explain.log_nested_statements = on;
    set auto_explain.log_analyze = on;
    set auto_explain.log_timing = off;
    set auto_explain.log_level = 'notice';
    set client_min_messages = 'notice';
    set session authorization poort_app`);
  return connection;
}

/** What requests ask all the time: the first of them come when an installation is minutes old. */
const everyRequest = [
  'account_read',
  'api_key_read',
  'artifact_consume',
  'artifacts_commit_together',
  'artifacts_read',
  'client_find',
  'device_code_poll',
  'effective_roles',
  'structured_tokens_find',
];

/** Every plan that was run for this, inner statements first. Everything it changed is undone. */
async function plansOf(connection: SqlConnection, statement: string): Promise<readonly string[]> {
  const before = connection.notices.length;
  await connection.query('begin');
  try {
    await connection.query(statement);
  } finally {
    await connection.query('rollback');
  }
  // A foreign key is looked up in the unique index that it needs, or read whole while its table is three pages: PostgreSQL's own affair.
  const isForeignKey = (notice: string): boolean => /FOR KEY SHARE OF x/.test(notice);
  return connection.notices.slice(before).filter((notice) => notice.includes('Query Text:') && !isForeignKey(notice));
}

/** Rows that an index brought and a condition threw away: a few are chance, many are a missing index. */
const mostRowsInVain = 10;

function complaintsAbout(plans: readonly string[], known: readonly string[]): readonly string[] {
  return plans.flatMap((plan) => {
    const scanned = [...plan.matchAll(/Seq Scan on (?:public\.)?(\w+)/g)].map((match) => match[1] ?? '');
    const inVain = [...plan.matchAll(/Rows Removed by (?:Filter|Join Filter): (\d+)/g)].map((match) =>
      Number(match[1]),
    );
    return [
      ...scanned.filter((table) => known.includes(table)).map((table) => `a scan of ${table}`),
      ...inVain.filter((rows) => rows > mostRowsInVain).map((rows) => `${rows} rows read in vain`),
    ];
  });
}

describe('a statement of the hot path', () => {
  it('is explained as the role that serves', async () => {
    const connection = await connectExplained();
    const { rows } = await connection.query('select session_user as session, current_user as current');
    expect(rows).toEqual([{ session: 'poort_app', current: 'poort_app' }]);
    await connection.end();
  });

  it.each([
    ['reads a whole table', 'select 1 from events where tenant_id::text = $t$x$t$', 'a scan of events'],
    ['reads all of a tenant', `select 1 from artifacts where payload ->> 'grantId' = 'x'`, /^\d{3} rows read in vain$/],
  ])('that %s is noticed by this test', async (_name, statement, complaint) => {
    const connection = await connectExplained();
    await connection.query("select set_config('app.tenant_id', $1, false)", [acme]);
    if (typeof complaint === 'string')
      await connection.query('set enable_indexscan = off; set enable_bitmapscan = off');
    const expected = typeof complaint === 'string' ? complaint : expect.stringMatching(complaint);
    expect(complaintsAbout(await plansOf(connection, statement), tables)).toContainEqual(expected);
    await connection.end();
  });

  it('is known here, whichever function it is in', async () => {
    const { rows } = await superuser.query<{ name: string }>(
      `select p.proname::text as name from pg_proc p
        where p.pronamespace = 'public'::regnamespace and has_function_privilege('poort_app', p.oid, 'execute')
          and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e') order by 1`,
    );
    expect(rows.map((row) => row.name)).toEqual(Object.keys(calls).sort());
  });

  it.each(Object.entries(calls))('of %s uses indexes only', async (_name, statements) => {
    // A plan of its own for each value, and the one that is kept for all: both are run in life.
    for (const mode of ['force_custom_plan', 'force_generic_plan']) {
      const connection = await connectExplained();
      await connection.query(`set plan_cache_mode = ${mode}`);
      for (const statement of statements) {
        const plans = await plansOf(connection, statement);
        expect({ statement, mode, complaints: complaintsAbout(plans, tables) }).toEqual({
          statement,
          mode,
          complaints: [],
        });
        // And something was looked up at all: an empty explanation proves nothing.
        expect(plans.join('\n')).toMatch(/Index|Insert on/);
      }
      await connection.end();
    }
  });

  it('that comes with every request stays a look-up when it was planned while there was nothing, and nobody has counted since', async () => {
    const young = await createTestDatabase();
    const owner = await connect(young.superuserUrl);
    const connection = await connectExplained(young);
    await connection.query('set plan_cache_mode = force_generic_plan');
    const statements = everyRequest.flatMap((name) => calls[name] ?? []);
    // Twice: what a statement is kept for is decided when it comes again.
    for (const statement of [...statements, ...statements])
      await plansOf(connection, statement).catch(async () => connection.query('rollback'));
    await owner.query(seed.replace(/analyze$/, ''));
    const complaints: Record<string, readonly string[]> = {};
    for (const statement of statements) {
      const found = complaintsAbout(await plansOf(connection, statement), tables);
      if (found.length > 0) complaints[statement] = found;
    }
    await Promise.all([connection.end(), owner.end()]);
    await young.drop();
    expect(complaints).toEqual({});
  }, 60_000);
});
