/**
 * Reads the body of a form of ours: flat fields, each once, in UTF-8. Stricter than a browser needs, because leniency is where
 * attacks live: nested names, the second of two equal fields and dropped prototypes are all "what another parser would have seen".
 */
import type { IncomingMessage } from 'node:http';
import { aside } from '#src/foundation/lane.ts';
import { ProblemRaised, problems } from '../../problems.ts';

const formType = /^application\/x-www-form-urlencoded\s*(?:;\s*charset="?utf-8"?\s*)?$/i;
/** No page of ours has as many. */
const maximumFields = 32;

/** Fields by name. Throws `ProblemRaised` for what is no such form; then the rest of the body was not read. */
export async function readFormBody(request: IncomingMessage, limitBytes: number): Promise<Record<string, string>> {
  return parseFields(await readFormText(request, limitBytes));
}

/** The form as it was sent, still encoded: printable ASCII. Throws `ProblemRaised` for what is no such form. */
export async function readFormText(request: IncomingMessage, limitBytes: number): Promise<string> {
  const { 'content-type': type = '', 'content-encoding': coding } = request.headers;
  if (!formType.test(type) || coding !== undefined) throw new ProblemRaised(problems.unsupportedContent());
  const text = await readText(request, limitBytes);
  // Browsers escape everything that is not ASCII, so a bare byte above it was written by hand.
  if (/[^\x20-\x7e]/.test(text)) throw malformed('bytes that need escaping');
  return text;
}

/** The body as it came, one character for each byte. Throws `ProblemRaised` when it is too long. However slowly it comes, nobody waits for it. */
export function readText(request: IncomingMessage, limitBytes: number): Promise<string> {
  return aside(() => collect(request, limitBytes));
}

async function collect(request: IncomingMessage, limitBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let received = 0;
  // The connection must outlive a refusal, to carry it.
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    received += chunk.length;
    if (received > limitBytes) throw new ProblemRaised(problems.tooLarge(limitBytes));
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('latin1');
}

/** WHATWG URL §5.1, except that it refuses where that repairs. */
function parseFields(text: string): Record<string, string> {
  const pairs = text.split('&').filter((pair) => pair !== '');
  if (pairs.length > maximumFields) throw malformed('too many fields');
  const fields = new Map<string, string>();
  for (const pair of pairs) {
    const equalsAt = pair.indexOf('=');
    const name = decode(equalsAt === -1 ? pair : pair.slice(0, equalsAt));
    if (fields.has(name)) throw malformed('the same field twice');
    fields.set(name, equalsAt === -1 ? '' : decode(pair.slice(equalsAt + 1)));
  }
  return Object.fromEntries(fields);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    throw malformed('text that is not UTF-8');
  }
}

function malformed(what: string): ProblemRaised {
  return new ProblemRaised(problems.malformed(`The form holds ${what}.`));
}
