// Remembers the HTTP requests made on behalf of one click and the answers to them, as text to show, with every secret and token masked.
// It is here for the demonstration only: a real application leaves this file out and nothing else changes.
import { AsyncLocalStorage } from 'node:async_hooks';

/** One request and its answer, ready to be shown. */
export interface Exchange {
  readonly title: string;
  readonly request: string;
  readonly answer: string;
}

interface FetchOptions {
  readonly method?: string;
  readonly headers?: ConstructorParameters<typeof Headers>[0];
  readonly body?: unknown;
}

const recording = new AsyncLocalStorage<Exchange[]>();

/** Runs `work` and adds every request it makes through `recordingFetch` to `exchanges`, also when it throws. */
export function record<Result>(exchanges: Exchange[], work: () => Promise<Result>): Promise<Result> {
  return recording.run(exchanges, work);
}

/** `fetch`, remembering what went over the line when called inside `record`. */
export async function recordingFetch(url: string, options: FetchOptions = {}): Promise<Response> {
  const method = options.method ?? 'GET';
  const title = `${method} ${new URL(url).pathname}`;
  const request = describeRequest(method, url, options);
  try {
    const response = await fetch(url, options as RequestInit);
    const answer = describeAnswer(response, await response.clone().text());
    recording.getStore()?.push({ title: `${title} → ${response.status}`, request, answer });
    return response;
  } catch (error) {
    recording.getStore()?.push({ title: `${title} → no answer`, request, answer: '(the server could not be reached)' });
    throw error;
  }
}

/** A step that the browser takes by being redirected, in the same form as the requests of the server. */
export function browserExchange(title: string, url: URL, answer: string): Exchange {
  return { title, request: describeRequest('GET', url.href, {}), answer };
}

/** The first characters, enough to see whether two values are the same and useless to whoever reads along. */
export function mask(value: string): string {
  return value.length <= 16 ? '••••' : `${value.slice(0, 10)}… (${value.length} characters)`;
}

const secretParameters = new Set(['client_secret', 'code', 'code_verifier', 'refresh_token', 'token', 'id_token_hint']);
const secretFields = new Set(['access_token', 'refresh_token', 'id_token']);
const shownAnswerHeaders = ['content-type', 'cache-control', 'location', 'www-authenticate', 'retry-after'];
const maximumShownCharacters = 8_000;

function describeRequest(method: string, url: string, { headers, body }: FetchOptions): string {
  const { host, pathname, searchParams } = new URL(url);
  const query = searchParams.size === 0 ? '' : `?${parameterLines(searchParams)}`;
  const lines = [`${method} ${pathname}${query} HTTP/1.1`, `Host: ${host}`];
  for (const [name, value] of new Headers(headers)) {
    const shown = name === 'authorization' ? maskCredentials(value) : value;
    lines.push(`${name.replaceAll(/\b[a-z]/g, (letter) => letter.toUpperCase())}: ${shown}`);
  }
  if (body instanceof URLSearchParams) lines.push('', parameterLines(body));
  if (typeof body === 'string' && body !== '') lines.push('', parameterLines(new URLSearchParams(body)));
  return lines.join('\n');
}

function parameterLines(parameters: URLSearchParams): string {
  const shown = [...parameters].map(([name, value]) => `${name}=${secretParameters.has(name) ? mask(value) : value}`);
  return shown.join('\n  &');
}

function maskCredentials(header: string): string {
  const [scheme = '', credentials = ''] = header.split(' ');
  if (scheme.toLowerCase() !== 'basic') return `${scheme} ${mask(credentials)}`;
  const [name = ''] = Buffer.from(credentials, 'base64').toString().split(':');
  return `Basic base64(${decodeURIComponent(name)}:••••)`;
}

function describeAnswer(response: Response, body: string): string {
  const headers = shownAnswerHeaders
    .filter((name) => response.headers.has(name))
    .map((name) => `${name}: ${response.headers.get(name)}`);
  const lines = [`HTTP/1.1 ${response.status} ${response.statusText}`.trimEnd(), ...headers];
  if (body !== '') lines.push('', describeBody(body));
  const text = lines.join('\n');
  return text.length > maximumShownCharacters ? `${text.slice(0, maximumShownCharacters)}\n… (cut)` : text;
}

function describeBody(body: string): string {
  try {
    const maskField = (name: string, value: unknown) =>
      secretFields.has(name) && typeof value === 'string' ? mask(value) : value;
    return JSON.stringify(JSON.parse(body), maskField, 2);
  } catch {
    return `(${body.length} characters that are not JSON)`;
  }
}
