/**
 * Dynamic client registration (RFC 7591) and management (RFC 7592), where the tenant allows it; elsewhere there is nothing at these
 * addresses. Errors are those of RFC 6750 §3.1 and RFC 7591 §3.2.2.
 */
import type Router from '@koa/router';
import type { Context } from 'koa';
import { z } from 'zod';
import type { Config } from '#config/config.ts';
import {
  type ClientMetadata,
  metadataOf,
  REFUSED_METADATA,
  type RegisteredClient,
  type RegistrationRefusal,
} from '#src/domain/client_registration.ts';
import { protocolFeaturesOf } from '#src/domain/protocol_features.ts';
import { isStorableText } from '#src/domain/stored_text.ts';
import { issuerOf } from '#src/domain/tenant.ts';
import { readTenantSettings } from '#src/domain/tenant_settings.ts';
import {
  endRegistration,
  readRegistration,
  registerClient,
  type TokenRefused,
  updateRegistration,
} from '#src/flows/clients/register_clients.ts';
import type { FlowContext } from '#src/flows/flow_context.ts';
import { registrationPath } from '#src/oidc/provider.ts';
import { readJsonBody } from './json_body.ts';
import type { PageState } from './pages/interaction/interaction_step.ts';

export interface RegistrationOptions {
  readonly config: Config;
  readonly registrationServices: Pick<FlowContext, 'database' | 'clock' | 'sealer' | 'passwords' | 'mailBudgets'>;
}

const longestText = 2_000;
const text = z.string().max(longestText).refine(isStorableText);
const texts = z.array(text).max(100);

/** RFC 7591 §2: what this server does not understand is left out; what it refuses is looked for before. */
const metadataSchema = z.object({
  redirect_uris: texts.optional(),
  post_logout_redirect_uris: texts.optional(),
  backchannel_logout_uri: text.optional(),
  client_name: text.optional(),
  application_type: text.optional(),
  grant_types: texts.optional(),
  response_types: texts.optional(),
  token_endpoint_auth_method: text.optional(),
  scope: text.optional(),
  jwks: z.unknown().optional(),
});

/** RFC 7592 §2.2. */
const updateSchema = metadataSchema.extend({ client_id: text, client_secret: text.optional() });
const notInAnUpdate = [
  'registration_access_token',
  'registration_client_uri',
  'client_secret_expires_at',
  'client_id_issued_at',
];

export function mountRegistration(router: Router<PageState>, options: RegistrationOptions): void {
  const path = `/t/:slug${registrationPath}`;

  router.post(path, async (ctx, next) => {
    if (!isOn(ctx.state, options)) return next();
    const token = bearerOf(ctx);
    if (token === undefined) return refuseToken(ctx);
    const parsed = parseMetadata(await readBody(ctx, options), metadataSchema);
    if ('outcome' in parsed) return refuse(ctx, parsed);
    const { tenant } = ctx.state.engine;
    const outcome = await registerClient(contextOf(ctx.state, options), {
      tenantId: tenant.id,
      token,
      metadata: parsed.metadata,
    });
    if (outcome.outcome !== 'registered') return refuseOutcome(ctx, outcome);
    const { client, clientSecret, registrationAccessToken } = outcome;
    ctx.status = 201;
    ctx.body = {
      ...describe(ctx.state, client, { options, registrationAccessToken }),
      // RFC 7591 §3.2.1: required beside a secret; 0 is never.
      ...(clientSecret === undefined ? {} : { client_secret: clientSecret, client_secret_expires_at: 0 }),
    };
  });

  router.get(`${path}/:clientId`, async (ctx, next) => {
    if (!isOn(ctx.state, options)) return next();
    const own = ownEntry(ctx);
    if (own === undefined) return refuseToken(ctx);
    const outcome = await readRegistration(contextOf(ctx.state, options), own);
    if (outcome.outcome !== 'found') return refuseToken(ctx);
    ctx.body = describe(ctx.state, outcome.client, { options, registrationAccessToken: own.token });
  });

  router.put(`${path}/:clientId`, async (ctx, next) => {
    if (!isOn(ctx.state, options)) return next();
    const own = ownEntry(ctx);
    if (own === undefined) return refuseToken(ctx);
    // Before the body is looked at: what is wrong with it is told to the client alone.
    if ((await readRegistration(contextOf(ctx.state, options), own)).outcome !== 'found') return refuseToken(ctx);
    const body = await readBody(ctx, options);
    const parsed = parseMetadata(body, updateSchema, notInAnUpdate);
    if ('outcome' in parsed) return refuse(ctx, parsed);
    const { client_id: named, client_secret: secret, ...metadata } = parsed.metadata;
    if (named !== own.clientId) return refuse(ctx, invalid('client_id: is not that of this entry'));
    const outcome = await updateRegistration(contextOf(ctx.state, options), { ...own, metadata, secret });
    if (outcome.outcome !== 'updated') return refuseOutcome(ctx, outcome);
    ctx.body = describe(ctx.state, outcome.client, { options, registrationAccessToken: own.token });
  });

  router.delete(`${path}/:clientId`, async (ctx, next) => {
    if (!isOn(ctx.state, options)) return next();
    const own = ownEntry(ctx);
    if (own === undefined) return refuseToken(ctx);
    const outcome = await endRegistration(contextOf(ctx.state, options), own);
    if (outcome.outcome !== 'ended') return refuseToken(ctx);
    ctx.status = 204;
  });
}

function isOn({ engine }: PageState, { config }: RegistrationOptions): boolean {
  return protocolFeaturesOf(config.protocol, readTenantSettings(engine.tenant.settings).protocol).dynamic_registration;
}

function contextOf({ exchange }: PageState, { registrationServices }: RegistrationOptions): Omit<FlowContext, 'actor'> {
  return { ...registrationServices, origin: exchange.origin };
}

/** RFC 6750 §2.1. */
function bearerOf(ctx: Context): string | undefined {
  return /^Bearer ([A-Za-z0-9._~+/-]{1,200}=*)$/i.exec(ctx.get('authorization'))?.[1];
}

function ownEntry(ctx: Context & { readonly state: PageState }) {
  const token = bearerOf(ctx);
  if (token === undefined) return undefined;
  return { tenantId: ctx.state.engine.tenant.id, clientId: String(ctx['params']['clientId']), token };
}

/** Undefined for what is no JSON. */
function readBody(ctx: Context, { config }: RegistrationOptions): Promise<unknown> {
  return readJsonBody(ctx.req, config.http.bodyLimitBytes);
}

function parseMetadata<Metadata extends ClientMetadata>(
  body: unknown,
  schema: z.ZodType<Metadata>,
  forbidden: readonly string[] = [],
): { readonly metadata: Metadata } | RegistrationRefusal {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return invalid('the body is no JSON object');
  if ('software_statement' in body)
    return {
      outcome: 'refused',
      error: 'invalid_software_statement',
      description: 'software statements are not served',
    };
  const refused = [...REFUSED_METADATA, ...forbidden].find((name) => Object.hasOwn(body, name));
  if (refused !== undefined) return invalid(`${refused}: cannot be registered here`);
  const parsed = schema.safeParse(body);
  if (parsed.success) return { metadata: parsed.data };
  return invalid(`${parsed.error.issues[0]?.path.join('.') ?? 'metadata'}: is not as expected`);
}

function invalid(description: string): RegistrationRefusal {
  return { outcome: 'refused', error: 'invalid_client_metadata', description };
}

function describe(
  { engine }: PageState,
  client: RegisteredClient,
  { options, registrationAccessToken }: { options: RegistrationOptions; registrationAccessToken: string },
): Readonly<Record<string, unknown>> {
  return {
    ...metadataOf(client),
    registration_access_token: registrationAccessToken,
    registration_client_uri: `${issuerOf(engine.tenant, options.config.http.publicUrl)}${registrationPath}/${client.clientId}`,
  };
}

function refuseOutcome(ctx: Context, outcome: RegistrationRefusal | TokenRefused): void {
  if (outcome.outcome === 'invalid_token') refuseToken(ctx);
  else refuse(ctx, outcome);
}

/** The same for a token that was never there, that is used up, and that is somebody else's. */
function refuseToken(ctx: Context): void {
  ctx.status = 401;
  ctx.set('www-authenticate', 'Bearer error="invalid_token"');
  ctx.body = { error: 'invalid_token', error_description: 'invalid token provided' };
}

function refuse(ctx: Context, { error, description }: RegistrationRefusal): void {
  ctx.status = 400;
  ctx.body = { error, error_description: description };
}
