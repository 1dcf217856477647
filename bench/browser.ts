/**
 * The least of a browser: it follows redirects, keeps cookies by path, and fills in the hosted forms, so that codes are
 * minted through the same doors people use. Used before the clock runs, never while it runs.
 */

export type CookieJar = Map<string, Cookie>;

interface Cookie {
  readonly name: string;
  readonly value: string;
  readonly path: string;
}

const redirectsFollowed = 15;

/** The server showed something that is neither a form to fill in nor a redirect: `status` and `retryAfter` say what. */
export class SignInStopped extends Error {
  readonly status: number;
  readonly retryAfter: string | undefined;

  constructor(path: string, response: Response, page: string) {
    super(`${path} answered ${response.status}: ${page.slice(0, 500)}`);
    this.name = 'SignInStopped';
    this.status = response.status;
    this.retryAfter = response.headers.get('retry-after') ?? undefined;
  }
}

/**
 * Opens `authorizationUrl`, signs in through whatever form appears, allows what is asked, and stops at the redirect to
 * `redirectUri`. Answers the cookies a later request to `authorizationUrl` carries: the session.
 * Throws `SignInStopped` when the server shows something that is neither a form nor a redirect.
 */
export async function signIn(input: {
  readonly authorizationUrl: string;
  readonly redirectUri: string;
  readonly person: { readonly email: string; readonly password: string };
  /** Sent with every request. */
  readonly headers?: Readonly<Record<string, string>>;
  /** What the browser has kept of earlier visits, and keeps of this one. Empty unless given. */
  readonly jar?: CookieJar;
}): Promise<string> {
  const jar: CookieJar = input.jar ?? new Map();
  let address = new URL(input.authorizationUrl);
  let form: URLSearchParams | undefined;
  for (let step = 0; step < redirectsFollowed; step += 1) {
    const response = await fetch(address, {
      method: form === undefined ? 'GET' : 'POST',
      redirect: 'manual',
      headers: { cookie: cookiesFor(jar, address), accept: 'text/html', origin: address.origin, ...input.headers },
      ...(form !== undefined && { body: form }),
    });
    keepCookies(jar, address, response);
    const location = response.headers.get('location');
    if (location !== null) {
      await response.body?.cancel();
      const next = new URL(location, address);
      if (next.href.startsWith(input.redirectUri)) {
        if (!next.searchParams.has('code')) throw new Error(`signing in was refused: ${next.search}`);
        return cookiesFor(jar, new URL(input.authorizationUrl));
      }
      address = next;
      form = undefined;
      continue;
    }
    const page = await response.text();
    const filled = response.ok ? fillForm(page, input.person) : undefined;
    if (filled === undefined) throw new SignInStopped(address.pathname, response, page);
    address = new URL(filled.action === '' ? address : filled.action, address);
    form = filled.fields;
  }
  throw new Error('signing in took too many redirects');
}

function cookiesFor(jar: ReadonlyMap<string, Cookie>, address: URL): string {
  return [...jar.values()]
    .filter((cookie) => `${address.pathname}/`.startsWith(cookie.path.endsWith('/') ? cookie.path : `${cookie.path}/`))
    .map((cookie) => `${cookie.name}=${cookie.value}`)
    .join('; ');
}

function keepCookies(jar: Map<string, Cookie>, address: URL, response: Response): void {
  for (const line of response.headers.getSetCookie()) {
    const [pair = '', ...attributes] = line.split(';').map((part) => part.trim());
    const separator = pair.indexOf('=');
    const name = pair.slice(0, separator);
    const value = pair.slice(separator + 1);
    const attribute = (wanted: string): string | undefined =>
      attributes.find((part) => part.toLowerCase().startsWith(`${wanted}=`))?.slice(wanted.length + 1);
    const path = attribute('path') ?? address.pathname.slice(0, Math.max(1, address.pathname.lastIndexOf('/')));
    const expires = attribute('expires');
    const expired = value === '' || (expires !== undefined && Date.parse(expires) <= Date.now());
    if (expired) jar.delete(`${name} ${path}`);
    else jar.set(`${name} ${path}`, { name, value, path });
  }
}

/** The first form that posts, with its hidden fields kept, the person's fields filled in and the answer "allow". */
function fillForm(
  page: string,
  person: { readonly email: string; readonly password: string },
): { readonly action: string; readonly fields: URLSearchParams } | undefined {
  for (const [, formAttributes = '', content = ''] of page.matchAll(/<form\b([^>]*)>(.*?)<\/form>/gis)) {
    if (attributeOf(formAttributes, 'method')?.toLowerCase() !== 'post') continue;
    const fields = new URLSearchParams();
    for (const [, attributes = ''] of content.matchAll(/<(?:input|button)\b([^>]*)>/gis)) {
      const name = attributeOf(attributes, 'name');
      if (name === undefined) continue;
      const value = attributeOf(attributes, 'value') ?? '';
      if (name === 'email') fields.set(name, person.email);
      else if (name === 'password') fields.set(name, person.password);
      else if (name === 'decision') fields.set(name, 'allow');
      else if (attributeOf(attributes, 'type')?.toLowerCase() === 'hidden') fields.set(name, value);
    }
    return { action: attributeOf(formAttributes, 'action') ?? '', fields };
  }
  return undefined;
}

function attributeOf(attributes: string, name: string): string | undefined {
  const value = new RegExp(`(?:^|\\s)${name}\\s*=\\s*"([^"]*)"`, 'i').exec(attributes)?.[1];
  return value
    ?.replaceAll('&#34;', '"')
    .replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&amp;', '&');
}
