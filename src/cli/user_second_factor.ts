/** `poort user reset-second-factor`: for somebody who has lost all of theirs. Why goes into the history and into the mail to the person. */
import { resetSecondFactor } from '#src/flows/factors/reset_second_factor.ts';
import { type Answer, CommandRefused, WrongUsage } from './answers.ts';
import type { Session } from './runner.ts';
import type { FoundPerson } from './users.ts';

const maximumReasonCharacters = 200;

export interface ResetSecondFactorOptions {
  readonly reason: string;
}

/** The operator of the installation is trusted by every tenant, so that membership elsewhere does not matter. */
export async function resetFactorsOf(
  { context }: Session,
  { tenant, member, reason }: FoundPerson & ResetSecondFactorOptions,
): Promise<Answer> {
  const why = reason.trim();
  if (why === '' || why.length > maximumReasonCharacters || /\p{Cc}/u.test(why))
    throw new WrongUsage(`--reason says why, in one line of at most ${maximumReasonCharacters} characters`);
  const input = { tenantId: tenant.id, userId: member.id, reason: why, acrossTenants: true };
  const done = await resetSecondFactor(context, input);
  if (done.outcome !== 'reset') throw new CommandRefused(done.outcome, 'the tenant has nobody like that any more');
  const text = done.had
    ? `user ${member.email} has no second factor any more, and is signed out everywhere`
    : `user ${member.email} had no second factor, and is signed out everywhere`;
  return { json: { id: member.id, email: member.email, had_second_factor: done.had }, text };
}
