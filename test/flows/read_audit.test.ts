/** The history of a tenant, asked in every way, and taken out of the house. */
import { setImmediate } from 'node:timers/promises';
import { firstIdAt } from '#src/domain/audit.ts';
import type { NewEvent } from '#src/domain/event.ts';
import { type AuditQuestion, exportAudit, listAudit } from '#src/flows/tenants/read_audit.ts';
import { type AuditFormat, writeAudit } from '#src/flows/tenants/write_audit.ts';
import { type Origin, recordEvent } from '#src/storage/event_log.ts';
import { createMovableClock, type MovableClock, startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, newPerson, type TestTenant } from '#test/support/world.ts';

let time: MovableClock;
let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;
let grace: Awaited<ReturnType<typeof newPerson>>;
let began: Date;

beforeAll(async () => {
  time = createMovableClock();
  server = await startTestServer({ clock: time.clock });
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
  grace = await newPerson(server, acme);
  time.advance(60);
  began = time.clock();
});

afterAll(() => server.close());

async function happens(event: Partial<NewEvent>, origin: Origin = {}, tenant = acme): Promise<void> {
  const whole = { type: 'user.signed_in', outcome: 'success', ...event } as const;
  await recordEvent(server.context.database.tenant(tenant.id), { event: whole, origin, now: time.clock() });
}

async function ask(question: AuditQuestion, { tenant = acme, limit = 100 } = {}) {
  const { entries } = await listAudit(server.context, { tenantId: tenant.id, question, limit });
  return entries;
}

const reasonsOf = (entries: readonly { readonly reason: string | null }[]) => entries.map(({ reason }) => reason);

async function written(question: AuditQuestion, format: AuditFormat): Promise<string> {
  let text = '';
  for await (const part of writeAudit(exportAudit(server.context, { tenantId: acme.id, question }), format))
    text += part;
  return text;
}

describe('a history', () => {
  it('is shown from the latest on, in parts that neither repeat nor leave out', async () => {
    for (const reason of ['one', 'two', 'three', 'four', 'five']) await happens({ type: 'key.rotated', reason });
    const question = { types: ['key.rotated'], since: began } as const;
    const shown: (string | null)[] = [];
    let before: string | undefined;
    do {
      const page = await listAudit(server.context, { tenantId: acme.id, question, before, limit: 2 });
      expect(page.entries.length).toBeLessThanOrEqual(2);
      shown.push(...reasonsOf(page.entries));
      before = page.next;
    } while (before !== undefined);
    expect(shown).toEqual(['five', 'four', 'three', 'two', 'one']);
  });

  it('is asked by each of its columns, and by all of them at once', async () => {
    const actor = { type: 'user', id: grace.id } as const;
    const target = { type: 'client', id: acme.clients.web.clientId } as const;
    const origin = { ip: '192.0.2.7', requestId: 'a-request' };
    await happens({ type: 'client.updated', actor, target, clientId: 'console', reason: 'all' }, origin);
    await happens({ type: 'client.disabled', outcome: 'failure', reason: 'none' }, { ip: '192.0.2.8' });
    const all: AuditQuestion = {
      actor: grace.id,
      target: target.id,
      types: ['client.updated', 'client.created'],
      outcome: 'success',
      ip: '192.0.2.7',
      clientId: 'console',
      requestId: 'a-request',
      since: began,
    };
    expect(reasonsOf(await ask(all))).toEqual(['all']);
    for (const [name, value] of Object.entries(all)) {
      if (name === 'types' || name === 'since' || name === 'outcome') continue;
      expect({ name, found: reasonsOf(await ask({ [name]: value, since: began })) }).toEqual({ name, found: ['all'] });
      expect({ name, found: await ask({ ...all, [name]: 'other' }) }).toEqual({ name, found: [] });
    }
    expect(await ask({ ...all, outcome: 'failure' })).toEqual([]);
    expect(await ask({ ...all, until: began })).toEqual([]);
  });

  it('knows people and clients by the names that they are called', async () => {
    const target = { type: 'client', id: acme.clients.machine.clientId } as const;
    await happens({ actor: { type: 'user', id: acme.person.id }, target, reason: 'named' });
    const shown = await ask({ actor: acme.person.email.toUpperCase(), target: 'machine', since: began });
    expect(shown).toMatchObject([{ reason: 'named', actor_name: acme.person.email, target_name: 'machine' }]);
    // A person of another tenant is nobody here, not even by name.
    await happens({ actor: { type: 'user', id: globex.person.id }, reason: 'stranger' });
    expect(await ask({ actor: globex.person.email, since: began })).toEqual([]);
    const [stranger] = await ask({ actor: globex.person.id, since: began });
    expect(stranger).toMatchObject({ reason: 'stranger', actor_name: undefined });
  });

  it('is that of one tenant alone', async () => {
    await happens({ reason: 'globex only' }, { requestId: 'shared' }, globex);
    expect(await ask({ requestId: 'shared' })).toEqual([]);
    expect(reasonsOf(await ask({ requestId: 'shared' }, { tenant: globex }))).toEqual(['globex only']);
  });

  it('shows issued tokens to whoever asks for them, however rare they are among the others', async () => {
    await happens({ type: 'token.issued', clientId: 'rare', reason: 'token' });
    await happens({ type: 'user.signed_out', clientId: 'rare', reason: 'no token' });
    expect(reasonsOf(await ask({ clientId: 'rare' }))).toEqual(['no token']);
    expect(reasonsOf(await ask({ clientId: 'rare', types: ['token.issued'] }))).toEqual(['token']);
    const both: AuditQuestion = { clientId: 'rare', types: ['token.issued', 'user.signed_out'] };
    expect(reasonsOf(await ask(both))).toEqual(['no token', 'token']);
  });

  it('takes a moment for what it is: from it on, and before it', async () => {
    time.advance(10);
    const moment = time.clock();
    await happens({ type: 'mfa.failed', reason: 'at' });
    time.advance(1);
    const later = time.clock();
    await happens({ type: 'mfa.failed', reason: 'after' });
    expect(reasonsOf(await ask({ types: ['mfa.failed'], since: moment }))).toEqual(['after', 'at']);
    expect(reasonsOf(await ask({ types: ['mfa.failed'], since: later }))).toEqual(['after']);
    expect(reasonsOf(await ask({ types: ['mfa.failed'], until: later }))).toEqual(['at']);
    expect(await ask({ types: ['mfa.failed'], until: moment })).toEqual([]);
    expect(firstIdAt(new Date(-1))).toBe('00000000-0000-0000-0000-000000000000');
  });
});

describe('an exported history', () => {
  it('has everything that fits, the oldest first, and is an event itself', async () => {
    time.advance(60);
    const since = time.clock();
    await happens({ type: 'token.issued', reason: 'first' });
    await happens({ type: 'user.locked', reason: 'second' });
    time.advance(1);
    const lines = (await written({ since }, 'ndjson')).trimEnd().split('\n');
    expect(reasonsOf(lines.map((line) => JSON.parse(line)))).toEqual(['first', 'second']);
    const [exported] = await ask({ types: ['audit.exported'], since });
    expect(exported).toMatchObject({
      actor_type: 'operator',
      target_id: acme.id,
      data: { since: since.toISOString(), filtered: ['since'] },
    });
  });

  it('is whole across many parts, and ends where it was asked for', async () => {
    time.advance(60);
    const since = time.clock();
    const count = 2_345;
    await server.context.database.tenant(acme.id).transaction((transaction) =>
      transaction.query(
        `insert into events (tenant_id, id, occurred_at, type, outcome, reason)
         select $1, overlay($2::text placing lpad(to_hex(n), 4, '0') from 20 for 4)::uuid, $3,
                case when n % 3 = 0 then 'user.locked' else 'token.issued' end, 'success', n::text from generate_series(1, $4) n`,
        [acme.id, firstIdAt(since), since, count],
      ),
    );
    time.advance(1);
    const batches: (readonly { readonly reason: string | null }[])[] = [];
    const input = { tenantId: acme.id, question: { since } };
    for await (const batch of exportAudit(server.context, input)) {
      // Newer than the question: it would never end for a reader who is slower than what happens.
      await happens({ type: 'user.unlocked', reason: 'too late' });
      time.advance(1);
      batches.push(batch);
    }
    expect(batches.map((batch) => batch.length)).toEqual([1_000, 1_000, 345]);
    expect(reasonsOf(batches.flat())).toEqual(Array.from({ length: count }, (_, index) => String(index + 1)));
    // Where almost nothing fits, parts that have nothing are gone through as well.
    const rare = { tenantId: acme.id, question: { since, types: ['user.locked'] } } as const;
    let locked = 0;
    for await (const batch of exportAudit(server.context, rare)) locked += batch.length;
    expect(locked).toBe(Math.floor(count / 3));
  });

  it('reads no further than its reader, and stops when the reader does', async () => {
    const before = server.context.database.roundTrips();
    const batches = exportAudit(server.context, { tenantId: acme.id, question: {} });
    await setImmediate();
    expect(server.context.database.roundTrips()).toBe(before);
    await batches.next();
    const afterOne = server.context.database.roundTrips();
    await setImmediate();
    await batches.return();
    expect(await batches.next()).toEqual({ done: true, value: undefined });
    expect(server.context.database.roundTrips()).toBe(afterOne);
  });

  it('is safe to open in a spreadsheet', async () => {
    time.advance(60);
    const since = time.clock();
    const userAgents = ['=cmd|x', '+1', '-1', '@SUM(A1)', '\t=1', '\r=1', '\n=1', '＝1', 'a "quoted", cell', 'plain'];
    for (const userAgent of userAgents) await happens({ reason: 'agent' }, { userAgent });
    time.advance(1);
    const csv = await written({ since }, 'csv');
    const [header = '', ...rows] = csv.split(/\r\n(?=[0-9a-f-]{36},|$)/);
    expect(header.split(',').slice(0, 4)).toEqual(['id', 'time', 'type', 'outcome']);
    const cells = rows.filter((row) => row !== '').map((row) => /agent,(?:[^,]*,){9}(.*),,$/s.exec(row)?.[1]);
    expect(cells).toEqual([
      "'=cmd|x",
      "'+1",
      "'-1",
      "'@SUM(A1)",
      "'\t=1",
      '"\'\r=1"',
      '"\'\n=1"',
      "'＝1",
      '"a ""quoted"", cell"',
      'plain',
    ]);
  });

  it('has a header and nothing else where nothing happened', async () => {
    expect(await written({ requestId: 'nobody' }, 'ndjson')).toBe('');
    expect((await written({ requestId: 'nobody' }, 'csv')).split('\r\n')).toHaveLength(2);
  });
});
