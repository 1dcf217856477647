import type { Mail } from '#src/domain/mail.ts';
import { type MailContext, queueMail } from '#src/flows/mail/send_mail.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { createMovableClock, startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

const hour = 3600;
const time = createMovableClock();
const asked = { kind: 'unlock', link: 'http://localhost/t/acme/verify?token=x' } as const;
let server: TestServer;
let acme: TestTenant;
let globex: TestTenant;

beforeAll(async () => {
  server = await startTestServer({ clock: time.clock });
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
});

afterAll(() => server.close());

interface Wish {
  readonly to: string;
  readonly mail?: Mail;
  readonly tenant?: TestTenant;
  readonly context?: MailContext;
}

function queue({ to, mail = asked, tenant = acme, context = server.context }: Wish) {
  return server.context.database
    .tenant(tenant.id)
    .transaction((transaction) => queueMail(context, transaction, { tenantId: tenant.id, to, locale: 'nl', mail }));
}

/** The tenant's budget is small, and the recipients' large. */
function withTenantBudget(perTenantAndHour: number): MailContext {
  const { mailBudgets } = server.context;
  return {
    ...server.context,
    mailBudgets: { ...mailBudgets, requested: { ...mailBudgets.requested, perTenantAndHour } },
  };
}

const rows = (tenant = acme) =>
  queryAsSuperuser<{ kind: string; counted: boolean; sealed: Buffer | null; recipient_hash: Buffer }>(
    server.database,
    `select kind, counted, sealed, recipient_hash from mails where tenant_id = '${tenant.id}' order by id`,
  );

async function kinds(work: () => Promise<unknown>, tenant = acme): Promise<readonly string[]> {
  const before = (await rows(tenant)).length;
  await work();
  return (await rows(tenant)).slice(before).map(({ kind }) => kind);
}

describe('a mail', () => {
  it('is part of the deed: what is rolled back sends nothing', async () => {
    const before = (await rows()).length;
    const deed = server.context.database.tenant(acme.id).transaction(async (transaction) => {
      const queued = await queueMail(server.context, transaction, {
        tenantId: acme.id,
        to: 'x@y.test',
        locale: 'nl',
        mail: asked,
      });
      expect(queued).toBe('queued');
      throw new Error('changed my mind');
    });
    await expect(deed).rejects.toThrow('changed my mind');
    expect((await rows()).length).toBe(before);
  });

  it('is kept so that a stolen database tells neither what it says nor to whom', async () => {
    const link = `${acme.issuer}/reset?token=SECRETTOKEN`;
    await queue({ to: 'Victim@kept.test', mail: { kind: 'reset_password', link, code: '73555537' } });
    const [{ text } = { text: '' }] = await queryAsSuperuser<{ text: string }>(
      server.database,
      `select string_agg(m::text || coalesce(encode(m.sealed, 'escape'), ''), ' ') as text from mails m`,
    );
    expect(text).toContain('reset_password');
    for (const secret of ['SECRETTOKEN', '73555537', 'kept.test', 'ictim']) expect(text).not.toContain(secret);
    // Each tenant has its own name for the same recipient, and capitals make no second one.
    await queue({ to: 'victim@KEPT.test' });
    await queue({ to: 'victim@kept.test', tenant: globex });
    const [first, second] = (await rows()).slice(-2).map(({ recipient_hash: hash }) => hash.toString('hex'));
    const elsewhere = (await rows(globex)).at(-1)?.recipient_hash.toString('hex');
    expect(first).toBe(second);
    expect(elsewhere).not.toBe(first);
  });

  it.each([
    'ada@acme.test\r\nBcc: everyone@acme.test',
    'ada@acme.test\nDATA',
    'ada@acme.test\0',
    'ada@acme.test, eve@acme.test',
    'Ada <ada@acme.test>',
    '"ada\r\n"@acme.test',
    '',
  ])('is not written to %j', async (to) => {
    const written = await kinds(() => expect(queue({ to })).rejects.toThrow(TypeError));
    expect(written).toEqual([]);
  });

  it('to nobody leaves the same trace and takes the same statements', async () => {
    const before = server.context.database.roundTrips();
    expect(await queue({ to: 'known@trace.test' })).toBe('queued');
    const known = server.context.database.roundTrips() - before;
    expect(await queue({ to: 'unknown@trace.test', mail: { kind: 'none' } })).toBe('queued');
    expect(server.context.database.roundTrips() - before - known).toBe(known);
    const [first, second] = (await rows()).slice(-2);
    expect([first?.counted, second?.counted]).toEqual([true, true]);
    expect(second?.sealed).not.toBeNull();
  });
});

describe('the budget of a recipient (C42)', () => {
  it('is five in an hour and twenty in a day of what strangers can ask for', async () => {
    const to = 'bombed@acme.test';
    const outcomes: string[] = [];
    for (let hours = 0; hours < 6; hours += 1) {
      for (let attempt = 0; attempt < 6; attempt += 1) outcomes.push(await queue({ to }));
      time.advance(hour + 1);
    }
    const anHour = ['queued', 'queued', 'queued', 'queued', 'queued', 'over_budget'];
    const nothing = anHour.map(() => 'over_budget');
    expect(outcomes).toEqual([...anHour, ...anHour, ...anHour, ...anHour, ...nothing, ...nothing]);
    // What was refused did not prolong the wait.
    time.advance(18 * hour);
    expect(await queue({ to })).toBe('queued');
  });

  it('leaves room for what happened to the account, and that for the other', async () => {
    const to = 'told@acme.test';
    const notice = { kind: 'password_changed', when: time.clock() } as const;
    for (let attempt = 0; attempt < 6; attempt += 1) await queue({ to });
    const notices: string[] = [];
    for (let attempt = 0; attempt < 21; attempt += 1) notices.push(await queue({ to, mail: notice }));
    expect(notices).toEqual([...Array(20).fill('queued'), 'over_budget']);
    const other = 'told-too@acme.test';
    for (let attempt = 0; attempt < 21; attempt += 1) await queue({ to: other, mail: notice });
    expect(await queue({ to: other })).toBe('queued');
  });

  it('is this tenant’s and this recipient’s alone', async () => {
    const to = 'shared@acme.test';
    for (let attempt = 0; attempt < 6; attempt += 1) await queue({ to });
    expect(await queue({ to })).toBe('over_budget');
    expect(await queue({ to, tenant: globex })).toBe('queued');
    expect(await queue({ to: 'somebody-else@acme.test' })).toBe('queued');
  });

  it('is counted exactly when a hundred ask at once', async () => {
    const to = 'parallel@acme.test';
    const written = await kinds(() => Promise.all(Array.from({ length: 100 }, () => queue({ to }))));
    expect(written).toHaveLength(100);
    expect(written.filter((kind) => kind === 'unlock')).toHaveLength(5);
    const beyond = (await rows()).filter(({ kind }) => kind === 'none').slice(-95);
    expect(beyond.every(({ counted, sealed }) => !counted && sealed === null)).toBe(true);
  });

  it('runs out for an address that nobody has exactly when it would for one that somebody has', async () => {
    const outcomes: string[] = [];
    for (let attempt = 0; attempt < 6; attempt += 1)
      outcomes.push(await queue({ to: 'nobody@acme.test', mail: { kind: 'none' } }));
    expect(outcomes).toEqual([...Array(5).fill('queued'), 'over_budget']);
  });

  it('is not touched by what is rolled back', async () => {
    const to = 'undone@acme.test';
    for (let attempt = 0; attempt < 10; attempt += 1) {
      const deed = server.context.database.tenant(acme.id).transaction(async (transaction) => {
        await queueMail(server.context, transaction, { tenantId: acme.id, to, locale: 'nl', mail: asked });
        throw new Error('undone');
      });
      await expect(deed).rejects.toThrow('undone');
    }
    expect(await queue({ to })).toBe('queued');
  });

  it('holds within one transaction as well', async () => {
    const to = 'together@acme.test';
    const written = await kinds(() =>
      server.context.database.tenant(acme.id).transaction(async (transaction) => {
        for (let attempt = 0; attempt < 7; attempt += 1) {
          await queueMail(server.context, transaction, { tenantId: acme.id, to, locale: 'nl', mail: asked });
        }
      }),
    );
    expect(written).toEqual([...Array(5).fill('unlock'), 'none', 'none']);
  });
});

describe('a tenant under attack', () => {
  it('goes on writing to its people however many addresses are asked for that nobody has', async () => {
    const { mailBudgets } = server.context;
    const context = {
      ...server.context,
      mailBudgets: { ...mailBudgets, requested: { ...mailBudgets.requested, perTenantAndHour: 3 } },
    };
    for (let request = 0; request < 10; request += 1)
      await queue({ to: `nobody-${request}@invented.test`, mail: { kind: 'none' }, tenant: globex, context });
    expect(await queue({ to: 'somebody@invented.test', tenant: globex, context })).toBe('queued');
  });
});

describe('what somebody asks for who was let in', () => {
  it('is not used up by strangers: a code at sign-in is sent however many resets were asked for', async () => {
    const to = 'popular@besieged.test';
    for (let request = 0; request < 25; request += 1) await queue({ to });
    expect(await queue({ to })).toBe('over_budget');
    expect(await queue({ to, mail: { kind: 'email_code', code: '482913' } })).toBe('queued');
  });
});

describe('the budget of a tenant (C42)', () => {
  it('is counted exactly when a hundred ask at once, each for another recipient', async () => {
    time.advance(2 * hour);
    const context = withTenantBudget(30);
    const written = await kinds(() =>
      Promise.all(Array.from({ length: 100 }, (_, number) => queue({ to: `person-${number}@many.test`, context }))),
    );
    expect(written.filter((kind) => kind === 'unlock')).toHaveLength(30);
    expect(await queue({ to: 'one-more@many.test', context })).toBe('over_budget');
    expect(await queue({ to: 'one-more@many.test', context, tenant: globex })).toBe('queued');
    time.advance(hour + 1);
    expect(await queue({ to: 'one-more@many.test', context })).toBe('queued');
  });

  it('makes nobody wait for a transaction that is still at work, and two that cross each other do not lock up', async () => {
    const { database } = server.context;
    const ready = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    const slow = database.tenant(acme.id).transaction(async (transaction) => {
      await queueMail(server.context, transaction, {
        tenantId: acme.id,
        to: 'one@cross.test',
        locale: 'nl',
        mail: asked,
      });
      ready.resolve();
      await goOn.promise;
      await queueMail(server.context, transaction, {
        tenantId: acme.id,
        to: 'two@cross.test',
        locale: 'nl',
        mail: asked,
      });
    });
    await ready.promise;
    await database.tenant(acme.id).transaction(async (transaction) => {
      await queueMail(server.context, transaction, {
        tenantId: acme.id,
        to: 'two@cross.test',
        locale: 'nl',
        mail: asked,
      });
      await queueMail(server.context, transaction, {
        tenantId: acme.id,
        to: 'one@cross.test',
        locale: 'nl',
        mail: asked,
      });
    });
    goOn.resolve();
    await slow;
    const written = (await rows()).slice(-4).map(({ kind }) => kind);
    expect(written).toEqual(['unlock', 'unlock', 'unlock', 'unlock']);
  });
});
