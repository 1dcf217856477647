/**
 * `npm run demo:device`: an ESP32 for who has no board and no compiler. Takes the demo tenant from the file that `npm start` writes, pairs
 * through the device grant, asks whose device it is, renews, until Ctrl-C. Like the real one it keeps a new token before it uses it.
 */
import { chmod, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { argv } from 'node:process';
import { setTimeout as wait } from 'node:timers/promises';
import * as client from 'openid-client';
import { toString as drawQrCode } from 'qrcode';
import { z } from 'zod';

const demoSchema = z.object({
  tenants: z.array(
    z.object({ issuer: z.url(), clients: z.array(z.object({ type: z.string(), client_id: z.string() })) }),
  ),
});
const keptSchema = z.object({ issuer: z.string(), client_id: z.string(), refresh_token: z.string() });

const pauseSeconds = 10;
// biome-ignore lint/style/noProcessEnv: the one place where this example reads its settings
const folder = process.env['POORT_DATA_DIR'] ?? '.poort';
const keptFile = join(folder, 'demo-device.json');
const once = argv.includes('--once');

interface Place {
  readonly configuration: client.Configuration;
  readonly issuer: string;
  readonly clientId: string;
}

/** Undefined, with a sentence for whoever reads along, when nothing runs. */
async function findPoort(): Promise<Place | undefined> {
  const text = await readFile(join(folder, 'demo.json'), 'utf8').catch(() => undefined);
  const tenant = text === undefined ? undefined : demoSchema.parse(JSON.parse(text)).tenants[0];
  const clientId = tenant?.clients.find(({ type }) => type === 'device')?.client_id;
  if (tenant === undefined || clientId === undefined) {
    console.error(`There is no demo in ${folder}. Run npm start in another terminal, and this again when it serves.`);
    return undefined;
  }
  const { issuer } = tenant;
  const options = issuer.startsWith('http:') ? { execute: [client.allowInsecureRequests] } : {};
  try {
    const url = new URL(issuer);
    return {
      configuration: await client.discovery(url, clientId, undefined, client.None(), options),
      issuer,
      clientId,
    };
  } catch {
    console.error(`Nobody answers at ${issuer}. Is npm start still running?`);
    return undefined;
  }
}

async function readKept({ issuer, clientId }: Place): Promise<string | undefined> {
  const text = await readFile(keptFile, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const kept = keptSchema.safeParse(JSON.parse(text));
  return kept.success && kept.data.issuer === issuer && kept.data.client_id === clientId
    ? kept.data.refresh_token
    : undefined;
}

/** Beside the old one first: whatever happens in between, one of the two is whole. */
async function keep({ issuer, clientId }: Place, refreshToken: string): Promise<void> {
  const beside = `${keptFile}.new`;
  await writeFile(beside, JSON.stringify({ issuer, client_id: clientId, refresh_token: refreshToken }), {
    mode: 0o600,
    flush: true,
  });
  await chmod(beside, 0o600);
  await rename(beside, keptFile);
}

/** Shows codes until somebody allows one. */
async function pair({ configuration }: Place): Promise<client.TokenEndpointResponse> {
  for (;;) {
    const asked = await client.initiateDeviceAuthorization(configuration, {
      scope: 'openid offline_access',
      device_name: 'Simulated ESP32',
      device_model: 'Terminal',
      device_firmware: '1.0.0',
    });
    const address = asked.verification_uri_complete ?? asked.verification_uri;
    console.log(await drawQrCode(address, { type: 'terminal', small: true, errorCorrectionLevel: 'L' }));
    console.log(`Open ${asked.verification_uri}\nand type ${asked.user_code}, or open ${address}\n`);
    try {
      return await client.pollDeviceAuthorizationGrant(configuration, asked);
    } catch (fault) {
      if (!(fault instanceof client.ResponseBodyError)) throw fault;
      console.log(`${fault.error}: another code.`);
      if (fault.error === 'access_denied') await wait(pauseSeconds * 1000);
    }
  }
}

type Renewal = client.TokenEndpointResponse | 'stopped' | 'revoked';

async function renew({ configuration }: Place, refreshToken: string): Promise<Renewal> {
  try {
    return await client.refreshTokenGrant(configuration, refreshToken);
  } catch (fault) {
    if (!(fault instanceof client.ResponseBodyError)) throw fault;
    if (fault.error === 'access_denied') return 'stopped';
    if (fault.error === 'invalid_grant') return 'revoked';
    throw fault;
  }
}

async function sendOnce({ configuration }: Place, accessToken: string): Promise<number> {
  const url = new URL(configuration.serverMetadata().userinfo_endpoint ?? '');
  const answer = await client.fetchProtectedResource(configuration, accessToken, url, 'POST').catch((fault) => {
    if (fault instanceof client.WWWAuthenticateChallengeError) return fault.response;
    throw fault;
  });
  await answer.body?.cancel();
  return answer.status;
}

/** One pairing, from its first token to its end. Resolves when it is worth nothing any more, or after one round with `--once`. */
async function live(place: Place): Promise<void> {
  let refreshToken = await readKept(place);
  let tokens: Renewal | undefined;
  if (refreshToken === undefined) {
    tokens = await pair(place);
    console.log('Paired.');
  }
  for (;;) {
    tokens ??= await renew(place, refreshToken ?? '');
    if (tokens === 'revoked') {
      console.log('Its owner has ended this pairing.');
      await rm(keptFile, { force: true });
      return;
    }
    if (tokens === 'stopped') {
      console.log('Stopped by its owner. It keeps its pairing and asks again in a minute.');
      await wait(60_000);
      tokens = undefined;
      continue;
    }
    if (tokens.refresh_token !== undefined) {
      refreshToken = tokens.refresh_token;
      await keep(place, refreshToken);
    }
    const renewAt = performance.now() + (tokens.expires_in ?? 300) * 800;
    for (let status = 200; status !== 401 && performance.now() < renewAt; ) {
      status = await sendOnce(place, tokens.access_token);
      console.log(`${new Date().toISOString()} asked who it belongs to: ${status}`);
      if (once) return;
      await wait(pauseSeconds * 1000);
    }
    tokens = undefined;
    console.log('Renewing.');
  }
}

const place = await findPoort();
if (place === undefined) process.exitCode = 1;
else
  do await live(place);
  while (!once);
