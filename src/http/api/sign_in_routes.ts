/**
 * Signing in over REST, for the tenant's own applications: register, log in, prove a second factor, refresh, log out. The flows, limits,
 * factors and events are those of the hosted pages, and the tokens are the engine's: what is here is another way to ask
 * (docs/decisions/0041).
 */
import { z } from 'zod';
import type { Authentication } from '#src/domain/authentication.ts';
import { userId } from '#src/domain/user.ts';
import { readOwnProfile } from '#src/flows/people/own_profile.ts';
import { type RegisterOutcome, requestRegistration } from '#src/flows/proofs/register.ts';
import type { VisitorServices } from '#src/flows/proofs/visitor_context.ts';
import type { RememberedDevice, SignInPlace, SignInServices } from '#src/flows/sign_in/authentication_steps.ts';
import { continueSignIn } from '#src/flows/sign_in/second_factor.ts';
import { type SignInOutcome, signIn } from '#src/flows/sign_in/sign_in.ts';
import { randomValue } from '#src/foundation/identifiers.ts';
import type { RestTokens } from '#src/oidc/rest_sessions.ts';
import type { ClientCredentials } from '#src/oidc/tenant_engine.ts';
import { type FieldFault, ProblemRaised, problems } from '../problems.ts';
import { challenges } from './callers.ts';
import { bearer, type FirstPartyCaller, firstParty } from './chains.ts';
import { secretText } from './freshness.ts';
import { line } from './input.ts';
import { passwordWords, presentProfile, profileShape } from './profiles.ts';
import { type ApiAnswer, type ApiRequest, type ApiRoute, route } from './routes.ts';
import {
  deliver,
  deliveredTokens,
  deliveryFor,
  deviceTokenIn,
  forgetRefreshToken,
  keepDevice,
  keepHandle,
  refreshTokenIn,
  refuseOtherSites,
  type TokenDelivery,
  tokenDelivery,
} from './token_delivery.ts';

export interface SignInRoutesOptions {
  readonly signInServices: SignInServices;
  readonly visitorServices: VisitorServices;
}

type AnyRequest<Body = unknown> = ApiRequest<FirstPartyCaller, Body, unknown>;

const identifier = line(254);
const clientId = line(64).describe(
  'One of the tenant’s own applications; without a word the tokens are of none in particular.',
);
const personName = line(100);

const newAccount = z.strictObject({
  email: identifier,
  password: secretText,
  username: line(64).optional(),
  given_name: personName.optional(),
  first_name: personName.optional(),
  family_name: personName.optional(),
  last_name: personName.optional(),
  full_name: line(200).optional(),
  client_id: clientId.optional(),
  token_delivery: tokenDelivery.optional(),
});

const login = z
  .strictObject({
    email: identifier.optional(),
    username: identifier.optional(),
    password: secretText,
    client_id: clientId.optional(),
    token_delivery: tokenDelivery.optional(),
  })
  .refine(({ email, username }) => (email === undefined) !== (username === undefined), {
    message: 'names either email or username',
    path: ['email'],
  });

const factor = z
  .strictObject({
    mfa_token: line(200),
    code: line(64).optional(),
    backup_code: line(64).optional(),
    token_delivery: tokenDelivery.optional(),
  })
  .refine(({ code, backup_code }) => (code === undefined) !== (backup_code === undefined), {
    message: 'holds either code or backup_code',
    path: ['code'],
  });

const refresh = z.strictObject({ refresh_token: line(200).optional(), token_delivery: tokenDelivery.optional() });
const logout = z.strictObject({ refresh_token: line(200).optional() });

export const signedIn = z.object({ data: deliveredTokens.extend({ user: profileShape }) }).meta({ id: 'SignedIn' });
const secondFactor = z
  .object({
    mfa_required: z.literal(true),
    mfa_token: z.string(),
    methods: z.array(z.enum(['totp', 'backup_code'])),
    enrolment_required: z
      .literal(true)
      .optional()
      .describe('The tenant asks for a second factor; set one up with mfa_token.'),
  })
  .meta({ id: 'SecondFactorRequired' });
const verificationSent = z.object({ status: z.literal('verification_sent'), handle: z.string().optional() });
const refreshed = z.object({ data: deliveredTokens });
const whoAmI = profileShape
  .extend({
    tenant: z.string(),
    client_id: z.string(),
    session: z
      .object({ id: z.string(), auth_time: z.number(), amr: z.array(z.string()), acr: z.string().nullable() })
      .nullable(),
    mfa_verified: z.boolean(),
  })
  .meta({ id: 'WhoAmI' });

export function signInRoutes({ signInServices, visitorServices }: SignInRoutesOptions): readonly ApiRoute[] {
  return [
    route({
      summary: 'Ask for an account',
      method: 'POST',
      path: '/api/v1/auth/register',
      chain: firstParty(),
      body: newAccount,
      statuses: [200, 201, 202],
      answers: z.union([signedIn, secondFactor, verificationSent]),
      handle: register,
    }),
    route({
      summary: 'Sign in with a password',
      method: 'POST',
      path: '/api/v1/auth/login',
      chain: firstParty(),
      body: login,
      answers: z.union([signedIn, secondFactor]),
      async handle(request) {
        const { email, username = '', password, client_id, token_delivery } = request.body;
        const begun = await begin(request, { client_id, token_delivery });
        const outcome = await signIn(signInServices, { ...begun.place, email: email ?? username, password });
        return answerSignIn(request, outcome, begun);
      },
    }),
    route({
      summary: 'Go on with a second factor',
      method: 'POST',
      path: '/api/v1/auth/mfa/verify',
      chain: firstParty(),
      body: factor,
      answers: signedIn,
      handle: verify,
    }),
    route({
      summary: 'Get new tokens for a refresh token',
      method: 'POST',
      path: '/api/v1/auth/refresh',
      chain: firstParty(),
      body: refresh,
      answers: refreshed,
      handle: renew,
    }),
    route({
      summary: 'The same, as an earlier service called it',
      method: 'POST',
      path: '/api/v1/auth/refresh-token',
      chain: firstParty(),
      body: refresh,
      answers: refreshed,
      handle: renew,
    }),
    route({
      summary: 'End this session with everything issued under it',
      method: 'POST',
      path: '/api/v1/auth/logout',
      chain: firstParty({ token: 'welcome' }),
      body: logout,
      answers: z.object({ status: z.literal('signed_out') }),
      handle: end,
    }),
    route({
      summary: 'Who you are here, and how you signed in',
      method: 'GET',
      path: '/api/v1/auth/me',
      chain: bearer({ kinds: ['user'], firstParty: true }),
      answers: whoAmI,
      async handle({ caller, engine }) {
        const profile = await readOwnProfile(signInServices, {
          tenantId: engine.tenant.id,
          userId: userId(caller.userId ?? ''),
        });
        if (profile === undefined) throw new ProblemRaised(problems.notFound());
        const { session, clientId: client } = caller;
        return {
          status: 200,
          body: {
            ...presentProfile(profile),
            tenant: engine.tenant.slug,
            client_id: client,
            session: session === undefined ? null : presentSession(session),
            mfa_verified: session?.amr.includes('mfa') ?? false,
          },
        };
      },
    }),
  ];

  async function register(request: AnyRequest<z.infer<typeof newAccount>>): Promise<ApiAnswer> {
    const { body, engine, exchange } = request;
    const { client_id, token_delivery, email, password } = body;
    const begun = await begin(request, { client_id, token_delivery });
    const { tenant, people: policy } = engine;
    const registered = await requestRegistration(
      { ...visitorServices, origin: exchange.origin },
      {
        tenant: { id: tenant.id, slug: tenant.slug, name: tenant.name, policy, locale: tenant.locale },
        email,
        password,
        ...namesIn(body),
        username: body.username ?? '',
      },
    );
    if (registered.outcome !== 'sent') throw new ProblemRaised(refusalOf(registered));
    if (policy['people.email_verification'] === 'optional') {
      // Somebody new is here already; whoever was here before has to know their password, as anywhere.
      const outcome = await signIn(signInServices, { ...begun.place, email, password });
      if (outcome.outcome !== 'refused') return answerSignIn(request, outcome, { ...begun, status: 201 });
    }
    const { handle, expiresAt } = registered;
    if (begun.delivery === 'body') return { status: 202, body: { status: 'verification_sent', handle } };
    keepHandle(request, { page: 'verify', value: handle, seconds: secondsUntil(expiresAt, signInServices) });
    return { status: 202, body: { status: 'verification_sent' } };
  }

  interface Begun {
    readonly place: SignInPlace;
    readonly delivery: TokenDelivery;
    readonly status?: number;
  }

  /** Throws `ProblemRaised` where nobody can sign in so. */
  async function begin(
    request: AnyRequest,
    wish: { readonly client_id?: string | undefined; readonly token_delivery?: TokenDelivery | undefined },
  ): Promise<Begun> {
    refuseWhereOff(request);
    const delivery = await deliveryFor(request, wish.token_delivery);
    const credentials = credentialsIn(request);
    const client = await request.engine.findRestClient({ clientId: wish.client_id, credentials });
    if (client === undefined) throw new ProblemRaised(problems.clientNotAllowed(challenges(realmOf(request))));
    const key = mfaToken(delivery, client.clientId);
    return { delivery, place: placeOf(request, { clientId: client.clientId, key, delivery }) };
  }

  async function answerSignIn(
    request: AnyRequest,
    outcome: SignInOutcome,
    { place, delivery, status = 200 }: Begun,
  ): Promise<ApiAnswer> {
    switch (outcome.outcome) {
      case 'signed_in':
        return answerSignedIn(request, outcome, { clientId: place.clientId, delivery, status });
      case 'second_factor': {
        const methods = outcome.methods.filter((method) => method === 'totp' || method === 'backup_code');
        return { status: 200, body: { mfa_required: true, mfa_token: place.key, methods } };
      }
      case 'enrolment':
        return {
          status: 200,
          body: { mfa_required: true, mfa_token: place.key, methods: [], enrolment_required: true },
        };
      case 'refused':
      case 'unmet':
      case 'expired':
        throw new ProblemRaised(problems.invalidCredentials(challenges(realmOf(request))));
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

  async function verify(request: AnyRequest<z.infer<typeof factor>>): Promise<ApiAnswer> {
    refuseWhereOff(request);
    const { mfa_token: token, code, backup_code: backupCode = '', token_delivery: wished } = request.body;
    const begun = beginningOf(token);
    const realm = challenges(realmOf(request));
    if (begun === undefined) throw new ProblemRaised(problems.signInOver(realm));
    const delivery = await deliveryFor(request, wished ?? begun.delivery);
    const place = placeOf(request, { clientId: begun.clientId, key: token, delivery });
    const proof =
      code === undefined ? ({ kind: 'backup_code', code: backupCode } as const) : ({ kind: 'totp', code } as const);
    const outcome = await continueSignIn(signInServices, place, { proof });
    switch (outcome.outcome) {
      case 'signed_in':
        return answerSignedIn(request, outcome, { clientId: begun.clientId, delivery, status: 200 });
      case 'refused':
        throw new ProblemRaised(problems.invalidCode(realm));
      case 'expired':
        throw new ProblemRaised(problems.signInOver(realm));
      case 'throttled':
        throw new ProblemRaised(problems.tooManyRequests(outcome.retryAfterSeconds));
      default: {
        const never: never = outcome;
        return never;
      }
    }
  }

  function answerSignedIn(
    request: AnyRequest,
    signed: { readonly authentication: Authentication; readonly device: RememberedDevice | undefined },
    given: { readonly clientId: string; readonly delivery: TokenDelivery; readonly status: number },
  ): Promise<ApiAnswer> {
    return openSession(request, signed, { ...given, services: signInServices });
  }

  async function renew(request: AnyRequest<z.infer<typeof refresh>>): Promise<ApiAnswer> {
    refuseWhereOff(request);
    const { refresh_token: sent, token_delivery: wished } = request.body;
    const kept = sent === undefined ? refreshTokenIn(request) : undefined;
    const delivery: TokenDelivery = sent === undefined ? 'cookie' : (wished ?? 'body');
    if (delivery === 'cookie') await refuseOtherSites(request);
    if (kept !== undefined && wished === 'body') throw new ProblemRaised(problems.crossSite());
    const authorization = request.exchange.request.headers.authorization;
    const refreshToken = sent ?? kept;
    const outcome =
      refreshToken === undefined
        ? ({ outcome: 'refused' } as const)
        : await request.engine.refreshOverRest(request.exchange, { refreshToken, authorization });
    switch (outcome.outcome) {
      case 'refreshed':
        return { status: 200, body: { data: deliver(request, outcome.tokens, delivery) } };
      case 'throttled':
        throw new ProblemRaised(problems.tooManyRequests(outcome.retryAfterSeconds));
      case 'refused':
        throw new ProblemRaised(
          problems.invalidRefreshToken(
            challenges(realmOf(request)),
            delivery === 'cookie' ? { 'set-cookie': forgetRefreshToken(request) } : {},
          ),
        );
      default: {
        const never: never = outcome;
        return never;
      }
    }
  }

  /** By whatever is shown of the session. A cookie is forgotten in any case: whoever asks wants to be signed out in this browser. */
  async function end(request: AnyRequest<z.infer<typeof logout>>): Promise<ApiAnswer> {
    const { caller, engine, exchange, body } = request;
    const kept = refreshTokenIn(request);
    if (kept !== undefined) await refuseOtherSites(request);
    const refreshToken = body.refresh_token ?? kept;
    const { shown } = caller;
    if (shown === undefined && refreshToken === undefined)
      throw new ProblemRaised(problems.unauthorized(challenges(realmOf(request))));
    if (shown !== undefined) await engine.endRestSession(exchange, { kind: 'access_token', value: shown.token });
    if (refreshToken !== undefined)
      await engine.endRestSession(exchange, { kind: 'refresh_token', value: refreshToken });
    if (kept !== undefined) exchange.response.appendHeader('set-cookie', forgetRefreshToken(request));
    return { status: 200, body: { status: 'signed_out' } };
  }
}

/** Whoever signed in a moment ago gets a session and its tokens. Throws `ProblemRaised` when they may not any more. */
export async function openSession(
  request: AnyRequest,
  {
    authentication,
    device,
  }: { readonly authentication: Authentication; readonly device: RememberedDevice | undefined },
  {
    clientId: client,
    delivery,
    status,
    services,
    more = {},
  }: {
    readonly clientId: string;
    readonly delivery: TokenDelivery;
    readonly status: number;
    readonly services: SignInServices;
    /** What the answer holds beside. */
    readonly more?: object;
  },
): Promise<ApiAnswer> {
  const { engine, exchange } = request;
  const opened: RestTokens | undefined = await engine.openRestSession(exchange, { clientId: client, authentication });
  const profile =
    opened && (await readOwnProfile(services, { tenantId: engine.tenant.id, userId: authentication.userId }));
  if (opened === undefined || profile === undefined)
    throw new ProblemRaised(problems.signInOver(challenges(realmOf(request))));
  if (delivery === 'cookie' && device !== undefined)
    keepDevice(request, { value: device.token, seconds: secondsUntil(device.expiresAt, services) });
  const data = { user: presentProfile(profile), ...deliver(request, opened, delivery) };
  return { status, body: { data, ...more } };
}

/** Throws `ProblemRaised` where the tenant leaves it to its hosted pages. */
export function refuseWhereOff({ engine }: Pick<AnyRequest, 'engine'>): void {
  if (!engine.people['rest.sign_in']) throw new ProblemRaised(problems.switchedOff('rest.sign_in'));
}

export function realmOf({ engine }: Pick<AnyRequest, 'engine'>): string {
  return engine.provider.issuer;
}

/** Where a sign-in over REST is under way: its key is the token that the application was given for it, and nobody else has. */
export function placeOf(
  request: Pick<AnyRequest, 'engine' | 'exchange'>,
  {
    clientId: client,
    key,
    delivery,
  }: { readonly clientId: string; readonly key: string; readonly delivery: TokenDelivery },
): SignInPlace {
  const { engine, exchange } = request;
  return {
    tenantId: engine.tenant.id,
    clientId: client,
    key,
    origin: exchange.origin,
    policy: engine.people,
    wantsMultiFactor: false,
    deviceToken: delivery === 'cookie' ? deviceTokenIn(request) : undefined,
  };
}

/** It names what was begun, so that nothing of it has to be sent again; only the whole of it is known, so that nothing can be changed. */
function mfaToken(delivery: TokenDelivery, client: string): string {
  return `mfa_${randomValue()}.${delivery}.${client}`;
}

export function beginningOf(
  token: string,
): { readonly delivery: TokenDelivery; readonly clientId: string } | undefined {
  const [, delivery, client] = /^mfa_[A-Za-z0-9_-]{43}\.(cookie|body)\.([A-Za-z0-9_.-]{1,64})$/.exec(token) ?? [];
  if (client === undefined) return undefined;
  return { delivery: delivery === 'body' ? 'body' : 'cookie', clientId: client };
}

/** RFC 6749 §2.3.1. */
function credentialsIn({ exchange }: AnyRequest): ClientCredentials | undefined {
  const [, encoded] = /^Basic ([A-Za-z0-9+/=]{1,1000})$/i.exec(exchange.request.headers.authorization ?? '') ?? [];
  if (encoded === undefined) return undefined;
  const [id = '', secret = ''] = Buffer.from(encoded, 'base64').toString('utf8').split(/:(.*)/s);
  try {
    return { clientId: decodeURIComponent(id), clientSecret: decodeURIComponent(secret) };
  } catch {
    return undefined;
  }
}

/** Earlier services had other names for the same. */
function namesIn(sent: z.infer<typeof newAccount>): { readonly givenName: string; readonly familyName: string } {
  const [first = '', ...rest] = sent.full_name?.split(/\s+/) ?? [];
  return {
    givenName: sent.given_name ?? sent.first_name ?? first,
    familyName: sent.family_name ?? sent.last_name ?? rest.join(' '),
  };
}

function refusalOf(outcome: Exclude<RegisterOutcome, { readonly outcome: 'sent' }>) {
  switch (outcome.outcome) {
    case 'closed':
      return problems.registrationClosed();
    case 'throttled':
      return problems.tooManyRequests(outcome.retryAfterSeconds);
    case 'busy':
      return problems.unavailable(outcome.retryAfterSeconds);
    case 'invalid':
      return problems.invalidFields(
        outcome.problems.map(
          ({ field, reason }): FieldFault => ({
            pointer: `#/${field}`,
            code: reason,
            detail: field === 'password' ? passwordWords[reason] : reason === 'missing' ? 'is missing' : 'is none',
          }),
        ),
      );
    default: {
      const never: never = outcome;
      return never;
    }
  }
}

function presentSession(session: {
  readonly id: string;
  readonly authenticatedAt: Date;
  readonly amr: readonly string[];
  readonly acr: string | undefined;
}) {
  return {
    id: session.id,
    auth_time: Math.floor(session.authenticatedAt.getTime() / 1000),
    amr: session.amr,
    acr: session.acr ?? null,
  };
}

export function secondsUntil(at: Date, { clock }: Pick<SignInServices, 'clock'>): number {
  return Math.max(1, Math.round((at.getTime() - clock().getTime()) / 1000));
}
