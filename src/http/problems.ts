/**
 * Every refusal of our own routes, as RFC 9457 problems: one named function each, and nowhere else. The engine's endpoints keep
 * RFC 6749 §5.2 bodies. A problem never says more than its reader may know; what happened inside is in the log, under the
 * same request id.
 */
import type { ProblemKind } from './pages/kit/problem_models.ts';

export interface Problem {
  readonly status: number;
  readonly code: string;
  readonly title: string;
  readonly detail: string;
  /** The page for people. */
  readonly kind: ProblemKind;
  readonly retryAfterSeconds?: number | undefined;
  /** What of the call is not as it should be, each with its place (RFC 9457 §3). */
  readonly errors?: readonly FieldFault[] | undefined;
  /** For 401 and 403: how to be recognised, or what is missing (RFC 9110 §11.6.1). */
  readonly challenges?: readonly string[] | undefined;
  /** What else the answer says of itself. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** For 405: what the address does take (RFC 9110 §15.5.6). */
  readonly allow?: readonly string[] | undefined;
}

/** `pointer` into the body (RFC 6901, as a fragment), or the name of a query parameter. `code` is a stable word. */
export interface FieldFault {
  readonly pointer?: string | undefined;
  readonly parameter?: string | undefined;
  readonly code: string;
  readonly detail: string;
}

export const problems = {
  misdirected: (publicUrl: string): Problem => ({
    status: 421,
    code: 'misdirected_request',
    title: 'This server does not serve that host',
    detail: `This installation answers at ${publicUrl}. An operator changes that with POORT_PUBLIC_URL.`,
    kind: 'invalid_request',
  }),
  insecure: (publicUrl: string): Problem => ({
    status: 403,
    code: 'https_required',
    title: 'Only HTTPS is served',
    detail: `Use ${publicUrl}.`,
    kind: 'invalid_request',
  }),
  malformed: (detail: string): Problem => ({
    status: 400,
    code: 'invalid_request',
    title: 'The request cannot be read',
    detail,
    kind: 'invalid_request',
  }),
  invalidFields: (errors: readonly FieldFault[]): Problem => ({
    status: 400,
    code: 'invalid_request',
    title: 'The request cannot be read',
    detail: 'Something in it is missing, unknown or not as expected; `errors` says what.',
    kind: 'invalid_request',
    errors,
  }),
  unauthorized: (challenges: readonly string[]): Problem => ({
    status: 401,
    code: 'unauthorized',
    title: 'Say who you are',
    detail: 'This address is for known callers; the header WWW-Authenticate says how to become one.',
    kind: 'refused',
    challenges,
  }),
  invalidToken: (challenges: readonly string[]): Problem => ({
    status: 401,
    code: 'invalid_token',
    title: 'This access token opens nothing here',
    detail: 'It is unknown, over, revoked, made for an API, or lacks the proof it is bound to.',
    kind: 'refused',
    challenges,
  }),
  unknownKey: (challenges: readonly string[]): Problem => ({
    status: 401,
    code: 'invalid_api_key',
    title: 'This API key opens nothing here',
    detail: 'It is unknown, over or revoked.',
    kind: 'refused',
    challenges,
  }),
  invalidCredentials: (challenges: readonly string[]): Problem => ({
    status: 401,
    code: 'invalid_credentials',
    title: 'Nobody can be signed in with this',
    detail: 'The name and the password do not belong together, or whoever they belong to may not sign in here.',
    kind: 'refused',
    challenges,
  }),
  invalidCode: (challenges: readonly string[]): Problem => ({
    status: 401,
    code: 'invalid_code',
    title: 'This code is not right',
    detail: 'It is wrong, was used before, or is of another time. A new one may be tried.',
    kind: 'refused',
    challenges,
  }),
  signInOver: (challenges: readonly string[]): Problem => ({
    status: 401,
    code: 'sign_in_over',
    title: 'This sign-in is over',
    detail: 'It was finished, took too long, or was tried too often. It begins anew with the password.',
    kind: 'refused',
    challenges,
  }),
  invalidRefreshToken: (challenges: readonly string[], headers: Readonly<Record<string, string>>): Problem => ({
    status: 401,
    code: 'invalid_refresh_token',
    title: 'This refresh token opens nothing here',
    detail: 'It is missing, unknown, over, revoked or was used before. The person signs in again.',
    kind: 'refused',
    challenges,
    headers,
  }),
  clientNotAllowed: (challenges: readonly string[]): Problem => ({
    status: 401,
    code: 'client_not_allowed',
    title: 'This application cannot sign people in here',
    detail:
      'Only the tenant’s own applications may, and those with a secret show it. Others send people to the hosted pages.',
    kind: 'refused',
    challenges,
  }),
  freshSignInNeeded: (challenges: readonly string[]): Problem => ({
    status: 401,
    code: 'insufficient_user_authentication',
    title: 'Show once more that it is you',
    detail: 'Send a code, or the password where there is no second factor; or sign in again and come back at once.',
    kind: 'refused',
    challenges,
  }),
  switchedOff: (setting: string): Problem => ({
    status: 403,
    code: 'switched_off',
    title: 'This is switched off here',
    detail: `An administrator of the tenant can change that with the setting ${setting}.`,
    kind: 'refused',
  }),
  registrationClosed: (): Problem => ({
    status: 403,
    code: 'registration_closed',
    title: 'Nobody can make an account here',
    detail: 'Accounts are made by invitation or by an administrator.',
    kind: 'refused',
  }),
  invitationsClosed: (): Problem => ({
    status: 409,
    code: 'invitations_closed',
    title: 'Nobody can be invited',
    detail: 'The setting people.registration of this tenant is closed.',
    kind: 'refused',
  }),
  notYoursToDecide: (): Problem => ({
    status: 403,
    code: 'administrator_decides',
    title: 'An administrator decides about this',
    detail: 'Ask an administrator of the tenant.',
    kind: 'refused',
  }),
  secondFactorStays: (): Problem => ({
    status: 409,
    code: 'second_factor_stays',
    title: 'The second factor has to stay',
    detail: 'The tenant asks for one, and there is no other; or it is the only way in.',
    kind: 'refused',
  }),
  noSecondFactor: (): Problem => ({
    status: 409,
    code: 'no_second_factor',
    title: 'There is no second factor',
    detail: 'Set one up first.',
    kind: 'refused',
  }),
  proofOver: (): Problem => ({
    status: 400,
    code: 'proof_over',
    title: 'This link or code is over',
    detail: 'It was used, replaced, has expired or was tried too often. Ask for another one.',
    kind: 'refused',
  }),
  lostRace: (): Problem => ({
    status: 409,
    code: 'lost_race',
    title: 'It was changed at this very moment',
    detail: 'Look at it again, and repeat what is still wanted.',
    kind: 'refused',
  }),
  insufficientScope: (challenges: readonly string[], scope: string): Problem => ({
    status: 403,
    code: 'insufficient_scope',
    title: 'This credential does not reach that far',
    detail: `The scope ${scope} is needed.`,
    kind: 'refused',
    challenges,
  }),
  secondFactorNeeded: (challenges: readonly string[]): Problem => ({
    status: 401,
    code: 'second_factor_needed',
    title: 'Sign in with your second factor first',
    detail: 'This address takes an access token that comes from a sign-in with two factors.',
    kind: 'refused',
    challenges,
  }),
  homeOfOperators: (): Problem => ({
    status: 409,
    code: 'home_of_operators',
    title: 'Operators are at home there',
    detail: 'Whoever would undo it would be locked out. Remove them as operators first.',
    kind: 'refused',
  }),
  slugTaken: (): Problem => ({
    status: 409,
    code: 'slug_taken',
    title: 'That slug is taken',
    detail: 'A slug is part of an issuer: it is given once, and stays taken when its tenant is gone.',
    kind: 'refused',
  }),
  notDeleting: (): Problem => ({
    status: 409,
    code: 'not_deleting',
    title: 'There is nothing to have back',
    detail: 'This tenant is not about to be deleted.',
    kind: 'refused',
  }),
  insufficientPermission: (permission: string): Problem => ({
    status: 403,
    code: 'insufficient_permission',
    title: 'You may not do this',
    detail: `The permission ${permission} is needed.`,
    kind: 'refused',
  }),
  wrongKindOfCaller: (): Problem => ({
    status: 403,
    code: 'wrong_kind_of_caller',
    title: 'This address is not for such a caller',
    detail: 'It may be for people only, or for devices, or for applications in their own name.',
    kind: 'refused',
  }),
  addressNotAllowed: (): Problem => ({
    status: 403,
    code: 'address_not_allowed',
    title: 'Not from this address',
    detail:
      'Whoever administers this tenant has said from which networks it is used; this request comes from none of them.',
    kind: 'refused',
  }),
  beyondYourOwn: (errors: readonly FieldFault[]): Problem => ({
    status: 403,
    code: 'beyond_your_own_rights',
    title: 'Nobody can give what they do not hold',
    detail:
      'Something was asked for that you may not do yourself, or did not let this application do; `errors` says what.',
    kind: 'refused',
    errors,
  }),
  identityNotYours: (errors: readonly FieldFault[] = []): Problem => ({
    status: 403,
    code: 'identity_not_yours',
    title: 'This is the person’s own',
    detail:
      'Names, language and second factors of this person are not your organisation’s to change; their membership is.',
    kind: 'refused',
    ...(errors.length === 0 ? {} : { errors }),
  }),
  invitationNeeded: (): Problem => ({
    status: 409,
    code: 'invitation_needed',
    title: 'This address has to be invited',
    detail: 'Whoever has it decides for themselves whether they join.',
    kind: 'refused',
  }),
  tooManyThings: (maximum: number): Problem => ({
    status: 409,
    code: 'too_many',
    title: 'There are enough of these',
    detail: `There may be ${maximum} at a time. Remove one first.`,
    kind: 'refused',
  }),
  taken: (detail: string): Problem => ({
    status: 409,
    code: 'already_exists',
    title: 'There is one already',
    detail,
    kind: 'refused',
  }),
  builtIn: (): Problem => ({
    status: 409,
    code: 'built_in',
    title: 'This is the same for every tenant',
    detail: 'It comes with the product, and nobody changes or removes it. Make one of your own beside it.',
    kind: 'refused',
  }),
  inUse: (detail: string): Problem => ({
    status: 409,
    code: 'in_use',
    title: 'Something else depends on it',
    detail,
    kind: 'refused',
  }),
  lastAdministrator: (): Problem => ({
    status: 409,
    code: 'last_administrator',
    title: 'Nobody else would administer the tenant',
    detail: 'Give somebody else the role admin, without an end, first.',
    kind: 'refused',
  }),
  conflict: (detail: string): Problem => ({
    status: 409,
    code: 'conflict',
    title: 'That cannot be done with it as it is',
    detail,
    kind: 'refused',
  }),
  tooManyRequests: (retryAfterSeconds: number, headers: Readonly<Record<string, string>> = {}): Problem => ({
    status: 429,
    code: 'too_many_requests',
    title: 'Too many requests',
    detail: 'Try again when the header Retry-After says so.',
    kind: 'busy',
    retryAfterSeconds,
    headers,
  }),
  tooLarge: (limitBytes: number): Problem => ({
    status: 413,
    code: 'content_too_large',
    title: 'The request is too large',
    detail: `A body may have ${limitBytes} bytes.`,
    kind: 'invalid_request',
  }),
  unsupportedContent: (): Problem => ({
    status: 415,
    code: 'unsupported_media_type',
    title: 'The body has an unexpected form',
    detail: 'Forms are sent as application/x-www-form-urlencoded, everything else as application/json.',
    kind: 'invalid_request',
  }),
  notFound: (): Problem => ({
    status: 404,
    code: 'not_found',
    title: 'There is nothing here',
    detail: 'No page or endpoint has this address.',
    kind: 'not_found',
  }),
  changedMeanwhile: (): Problem => ({
    status: 412,
    code: 'changed_meanwhile',
    title: 'It is not as you have seen it',
    detail: 'Somebody changed it since the state that If-Match names. Read it again, and decide again.',
    kind: 'refused',
  }),
  keyOfAnother: (): Problem => ({
    status: 422,
    code: 'idempotency_key_reused',
    title: 'This Idempotency-Key belongs to another request',
    detail: 'A key stands for one request with one body. Choose a new one.',
    kind: 'invalid_request',
  }),
  underWay: (): Problem => ({
    status: 409,
    code: 'request_under_way',
    title: 'The request with this Idempotency-Key is not answered yet',
    detail:
      'It is under way, or ended without an answer that could be kept. Ask again in a moment; if nothing changes, look whether it was done, and use a new key.',
    kind: 'busy',
    retryAfterSeconds: 1,
  }),
  methodNotAllowed: (allow: readonly string[]): Problem => ({
    status: 405,
    code: 'method_not_allowed',
    title: 'This address does not take that method',
    detail: 'See the Allow header.',
    kind: 'invalid_request',
    allow,
  }),
  tenantSuspended: (): Problem => ({
    status: 403,
    code: 'tenant_suspended',
    title: 'This organisation is suspended',
    detail: 'Nobody can sign in here until it is resumed.',
    kind: 'refused',
  }),
  crossSite: (): Problem => ({
    status: 403,
    code: 'cross_site_request',
    title: 'This form was sent from another site',
    detail: 'Open the page again and send the form from there.',
    kind: 'refused',
  }),
  staleForm: (): Problem => ({
    status: 403,
    code: 'stale_form',
    title: 'This form is no longer valid',
    detail: 'Open the page again and send the form from there.',
    kind: 'stale_form',
  }),
  fault: (): Problem => ({
    status: 500,
    code: 'server_error',
    title: 'Something went wrong on our side',
    detail: 'It has been recorded. Mention the request id when you ask about it.',
    kind: 'fault',
  }),
  unavailable: (retryAfterSeconds: number): Problem => ({
    status: 503,
    code: 'temporarily_unavailable',
    title: 'The server cannot answer right now',
    detail: 'Try again in a moment.',
    kind: 'busy',
    retryAfterSeconds,
  }),
} as const;

/** RFC 9457 §3. `type` is a page of the documentation. */
export function problemBody(problem: Problem, context: { publicUrl: string; requestId: string }): string {
  return JSON.stringify({
    type: `${context.publicUrl}/docs/problems/${problem.code}`,
    title: problem.title,
    status: problem.status,
    detail: problem.detail,
    // A caller's request id need not be a UUID.
    instance: `urn:poort:request:${context.requestId}`,
    code: problem.code,
    request_id: context.requestId,
    ...(problem.errors === undefined ? {} : { errors: problem.errors }),
  });
}

/** Thrown by a route to end as a problem; everything else that is thrown is a fault. */
export class ProblemRaised extends Error {
  readonly problem: Problem;

  constructor(problem: Problem, options?: ErrorOptions) {
    super(problem.title, options);
    this.name = 'ProblemRaised';
    this.problem = problem;
  }
}
