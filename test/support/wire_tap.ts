/** Listens to what travels between a test and the server, and keeps every value that opens something. */

/** Names under which secrets travel: in queries, forms, JSON answers and hidden fields. */
const secretNames: ReadonlySet<string> = new Set([
  'access_token',
  'client_assertion',
  'client_secret',
  'code',
  'code_verifier',
  'id_token',
  'id_token_hint',
  'password',
  'refresh_token',
  'request_uri',
  'token',
]);

export interface WireTap {
  /** Every secret seen so far, by value, with the name it went by. */
  readonly secrets: ReadonlyMap<string, string>;
  stop(): void;
}

/** Taps this process's `fetch` until stopped; what it returns is untouched. */
export function tapWire(): WireTap {
  const secrets = new Map<string, string>();
  const keep = (name: string, value: string): void => {
    if (value.length >= 8) secrets.set(value, name);
  };
  const keepParameters = (parameters: URLSearchParams): void => {
    for (const [name, value] of parameters) if (secretNames.has(name)) keep(name, value);
  };
  const keepAddress = (address: string): void => {
    const url = URL.parse(address);
    if (url === null) return;
    keepParameters(url.searchParams);
    const uid = /\/interaction\/([\w-]+)/.exec(url.pathname)?.[1];
    if (uid !== undefined) keep('interaction', uid);
  };

  const untapped = globalThis.fetch;
  globalThis.fetch = async (input, init) => {
    keepAddress(input instanceof Request ? input.url : String(input));
    const { body } = init ?? {};
    if (typeof body === 'string' || body instanceof URLSearchParams) keepParameters(new URLSearchParams(body));
    const headers = new Headers(init?.headers);
    for (const name of ['authorization', 'dpop']) {
      const [, credentials] = (headers.get(name) ?? '').split(' ');
      const value = name === 'dpop' ? headers.get(name) : credentials;
      if (value !== undefined && value !== null) keep(name, value);
    }

    const response = await untapped(input, init);
    for (const cookie of response.headers.getSetCookie()) {
      const value = /^[^=]*=([^;]*)/.exec(cookie)?.[1];
      if (value !== undefined && !cookie.startsWith('poort_locale')) keep('cookie', value);
    }
    const location = response.headers.get('location');
    if (location !== null) keepAddress(new URL(location, response.url).href);
    const text = await response.clone().text();
    if (response.headers.get('content-type')?.includes('json') === true && text !== '') {
      for (const [name, value] of Object.entries(JSON.parse(text) as Record<string, unknown>))
        if (secretNames.has(name) && typeof value === 'string') keep(name, value);
    }
    return response;
  };
  return {
    secrets,
    stop() {
      globalThis.fetch = untapped;
    },
  };
}
