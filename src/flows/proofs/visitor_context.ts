/** What the flows are given that serve whoever is not signed in: somebody who registers, recovers, proves an address, was invited. */
import type { MailLocale } from '#src/domain/mail.ts';
import type { PeopleSettings } from '#src/domain/people_settings.ts';
import type { ProofLifetimes } from '#src/domain/proof.ts';
import { issuerOf, type TenantId } from '#src/domain/tenant.ts';
import type { UserId } from '#src/domain/user.ts';
import type { FlowContext } from '../flow_context.ts';
import type { PasswordJudges } from '../people/judge_password.ts';
import type { AttemptServices } from '../sign_in/attempts.ts';

export interface VisitorServices extends Omit<FlowContext, 'actor' | 'origin'>, PasswordJudges, AttemptServices {
  readonly proofs: ProofLifetimes;
  /** What every mailed link begins with. */
  readonly publicUrl: string;
}

export interface VisitorContext extends VisitorServices, Pick<FlowContext, 'origin'> {}

/** Where the visitor is. */
export interface VisitedTenant {
  readonly id: TenantId;
  readonly slug: string;
  readonly name: string;
  readonly policy: PeopleSettings;
  /** The language of the page, and so of a mail that is asked for there. */
  readonly locale: MailLocale;
}

/** An address of ours, as a mail may link to it: from the settings and from nothing that was sent. */
export function linkTo(
  { publicUrl }: Pick<VisitorServices, 'publicUrl'>,
  tenant: { readonly slug: string },
  { page, token }: { readonly page: 'verify' | 'reset' | 'invite' | 'forgot' | 'account'; readonly token?: string },
): string {
  return `${issuerOf(tenant, publicUrl)}/${page}${token === undefined ? '' : `?token=${token}`}`;
}

/** The same context for a deed that this person has shown to be theirs. */
export function asPerson(context: VisitorContext, id: UserId): VisitorContext & FlowContext {
  return { ...context, actor: { type: 'user', id } };
}

/** Who asked, as a mail tells it. */
export function askedBy({ origin, clock }: Pick<VisitorContext, 'origin' | 'clock'>) {
  return { when: clock(), browser: origin.userAgent, address: origin.ip };
}
