/**
 * The chain of refresh tokens: each successor is `base64url(HMAC-SHA-256(key, previous))`, so that whoever rotates the same token
 * makes the same successor, on whichever server and however often. Knows how to find the newest member from an older one; decides
 * nothing (domain/rotation.ts does).
 */
import { createHmac } from 'node:crypto';
import type { Found, UnitOfWork } from './unit_of_work.ts';
import { hashOf } from './unit_of_work.ts';

/** A member of a chain as it is kept: its value and its row. */
export interface ChainMember {
  readonly value: string;
  readonly found: Found;
}

export interface RefreshChain {
  /** The successor that a first use makes. */
  successorOf(value: string): string;
  /** The successor that was made, if one is kept. While the master key rotates, by whichever server. */
  findSuccessor(unit: UnitOfWork, value: string): Promise<ChainMember | undefined>;
  /** The member that can be used next: the last of the chain. Undefined when it ended, or went on further than anyone retries. */
  findNewest(unit: UnitOfWork, value: string): Promise<ChainMember | undefined>;
}

/** A client that is this far behind its own chain within one grace is not retrying. */
const longestWalk = 64;

/** @param keys One for each master key of the installation, the current one first. */
export function createRefreshChain({ keys, prefix }: { keys: readonly Buffer[]; prefix: string }): RefreshChain {
  const [current] = keys;
  if (current === undefined) throw new Error('a chain of refresh tokens needs a key');
  const derive = (key: Buffer, value: string): string =>
    prefix + createHmac('sha256', key).update(value).digest('base64url');
  // Asked for when the old one is used up and again when the new one is made.
  let latest: { readonly value: string; readonly successor: string } | undefined;

  async function findSuccessor(unit: UnitOfWork, value: string): Promise<ChainMember | undefined> {
    const candidates = keys.map((key) => derive(key, value));
    const found = await Promise.all(candidates.map((candidate) => unit.find('RefreshToken', hashOf(candidate))));
    const index = found.findIndex((row) => row !== undefined);
    const member = { value: candidates[index], found: found[index] };
    return member.value === undefined || member.found === undefined
      ? undefined
      : { value: member.value, found: member.found };
  }

  return {
    successorOf(value) {
      if (latest?.value !== value) latest = { value, successor: derive(current, value) };
      return latest.successor;
    },
    findSuccessor,
    async findNewest(unit, value) {
      let member = await findSuccessor(unit, value);
      for (let steps = 1; member?.found.consumedAt !== undefined && steps < longestWalk; steps += 1)
        member = await findSuccessor(unit, member.value);
      return member?.found.consumedAt === undefined ? member : undefined;
    },
  };
}
