/** Reads a body of JSON. What it holds is for the caller to parse; that it is text, and JSON, is said here. */
import type { IncomingMessage } from 'node:http';
import { readText } from './pages/kit/form_body.ts';
import { ProblemRaised, problems } from './problems.ts';

const jsonType = /^application\/json\s*(?:;\s*charset="?utf-8"?\s*)?$/i;

/** Undefined for what is no JSON in UTF-8. Throws `ProblemRaised` for another kind of content and for too much of it. */
export async function readJsonBody(request: IncomingMessage, limitBytes: number): Promise<unknown> {
  const { 'content-type': type = '', 'content-encoding': coding } = request.headers;
  if (!jsonType.test(type) || coding !== undefined) throw new ProblemRaised(problems.unsupportedContent());
  const bytes = Buffer.from(await readText(request, limitBytes), 'latin1');
  try {
    const parsed: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    return parsed;
  } catch {
    return undefined;
  }
}
