/** What every flow is given beside its input: who acts, from where, and the house's services. */
import type { EventActor } from '#src/domain/event.ts';
import type { MailBudgets } from '#src/domain/mail.ts';
import type { Clock } from '#src/foundation/clock.ts';
import type { PasswordHasher } from '#src/foundation/password_hashing.ts';
import type { Sealer } from '#src/foundation/sealing.ts';
import type { Database } from '#src/storage/database.ts';
import type { Origin } from '#src/storage/event_log.ts';

export interface FlowContext {
  readonly database: Database;
  readonly clock: Clock;
  readonly sealer: Sealer;
  readonly passwords: PasswordHasher;
  readonly mailBudgets: MailBudgets;
  readonly actor: EventActor;
  readonly origin: Origin;
  /** Hosts and networks that outgoing calls may reach although they are private; none unless given. */
  readonly egressAllow?: readonly string[];
}

/** Thrown inside a transaction to roll it back and give a flow's refusal as its outcome. */
export class Refusal<Outcome> extends Error {
  readonly outcome: Outcome;

  constructor(outcome: Outcome) {
    super('refused');
    this.name = 'Refusal';
    this.outcome = outcome;
  }
}
