/**
 * Sends what waits in the outbox: takes what is due, opens its seal, has it put into words and hands it to the mail server. At least
 * once: what a worker that dies had in hand is due again when its lease ends, under the same Message-ID. Where there is no mail
 * server, in development, the mail itself is kept and shown instead.
 */
import type { Logger } from 'pino';
import { judgeAttempt, type RetrySettings } from '#src/domain/delivery_attempt.ts';
import { type AddressedMail, type MailKind, parseMail, type WrittenMail } from '#src/domain/mail.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import type { Clock } from '#src/foundation/clock.ts';
import type { Sealer } from '#src/foundation/sealing.ts';
import { mailContext } from '#src/foundation/sealing_contexts.ts';
import type { Mailbox, MailServer, OutgoingMail, SendOutcome } from '#src/gateways/mail_server.ts';
import type { Database } from '#src/storage/database.ts';
import { eventRow } from '#src/storage/event_log.ts';
import {
  type ClaimedMail,
  claimMails,
  listKeptMails,
  listTenantsWithDueMails,
  settleMail,
} from '#src/storage/tables/mails.ts';
import { findTenantsById, listTenants, type TenantRow } from '#src/storage/tables/tenants.ts';
import { allOf, type DeliveryCounts, type DeliveryState, deliverInRounds } from '../delivery_rounds.ts';

/** A mail in words. */
export interface RenderedMail {
  readonly subject: string;
  readonly text: string;
  readonly html: string;
  /** Every link in it. */
  readonly links: readonly string[];
  readonly code: string | undefined;
}

/** Rejects when it must not be sent as it is. */
export type RenderMail = (
  mail: Omit<AddressedMail, 'mail'> & { readonly mail: WrittenMail },
  setting: { readonly tenant: TenantRow; readonly publicUrl: string; readonly writtenAt: Date },
) => Promise<RenderedMail>;

export interface MailDeliveryServices {
  readonly database: Database;
  readonly sealer: Sealer;
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'error'>;
  readonly publicUrl: string;
  /** The address that mail is from; its name is the tenant's. */
  readonly from: string;
  readonly render: RenderMail;
  readonly settings: RetrySettings;
  /** `development`: nothing is sent, and the latest so many of each tenant are kept to be looked at. */
  readonly destination:
    | { readonly kind: 'server'; readonly server: MailServer }
    | { readonly kind: 'development'; readonly mailboxSize: number };
  /** From 0 to 1. */
  readonly random?: () => number;
}

export interface MailDelivery {
  /** Sends everything that is due and that nobody else has in hand. Runs may overlap. Once `signal` is aborted it takes nothing more. */
  deliverDue(signal?: AbortSignal): Promise<DeliveryCounts>;
  /** Lets go of the mail server. */
  close(): void;
}

/** Longer than any attempt may take (`mail.time_limit_seconds`). */
export const leaseSeconds = 150;
const maximumTenants = 100;
/** In one process: no more than the connections to the mail server carry off within the time of an attempt. */
const atOnce = 16;

export function createMailDelivery(services: MailDeliveryServices): MailDelivery {
  const { database, sealer, clock, destination, settings } = services;
  const random = services.random ?? Math.random;
  const from = addressOf(services.from);

  let places = atOnce;

  async function deliverOf(tenant: TenantRow): Promise<readonly DeliveryState[]> {
    const taken = places;
    if (taken === 0) return [];
    places = 0;
    const claim = { now: clock(), leaseSeconds, limit: taken };
    const mails = await claimMails(database.tenant(tenant.id), claim).catch((fault: unknown) => {
      places += taken;
      throw fault;
    });
    places += taken - mails.length;
    return allOf(
      mails.map((mail) =>
        deliver(mail, tenant).finally(() => {
          places += 1;
        }),
      ),
    );
  }

  async function deliver(mail: ClaimedMail, tenant: TenantRow): Promise<DeliveryState> {
    const { outcome, kept } = await send(mail, tenant);
    const now = clock();
    const judged = judge(outcome, { attempt: mail.attempts, now });
    const { state } = judged;
    const problem = state === 'delivered' ? undefined : judged.problem;
    const settled = await settleMail(database.tenant(tenant.id), {
      mail,
      now,
      state,
      problem,
      dueAt: state === 'waiting' ? judged.dueAt : undefined,
      kept: state === 'delivered' ? kept : undefined,
      events: state === 'dead' ? [givenUp(mail, { problem, now })] : [],
    });
    return settled ? state : 'somebody else’s';
  }

  function judge(outcome: SendOutcome, { attempt, now }: { readonly attempt: number; readonly now: Date }) {
    if (outcome.outcome === 'failed' && outcome.permanent) return { state: 'dead', problem: outcome.problem } as const;
    const problem = outcome.outcome === 'failed' ? outcome.problem : undefined;
    return judgeAttempt({ problem, attempt, settings, now, random: random() });
  }

  async function send(mail: ClaimedMail, tenant: TenantRow): Promise<Sent> {
    // A mail that takes its worker down with it comes back every time; it is given up before it does so for ever.
    if (mail.attempts > settings.maximumAttempts) return { outcome: hopeless('every attempt was cut off') };
    if (mail.valid_until !== null && mail.valid_until <= clock())
      return { outcome: hopeless('what it links to was over before it could be sent') };
    const written = await write(mail, tenant);
    if (written === undefined) return { outcome: hopeless('it cannot be put into words') };
    if (destination.kind === 'server') return { outcome: await destination.server.send(written.mail) };
    const sealed = sealer.seal(JSON.stringify(keptMail(mail.kind, written)), mailContext(tenant.id, mail.id));
    return { outcome: { outcome: 'accepted' }, kept: { sealed, mails: destination.mailboxSize } };
  }

  /** Undefined when it cannot be: the log says why. */
  async function write(mail: ClaimedMail, tenant: TenantRow): Promise<Written | undefined> {
    try {
      const opened = sealer.open(mail.sealed, mailContext(tenant.id, mail.id)).toString('utf8');
      const { mail: said, ...addressed } = parseMail(opened);
      if (said.kind === 'none') return undefined;
      const { publicUrl } = services;
      const rendered = await services.render(
        { ...addressed, mail: said },
        { tenant, publicUrl, writtenAt: mail.created_at },
      );
      return {
        rendered,
        mail: {
          messageId: `${mail.id}@${new URL(publicUrl).hostname}`,
          date: clock(),
          from: { name: tenant.name, address: from },
          to: { name: '', address: addressed.to },
          subject: rendered.subject,
          text: rendered.text,
          html: rendered.html,
        },
      };
    } catch (fault) {
      services.logger.error({ err: fault, mail: mail.id, tenant: tenant.slug }, 'a mail cannot be written');
      return undefined;
    }
  }

  return {
    deliverDue: (signal) =>
      deliverInRounds(async () => {
        const ids = await listTenantsWithDueMails(database, { now: clock(), limit: maximumTenants });
        const tenants = ids.length === 0 ? [] : await findTenantsById(database, ids);
        const states: DeliveryState[] = [];
        for (const tenant of tenants) states.push(...(await deliverOf(tenant)));
        return states;
      }, signal),
    close() {
      if (destination.kind === 'server') destination.server.close();
    },
  };
}

interface Sent {
  readonly outcome: SendOutcome;
  readonly kept?: { readonly sealed: Buffer; readonly mails: number };
}

interface Written {
  readonly mail: OutgoingMail;
  readonly rendered: RenderedMail;
}

const hopeless = (problem: string): SendOutcome => ({ outcome: 'failed', permanent: true, problem });

/** `Poort <no-reply@example.org>` or the address alone. */
function addressOf(sender: string): string {
  return /<([^<>]+)>$/.exec(sender)?.[1] ?? sender;
}

function givenUp(mail: ClaimedMail, { problem, now }: { readonly problem: string | undefined; readonly now: Date }) {
  return eventRow(
    {
      type: 'mail.given_up',
      outcome: 'failure',
      reason: problem,
      actor: { type: 'system' },
      target: { type: 'mail', id: mail.id },
      data: { kind: mail.kind, attempts: mail.attempts },
    },
    {},
    now,
  );
}

/** A mail of the development mailbox, whole. */
export interface DevelopmentMail {
  readonly id: string;
  readonly tenant: string;
  readonly kind: MailKind;
  readonly at: Date;
  readonly to: string;
  readonly from: string;
  readonly subject: string;
  readonly text: string;
  readonly html: string;
  readonly links: readonly string[];
  readonly code: string | undefined;
}

type KeptMail = Omit<DevelopmentMail, 'id' | 'tenant' | 'at'>;

function keptMail(kind: MailKind, { mail, rendered }: Written): KeptMail {
  const { subject, text, html, links, code } = rendered;
  return { kind, to: mail.to.address, from: shownMailbox(mail.from), subject, text, html, links, code };
}

function shownMailbox({ name, address }: Mailbox): string {
  return `${name} <${address}>`;
}

export interface DevelopmentMailbox {
  /** Of all tenants, the latest first. What is due is delivered before: whoever looks does not wait for the clock. */
  list(): Promise<readonly DevelopmentMail[]>;
}

export function createDevelopmentMailbox({
  database,
  sealer,
  delivery,
}: Pick<MailDeliveryServices, 'database' | 'sealer'> & { readonly delivery: MailDelivery }): DevelopmentMailbox {
  async function listOf({ id: tenantId, slug }: { readonly id: TenantId; readonly slug: string }) {
    const rows = await database.tenant(tenantId).transaction((transaction) => listKeptMails(transaction, tenantId));
    return rows.map((row): DevelopmentMail => {
      const opened = sealer.open(row.sealed, mailContext(tenantId, row.id)).toString('utf8');
      // What `keptMail` made, under our own seal.
      const kept = JSON.parse(opened) as KeptMail;
      return { ...kept, id: row.id, tenant: slug, at: row.settled_at };
    });
  }

  return {
    async list() {
      await delivery.deliverDue();
      const mails: DevelopmentMail[] = [];
      for (const tenant of await listTenants(database)) mails.push(...(await listOf(tenant)));
      return mails.sort((one, other) => other.at.getTime() - one.at.getTime() || (other.id < one.id ? -1 : 1));
    },
  };
}
