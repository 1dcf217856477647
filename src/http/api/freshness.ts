/**
 * Before somebody changes how they get in, takes along what is known of them, or leaves: that it is really them, and not whoever found
 * their token. As on the hosted pages a sign-in of the last minutes will do, with the second factor of whoever has one; over REST what
 * proves it may also come with the call itself. Guesses are counted with those of sign-in.
 */
import { z } from 'zod';
import { AUTHENTICATION_CONTEXTS } from '#src/domain/authentication.ts';
import { hasSecondFactor } from '#src/domain/second_factor.ts';
import { userId } from '#src/domain/user.ts';
import type { SignInServices } from '#src/flows/sign_in/authentication_steps.ts';
import { confirmPassword } from '#src/flows/sign_in/confirm_password.ts';
import { confirmSecondFactor } from '#src/flows/sign_in/confirm_second_factor.ts';
import type { CallerSession, TokenCaller } from '#src/oidc/own_access_tokens.ts';
import { readSignInPersonById, type SignInPersonRow } from '#src/storage/tables/factors.ts';
import { FRESH_SECONDS } from '../pages/account/own_pages.ts';
import { ProblemRaised, problems } from '../problems.ts';
import { challenges } from './callers.ts';
import { line, refuseField } from './input.ts';
import type { ApiRequest } from './routes.ts';

/** Longer than any password that can be set, and than any code. */
export const secretText = z.string().min(1).max(1_024);
export const codeText = line(64);

/** What a body may bring to show that it is them. */
export const ownProof = {
  password: secretText.optional().describe('Of whoever has no second factor.'),
  code: codeText.optional().describe('Of the authenticator app.'),
  backup_code: codeText.optional(),
};

export interface OwnProof {
  readonly password?: string | undefined;
  readonly code?: string | undefined;
  readonly backup_code?: string | undefined;
}

type Request = Pick<ApiRequest<unknown, unknown, unknown>, 'engine' | 'exchange'>;

/** The person who calls. Throws `ProblemRaised` when they are gone meanwhile. */
export async function personOf(
  { database }: Pick<SignInServices, 'database'>,
  { engine }: Pick<Request, 'engine'>,
  caller: TokenCaller,
): Promise<SignInPersonRow> {
  const person = await readSignInPersonById(database.tenant(engine.tenant.id), userId(caller.userId ?? ''));
  if (person?.active !== true) throw new ProblemRaised(problems.notFound());
  return person;
}

export interface ToShow {
  readonly caller: TokenCaller;
  readonly person: SignInPersonRow;
  readonly proof?: OwnProof | undefined;
  /** A sign-in of a moment ago is not enough. */
  readonly always?: boolean | undefined;
}

/** Throws `ProblemRaised` for whoever does not show that it is them. */
export async function requireFresh(services: SignInServices, request: Request, shown: ToShow): Promise<void> {
  const { caller, person, proof, always } = shown;
  const needsFactor = hasSecondFactor({ totp: person.totp, passkeys: person.passkeys });
  const given = needsFactor ? (proof?.code ?? proof?.backup_code) : proof?.password;
  if (given !== undefined) return confirm(services, request, shown, needsFactor);
  if (always !== true && isFresh(services, caller.session, needsFactor)) return;
  const wanted = needsFactor ? `, acr_values="${AUTHENTICATION_CONTEXTS.multiFactor}"` : '';
  // RFC 9470 §3.
  const realm = request.engine.provider.issuer;
  const error = `Bearer realm="${realm}", error="insufficient_user_authentication", max_age=${FRESH_SECONDS}${wanted}`;
  throw new ProblemRaised(problems.freshSignInNeeded([error]));
}

function isFresh({ clock }: SignInServices, session: CallerSession | undefined, needsFactor: boolean): boolean {
  if (session === undefined) return false;
  const ageMilliseconds = clock().getTime() - session.authenticatedAt.getTime();
  const isStrong = !needsFactor || session.acr === AUTHENTICATION_CONTEXTS.multiFactor;
  return ageMilliseconds <= FRESH_SECONDS * 1000 && isStrong;
}

async function confirm(
  services: SignInServices,
  { engine, exchange }: Request,
  { caller, person, proof = {} }: ToShow,
  needsFactor: boolean,
): Promise<void> {
  const { password = '', code, backup_code: backupCode = '' } = proof;
  const common = { tenantId: engine.tenant.id, clientId: caller.clientId, origin: exchange.origin };
  const outcome = needsFactor
    ? await confirmSecondFactor(services, {
        ...common,
        userId: person.id,
        proof: code === undefined ? { kind: 'backup_code', code: backupCode } : { kind: 'totp', code },
      })
    : await confirmPassword(services, { ...common, person, password });
  switch (outcome.outcome) {
    case 'confirmed':
      return;
    case 'wrong':
      throw new ProblemRaised(
        needsFactor ? problems.invalidCode(challenges(engine.provider.issuer)) : wrongPassword('#/password'),
      );
    case 'throttled':
      throw new ProblemRaised(problems.tooManyRequests(outcome.retryAfterSeconds));
    case 'busy':
      throw new ProblemRaised(problems.unavailable(outcome.retryAfterSeconds));
    default: {
      const never: never = outcome;
      return never;
    }
  }
}

export function wrongPassword(pointer: string) {
  return refuseField(pointer, { code: 'wrong', detail: 'is not the password of this person' });
}
