/**
 * This file owns how one guard stands in front of three kinds of servers: Koa (`ctx, next`), Express 4 and 5 (`req, res, next`) and
 * node:http (`req, res`). It owns what was found out about a request as well: guards believe this and never `req.auth`, which any
 * code between them can write.
 */
import { answerOf, plainChallenge } from './refusals.js';

/** By the request of node:http, which all three have. */
const known = new WeakMap();

/** What the guards know about a request so far. */
export function factsOf(request) {
  const facts = known.get(request) ?? { auth: undefined, common: plainChallenge, refusal: undefined, isChecked: false };
  known.set(request, facts);
  return facts;
}

/**
 * Makes a middleware of a step. A step gets an exchange and returns undefined to go on, or a refusal (refusals.js), which is answered.
 * What a step throws goes where the framework wants its errors; the request goes no further.
 */
export function middleware(step) {
  return function guard(first, second, third) {
    return typeof second === 'function' ? throughKoa(step, first, second) : throughNode(step, first, second, third);
  };
}

async function throughKoa(step, ctx, next) {
  const exchange = {
    request: ctx.req,
    response: ctx.res,
    url: ctx.originalUrl,
    body: ctx.request.body,
    facts: factsOf(ctx.req),
    expose: (auth) => {
      ctx.state.auth = auth;
    },
    setHeader: (name, value) => ctx.set(name, value),
    answer: ({ status, headers, body }) => {
      ctx.set(headers);
      ctx.status = status;
      ctx.body = body;
    },
  };
  if (await isRefused(step, exchange)) return;
  await next();
}

async function throughNode(step, request, response, next) {
  const exchange = {
    request,
    response,
    // Express cuts off the path under which a router is mounted.
    url: request.originalUrl ?? request.url ?? '/',
    body: request.body,
    facts: factsOf(request),
    expose: (auth) => {
      request.auth = auth;
    },
    setHeader: (name, value) => response.setHeader(name, value),
    answer: ({ status, headers, body }) => {
      response.writeHead(status, { ...headers, 'Content-Type': 'application/json' });
      response.end(JSON.stringify(body));
    },
  };
  let refused;
  try {
    refused = await isRefused(step, exchange);
  } catch (error) {
    if (next === undefined) throw error;
    // Express 4 hears of no rejected promise.
    next(error);
    return false;
  }
  if (refused) return false;
  if (next !== undefined) await next();
  return true;
}

async function isRefused(step, exchange) {
  const refusal = await step(exchange);
  if (refusal === undefined) return false;
  if (refusal.isAnswer) {
    exchange.answer(refusal);
    return true;
  }
  exchange.facts.refusal = refusal;
  exchange.answer(answerOf(refusal));
  return true;
}
