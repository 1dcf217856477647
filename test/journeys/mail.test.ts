/**
 * Mail from the deed to the mail server: a real PostgreSQL, a real SMTP conversation. Nobody waits for time to pass: it is passed in.
 */
import { randomBytes } from 'node:crypto';
import type { Mail } from '#src/domain/mail.ts';
import { findKeyProblems } from '#src/flows/keys/check_keys.ts';
import { resealAll } from '#src/flows/keys/reseal.ts';
import { createMailDelivery, type MailDelivery } from '#src/flows/mail/deliver_mails.ts';
import { listTenantMails, retryMails } from '#src/flows/mail/manage_mails.ts';
import { queueMail } from '#src/flows/mail/send_mail.ts';
import { sweepSettledMails } from '#src/flows/sweep.ts';
import { createSealer } from '#src/foundation/sealing.ts';
import { Secret } from '#src/foundation/secret.ts';
import { createMailServer } from '#src/gateways/mail_server.ts';
import { renderMail } from '#src/http/pages/kit/render_mail.ts';
import { countDeadMails } from '#src/storage/tables/mails.ts';
import { testMasterKey } from '#test/support/cluster.ts';
import { longToken, mailCode, mailsOfEveryKind, queueAt } from '#test/support/mails.ts';
import { startWorkerProcess } from '#test/support/server_process.ts';
import { readMail, type SmtpServer, startSmtpServer } from '#test/support/smtp_server.ts';
import { eventually } from '#test/support/sql.ts';
import { queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import { createMovableClock, startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

const time = createMovableClock();
const code = { kind: 'email_code', code: mailCode } as const;
let server: TestServer;
let beside: TestServer;
let acme: TestTenant;
let globex: TestTenant;
let smtp: SmtpServer;
const deliveries: MailDelivery[] = [];

beforeAll(async () => {
  smtp = await startSmtpServer();
  const environment = { POORT_SMTP_URL: smtp.url, POORT_MAIL_FROM: 'Poort <no-reply@id.test>' };
  server = await startTestServer({ clock: time.clock, environment });
  beside = await startTestServer({ beside: server, clock: time.clock, environment });
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
});

afterAll(async () => {
  for (const delivery of deliveries) delivery.close();
  await beside.close();
  await server.close();
  await smtp.close();
});

beforeEach(async () => {
  smtp.behave(() => undefined);
  await queryAsSuperuser(server.database, `delete from mails`);
});

const retry = { maximumAttempts: 4, firstRetrySeconds: 60, maximumRetrySeconds: 600 };

function deliveryOf(
  at: TestServer = server,
  { url = smtp.url, timeLimitSeconds = 30, settings = retry } = {},
): MailDelivery {
  const { database, sealer, logger } = at.server.house;
  const delivery = createMailDelivery({
    ...{ database, sealer, logger, settings },
    clock: time.clock,
    publicUrl: server.origin,
    from: server.config.mail.from,
    render: async (mail, setting) => renderMail(mail, setting),
    destination: {
      kind: 'server',
      server: createMailServer({ url: new Secret(url), clientName: 'id.test', timeLimitSeconds }),
    },
    random: () => 1,
  });
  deliveries.push(delivery);
  return delivery;
}

let people = 0;

/** To somebody new each time, whose address is told. */
async function queue(
  mail: Mail = code,
  { tenant = acme, ...more }: { tenant?: TestTenant; validUntil?: Date } = {},
): Promise<string> {
  people += 1;
  const to = `person-${people}@mail.test`;
  expect(await queueAt(server, { tenant, to, mail, ...more })).toBe('queued');
  return to;
}

const receivedBy = (to: string) => smtp.mails.filter(({ recipients }) => recipients.includes(to));
const rows = (tenant = acme) => listTenantMails(server.context, { tenantId: tenant.id });
const sealedRows = async () =>
  (await queryAsSuperuser<{ n: number }>(server.database, 'select count(sealed)::int as n from mails'))[0]?.n;

describe('a mail', () => {
  it('is delivered once, after the commit, from the tenant', async () => {
    const to = await queue();
    expect(receivedBy(to)).toEqual([]);
    expect(await deliveryOf().deliverDue()).toEqual({ delivered: 1, postponed: 0, dead: 0 });
    expect(await deliveryOf().deliverDue()).toEqual({ delivered: 0, postponed: 0, dead: 0 });
    const [received, ...others] = receivedBy(to);
    expect(others).toEqual([]);
    expect(received).toMatchObject({ sender: 'no-reply@id.test', recipients: [to] });
    const mail = readMail(received?.raw ?? '');
    expect(mail.header('From')).toBe('Acme <no-reply@id.test>');
    expect(mail.header('Subject')).toBe('Uw code voor Acme');
    expect(mail.header('Message-ID')).toMatch(/^<[0-9a-f-]{36}@localhost>$/);
    expect(mail.header('Auto-Submitted')).toBe('auto-generated');
    expect(Math.abs(new Date(mail.header('Date')).getTime() - time.clock().getTime())).toBeLessThan(10_000);
    expect(mail.text).toContain(mailCode);
    expect(mail.html).toContain(mailCode);
    expect(await rows()).toMatchObject([{ state: 'delivered', attempts: 1, problem: null }]);
  });

  it('of a deed that was rolled back is never sent', async () => {
    const deed = server.context.database.tenant(acme.id).transaction(async (transaction) => {
      await queueMail(server.context, transaction, {
        tenantId: acme.id,
        to: 'undone@mail.test',
        locale: 'nl',
        mail: code,
      });
      throw new Error('changed my mind');
    });
    await expect(deed).rejects.toThrow('changed my mind');
    expect(await deliveryOf().deliverDue()).toEqual({ delivered: 0, postponed: 0, dead: 0 });
    expect(receivedBy('undone@mail.test')).toEqual([]);
  });

  it('of every kind arrives whole, in both languages, with no link but the tenant’s (C1)', async () => {
    const wanted = mailsOfEveryKind(acme.issuer);
    for (const locale of ['nl', 'en'] as const) {
      for (const [index, mail] of wanted.entries())
        await queueAt(server, { tenant: acme, to: `${locale}-${index}@kinds.test`, mail, locale });
    }
    expect(await deliveryOf().deliverDue()).toMatchObject({ delivered: wanted.length * 2, dead: 0 });
    const received = smtp.mails.filter(({ recipients }) => recipients[0]?.endsWith('@kinds.test'));
    expect(received).toHaveLength(wanted.length * 2);
    for (const { raw } of received) {
      const mail = readMail(raw);
      const addresses = [...`${mail.text} ${mail.html}`.matchAll(/https?:\/\/[^\s"<]+/g)].map(([address]) => address);
      expect(addresses.length).toBeGreaterThan(0);
      for (const address of addresses) expect(`${address}/`.startsWith(`${acme.issuer}/`)).toBe(true);
      // RFC 5322 §2.1.1.
      for (const line of raw.split('\r\n')) expect(line.length).toBeLessThanOrEqual(998);
      if (mail.text.includes('SECRETTOKEN')) expect(mail.text).toContain(`token=${longToken}&a=b\r\n`);
    }
    expect(received.filter(({ raw }) => readMail(raw).text.includes('SECRETTOKEN')).length).toBeGreaterThan(8);
  });

  it('with a link to somewhere else is given up and not sent (C1)', async () => {
    const to = await queue({ kind: 'unlock', link: 'https://evil.example/t/acme/unlock' });
    expect(await deliveryOf().deliverDue()).toEqual({ delivered: 0, postponed: 0, dead: 1 });
    expect(receivedBy(to)).toEqual([]);
    expect(await rows()).toMatchObject([{ state: 'dead', problem: 'it cannot be put into words' }]);
  });

  it('to nobody is not sent, and is settled like any other', async () => {
    const before = smtp.mails.length;
    await queue({ kind: 'none' });
    const to = await queue();
    expect(await deliveryOf().deliverDue()).toEqual({ delivered: 1, postponed: 0, dead: 0 });
    expect(smtp.mails).toHaveLength(before + 1);
    expect(receivedBy(to)).toHaveLength(1);
    expect(await sealedRows()).toBe(0);
    const states = await queryAsSuperuser<{ state: string }>(server.database, 'select distinct state from mails');
    expect(states).toEqual([{ state: 'delivered' }]);
  });
});

describe('a copy of the database', () => {
  it('holds no link, no code and no recipient while a mail waits, and nothing of it after it was sent', async () => {
    const link = `${acme.issuer}/reset?token=${longToken}`;
    const to = await queue({ kind: 'reset_password', link, code: mailCode });
    const dump = async (): Promise<string> =>
      (
        await queryAsSuperuser<{ text: string }>(
          server.database,
          `select string_agg(m::text || ' ' || coalesce(encode(m.sealed, 'escape'), ''), ' ') as text from mails m`,
        )
      )[0]?.text ?? '';
    for (const settled of [false, true]) {
      if (settled) await deliveryOf().deliverDue();
      expect(await sealedRows()).toBe(settled ? 0 : 1);
      const text = await dump();
      for (const secret of [longToken, 'SECRETTOKEN', mailCode, to]) expect(text).not.toContain(secret);
    }
    expect(receivedBy(to)).toHaveLength(1);
  });

  it('tells a worker nothing that somebody moved from one row or tenant to another', async () => {
    const first = await queue();
    const second = await queue(code, { tenant: globex });
    await queryAsSuperuser(
      server.database,
      `update mails set sealed = (select sealed from mails where tenant_id = '${globex.id}') where tenant_id = '${acme.id}'`,
    );
    expect(await deliveryOf().deliverDue()).toEqual({ delivered: 1, postponed: 0, dead: 1 });
    expect([receivedBy(first).length, receivedBy(second).length]).toEqual([0, 1]);
  });
});

describe('a new master key', () => {
  it('is what a waiting mail is sealed with afterwards, and the mail is sent all the same', async () => {
    const to = await queue();
    const young = randomBytes(32).toString('base64');
    const sealer = createSealer([new Secret(young), new Secret(testMasterKey)]);
    const { database } = server.context;
    const sealedOtherwise = async () => (await findKeyProblems({ database, sealer })).sealedOtherwise;
    const keys = await sealedOtherwise();
    await queueAt(server, { tenant: globex, to: 'also@mail.test', mail: code });
    expect(await sealedOtherwise()).toBe(keys + 1);
    await resealAll({ database, sealer }, server.server.house.urls.owner);
    expect(await findKeyProblems({ database, sealer })).toMatchObject({ problems: [], sealedOtherwise: 0 });
    // With the new one alone.
    const onlyYoung = { server: { house: { ...server.server.house, sealer: createSealer([new Secret(young)]) } } };
    expect(await deliveryOf({ ...server, ...onlyYoung } as TestServer).deliverDue()).toMatchObject({
      delivered: 2,
      dead: 0,
    });
    expect(receivedBy(to)).toHaveLength(1);
  });

  it('that is lost is noticed before a mail is due', async () => {
    await queue();
    const sealer = createSealer([new Secret(randomBytes(32).toString('base64'))]);
    const { problems } = await findKeyProblems({ database: server.context.database, sealer });
    expect(problems).toContain('acme: 1 mails do not open');
  });
});

describe('a mail server that says no', () => {
  it('for now is asked again later, ever later, and at last no more', async () => {
    const to = await queue();
    smtp.behave((command) => (command.startsWith('RCPT') ? '450 4.2.1 greylisted' : undefined));
    const delivery = deliveryOf();
    const pauses: number[] = [];
    for (let attempt = 1; attempt < 4; attempt += 1) {
      expect(await delivery.deliverDue()).toEqual({ delivered: 0, postponed: 1, dead: 0 });
      const [row] = await rows();
      expect(row).toMatchObject({ state: 'waiting', attempts: attempt, problem: 'RCPT TO: 450 4.2.1' });
      const pause = ((row?.due_at.getTime() ?? 0) - time.clock().getTime()) / 1000;
      pauses.push(Math.round(pause / 10) * 10);
      time.advance(pause - 5);
      expect(await delivery.deliverDue()).toEqual({ delivered: 0, postponed: 0, dead: 0 });
      time.advance(10);
    }
    expect(pauses).toEqual([60, 120, 240]);
    const before = await countDeadMails(server.context.database);
    expect(await delivery.deliverDue()).toEqual({ delivered: 0, postponed: 0, dead: 1 });
    expect(await countDeadMails(server.context.database)).toBe(before + 1);
    expect(await sealedRows()).toBe(0);
    expect(receivedBy(to)).toEqual([]);
    time.advance(86_400);
    expect(await delivery.deliverDue()).toEqual({ delivered: 0, postponed: 0, dead: 0 });
  });

  it('for now and then yes is forgiven', async () => {
    const to = await queue();
    const delivery = deliveryOf();
    smtp.behave((command) => (command === '.' ? '451 4.3.0 later' : undefined));
    await delivery.deliverDue();
    smtp.behave(() => undefined);
    time.advance(61);
    expect(await delivery.deliverDue()).toEqual({ delivered: 1, postponed: 0, dead: 0 });
    expect(receivedBy(to)).toHaveLength(1);
    expect(await rows()).toMatchObject([{ state: 'delivered', attempts: 2, problem: null }]);
  });

  it('for good is believed at once, and the event says why without the address', async () => {
    const to = await queue();
    smtp.behave((command) => (command.startsWith('RCPT') ? `550 5.1.1 <${to}> unknown` : undefined));
    expect(await deliveryOf().deliverDue()).toEqual({ delivered: 0, postponed: 0, dead: 1 });
    const [row] = await rows();
    expect(row).toMatchObject({ state: 'dead', attempts: 1, problem: 'RCPT TO: 550 5.1.1' });
    expect(await sealedRows()).toBe(0);
    const events = await readEvents(server.database, { tenantId: acme.id, types: ['mail.given_up'] });
    expect(events.at(-1)).toMatchObject({
      type: 'mail.given_up',
      outcome: 'failure',
      reason: 'RCPT TO: 550 5.1.1',
      target_id: row?.id,
    });
    expect(JSON.stringify(events)).not.toContain(to);
  });

  it('or is away does not lose a mail, and an operator does not have to wait for the next attempt', async () => {
    const to = await queue();
    const away = await startSmtpServer();
    await away.close();
    expect(await deliveryOf(server, { url: away.url }).deliverDue()).toEqual({ delivered: 0, postponed: 1, dead: 0 });
    // While it may still be in somebody's hand, it stays there.
    expect(await retryMails(server.context, { tenantId: acme.id })).toBe(0);
    await queryAsSuperuser(server.database, `update mails set due_at = due_at + interval '1 hour'`);
    time.advance(200);
    expect(await deliveryOf().deliverDue()).toMatchObject({ delivered: 0 });
    expect(await retryMails(server.context, { tenantId: globex.id })).toBe(0);
    expect(await retryMails(server.context, { tenantId: acme.id })).toBe(1);
    expect(await deliveryOf().deliverDue()).toEqual({ delivered: 1, postponed: 0, dead: 0 });
    expect(receivedBy(to)).toHaveLength(1);
  });

  it('of one mail keeps no other from being sent', async () => {
    const refused = await queue();
    const sent = await queue();
    const elsewhere = await queue(code, { tenant: globex });
    smtp.behave((command) => (command.includes(refused) ? '450 4.2.1 no' : undefined));
    expect(await deliveryOf().deliverDue()).toEqual({ delivered: 2, postponed: 1, dead: 0 });
    expect([refused, sent, elsewhere].map((to) => receivedBy(to).length)).toEqual([0, 1, 1]);
  });
});

describe('a link that is over', () => {
  it('is not sent, however the mail server was', async () => {
    const validUntil = new Date(time.clock().getTime() + 900_000);
    const link = `${acme.issuer}/reset?token=x`;
    const to = await queue({ kind: 'reset_password', link, code: mailCode }, { validUntil });
    smtp.behave((command) => (command.startsWith('RCPT') ? '450 4.2.1 greylisted' : undefined));
    const delivery = deliveryOf();
    await delivery.deliverDue();
    smtp.behave(() => undefined);
    time.advance(901);
    expect(await delivery.deliverDue()).toEqual({ delivered: 0, postponed: 0, dead: 1 });
    expect(receivedBy(to)).toEqual([]);
    expect(await rows()).toMatchObject([
      { state: 'dead', problem: 'what it links to was over before it could be sent' },
    ]);
  });

  it('is sent before that, and says until when it works', async () => {
    const validUntil = new Date(time.clock().getTime() + 900_000);
    const to = await queue({ kind: 'unlock', link: `${acme.issuer}/unlock?token=x` }, { validUntil });
    await deliveryOf().deliverDue();
    expect(readMail(receivedBy(to)[0]?.raw ?? '').text).toContain('Dit werkt tot');
  });
});

describe('several workers', () => {
  it('share what is due and send nothing twice', async () => {
    const recipients: string[] = [];
    for (let index = 0; index < 60; index += 1)
      recipients.push(await queue(code, { tenant: index % 2 === 0 ? acme : globex }));
    const workers = [deliveryOf(server), deliveryOf(beside), deliveryOf(server), deliveryOf(beside)];
    const counts = await Promise.all(workers.map((worker) => worker.deliverDue()));
    expect(counts.reduce((total, { delivered }) => total + delivered, 0)).toBe(60);
    expect(recipients.map((to) => receivedBy(to).length)).toEqual(recipients.map(() => 1));
  });

  it('take over from one that was away too long, whose word no longer counts', async () => {
    const to = await queue();
    const held: string[] = [];
    smtp.behave((command) => {
      if (command !== '.' || held.length > 0) return undefined;
      held.push(command);
      return 'hang';
    });
    const first = deliveryOf(server, { timeLimitSeconds: 1 }).deliverDue();
    await eventually('the first worker waits', () => held.length === 1);
    expect(await deliveryOf(beside).deliverDue()).toEqual({ delivered: 0, postponed: 0, dead: 0 });
    time.advance(200);
    expect(await deliveryOf(beside).deliverDue()).toEqual({ delivered: 1, postponed: 0, dead: 0 });
    expect(await first).toEqual({ delivered: 0, postponed: 0, dead: 0 });
    expect(receivedBy(to)).toHaveLength(1);
    expect(await rows()).toMatchObject([{ state: 'delivered', attempts: 2, problem: null }]);
  });

  it('lose nothing when one is killed between taking a mail and sending it', async () => {
    const to = await queue();
    smtp.behave((command) => (command.startsWith('RCPT') ? 'hang' : undefined));
    await queryAsSuperuser(server.database, `update mails set due_at = now() - interval '1 second'`);
    const worker = await startWorkerProcess({
      database: server.database,
      publicUrl: server.origin,
      smtpUrl: smtp.url,
      watched: true,
    });
    await eventually('the worker has it in hand', () => smtp.commands.some((command) => command.includes(to)), 30_000);
    await worker.killAtOnce();
    expect(await rows()).toMatchObject([{ state: 'waiting', attempts: 1 }]);
    smtp.behave(() => undefined);
    time.advance(200);
    expect(await deliveryOf().deliverDue()).toEqual({ delivered: 1, postponed: 0, dead: 0 });
    expect(receivedBy(to)).toHaveLength(1);
  }, 60_000);

  it('give up what takes every one of them down', async () => {
    const to = await queue();
    await queryAsSuperuser(server.database, 'update mails set attempts = 4');
    expect(await deliveryOf().deliverDue()).toEqual({ delivered: 0, postponed: 0, dead: 1 });
    expect(receivedBy(to)).toEqual([]);
  });

  it('do it by themselves, and what was sent is forgotten after a day', async () => {
    const to = await queue();
    await queryAsSuperuser(server.database, `update mails set due_at = now() - interval '1 second'`);
    const worker = await startWorkerProcess({ database: server.database, publicUrl: server.origin, smtpUrl: smtp.url });
    await eventually('it has come', () => receivedBy(to).length === 1, 30_000);
    await eventually('it is settled', async () => (await rows())[0]?.state === 'delivered', 30_000);
    expect(await worker.stop()).toBe(0);
    expect(await sweepSettledMails(server.context.database)).toBe(0);
    await queryAsSuperuser(server.database, `update mails set expires_at = now() - interval '25 hours'`);
    expect(await sweepSettledMails(server.context.database)).toBe(1);
    expect(await rows()).toEqual([]);
  }, 60_000);
});

describe('readiness', () => {
  const readiness = async () => {
    const answer = await fetch(`${server.origin}/health/ready`);
    const { status, checks } = (await answer.json()) as { status: string; checks: { mail: { status: string } } };
    return { http: answer.status, status, mail: checks.mail.status };
  };

  it('tells that mail does not get through, and keeps the server in service', async () => {
    expect(await readiness()).toEqual({ http: 200, status: 'ready', mail: 'ok' });
    await queue();
    expect(await readiness()).toMatchObject({ mail: 'ok' });
    smtp.behave((command) => (command.startsWith('MAIL') ? '451 4.3.0 no' : undefined));
    const delivery = deliveryOf();
    await delivery.deliverDue();
    expect(await readiness()).toEqual({ http: 200, status: 'ready', mail: 'failing' });
    smtp.behave(() => undefined);
    time.advance(61);
    await delivery.deliverDue();
    expect(await readiness()).toMatchObject({ mail: 'ok' });
    // Nobody works.
    await queue();
    time.advance(120);
    expect(await readiness()).toEqual({ http: 200, status: 'ready', mail: 'failing' });
  });
});
