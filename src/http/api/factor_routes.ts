/**
 * A person's second factor over REST: set up, confirmed by its first code, renewed, taken away; by somebody who is signed in, or in the
 * middle of a sign-in that waits for one (`mfa_token`). The rules are those of the hosted pages.
 */
import { z } from 'zod';
import { backupCodeSet } from '#src/flows/factors/backup_codes.ts';
import type { FactorOwner } from '#src/flows/factors/factor_owner.ts';
import { beginTotp, confirmTotp, removeFactor, renewBackupCodes } from '#src/flows/factors/set_up_factors.ts';
import type { SignInServices } from '#src/flows/sign_in/authentication_steps.ts';
import { beginEnrolment, confirmEnrolment, finishEnrolment, renewCodes } from '#src/flows/sign_in/enrol_at_sign_in.ts';
import { findPendingSignIn } from '#src/flows/sign_in/second_factor.ts';
import { totpAddress } from '#src/foundation/totp.ts';
import type { TokenCaller } from '#src/oidc/own_access_tokens.ts';
import type { SignInPersonRow } from '#src/storage/tables/factors.ts';
import { qrCodeOf } from '../pages/kit/qr_code.ts';
import { ProblemRaised, problems } from '../problems.ts';
import { challenges } from './callers.ts';
import { bearer, type FirstPartyCaller, firstParty } from './chains.ts';
import { codeText, ownProof, personOf, requireFresh } from './freshness.ts';
import { line } from './input.ts';
import { type ApiAnswer, type ApiRequest, type ApiRoute, route } from './routes.ts';
import { beginningOf, openSession, placeOf, realmOf, refuseWhereOff, signedIn } from './sign_in_routes.ts';
import { deliveryFor, tokenDelivery } from './token_delivery.ts';

export interface FactorRoutesOptions {
  readonly signInServices: SignInServices;
}

const own = bearer({ kinds: ['user'], firstParty: true });
const ownOrUnderWay = firstParty({ token: 'welcome' });

const setUp = z.strictObject({ mfa_token: line(200).optional(), ...ownProof });
const confirmation = z.strictObject({
  mfa_token: line(200).optional(),
  code: codeText,
  token_delivery: tokenDelivery.optional(),
});
const proofAlone = z.strictObject(ownProof);

const backupCodes = z.array(z.string()).describe('Shown once. Each is good once.');
const secretShown = z
  .object({ secret: z.string(), otpauth_uri: z.string(), qr_svg: z.string() })
  .meta({ id: 'AuthenticatorSecret' });
const enrolled = z.object({
  status: z.literal('enrolled'),
  backup_codes: backupCodes.optional().describe('None where there are good ones.'),
});

type AnyRequest<Body = unknown> = ApiRequest<FirstPartyCaller, Body, unknown>;
type OwnRequest<Body = unknown> = ApiRequest<TokenCaller, Body, unknown>;

export function factorRoutes({ signInServices: services }: FactorRoutesOptions): readonly ApiRoute[] {
  return [
    route({
      summary: 'Begin to set up an authenticator app',
      method: 'POST',
      path: '/api/v1/auth/mfa/setup',
      chain: ownOrUnderWay,
      body: setUp,
      answers: secretShown,
      async handle(request) {
        refuseWithoutFactors(request);
        const { shown } = request.caller;
        const { mfa_token: token, ...proof } = request.body;
        if (shown === undefined) return showSecret(request, await beginAtSignIn(request, token));
        const { caller } = shown;
        const person = await personOf(services, request, caller);
        await requireFresh(services, request, { caller, person, proof });
        const secret = await beginTotp(services, ownerOf(request, caller, person));
        return showSecret(request, { secret, email: person.email });
      },
    }),
    route({
      summary: 'Confirm it with its first code; backup codes are shown once',
      method: 'POST',
      path: '/api/v1/auth/mfa/confirm',
      chain: ownOrUnderWay,
      body: confirmation,
      answers: z.union([signedIn.extend({ backup_codes: backupCodes }), enrolled]),
      async handle(request) {
        refuseWithoutFactors(request);
        const { shown } = request.caller;
        if (shown === undefined) return confirmAtSignIn(request);
        const { caller } = shown;
        const person = await personOf(services, request, caller);
        const owner = ownerOf(request, caller, person);
        const confirmed = await confirmTotp(services, owner, { code: request.body.code, onlyAsFirst: false });
        if (confirmed.outcome === 'refused') throw new ProblemRaised(problems.invalidCode(realm(request)));
        if (confirmed.outcome === 'expired') throw new ProblemRaised(problems.proofOver());
        return { status: 200, body: { status: 'enrolled', backup_codes: confirmed.backupCodes } };
      },
    }),
    route({
      summary: 'New backup codes in place of the old ones',
      method: 'POST',
      path: '/api/v1/auth/mfa/backup-codes',
      chain: own,
      body: proofAlone,
      answers: z.object({ backup_codes: backupCodes }),
      async handle(request) {
        const { caller, body: proof } = request;
        const person = await personOf(services, request, caller);
        await requireFresh(services, request, { caller, person, proof });
        const codes = await renewBackupCodes(services, ownerOf(request, caller, person));
        if (codes === undefined) throw new ProblemRaised(problems.noSecondFactor());
        return { status: 200, body: { backup_codes: codes } };
      },
    }),
    route({
      summary: 'Take the authenticator app away; with a code of it, or a backup code',
      method: 'DELETE',
      path: '/api/v1/auth/mfa',
      chain: own,
      body: proofAlone,
      handle: remove,
    }),
  ];

  async function remove(request: OwnRequest<z.infer<typeof proofAlone>>): Promise<ApiAnswer> {
    const { caller, body: proof, engine } = request;
    const person = await personOf(services, request, caller);
    if (!person.totp) throw new ProblemRaised(problems.noSecondFactor());
    await requireFresh(services, request, { caller, person, proof, always: true });
    const removed = await removeFactor(services, ownerOf(request, caller, person), {
      factor: { method: 'totp' },
      policy: engine.people,
      roles: person.roles,
      hasPassword: person.password_hash !== null,
    });
    switch (removed.outcome) {
      case 'removed':
        return { status: 204 };
      case 'required':
      case 'only_way_in':
        throw new ProblemRaised(problems.secondFactorStays());
      case 'unknown':
        throw new ProblemRaised(problems.noSecondFactor());
      default: {
        const never: never = removed;
        return never;
      }
    }
  }

  /** The place of a sign-in that waits for a second factor to be set up. Throws `ProblemRaised` when it is over. */
  async function findUnderWay(request: AnyRequest, token: string | undefined) {
    refuseWhereOff(request);
    if (token === undefined) throw new ProblemRaised(problems.unauthorized(realm(request)));
    const begun = beginningOf(token);
    const over = new ProblemRaised(problems.signInOver(realm(request)));
    if (begun === undefined) throw over;
    const place = placeOf(request, { ...begun, key: token });
    const pending = await findPendingSignIn(services, place);
    if (pending === undefined) throw over;
    return { ...begun, place, pending, over };
  }

  async function beginAtSignIn(request: AnyRequest, token: string | undefined) {
    const { place, pending, over } = await findUnderWay(request, token);
    if (pending.wanted !== 'enrolment') throw over;
    return { secret: await beginEnrolment(services, place, pending), email: pending.email };
  }

  /** The codes are shown with the tokens: nobody comes back here for them, as they do on the hosted pages. */
  async function confirmAtSignIn(request: AnyRequest<z.infer<typeof confirmation>>): Promise<ApiAnswer> {
    const { mfa_token: token, code, token_delivery: wished } = request.body;
    const { place, clientId, over, ...begun } = await findUnderWay(request, token);
    const delivery = await deliveryFor(request, wished ?? begun.delivery);
    const confirmed = await confirmEnrolment(services, place, code);
    if (confirmed.outcome === 'refused') throw new ProblemRaised(problems.invalidCode(realm(request)));
    const pending = await findPendingSignIn(services, place);
    if (confirmed.outcome === 'expired' || pending === undefined) throw over;
    const codes = await renewCodes(services, place, pending);
    const finished = await finishEnrolment(services, place, backupCodeSet(pending.userId, codes));
    if (finished.outcome !== 'signed_in') throw over;
    return openSession(request, finished, { clientId, delivery, status: 200, services, more: { backup_codes: codes } });
  }

  function showSecret(
    { engine }: Pick<AnyRequest, 'engine'>,
    { secret, email }: { readonly secret: string; readonly email: string },
  ): ApiAnswer {
    const address = totpAddress({ secret, issuer: engine.tenant.name, account: email });
    return { status: 200, body: { secret, otpauth_uri: address, qr_svg: drawn(address) } };
  }
}

function refuseWithoutFactors({ engine }: Pick<AnyRequest, 'engine'>): void {
  if (engine.people['second_factor.policy'] === 'off')
    throw new ProblemRaised(problems.switchedOff('second_factor.policy'));
}

function ownerOf(
  { engine, exchange }: Pick<AnyRequest, 'engine' | 'exchange'>,
  { session }: TokenCaller,
  person: SignInPersonRow,
): FactorOwner {
  return {
    tenantId: engine.tenant.id,
    userId: person.id,
    key: `session:${session?.id ?? ''}`,
    origin: exchange.origin,
    sessionId: session?.id,
    amr: session?.amr,
  };
}

function realm(request: Pick<AnyRequest, 'engine'>): readonly string[] {
  return challenges(realmOf(request));
}

function drawn(text: string): string {
  const { size, path } = qrCodeOf(text);
  const frame = `xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size} ${size}" shape-rendering="crispEdges"`;
  return `<svg ${frame}><path fill="#fff" d="M0 0h${size}v${size}H0z"/><path d="${path}"/></svg>`;
}
