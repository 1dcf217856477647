/**
 * The crowd of the login storm, on a thread of its own so that it does not stand in the way of those who measure: each person opens
 * the sign-in page, signs in, is sent back to the application, signs out by forgetting the session, and comes again until time is up.
 * It is each one's own browser, which the server knows from before, as on any morning; `--strangers` gives everybody a new one.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { type CookieJar, SignInStopped, signIn } from './browser.ts';

export interface CrowdInput {
  readonly issuer: string;
  readonly authorization: string;
  readonly clientId: string;
  readonly redirectUri: string;
  readonly emails: readonly string[];
  readonly password: string;
  readonly milliseconds: number;
  /** Whether whoever is told to come back later does not. */
  readonly once: boolean;
  /** A browser that was never there, each time: what that adds is a notice by mail. */
  readonly strangers: boolean;
}

export interface CrowdReport {
  readonly signedIn: number;
  /** From the first request to the code. */
  readonly latenciesMilliseconds: readonly number[];
  /** Sign-ins that were completed while everybody was still there. */
  readonly seconds: number;
  /** 503 with a Retry-After that is a number of seconds. */
  readonly toldToComeBack: number;
  /** Anything else, and the first of it in words. */
  readonly refused: number;
  readonly firstRefusal: string | undefined;
}

const input = workerData as CrowdInput; // made by login_storm.ts
const startedAt = performance.now();
const endsAt = startedAt + input.milliseconds;
const latenciesMilliseconds: number[] = [];
let toldToComeBack = 0;
let refused = 0;
let firstRefusal: string | undefined;

async function comeAgainAndAgain(email: string, index: number): Promise<void> {
  const own: CookieJar = new Map();
  do {
    const jar: CookieJar = input.strangers ? new Map() : own;
    const openedAt = performance.now();
    try {
      await signIn({
        authorizationUrl: authorizationUrl(),
        redirectUri: input.redirectUri,
        person: { email, password: input.password },
        jar,
        // Everybody from an address of their own: an office of this size would be throttled.
        headers: { 'x-forwarded-for': `198.18.${index >> 8}.${index & 255}` },
      });
      for (const [key, { name }] of jar) if (name !== 'poort_device') jar.delete(key);
      const now = performance.now();
      if (now <= endsAt || input.once) latenciesMilliseconds.push(now - openedAt);
    } catch (fault) {
      if (fault instanceof SignInStopped && fault.status === 503 && /^[1-9]\d{0,3}$/.test(fault.retryAfter ?? '')) {
        toldToComeBack += 1;
      } else {
        refused += 1;
        firstRefusal ??= fault instanceof Error ? fault.message : String(fault);
      }
    }
  } while (!input.once && performance.now() < endsAt);
}

function authorizationUrl(): string {
  const query = new URLSearchParams({
    client_id: input.clientId,
    response_type: 'code',
    redirect_uri: input.redirectUri,
    scope: 'openid profile email',
    state: 'storm',
    nonce: 'storm',
    code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
    code_challenge_method: 'S256',
  });
  return new URL(`${input.authorization}?${query}`, input.issuer).href;
}

await Promise.all(input.emails.map(comeAgainAndAgain));
const report: CrowdReport = {
  signedIn: latenciesMilliseconds.length,
  latenciesMilliseconds,
  seconds: input.once ? (performance.now() - startedAt) / 1000 : input.milliseconds / 1000,
  toldToComeBack,
  refused,
  firstRefusal,
};
parentPort?.postMessage(report);
