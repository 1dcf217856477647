/**
 * What waits for the answer of the person who is signed in in this browser (CIBA §8): shown to them and to nobody else, answered once.
 * The session is the engine's own; an answer, its grant and its event are one unit of work.
 */
import type Provider from 'oidc-provider';
import { type Client, errors } from 'oidc-provider';
import { reference } from '#adapters/artifacts_adapter.ts';
import { currentUnitOfWork } from '#adapters/unit_of_work.ts';
import { MAXIMUM_SHOWN } from '#src/domain/backchannel_authentication.ts';
import { LostRace } from '#src/storage/database.ts';
import type { ApiRow } from '#src/storage/tables/apis.ts';
import { type BackchannelRequestRow, listPendingRequests } from '#src/storage/tables/backchannel_requests.ts';
import { addAsked, scopesAskedFor, withLasting } from './asked_scopes.ts';
import { newGrant } from './policies.ts';
import { applicationOf } from './provider.ts';

type Session = InstanceType<Provider['Session']>;
type BackchannelRequest = InstanceType<Provider['BackchannelAuthenticationRequest']>;

export interface PendingApproval {
  /** Opens nothing: only the person it is for can answer it. */
  readonly id: string;
  readonly applicationName: string;
  readonly bindingMessage: string | undefined;
  readonly scopes: readonly { readonly name: string; readonly description: string | undefined }[];
  readonly askedAt: Date;
  readonly expiresAt: Date;
}

/** What one browser may answer. */
export interface Approvals {
  readonly accountId: string;
  readonly sessionUid: string;
  readonly pending: readonly PendingApproval[];
}

export type ApprovalDecision = 'allow' | 'deny';
/** `gone`: answered, expired or somebody else's; from outside it is all the same. */
export type ApprovalAnswered = 'allowed' | 'denied' | 'gone';

/** Only inside a unit of work, like everything of the engine's. */
export interface ApprovalDesk {
  list(session: Session, apis: readonly ApiRow[]): Promise<readonly PendingApproval[]>;
  answer(session: Session, apis: readonly ApiRow[], answer: ApprovalAnswer): Promise<ApprovalAnswered>;
}

export interface ApprovalAnswer {
  readonly id: string;
  readonly decision: ApprovalDecision;
}

export function createApprovalDesk(provider: Provider): ApprovalDesk {
  return { list, answer };

  async function list({ accountId }: Session, apis: readonly ApiRow[]): Promise<readonly PendingApproval[]> {
    if (accountId === undefined) return [];
    const { tenant, now } = currentUnitOfWork();
    const rows = await listPendingRequests(tenant, { accountId, now, limit: MAXIMUM_SHOWN });
    const shown = await Promise.all(rows.map((row) => show(row, apis)));
    return shown.filter((pending) => pending !== undefined);
  }

  async function show(row: BackchannelRequestRow, apis: readonly ApiRow[]): Promise<PendingApproval | undefined> {
    const client = await provider.Client.find(row.client_id);
    if (!mayAsk(client)) return undefined;
    const { scope, resource, params } = row.payload as RequestPayload;
    const asked = scopesAskedFor({ scope, resource }, { client, apis });
    return {
      id: row.id_hash.toString('base64url'),
      applicationName: applicationOf(client)?.name ?? client.clientId,
      bindingMessage: params?.binding_message,
      scopes: withLasting(asked, client),
      askedAt: row.created_at,
      expiresAt: row.expires_at,
    };
  }

  async function answer(
    session: Session,
    apis: readonly ApiRow[],
    { id, decision }: ApprovalAnswer,
  ): Promise<ApprovalAnswered> {
    const unit = currentUnitOfWork();
    const idHash = hashFrom(id);
    if (idHash === undefined) return 'gone';
    unit.open('BackchannelAuthenticationRequest', idHash);
    const request = await provider.BackchannelAuthenticationRequest.find(reference(idHash));
    const client = request?.clientId === undefined ? undefined : await provider.Client.find(request.clientId);
    if (request === undefined || !mayAsk(client)) return 'gone';
    if (!waitsFor(request, session)) return 'gone';

    // Of two answers at the same moment one counts, whatever they say.
    unit.claimWithCommit(answerKind, idHash, new Date((request.exp ?? 0) * 1000));
    const actor = { type: 'user', id: session.accountId } as const;
    if (decision === 'deny') {
      await provider.backchannelResult(request, new errors.AccessDenied('the person refused'));
      unit.append({
        type: 'consent.denied',
        outcome: 'success',
        actor,
        target: { type: 'client', id: client.clientId },
        clientId: client.clientId,
        sessionId: session.uid,
      });
    } else {
      const asked = scopesAskedFor(request, { client, apis });
      const grant = newGrant(provider, { client, accountId: request.accountId ?? '' });
      addAsked(grant, asked);
      const grantId = await grant.save();
      await provider.backchannelResult(request, grant, {
        acr: session.acr,
        amr: session.amr,
        authTime: session.authTime(),
        // Whoever signs out where they agreed ends what came of it.
        sessionUid: session.uid,
      });
      unit.append({
        type: 'consent.granted',
        outcome: 'success',
        actor,
        target: { type: 'grant', id: grantId },
        clientId: client.clientId,
        sessionId: session.uid,
        data: { scopes: asked.map(({ name }) => name) },
      });
    }
    try {
      await unit.commit();
      return decision === 'allow' ? 'allowed' : 'denied';
    } catch (fault) {
      if (fault instanceof LostRace) return 'gone';
      throw fault;
    }
  }
}

/** What is left of an answer until its request has expired. */
const answerKind = 'BackchannelAuthenticationAnswer';

interface RequestPayload {
  readonly scope?: string;
  readonly resource?: string | string[];
  readonly params?: { readonly binding_message?: string };
}

function mayAsk(client: Client | undefined): client is Client {
  return client?.backchannelTokenDeliveryMode !== undefined;
}

function waitsFor(request: BackchannelRequest, { accountId }: Session): boolean {
  const isDecided = request.grantId !== undefined || request.error !== undefined || request.consumed !== undefined;
  return accountId !== undefined && request.accountId === accountId && !isDecided && !request.isExpired;
}

/** Undefined for what cannot be one of ours. */
function hashFrom(id: string): string | undefined {
  return /^[A-Za-z0-9_-]{43}$/.test(id) ? Buffer.from(id, 'base64url').toString('hex') : undefined;
}
