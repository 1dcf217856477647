/** Reads a secret from standard input, so that it stands in no list of processes and no shell history. */
import { WrongUsage } from './answers.ts';

/** Far more than a password may have; a stream without an end must not fill the memory. */
const maximumBytes = 64 * 1024;

/** The first line without its line break; all of it when there is none. Throws `WrongUsage` when it is no text. */
export async function readLine(input: NodeJS.ReadableStream): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of input) {
    const piece = Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk), 'utf8');
    chunks.push(piece);
    bytes += piece.length;
    if (piece.includes(0x0a)) break;
    if (bytes > maximumBytes) throw new WrongUsage('the first line of standard input is too long');
  }
  const all = Buffer.concat(chunks);
  const end = all.indexOf(0x0a);
  const line = end === -1 ? all : all.subarray(0, end);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(line).replace(/\r$/, '');
  } catch {
    throw new WrongUsage('the first line of standard input is no UTF-8 text');
  }
}
