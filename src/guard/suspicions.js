/**
 * This file owns which tokens something was said about: Poort tells whom an event is about (user, client, session, device), and never
 * which token. What it cannot match to a token is about all of them. It asks nobody.
 */
import { LRUCache } from 'lru-cache';

/** The part of a message, and the claim that it is about. */
const parts = [
  ['user_id', 'sub'],
  ['client_id', 'client_id'],
  ['session_id', 'sid'],
  ['device_id', 'device_id'],
];

/** Of these it is certain that the parts name whom they are about. */
const aboutSomebody = /^(?:user|session|token|grant|consent|device|client|mfa|password|role)\./;
const manyDevices = /^devices\./;

/**
 * What a message is about: `everything`, or a predicate over claims.
 * @param {Readonly<Record<string, unknown>>} message
 */
export function readMessage(message) {
  const type = String(message.type);
  const names = parts.flatMap(([part, claim]) =>
    typeof message[part] === 'string' ? [nameOf(claim, message[part])] : [],
  );
  if (manyDevices.test(type)) return { isEverything: false, names: [...names, anyDevice] };
  return names.length === 0 || !aboutSomebody.test(type)
    ? { isEverything: true, names: [] }
    : { isEverything: false, names };
}

/** Whether a message is about a token with these claims. One matching part is enough: better one question too many. */
export function isAbout({ isEverything, names }, claims) {
  return isEverything || namesOf(claims).some((name) => names.includes(name));
}

/** Tokens that were issued this long after a message are newer than what it tells, whatever the clocks say. */
const toleranceSeconds = 5;

/**
 * Remembers what was said, for a guard that checks signatures: a token that a message may be about is asked about, once for each
 * message, as long as it lives.
 */
export function createSuspicions({ clock, maximum }) {
  /** The newest message about a name. A name that is pushed out leaves its suspicion on everything. */
  const suspected = new LRUCache({
    max: maximum,
    dispose: (suspicion, _name, reason) => {
      if (reason === 'evict') all = newest(all, suspicion);
    },
  });
  const cleared = new LRUCache({ max: maximum });
  let all = { number: 0, at: Number.NEGATIVE_INFINITY };
  let number = 0;

  return {
    note({ isEverything, names }) {
      number += 1;
      const suspicion = { number, at: clock().getTime() };
      if (isEverything) all = suspicion;
      for (const name of names) suspected.set(name, suspicion);
    },

    /** The number of the suspicion on a token, to be cleared with; undefined for none. */
    on(claims) {
      const found = namesOf(claims).flatMap((name) => suspected.get(name) ?? []);
      const worst = [all, ...found]
        .filter(({ at }) => claims.iat * 1_000 <= at + toleranceSeconds * 1_000)
        .reduce((left, right) => Math.max(left, right.number), 0);
      return worst > (cleared.get(claims.jti) ?? 0) ? worst : undefined;
    },

    /** Poort was asked after this suspicion, and the token lives. */
    clear(claims, suspicion) {
      cleared.set(claims.jti, Math.max(suspicion, cleared.get(claims.jti) ?? 0));
    },
  };
}

const anyDevice = 'every device';

function namesOf(claims) {
  const names = parts.flatMap(([, claim]) => (typeof claims[claim] === 'string' ? [nameOf(claim, claims[claim])] : []));
  return claims.device_id === undefined ? names : [...names, anyDevice];
}

function nameOf(claim, value) {
  return `${claim} ${value}`;
}

function newest(left, right) {
  return { number: Math.max(left.number, right.number), at: Math.max(left.at, right.at) };
}
