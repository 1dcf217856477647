/**
 * The file of a backup: compressed lines of text, encrypted under the master key and bound into one whole. It knows nothing of what the
 * lines say. Whoever changes, cuts, reorders or swaps a part of it, or has another master key, gets nothing but a refusal.
 *
 *   {"format":"poort-backup",…}\n     the header, readable, so that a person can tell what they have; bound to everything below
 *   length (4 bytes) | ciphertext | tag (16 bytes)     frames, AES-256-GCM; the nonce counts them and marks the last one (STREAM)
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { StringDecoder } from 'node:string_decoder';
import { createGunzip, createGzip } from 'node:zlib';
import { z } from 'zod';
import type { Sealer } from '#src/foundation/sealing.ts';

/** Why a file is no backup that can be used here. Stable words. */
export type BackupFault = 'not_a_backup' | 'newer_format' | 'other_master_key' | 'damaged' | 'unreadable';

export class BackupUnusable extends Error {
  override readonly name = 'BackupUnusable';
  readonly fault: BackupFault;

  constructor(fault: BackupFault, options?: ErrorOptions) {
    super(`the backup is ${fault}`, options);
    this.fault = fault;
  }
}

/** There is a file of that name. */
export class BackupExists extends Error {
  override readonly name = 'BackupExists';
}

const headerSchema = z.object({
  format: z.literal('poort-backup'),
  version: z.number(),
  created_at: z.string(),
  /** Of the master key: says which one is needed, and nothing of it. */
  master_key: z.string(),
  salt: z.string(),
});

export type BackupHeader = z.infer<typeof headerSchema>;

const formatVersion = 1;
const frameBytes = 65_536;
const tagBytes = 16;
const maximumHeaderBytes = 4_096;
const saltBytes = 32;

/** Writes a new file, readable by its owner alone, whole or not at all. Rejects with `BackupExists` rather than write over one. */
export async function writeBackupFile(
  file: string,
  { sealer, now, lines }: { readonly sealer: Sealer; readonly now: Date; readonly lines: AsyncIterable<string> },
): Promise<{ readonly bytes: number }> {
  const [keyId] = sealer.keyIds;
  const [masterKey] = sealer.deriveAll(purpose);
  if (keyId === undefined || masterKey === undefined) throw new Error('a backup needs a master key');
  const salt = randomBytes(saltBytes);
  const header = Buffer.from(
    `${JSON.stringify({
      format: 'poort-backup',
      version: formatVersion,
      created_at: now.toISOString(),
      master_key: keyId.toString('hex'),
      salt: salt.toString('base64'),
    } satisfies BackupHeader)}\n`,
  );
  const unfinished = `${file}.part`;
  // Whoever comes second finds it: two backups never write into each other.
  await reserve(file);
  try {
    const target = await open(unfinished, 'wx', 0o600);
    await target.write(header);
    const sink = createWriteStream('', { fd: target.fd, autoClose: false, start: header.length });
    await pipeline(Readable.from(lines), createGzip(), encryptFrames(keyOf(masterKey, salt), header), sink);
    await target.sync();
    const { size } = await target.stat();
    await target.close();
    await rename(unfinished, file);
    await syncFolder(dirname(file));
    return { bytes: size };
  } catch (fault) {
    await rm(unfinished, { force: true });
    await rm(file, { force: true });
    throw fault;
  }
}

async function reserve(file: string): Promise<void> {
  try {
    await (await open(file, 'wx', 0o600)).close();
  } catch (fault) {
    if (typeof fault === 'object' && fault !== null && 'code' in fault && fault.code === 'EEXIST')
      throw new BackupExists('there is a file of that name', { cause: fault });
    throw fault;
  }
}

/** So that the name, too, is there after a power cut. Where a folder cannot be opened, the system sees to it itself. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r').catch(() => undefined);
  await handle?.sync().catch(() => undefined);
  await handle?.close();
}

/** Gives the lines to `use`, one by one, and rejects with `BackupUnusable` as soon as one cannot be trusted: it must take back what it did. */
export async function readBackupFile<Result>(
  file: string,
  { sealer, use }: { readonly sealer: Sealer; readonly use: (lines: AsyncIterable<string>) => Promise<Result> },
): Promise<Result> {
  const { header, bytes } = await readHeader(file);
  const index = sealer.keyIds.findIndex((id) => id.toString('hex') === header.master_key);
  const masterKey = sealer.deriveAll(purpose)[index];
  if (masterKey === undefined) throw new BackupUnusable('other_master_key');
  const key = keyOf(masterKey, Buffer.from(header.salt, 'base64'));
  let outcome: { readonly result: Result } | undefined;
  try {
    await pipeline(
      createReadStream(file, { start: bytes.length }),
      decryptFrames(key, bytes),
      createGunzip(),
      async (source: AsyncIterable<Buffer>) => {
        outcome = { result: await use(linesOf(source)) };
      },
    );
  } catch (fault) {
    // What zlib says of bytes that were authentic is a fault of ours; of a stream that was cut, of the file.
    if (typeof fault === 'object' && fault !== null && 'code' in fault && String(fault.code).startsWith('Z_'))
      throw new BackupUnusable('damaged', { cause: fault });
    throw fault;
  }
  if (outcome === undefined) throw new BackupUnusable('damaged');
  return outcome.result;
}

/** What the file says of itself. Nothing of it is proven before the file has been read. */
export async function readHeader(file: string): Promise<{ readonly header: BackupHeader; readonly bytes: Buffer }> {
  const beginning = await readBeginning(file);
  const end = beginning.indexOf('\n');
  const bytes = beginning.subarray(0, end + 1);
  const parsed = end === -1 ? undefined : headerSchema.safeParse(parseJson(bytes.toString('utf8')));
  if (parsed?.success !== true) throw new BackupUnusable('not_a_backup');
  if (parsed.data.version !== formatVersion) throw new BackupUnusable('newer_format');
  return { header: parsed.data, bytes };
}

async function readBeginning(file: string): Promise<Buffer> {
  const handle = await open(file, 'r').catch((cause: unknown) => {
    throw new BackupUnusable('unreadable', { cause });
  });
  try {
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(maximumHeaderBytes), 0, maximumHeaderBytes, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const purpose = 'backup';

/** One for each file, so that the nonces of two never meet under one key. */
function keyOf(masterKey: Buffer, salt: Buffer): Buffer {
  return Buffer.from(hkdfSync('sha256', masterKey, salt, 'poort:backup-file', 32));
}

/** 88 bits that count, and a last byte that says whether more follows: no frame can be left out, moved or made the end. */
function nonceOf(count: number, isLast: boolean): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeUIntBE(count, 5, 6);
  nonce.writeUInt8(isLast ? 1 : 0, 11);
  return nonce;
}

function encryptFrames(key: Buffer, header: Buffer) {
  return async function* frames(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    let count = 0;
    const frame = (plaintext: Buffer, isLast: boolean): Buffer => {
      const cipher = createCipheriv('aes-256-gcm', key, nonceOf(count, isLast), { authTagLength: tagBytes });
      cipher.setAAD(header);
      count += 1;
      const length = Buffer.alloc(4);
      length.writeUInt32BE(plaintext.length);
      return Buffer.concat([length, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
    };
    let rest = Buffer.alloc(0);
    for await (const chunk of source) {
      rest = Buffer.concat([rest, chunk]);
      // One is held back: only the end tells which is the last.
      while (rest.length > frameBytes) {
        yield frame(rest.subarray(0, frameBytes), false);
        rest = rest.subarray(frameBytes);
      }
    }
    yield frame(rest, true);
  };
}

function decryptFrames(key: Buffer, header: Buffer) {
  return async function* plaintexts(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    let count = 0;
    let rest = Buffer.alloc(0);
    let ended = false;
    for await (const chunk of source) {
      rest = Buffer.concat([rest, chunk]);
      for (let size = frameSize(rest); size !== undefined && rest.length >= size; size = frameSize(rest)) {
        if (ended) throw new BackupUnusable('damaged');
        const opened = openFrame({ key, header, count, frame: rest.subarray(4, size) });
        count += 1;
        ended = opened.isLast;
        rest = rest.subarray(size);
        yield opened.plaintext;
      }
    }
    if (!ended || rest.length > 0) throw new BackupUnusable('damaged');
  };
}

function frameSize(bytes: Buffer): number | undefined {
  if (bytes.length < 4) return undefined;
  const length = bytes.readUInt32BE(0);
  if (length > frameBytes) throw new BackupUnusable('damaged');
  return 4 + length + tagBytes;
}

function openFrame({
  key,
  header,
  count,
  frame,
}: {
  readonly key: Buffer;
  readonly header: Buffer;
  readonly count: number;
  readonly frame: Buffer;
}): { readonly plaintext: Buffer; readonly isLast: boolean } {
  const ciphertext = frame.subarray(0, -tagBytes);
  for (const isLast of [false, true]) {
    const decipher = createDecipheriv('aes-256-gcm', key, nonceOf(count, isLast), { authTagLength: tagBytes });
    decipher.setAAD(header);
    decipher.setAuthTag(frame.subarray(-tagBytes));
    const plaintext = decipher.update(ciphertext);
    try {
      return { plaintext: Buffer.concat([plaintext, decipher.final()]), isLast };
    } catch {
      // Neither in the middle nor at the end: it is no frame of this file.
      if (isLast) break;
    }
  }
  throw new BackupUnusable('damaged');
}

async function* linesOf(source: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  for await (const chunk of source) {
    const lines = (rest + decoder.write(chunk)).split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
  if (rest + decoder.end() !== '') throw new BackupUnusable('damaged');
}
