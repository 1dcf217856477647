/**
 * What a route of the REST API is: a method, an address, who may call it, what it takes and what it does. Bodies and queries are read
 * strictly before the route sees them. How a caller is recognised is for door.ts.
 */
import type { Readable } from 'node:stream';
import type { z } from 'zod';
import type { TenantEngine } from '#src/oidc/tenant_engine.ts';
import type { HttpExchange } from '../gates/exchange.ts';
import type { CallerOf, Chain } from './chains.ts';

export type ApiMethod = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** The context of one call. Who calls comes from the credential alone. */
export interface ApiRequest<Caller, Body, Query> {
  readonly caller: Caller;
  readonly engine: TenantEngine;
  readonly exchange: HttpExchange;
  /** The parts of the address: `{id}` is `parameters.id`. */
  readonly parameters: Readonly<Record<string, string>>;
  readonly body: Body;
  readonly query: Query;
  /** The state that the caller has looked at (RFC 9110 §13.1.1); see entity_tags.ts. */
  readonly ifMatch: string | undefined;
}

export type ApiAnswer = { readonly status: number; readonly headers?: Readonly<Record<string, string>> } & (
  | { readonly body?: object | undefined; readonly stream?: undefined }
  /** The route goes on writing after its answer has begun; the connection's end closes it. */
  | { readonly stream: Readable; readonly contentType: string; readonly body?: undefined }
);

export type SuccessStatus = 200 | 201 | 202 | 204;

interface RouteDefinition<SomeChain extends Chain, Body, Query> {
  /** One line, for whoever reads the description of the API. */
  readonly summary: string;
  readonly method: ApiMethod;
  /** Below the issuer: `/api/v1/api-keys/{id}`. */
  readonly path: `/api/v1/${string}`;
  readonly chain: SomeChain;
  /** Of JSON, a strict object: what is not in it is refused. */
  readonly body?: z.ZodType<Body> | undefined;
  /** A strict object too; a route without one takes no parameters at all. */
  readonly query?: z.ZodType<Query> | undefined;
  /** How it is answered when all is well; unless told 200 where there is a body, 204 where there is none. Another status is a fault. */
  readonly statuses?: readonly SuccessStatus[] | undefined;
  /** The body of that answer: nothing that is not in it goes out, and what does not fit it is a fault. None for 204. */
  readonly answers?: z.ZodType | undefined;
  /** The kinds of content that it streams instead of a body of JSON. */
  readonly streams?: readonly string[] | undefined;
  readonly handle: (request: ApiRequest<CallerOf<SomeChain>, Body, Query>) => Promise<ApiAnswer>;
}

/** A route as the door knows it. Made by `route` alone. */
export interface ApiRoute {
  readonly summary: string;
  readonly method: ApiMethod;
  readonly path: string;
  readonly chain: Chain;
  readonly body: z.ZodType | undefined;
  readonly query: z.ZodType | undefined;
  readonly statuses: readonly SuccessStatus[];
  readonly answers: z.ZodType | undefined;
  readonly streams: readonly string[];
  readonly handle: (request: ApiRequest<unknown, unknown, unknown>) => Promise<ApiAnswer>;
}

export function route<SomeChain extends Chain, Body = undefined, Query = Readonly<Record<string, never>>>(
  definition: RouteDefinition<SomeChain, Body, Query>,
): ApiRoute {
  const { summary, method, path, chain, body, query, answers, streams = [] } = definition;
  const { statuses = [answers === undefined && streams.length === 0 ? 204 : 200] } = definition;
  // The door hands it the caller of its own chain, and what its own schemas have let through.
  const handle = definition.handle as ApiRoute['handle'];
  return { summary, method, path, chain, body, query, statuses, answers, streams, handle };
}
