/**
 * Entity tags (RFC 9110 §8.8.3, §13.1): the state of a thing as it was answered. Whoever changes what they have looked at says which state
 * that was, and is told when it is another one by now, instead of writing over what somebody else has just changed.
 */
import { createHash } from 'node:crypto';
import { ProblemRaised, problems } from '../problems.ts';

/** Strong: of the bytes of the answer. */
export function etagOf(body: object): string {
  return `"${createHash('sha256').update(JSON.stringify(body)).digest('base64url').slice(0, 27)}"`;
}

/** Whether a header `If-Match` or `If-None-Match` names this state. */
export function namesState(header: string, etag: string): boolean {
  return header.trim() === '*' || header.split(',').some((one) => one.trim().replace(/^W\//, '') === etag);
}

/**
 * For a flow that changes one thing: to be called, inside its transaction, with the thing as it is before the change. Throws
 * `ProblemRaised` (412) when the caller had looked at another state. Without `If-Match` everything is taken.
 */
export function unchanged<Row>(
  { ifMatch }: { readonly ifMatch: string | undefined },
  present: (row: Row) => object,
): (row: Row) => void {
  return (row) => {
    if (ifMatch === undefined || namesState(ifMatch, etagOf(present(row)))) return;
    throw new ProblemRaised(problems.changedMeanwhile());
  };
}
