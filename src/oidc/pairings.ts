/**
 * The person's side of the device grant (RFC 8628 §3.3): a code that was typed is claimed for the browser in which it was, shown to
 * whoever signs in there, and answered once. The engine keeps the codes and redeems them; its own pages for people are not used.
 *
 * A claim is a row of its own beside the code: it is made by one conditional insert, so that of two browsers one gets it, and the
 * other is told what it would be told of a code that is not there.
 */
import Provider, { type Client, errors } from 'oidc-provider';
import { hashOfReference } from '#adapters/artifacts_adapter.ts';
import { currentUnitOfWork, hashOf } from '#adapters/unit_of_work.ts';
import { AUTHENTICATION_CONTEXTS } from '#src/domain/authentication.ts';
import { deviceGrantType } from '#src/domain/device_grant.ts';
import { mayHaveDevices, type PeopleSettings } from '#src/domain/people_settings.ts';
import { uuidv7 } from '#src/foundation/identifiers.ts';
import { LostRace, type Transaction } from '#src/storage/database.ts';
import type { ApiRow } from '#src/storage/tables/apis.ts';
import { countDevicesOf } from '#src/storage/tables/devices.ts';
import type { AccountRow } from '#src/storage/tables/people.ts';
import { addAsked, scopesAskedFor, withLasting } from './asked_scopes.ts';
import type { DeviceInfo } from './device_grant.ts';
import { newGrant } from './policies.ts';
import { applicationOf } from './provider.ts';

type Session = InstanceType<Provider['Session']>;
type DeviceCode = InstanceType<Provider['DeviceCode']>;

/** A code as it was typed, in the one spelling that the engine has, and what only the browser has in which that was done. */
export interface PairingKey {
  readonly userCode: string;
  readonly browser: string;
}

/** What a device asks for, and what is known of it. What it says of itself may be anything. */
export interface PairingRequest {
  readonly account: Pick<AccountRow, 'id' | 'email' | 'locale'>;
  readonly applicationName: string;
  readonly device: DeviceTold;
  readonly scopes: readonly { readonly name: string; readonly description: string | undefined }[];
  readonly askedAt: Date;
  /** The network address it asked from. */
  readonly askedFrom: string | undefined;
}

export interface DeviceTold {
  readonly name: string | undefined;
  readonly model: string | undefined;
  readonly firmware: string | undefined;
}

/** How somebody has to sign in before they may answer. */
export interface PairingDemand {
  readonly multiFactor: boolean;
  readonly maximumAgeSeconds: number | undefined;
}

export type PairingRefusal = 'role' | 'too_many';
export type PairingDecision = 'allow' | 'deny';

/** `unknown`: never there, expired, used, of another tenant or claimed by another browser; from outside it is all the same. */
export type PairingFound =
  | { readonly outcome: 'pending'; readonly request: PairingRequest }
  | { readonly outcome: 'sign_in'; readonly demand: PairingDemand }
  | { readonly outcome: 'refused'; readonly reason: PairingRefusal }
  | { readonly outcome: 'answered'; readonly decision: PairingDecision }
  | { readonly outcome: 'unknown' };

export interface PairingAnswer extends PairingKey {
  readonly decision: PairingDecision;
  readonly deviceName: string;
  /** Tells the person, together with what made it true. */
  readonly tell: (transaction: Transaction, accountId: string) => Promise<void>;
}

export type PairingAnswered =
  | { readonly outcome: 'allowed' | 'denied' | 'unknown' }
  | Extract<PairingFound, { readonly outcome: 'sign_in' | 'refused' }>;

/** Only inside a unit of work, like everything of the engine's. */
export interface PairingDesk {
  claim(key: PairingKey): Promise<'claimed' | 'unknown'>;
  find(session: Session, apis: readonly ApiRow[], key: PairingKey): Promise<PairingFound>;
  answer(session: Session, apis: readonly ApiRow[], answer: PairingAnswer): Promise<PairingAnswered>;
}

export function createPairingDesk(provider: Provider, settings: PeopleSettings): PairingDesk {
  return { claim, find, answer };

  async function claim({ userCode, browser }: PairingKey): Promise<'claimed' | 'unknown'> {
    const found = await findCode(userCode);
    if (found === undefined || decisionOf(found.code) !== undefined) return 'unknown';
    const unit = currentUnitOfWork();
    const isFirst = await unit.claim(claimKind, found.idHash, expiryOf(found.code), { browser: hashOf(browser) });
    return isFirst || (await isClaimedBy(found.idHash, browser)) ? 'claimed' : 'unknown';
  }

  async function find(session: Session, apis: readonly ApiRow[], key: PairingKey): Promise<PairingFound> {
    const seen = await look(session, key);
    if (seen.outcome !== 'open') return seen;
    const { code, client, account } = seen;
    return {
      outcome: 'pending',
      request: {
        account,
        applicationName: applicationOf(client)?.name ?? client.clientId,
        ...toldOf(code),
        scopes: withLasting(scopesAskedFor(askedIn(code), { client, apis }), client),
        askedAt: new Date((code.iat ?? 0) * 1000),
      },
    };
  }

  async function answer(
    session: Session,
    apis: readonly ApiRow[],
    { decision, deviceName, tell, ...key }: PairingAnswer,
  ): Promise<PairingAnswered> {
    const seen = await look(session, key);
    if (seen.outcome === 'answered') return { outcome: 'unknown' };
    if (seen.outcome !== 'open') return seen;
    const { code, idHash, client, account } = seen;
    const unit = currentUnitOfWork();

    // Of two answers at the same moment one counts, whatever they say.
    unit.claimWithCommit(answerKind, idHash, expiryOf(code));
    const common = {
      outcome: 'success',
      actor: { type: 'user', id: account.id },
      clientId: client.clientId,
      sessionId: session.uid,
    } as const;
    const { askedFrom } = toldOf(code);
    const from = askedFrom === undefined ? {} : { asked_from: askedFrom };
    if (decision === 'deny') {
      Object.assign(code, { error: 'access_denied', errorDescription: 'the person refused' });
      unit.append({ ...common, type: 'device.denied', target: { type: 'client', id: client.clientId }, data: from });
    } else {
      const asked = scopesAskedFor(askedIn(code), { client, apis });
      const deviceId = uuidv7(unit.now);
      const grant = Object.assign(newGrant(provider, { client, accountId: account.id }), { deviceId });
      addAsked(grant, asked);
      const grantId = await grant.save();
      const audiences = [...new Set(asked.map(({ audience }) => audience))].filter(
        (audience) => audience !== undefined,
      );
      const scopes = [...new Set(asked.map(({ name }) => name))];
      // No session: who signs out in this browser does not mean the device.
      Object.assign(code, {
        accountId: account.id,
        grantId,
        acr: session.acr,
        amr: session.amr,
        authTime: session.authTime(),
        scope: scopes.length === 0 ? undefined : scopes.join(' '),
        resource: audiences.length > 1 ? audiences : audiences[0],
        deviceInfo: { ...code.deviceInfo, givenName: deviceName },
      });
      const data = { scopes, device_id: deviceId, ...from };
      unit.append({ ...common, type: 'consent.granted', target: { type: 'grant', id: grantId }, data });
      unit.append({
        ...common,
        type: 'device.approved',
        target: { type: 'device', id: deviceId },
        data: { scopes, ...from },
      });
    }
    await code.save();
    try {
      if (decision === 'deny') await unit.commit();
      else await unit.commitWith((transaction) => tell(transaction, account.id));
      return { outcome: decision === 'deny' ? 'denied' : 'allowed' };
    } catch (fault) {
      if (fault instanceof LostRace) return { outcome: 'unknown' };
      throw fault;
    }
  }

  type Seen =
    | Exclude<PairingFound, { readonly outcome: 'pending' }>
    | {
        readonly outcome: 'open';
        readonly code: DeviceCode;
        readonly idHash: string;
        readonly client: Client;
        readonly account: AccountRow;
      };

  /** The order is what a stranger may learn: of a code that is not theirs nothing, not even that somebody would have to sign in. */
  async function look(session: Session, { userCode, browser }: PairingKey): Promise<Seen> {
    const found = await findCode(userCode);
    if (found === undefined || !(await isClaimedBy(found.idHash, browser))) return { outcome: 'unknown' };
    const decision = decisionOf(found.code);
    if (decision !== undefined) return { outcome: 'answered', decision };
    const unit = currentUnitOfWork();
    const account = session.accountId === undefined ? undefined : await unit.findAccount(session.accountId);
    const demand = demandOf(session, { settings, now: unit.now, isSignedIn: account !== undefined });
    if (demand !== undefined || account === undefined) return { outcome: 'sign_in', demand: demand ?? noDemand };
    if (!mayHaveDevices(settings, account.roles)) return { outcome: 'refused', reason: 'role' };
    const devices = await countDevicesOf(unit.tenant, { userId: account.id, now: unit.now });
    if (devices >= settings['devices.maximum_per_person']) return { outcome: 'refused', reason: 'too_many' };
    return { outcome: 'open', ...found, account };
  }

  /** Undefined also for a code of another tenant: nobody asks beyond their own. */
  async function findCode(
    userCode: string,
  ): Promise<{ readonly code: DeviceCode; readonly idHash: string; readonly client: Client } | undefined> {
    const code = await provider.DeviceCode.findByUserCode(userCode, { ignoreExpiration: true });
    const client = code?.clientId === undefined ? undefined : await provider.Client.find(code.clientId);
    if (code === undefined || client === undefined || !client.grantTypeAllowed(deviceGrantType)) return undefined;
    if (code.isExpired || expiryOf(code) <= currentUnitOfWork().now) return undefined;
    return { code, client, idHash: hashOfReference(code.jti) };
  }

  async function isClaimedBy(idHash: string, browser: string): Promise<boolean> {
    const claimed = await currentUnitOfWork().find(claimKind, idHash);
    return claimed !== undefined && claimed.payload['browser'] === hashOf(browser);
  }
}

interface CodeModel {
  find(value: string, options?: object): Promise<DeviceCode | undefined>;
}

/**
 * Whoever approved must still be allowed to when the device comes for its tokens: a role may be gone since. A membership that has ended
 * needs no look: nothing of it is found.
 */
export function checkApprovalsAgain(provider: Provider, settings: PeopleSettings): void {
  // The types leave it open what is found.
  const model = provider.DeviceCode as unknown as CodeModel;
  const find = model.find.bind(model);
  model.find = async (value, options) => {
    const code = await find(value, options);
    const oidc = Provider.ctx?.oidc;
    if (code?.accountId === undefined || oidc?.route !== 'token' || code.clientId !== oidc.client?.clientId)
      return code;
    const account = await currentUnitOfWork().findAccount(code.accountId);
    if (account !== undefined && !mayHaveDevices(settings, account.roles))
      throw new errors.AccessDenied('whoever approved it may not pair devices any more');
    return code;
  };
}

/** In which browser a code was typed. */
const claimKind = 'DeviceCodeClaim';
/** What is left of an answer until its code has expired. */
const answerKind = 'DeviceCodeAnswer';

const noDemand: PairingDemand = { multiFactor: false, maximumAgeSeconds: undefined };

/** What the tenant asks of a sign-in before it counts here; undefined when this session has it. */
function demandOf(
  session: Session,
  { settings, now, isSignedIn }: { settings: PeopleSettings; now: Date; isSignedIn: boolean },
): PairingDemand | undefined {
  const multiFactor = settings['devices.approval_second_factor'];
  if (!isSignedIn || session.loginTs === undefined) return { ...noDemand, multiFactor };
  const maximumAgeMinutes = settings['devices.approval_max_age_minutes'];
  const ageSeconds = now.getTime() / 1000 - session.loginTs;
  // Zero asks in any case: an age that two clocks judge differently would send the browser in circles.
  if (maximumAgeMinutes > 0 && ageSeconds > maximumAgeMinutes * 60) return { multiFactor, maximumAgeSeconds: 0 };
  if (multiFactor && session.acr !== AUTHENTICATION_CONTEXTS.multiFactor) return { ...noDemand, multiFactor };
  return undefined;
}

function decisionOf(code: DeviceCode): PairingDecision | undefined {
  if (code.error !== undefined) return 'deny';
  return code.accountId === undefined ? undefined : 'allow';
}

function askedIn({ params }: DeviceCode): { readonly scope?: string; readonly resource?: string | string[] } {
  return params ?? {};
}

/** What the device said, and from where. */
function toldOf({ deviceInfo }: DeviceCode): Pick<PairingRequest, 'device' | 'askedFrom'> {
  const { name, model, firmware, address } = (deviceInfo ?? {}) as Partial<DeviceInfo>; // ours, as it was stored
  return { device: { name, model, firmware }, askedFrom: address };
}

function expiryOf(code: DeviceCode): Date {
  return new Date((code.exp ?? 0) * 1000);
}
