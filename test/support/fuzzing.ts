/**
 * Requests that nobody in their senses sends: made from what a route takes, and then bent. The same seed makes the same requests, so that
 * one that hurt can be sent again.
 */
import { Agent, type IncomingMessage, request } from 'node:http';

/** A source of whole numbers below a bound (mulberry32). */
export type Draw = (below: number) => number;

export function drawFrom(seed: number): Draw {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

export function pick<Item>(draw: Draw, items: readonly Item[]): Item {
  const item = items[draw(items.length)];
  if (item === undefined) throw new Error('nothing to pick from');
  return item;
}

/** As much of JSON Schema as our own description uses. */
export interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
  readonly format?: string;
}

const texts: readonly string[] = [
  '',
  'a',
  'lamp',
  'users:read',
  'admin',
  'acme',
  'ada@example.org',
  'https://app.example/callback',
  'javascript:alert(1)',
  "' or 1=1 --",
  '"; drop table users; --',
  '../../etc/passwd',
  '%00',
  '\u0000',
  '\ud800',
  'a\udfffb',
  '\u202e',
  '‮',
  '١٢٣',
  '\r\nset-cookie: a=b',
  '{{7*7}}',
  '#{7*7}',
  '<script>',
  '10.0.0.0/8',
  '::/0',
  '2030-01-01T00:00:00Z',
  '-292277022399-01-01T00:00:00Z',
  '9999999999999999999999',
  '00000000-0000-7000-8000-000000000000',
  '__proto__',
  'constructor',
  'x'.repeat(300),
  'é'.repeat(5_000),
];
const numbers: readonly number[] = [0, -0, 1, -1, 0.1, 2 ** 31, 2 ** 53, -(2 ** 63), 1e308, 5e-324, 2 ** 64];

/** Something that the schema would take, or nearly. */
export function valueFor(draw: Draw, schema: Schema, resolve: (reference: string) => Schema, depth = 0): unknown {
  if (depth > 6 || draw(12) === 0) return anything(draw, 2);
  if (schema.$ref !== undefined) return valueFor(draw, resolve(schema.$ref), resolve, depth + 1);
  if (schema.const !== undefined) return schema.const;
  if (schema.enum !== undefined) return pick(draw, schema.enum);
  const options = schema.anyOf ?? schema.oneOf ?? schema.allOf;
  if (options !== undefined && options.length > 0) return valueFor(draw, pick(draw, options), resolve, depth + 1);
  const type = typeof schema.type === 'string' ? schema.type : schema.type?.[0];
  switch (type) {
    case 'object': {
      const known = Object.entries(schema.properties ?? {}).filter(() => draw(4) > 0);
      const made = known.map(([name, inner]) => [name, valueFor(draw, inner, resolve, depth + 1)] as const);
      const more = draw(5) === 0 ? [[pick(draw, texts), anything(draw, 2)] as const] : [];
      return Object.fromEntries([...made, ...more]);
    }
    case 'array':
      return Array.from({ length: draw(4) }, () => valueFor(draw, schema.items ?? {}, resolve, depth + 1));
    case 'boolean':
      return draw(2) === 0;
    case 'number':
    case 'integer':
      return draw(2) === 0 ? draw(1_000) : pick(draw, numbers);
    case 'string':
      return pick(draw, texts);
    default:
      return anything(draw, 2);
  }
}

function anything(draw: Draw, depth: number): unknown {
  const kind = draw(depth > 0 ? 7 : 5);
  if (kind === 0) return null;
  if (kind === 1) return draw(2) === 0;
  if (kind === 2) return pick(draw, numbers);
  if (kind < 5) return pick(draw, texts);
  const inner = Array.from({ length: draw(4) }, () => anything(draw, depth - 1));
  return kind === 5 ? inner : Object.fromEntries(inner.map((value) => [pick(draw, texts), value]));
}

/** Bodies that are no answer to any question. */
const brokenBodies: readonly Buffer[] = [
  '',
  '{',
  '[',
  '"',
  '{"a":1,}',
  "{'a':1}",
  'NaN',
  '{"a":1e400}',
  '{"a":-1e400}',
  '{"a":01}',
  '{"a":"\\ud800"}',
  '{"a":"\\u0000"}',
  '{"a":1,"a":2}',
  '{"__proto__":{"isAdmin":true}}',
  'null',
  '[]',
  '"text"',
  '[]'.repeat(100),
  '['.repeat(20_000),
  `${'{"a":'.repeat(5_000)}1${'}'.repeat(5_000)}`,
  `${'['.repeat(5_000)}${']'.repeat(5_000)}`,
  `{"a":"${'x'.repeat(60_000)}"}`,
  `{"a":"${'x'.repeat(70_000)}"}`,
]
  .map((text) => Buffer.from(text))
  .concat([Buffer.from([0xff, 0xfe, 0x7b]), Buffer.from([0x7b, 0x22, 0xc3, 0x28, 0x22, 0x3a, 0x31, 0x7d])]);

export function bodyFor(draw: Draw, schema: Schema | undefined, resolve: (reference: string) => Schema): Buffer {
  if (schema === undefined || draw(5) === 0) return pick(draw, brokenBodies);
  const text = JSON.stringify(valueFor(draw, schema, resolve)) ?? '';
  if (draw(10) > 0) return Buffer.from(text);
  // Bent in one place.
  const bytes = Buffer.from(text);
  if (bytes.length > 0) bytes[draw(bytes.length)] = draw(256);
  return bytes;
}

const places: readonly string[] = [
  'x',
  '00000000-0000-7000-8000-000000000000',
  '%00',
  '%ff',
  '%2e%2e%2f',
  "'%20or%201=1",
  '%F0%9F%92%A9',
  '-',
  '*',
  'a%0d%0ab',
  'x'.repeat(500),
];

/** What stands in a place of an address. */
export function placeFor(draw: Draw, known: readonly string[]): string {
  return known.length > 0 && draw(2) === 0 ? encodeURIComponent(pick(draw, known)) : pick(draw, places);
}

const searches: readonly string[] = [
  '?',
  '?limit=0',
  '?limit=1e3',
  '?limit=%00',
  '?cursor=%00',
  '?cursor=AAAA',
  '?x',
  '?=',
  '?%',
  '?limit=1&limit=2',
];

/** Of these parameters, or of none. */
export function searchFor(draw: Draw, names: readonly string[]): string {
  if (names.length === 0 || draw(3) === 0) return draw(3) === 0 ? pick(draw, searches) : '';
  const made = Array.from({ length: 1 + draw(3) }, (): [string, string] => [
    pick(draw, names),
    pick(draw, texts).toWellFormed(),
  ]);
  return `?${new URLSearchParams(made)}`.slice(0, 2_000);
}

export interface RawRequest {
  readonly method: string;
  /** As it goes over the wire. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | undefined;
}

/** Sends what `fetch` would refuse to. Undefined when the connection ended without an answer. */
export function createSender(origin: string): { send(raw: RawRequest): Promise<number | undefined>; close(): void } {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const { hostname, port } = new URL(origin);
  return {
    send: ({ method, path, headers, body }) =>
      new Promise((resolve) => {
        const length = body === undefined ? {} : { 'content-length': String(body.length) };
        const sent = request({ agent, hostname, port, method, path, headers: { ...headers, ...length } });
        sent.on('response', (answer: IncomingMessage) => {
          answer.resume();
          answer.on('close', () => resolve(answer.statusCode));
        });
        sent.on('error', () => resolve(undefined));
        sent.end(body);
      }),
    close: () => agent.destroy(),
  };
}
