/** What a mailed link or code does over REST: verify an address, set a forgotten password. Neither signs anybody in, as on the hosted pages. */
import { z } from 'zod';
import type { Shown } from '#src/flows/proofs/proofs.ts';
import { completeReset, requestReset } from '#src/flows/proofs/recover.ts';
import { verifyShown } from '#src/flows/proofs/verify.ts';
import type { VisitedTenant, VisitorContext, VisitorServices } from '#src/flows/proofs/visitor_context.ts';
import { ProblemRaised, problems } from '../problems.ts';
import { challenges } from './callers.ts';
import { type FirstPartyCaller, firstParty } from './chains.ts';
import { codeText, secretText } from './freshness.ts';
import { line, refuseField } from './input.ts';
import { passwordWords } from './profiles.ts';
import { type ApiAnswer, type ApiRequest, type ApiRoute, route } from './routes.ts';
import { realmOf, refuseWhereOff, secondsUntil } from './sign_in_routes.ts';
import { deliveryFor, handleIn, keepHandle, refuseOtherSites, tokenDelivery } from './token_delivery.ts';

export interface RecoveryRoutesOptions {
  readonly visitorServices: VisitorServices;
}

const opaque = line(200);
const forgotten = z.strictObject({ email: line(254), token_delivery: tokenDelivery.optional() });
const mailed = {
  token: opaque.optional().describe('Of the mailed link.'),
  code: codeText.optional().describe('As it was mailed; with `handle`, or in the browser that asked.'),
  handle: opaque.optional(),
};
const isOneOf = {
  check: ({ token, code }: { token?: string | undefined; code?: string | undefined }) =>
    (token === undefined) !== (code === undefined),
  fault: { message: 'holds either token or code', path: ['token'] },
};
const reset = z.strictObject({ ...mailed, new_password: secretText }).refine(isOneOf.check, isOneOf.fault);
const verification = z
  .strictObject({
    ...mailed,
    password: secretText.optional().describe('That of the registration, for a link that is opened elsewhere.'),
  })
  .refine(isOneOf.check, isOneOf.fault);

const resetSent = z.object({ status: z.literal('reset_sent'), handle: z.string().optional() });
const verified = z.object({
  status: z.literal('verified'),
  outcome: z.enum(['registered', 'joined', 'member_already', 'verified', 'email_changed', 'unlocked']),
});

type AnyRequest<Body = unknown> = ApiRequest<FirstPartyCaller, Body, unknown>;

export function recoveryRoutes({ visitorServices }: RecoveryRoutesOptions): readonly ApiRoute[] {
  return [
    route({
      summary: 'Ask for a mail with which a forgotten password is replaced',
      method: 'POST',
      path: '/api/v1/auth/password/forgot',
      chain: firstParty(),
      body: forgotten,
      statuses: [202],
      answers: resetSent,
      async handle(request) {
        refuseWhereOff(request);
        const delivery = await deliveryFor(request, request.body.token_delivery);
        const asked = await requestReset(contextOf(request), { tenant: visited(request), email: request.body.email });
        if (asked.outcome === 'throttled') throw new ProblemRaised(problems.tooManyRequests(asked.retryAfterSeconds));
        if (asked.outcome !== 'sent')
          throw new ProblemRaised(refuseField('#/email', { code: asked.outcome, detail: 'is no e-mail address' }));
        const { handle, expiresAt } = asked;
        if (delivery === 'body') return { status: 202, body: { status: 'reset_sent', handle } };
        keepHandle(request, { page: 'reset', value: handle, seconds: secondsUntil(expiresAt, visitorServices) });
        return { status: 202, body: { status: 'reset_sent' } };
      },
    }),
    route({
      summary: 'Replace a forgotten password; everything that the old one opened ends',
      method: 'POST',
      path: '/api/v1/auth/password/reset',
      chain: firstParty(),
      body: reset,
      answers: z.object({ status: z.literal('password_reset') }),
      handle: complete,
    }),
    route({
      summary: 'Show that a mailbox is yours',
      method: 'POST',
      path: '/api/v1/auth/email/verify',
      chain: firstParty(),
      body: verification,
      answers: verified,
      handle: verify,
    }),
  ];

  async function complete(request: AnyRequest<z.infer<typeof reset>>): Promise<ApiAnswer> {
    refuseWhereOff(request);
    const shown = await shownIn(request, 'reset');
    const { new_password: password } = request.body;
    const outcome = await completeReset(contextOf(request), { tenant: visited(request), shown, password });
    switch (outcome.outcome) {
      case 'reset':
        return { status: 200, body: { status: 'password_reset' } };
      case 'unacceptable': {
        const { reason } = outcome;
        throw new ProblemRaised(refuseField('#/new_password', { code: reason, detail: passwordWords[reason] }));
      }
      case 'wrong_code':
        throw new ProblemRaised(problems.invalidCode(challenges(realmOf(request))));
      case 'gone':
        throw new ProblemRaised(problems.proofOver());
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

  async function verify(request: AnyRequest<z.infer<typeof verification>>): Promise<ApiAnswer> {
    refuseWhereOff(request);
    const shown = await shownIn(request, 'verify');
    const { password } = request.body;
    const outcome = await verifyShown(contextOf(request), { tenant: visited(request), shown, password });
    switch (outcome.outcome) {
      case 'verified':
        return { status: 200, body: { status: 'verified', outcome: outcome.what } };
      case 'wrong_code':
        throw new ProblemRaised(problems.invalidCode(challenges(realmOf(request))));
      case 'wrong_password':
        throw new ProblemRaised(
          refuseField('#/password', {
            code: password === undefined ? 'missing' : 'wrong',
            detail: 'has to be the one that was chosen: the link is opened elsewhere than it was asked for',
          }),
        );
      case 'elsewhere':
        throw new ProblemRaised(
          refuseField('#/token', { code: 'elsewhere', detail: 'can only be used where it was asked for' }),
        );
      case 'gone':
        throw new ProblemRaised(problems.proofOver());
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

  function contextOf({ exchange }: AnyRequest): VisitorContext {
    return { ...visitorServices, origin: exchange.origin };
  }
}

/**
 * The link or the code, and what shows that it was asked for here. The browser's own word for that counts for a page of ours alone:
 * another site could have somebody confirm what it has begun in their name.
 */
async function shownIn(
  request: AnyRequest<{ token?: string | undefined; code?: string | undefined; handle?: string | undefined }>,
  page: 'verify' | 'reset',
): Promise<Shown> {
  const { token, code = '', handle: sent } = request.body;
  const kept = sent === undefined ? handleIn(request, page) : undefined;
  if (kept !== undefined) await refuseOtherSites(request);
  const handle = sent ?? kept;
  return token === undefined ? { kind: 'code', handle: handle ?? '', code } : { kind: 'link', token, handle };
}

export function visited({ engine }: Pick<AnyRequest, 'engine'>): VisitedTenant {
  const { tenant, people: policy } = engine;
  return { id: tenant.id, slug: tenant.slug, name: tenant.name, policy, locale: tenant.locale };
}
