/**
 * Clients that register themselves (RFC 7591) and manage their own entry (RFC 7592). Whoever asks holds a token for exactly that:
 * the one an operator gave out, or the one that came with the registration. Token, client and event are one transaction.
 */
import { type ClientType, isClientType, parseClientId } from '#src/domain/client.ts';
import {
  type ClientMetadata,
  type OperatorsChoice,
  planRegistration,
  planUpdate,
  type RegisteredClient,
  type RegistrationRefusal,
  refusalOf,
} from '#src/domain/client_registration.ts';
import type { NewEvent } from '#src/domain/event.ts';
import { isPlatformScope } from '#src/domain/own_scope.ts';
import { isScopeToken, MAXIMUM_SCOPES, OPENID_SCOPES } from '#src/domain/scope.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import { randomValue, sha256, uuidv7 } from '#src/foundation/identifiers.ts';
import type { Transaction } from '#src/storage/database.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import {
  deleteClientRegistration,
  holdsRegistration,
  insertClientRegistration,
  insertInitialAccessToken,
  isClientSecret,
  useInitialAccessToken,
} from '#src/storage/tables/client_registrations.ts';
import { findClient, updateClientRow, updateClientStatus } from '#src/storage/tables/clients.ts';
import { type FlowContext, Refusal } from '../flow_context.ts';
import { storeClient } from './manage_clients.ts';

/** What opaque values of this kind start with. */
const initialAccessTokenPrefix = 'iat_';
const registrationAccessTokenPrefix = 'rat_';

export const MAXIMUM_USES = 1_000;
const maximumLifetimeSeconds = 365 * 24 * 60 * 60;

export type CreateInitialAccessTokenOutcome =
  | {
      readonly outcome: 'created';
      readonly id: string;
      /** Shown this once. */
      readonly token: string;
      readonly expiresAt: Date;
    }
  | { readonly outcome: 'refused'; readonly field: 'types' | 'scopes' | 'uses' | 'lifetime'; readonly problem: string };

/** Types without a person or a browser of their own in the way are the operator's to make: `resource_server` is none of them. */
const registrableTypes: readonly ClientType[] = ['web', 'spa', 'native', 'device', 'machine'];

export async function createInitialAccessToken(
  context: FlowContext,
  input: {
    readonly tenantId: TenantId;
    readonly types: readonly string[];
    readonly scopes: readonly string[];
    readonly uses: number;
    readonly lifetimeSeconds: number;
  },
): Promise<CreateInitialAccessTokenOutcome> {
  const { tenantId, scopes, uses, lifetimeSeconds } = input;
  const types = input.types.filter(isClientType).filter((type) => registrableTypes.includes(type));
  const refused = (field: 'types' | 'scopes' | 'uses' | 'lifetime', problem: string) =>
    ({ outcome: 'refused', field, problem }) as const;
  if (types.length === 0 || types.length !== input.types.length) return refused('types', 'not_for_registration');
  if (scopes.length > MAXIMUM_SCOPES || !scopes.every(isScopeToken)) return refused('scopes', 'syntax');
  // Those of a type that signs people in are there anyway; for the others they would say nothing.
  if (scopes.some((scope) => OPENID_SCOPES.has(scope))) return refused('scopes', 'follows_from_the_type');
  if (scopes.some(isPlatformScope)) return refused('scopes', 'for_operators');
  if (!Number.isInteger(uses) || uses < 1 || uses > MAXIMUM_USES) return refused('uses', 'out_of_range');
  if (!Number.isInteger(lifetimeSeconds) || lifetimeSeconds < 1 || lifetimeSeconds > maximumLifetimeSeconds)
    return refused('lifetime', 'out_of_range');

  const now = context.clock();
  const id = uuidv7(now);
  const token = randomValue(initialAccessTokenPrefix);
  const expiresAt = new Date(now.getTime() + lifetimeSeconds * 1000);
  const tenant = context.database.tenant(tenantId);
  await tenant.transaction(async (transaction) => {
    const row = { tenantId, id, tokenHash: sha256(token), types: [...new Set(types)], scopes, uses, expiresAt, now };
    await insertInitialAccessToken(transaction, row);
    const event: NewEvent = {
      type: 'initial_access_token.created',
      outcome: 'success',
      actor: context.actor,
      target: { type: 'initial_access_token', id },
      data: { types, scopes, uses, expires_at: expiresAt.toISOString() },
    };
    await appendEvent(transaction, { tenant, event, origin: context.origin, now });
  });
  return { outcome: 'created', id, token, expiresAt };
}

/** Whoever asks holds no such token. */
export interface TokenRefused {
  readonly outcome: 'invalid_token';
}

export type RegisterClientOutcome =
  | {
      readonly outcome: 'registered';
      readonly client: RegisteredClient;
      /** Both shown this once. */
      readonly clientSecret: string | undefined;
      readonly registrationAccessToken: string;
    }
  | RegistrationRefusal
  | TokenRefused;

/** A registration that is refused costs the token no use. */
export async function registerClient(
  context: Omit<FlowContext, 'actor'>,
  input: { readonly tenantId: TenantId; readonly token: string; readonly metadata: ClientMetadata },
): Promise<RegisterClientOutcome> {
  const { tenantId, metadata } = input;
  if (!input.token.startsWith(initialAccessTokenPrefix)) return { outcome: 'invalid_token' };
  const now = context.clock();
  return refusable(
    context.database.tenant(tenantId).transaction(async (transaction) => {
      const allowed = await useInitialAccessToken(transaction, { tenantId, tokenHash: sha256(input.token), now });
      if (allowed === undefined) throw new Refusal<RegisterClientOutcome>({ outcome: 'invalid_token' });
      const plan = planRegistration(metadata, allowed);
      if (plan.outcome === 'refused')
        throw new Refusal<RegisterClientOutcome>('problems' in plan ? refusalOf(plan.problems) : plan);
      const { client } = plan;
      const { clientId, clientSecret } = await storeClient(
        { ...context, actor: { type: 'system', id: 'registration' } },
        transaction,
        {
          tenantId,
          client,
          data: { initial_access_token: allowed.id },
        },
      );
      const registrationAccessToken = randomValue(registrationAccessTokenPrefix);
      const tokenHash = sha256(registrationAccessToken);
      await insertClientRegistration(transaction, {
        tenantId,
        clientId,
        tokenHash,
        initialAccessTokenId: allowed.id,
        now,
      });
      return {
        outcome: 'registered',
        client: { ...client, clientId, createdAt: now },
        clientSecret,
        registrationAccessToken,
      };
    }),
  );
}

interface OwnEntry {
  readonly tenantId: TenantId;
  readonly clientId: string;
  /** The registration access token. */
  readonly token: string;
}

export async function readRegistration(
  context: Omit<FlowContext, 'actor'>,
  input: OwnEntry,
): Promise<{ readonly outcome: 'found'; readonly client: RegisteredClient } | TokenRefused> {
  return context.database.tenant(input.tenantId).transaction(async (transaction) => {
    const client = await findOwn(transaction, input);
    return client === undefined ? { outcome: 'invalid_token' } : { outcome: 'found', client };
  });
}

export type UpdateRegistrationOutcome =
  | { readonly outcome: 'updated'; readonly client: RegisteredClient }
  | RegistrationRefusal
  | TokenRefused;

/** Replaces what a client may say about itself; see `planUpdate` for what it may not. */
export async function updateRegistration(
  context: Omit<FlowContext, 'actor'>,
  input: OwnEntry & {
    readonly metadata: ClientMetadata;
    /** Not to change it, but to repeat it (RFC 7592 §2.2). */
    readonly secret?: string | undefined;
  },
): Promise<UpdateRegistrationOutcome> {
  const { tenantId, clientId, metadata } = input;
  const now = context.clock();
  const tenant = context.database.tenant(tenantId);
  return tenant.transaction(async (transaction) => {
    const client = await findOwn(transaction, input);
    if (client === undefined) return { outcome: 'invalid_token' };
    if (input.secret !== undefined) {
      const secret = { tenantId, clientId, secretHash: sha256(input.secret) };
      if (!(await isClientSecret(transaction, secret)))
        return refusalOf([{ field: 'client_secret', problem: 'wrong' }]);
    }
    const plan = planUpdate(metadata, client);
    if (plan.outcome === 'refused') return 'problems' in plan ? refusalOf(plan.problems) : plan;
    const { name, redirectUris, postLogoutRedirectUris, backchannelLogoutUri, jwks } = plan.client;
    const after = { ...client, name, redirectUris, postLogoutRedirectUris, backchannelLogoutUri, jwks };
    await updateClientRow(transaction, { ...plan.client, tenantId, clientId, now });
    const event = ownEvent('client.updated', clientId);
    await appendEvent(transaction, { tenant, event, origin: context.origin, now });
    return { outcome: 'updated', client: after };
  });
}

/** The client is disabled, for good as far as it can do: its token went with it. */
export async function endRegistration(
  context: Omit<FlowContext, 'actor'>,
  input: OwnEntry,
): Promise<{ readonly outcome: 'ended' } | TokenRefused> {
  const { tenantId, clientId } = input;
  const now = context.clock();
  const tenant = context.database.tenant(tenantId);
  return tenant.transaction(async (transaction) => {
    if ((await findOwn(transaction, input)) === undefined) return { outcome: 'invalid_token' };
    await updateClientStatus(transaction, { tenantId, clientId, status: 'disabled', now });
    await deleteClientRegistration(transaction, { tenantId, clientId });
    const event = ownEvent('client.disabled', clientId);
    await appendEvent(transaction, { tenant, event, origin: context.origin, now });
    return { outcome: 'ended' };
  });
}

async function findOwn(
  transaction: Transaction,
  { tenantId, clientId, token }: OwnEntry,
): Promise<(RegisteredClient & OperatorsChoice) | undefined> {
  if (parseClientId(clientId) === undefined || !token.startsWith(registrationAccessTokenPrefix)) return undefined;
  if (!(await holdsRegistration(transaction, { tenantId, clientId, tokenHash: sha256(token) }))) return undefined;
  const row = await findClient(transaction, { tenantId, clientId });
  return (
    row && {
      clientId,
      name: row.name,
      type: row.type,
      redirectUris: row.redirect_uris,
      postLogoutRedirectUris: row.post_logout_redirect_uris,
      backchannelLogoutUri: row.backchannel_logout_uri ?? undefined,
      scopes: row.scopes,
      tokenEndpointAuthMethod: row.token_endpoint_auth_method,
      jwks: row.jwks ?? undefined,
      settings: row.settings,
      firstParty: row.first_party,
      createdAt: row.created_at,
    }
  );
}

function ownEvent(type: NewEvent['type'], clientId: string): NewEvent {
  return {
    type,
    outcome: 'success',
    actor: { type: 'client', id: clientId },
    target: { type: 'client', id: clientId },
    clientId,
  };
}

async function refusable(work: Promise<RegisterClientOutcome>): Promise<RegisterClientOutcome> {
  return work.catch((fault: unknown) => {
    if (fault instanceof Refusal) return fault.outcome as RegisterClientOutcome; // thrown above, with nothing else
    throw fault;
  });
}
