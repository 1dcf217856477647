// What each address of the demo application does, and what each button does with the tokens of a sign-in.
// Every post is answered with a redirect, so reloading a page never repeats an action.
import { type Exchange, record } from './exchanges.ts';
import type { Html } from './html.ts';
import { homePage, problemPage, sessionPage } from './pages.ts';
import { type Departure, explain, type RelyingParty, type Tokens } from './relying_party.ts';
import { addPending, createSessionStore, emptySession, type Session, type SignIn } from './sessions.ts';
import type { TenantSettings } from './settings.ts';

export interface Tenant {
  readonly settings: TenantSettings;
  readonly relyingParty: RelyingParty;
  readonly apiOrigin: string;
}

export interface Visit {
  readonly method: string;
  readonly url: URL;
  readonly form: URLSearchParams;
  readonly sessionId: string | undefined;
}

export interface Reply {
  readonly status: number;
  readonly page?: Html;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly location?: string;
  /** A new name for the visitor's session, to be set as cookie. */
  readonly sessionId?: string;
}

type Handler = (visit: Visit, tenant: Tenant, action: string) => Reply | Promise<Reply>;

/** All addresses of the application as one function; whatever it throws was not foreseen. */
export function createRoutes(tenants: readonly Tenant[]): (visit: Visit) => Promise<Reply> {
  const sessions = createSessionStore();
  const table: readonly (readonly [string, URLPattern, Handler])[] = [
    ['POST', new URLPattern({ pathname: '/sign-in/:slug' }), signIn],
    ['GET', new URLPattern({ pathname: '/callback/:slug' }), callback],
    ['GET', new URLPattern({ pathname: '/session/:slug' }), showSession],
    ['POST', new URLPattern({ pathname: '/session/:slug/api-tokens' }), authorizeForApi],
    ['POST', new URLPattern({ pathname: '/session/:slug/:action' }), act],
    ['POST', new URLPattern({ pathname: '/sign-out/:slug' }), signOut],
  ];

  async function depart(sessionId: string | undefined, begin: () => Promise<Departure>): Promise<Reply> {
    const exchanges: Exchange[] = [];
    const { url, state, remember } = await record(exchanges, begin);
    const session = sessions.find(sessionId) ?? emptySession();
    addPending(session, state, { ...remember, exchanges: [...exchanges, ...remember.exchanges] });
    return { status: 303, location: url.href, sessionId: sessions.keep(session, sessionId) };
  }

  function signIn({ form, sessionId }: Visit, { relyingParty }: Tenant): Promise<Reply> {
    const choice = { pushed: form.get('pushed') === 'on', askConsent: form.get('ask_consent') === 'on' };
    return depart(sessionId, () => relyingParty.beginSignIn(choice));
  }

  async function authorizeForApi({ sessionId }: Visit, { settings, relyingParty }: Tenant): Promise<Reply> {
    if (sessions.find(sessionId)?.signIns.has(settings.slug) !== true) return { status: 303, location: '/' };
    return depart(sessionId, () => relyingParty.beginApiAuthorization());
  }

  async function callback({ url, sessionId }: Visit, { settings, relyingParty }: Tenant): Promise<Reply> {
    const session = sessions.find(sessionId);
    const state = url.searchParams.get('state') ?? '';
    const pending = session?.pending.get(state);
    if (session === undefined || pending === undefined || pending.slug !== settings.slug) {
      return { status: 400, page: expiredPage() };
    }

    // Before anything is awaited: an answer counts once, also when the browser sends it twice.
    session.pending.delete(state);
    const exchanges = [...pending.exchanges];
    const current = session.signIns.get(settings.slug);
    try {
      const finish = () => relyingParty.finishAuthorization(url.searchParams, state, pending);
      const tokens = await record(exchanges, finish);
      if (pending.purpose === 'sign_in') session.signIns.set(settings.slug, signedIn(tokens, exchanges));
      else addApiTokens(current, tokens, exchanges);
    } catch (error) {
      if (pending.purpose === 'sign_in' || current === undefined) return { status: 400, page: refusedPage(error) };
      const { code, description } = explain(error);
      current.lastAction = { title: apiTokensTitle, note: `${code}: ${description}`, refused: true, exchanges };
    }
    // A new name for the session at every sign-in: whoever planted or saw the old one has nothing.
    return { status: 303, location: `/session/${settings.slug}`, sessionId: sessions.keep(session, sessionId) };
  }

  function showSession({ sessionId }: Visit, { settings }: Tenant): Reply {
    const current = sessions.find(sessionId)?.signIns.get(settings.slug);
    if (current === undefined) return { status: 303, location: '/' };
    return { status: 200, page: sessionPage(settings, current) };
  }

  async function act({ form, sessionId }: Visit, tenant: Tenant, name: string): Promise<Reply> {
    const current = sessions.find(sessionId)?.signIns.get(tenant.settings.slug);
    if (current === undefined) return { status: 303, location: '/' };
    const action = actions.get(name);
    if (action === undefined) return notFound();

    const exchanges: Exchange[] = [];
    const { title } = action;
    try {
      const result = await record(exchanges, () => action.run(tenant, current, form));
      const refused = typeof result !== 'string';
      current.lastAction = { title, note: refused ? result.refused : result, refused, exchanges };
    } catch (error) {
      const { code, description } = explain(error);
      current.lastAction = { title, note: `${code}: ${description}`, refused: true, exchanges };
    }
    return { status: 303, location: `/session/${tenant.settings.slug}#last-action` };
  }

  async function signOut({ sessionId }: Visit, { settings, relyingParty }: Tenant): Promise<Reply> {
    const session = sessions.find(sessionId);
    const current = session?.signIns.get(settings.slug);
    if (session === undefined || current === undefined) return { status: 303, location: '/' };
    // Here first: should the authorization server be away, this application is signed out all the same.
    session.signIns.delete(settings.slug);
    const url = await relyingParty.signOutUrl(current.tokens.idToken);
    return { status: 303, location: url.href, sessionId: sessions.keep(session, sessionId) };
  }

  function showHome({ url, sessionId }: Visit): Reply {
    const session = sessions.find(sessionId);
    const notice =
      url.searchParams.get('state') === 'signed_out' ? 'You are signed out of this application.' : undefined;
    return {
      status: 200,
      page: homePage(
        tenants.map(({ settings }) => settings),
        signedInSlugs(session),
        notice,
      ),
    };
  }

  return async (visit) => {
    if (visit.method === 'GET' && visit.url.pathname === '/') return showHome(visit);
    for (const [method, pattern, handler] of table) {
      const match = method === visit.method ? pattern.exec(visit.url) : null;
      if (match === null) continue;
      const { slug, action = '' } = match.pathname.groups;
      const tenant = tenants.find(({ settings }) => settings.slug === slug);
      return tenant === undefined ? notFound() : handler(visit, tenant, action);
    }
    return notFound();
  };
}

const apiTokensTitle = 'Get a token for the API';

function signedIn(tokens: Tokens, exchanges: readonly Exchange[]): SignIn {
  const note = 'The browser brought back a code; this application redeemed it from its own server.';
  return {
    tokens,
    previousRefreshToken: undefined,
    apiTokens: undefined,
    lastAction: { title: 'Signed in', note, refused: false, exchanges },
  };
}

function addApiTokens(signIn: SignIn | undefined, tokens: Tokens, exchanges: readonly Exchange[]): void {
  if (signIn === undefined) throw new Error('Nobody is signed in here any more: sign in first.');
  // Between the two requests somebody else may have signed in over there, in another tab.
  if (tokens.subject !== signIn.tokens.subject) throw new Error('The tokens are about another person: sign in again.');
  signIn.apiTokens = tokens;
  const note =
    'The browser went there and back without asking anything: the session at the authorization server was enough.';
  signIn.lastAction = { title: apiTokensTitle, note, refused: false, exchanges };
}

interface Action {
  readonly title: string;
  /** Answers with the sentence to show; throws what openid-client throws when the server refused. */
  run(tenant: Tenant, signIn: SignIn, form: URLSearchParams): Promise<string | { readonly refused: string }>;
}

const actions = new Map<string, Action>([
  [
    'userinfo',
    {
      title: 'Userinfo',
      async run({ relyingParty }, { tokens }) {
        await relyingParty.userinfo(tokens);
        return 'The first access token names no API, so it is good for userinfo.';
      },
    },
  ],
  [
    'refresh',
    {
      title: 'Refresh',
      async run({ relyingParty }, signIn) {
        const presented = neededRefreshToken(signIn.tokens.refreshToken);
        signIn.tokens = await relyingParty.refresh(signIn.tokens, presented);
        signIn.previousRefreshToken = presented;
        const rotated = signIn.tokens.refreshToken !== presented;
        return rotated
          ? 'A fresh access token, and a successor for the refresh token: both are replaced.'
          : 'A fresh access token; the refresh token stayed the same.';
      },
    },
  ],
  [
    'repeat-refresh',
    {
      title: 'Present the previous refresh token again',
      async run({ relyingParty }, signIn) {
        const before = signIn.tokens.refreshToken;
        const presented = neededRefreshToken(signIn.previousRefreshToken);
        try {
          signIn.tokens = await relyingParty.refresh(signIn.tokens, presented);
        } catch (error) {
          const { code } = explain(error);
          if (code !== 'invalid_grant') throw error;
          return {
            refused: `${code}: a refresh token that comes back after it was replaced may be a stolen one, so the server
              ended the whole grant. Userinfo, Refresh and Introspect now refuse as well. Sign in again to go on.`,
          };
        }
        return signIn.tokens.refreshToken === before
          ? 'Within the grace period the same token gives the same successor: a lost answer costs nothing.'
          : 'Accepted, with another refresh token than before.';
      },
    },
  ],
  [
    'refresh-api',
    {
      title: 'Get a fresh token for the API',
      async run({ relyingParty, settings }, signIn) {
        const apiTokens = neededApiTokens(signIn.apiTokens);
        signIn.apiTokens = await relyingParty.refresh(apiTokens, neededRefreshToken(apiTokens.refreshToken));
        return `Without the browser, and for the same audience: ${settings.api.audience}.`;
      },
    },
  ],
  [
    'call-api',
    {
      title: 'Call the API',
      async run({ relyingParty, apiOrigin }, { apiTokens }, form) {
        const path = apiPaths.find((known) => known === form.get('path')) ?? '/local';
        const { status } = await relyingParty.callApi(new URL(path, apiOrigin), neededApiTokens(apiTokens).accessToken);
        if (status !== 200) return { refused: `The API answered ${status}; its WWW-Authenticate header says why.` };
        return path === '/live'
          ? 'The API asked the authorization server whether the token still lives.'
          : 'The API checked the signature, issuer, audience and time by itself.';
      },
    },
  ],
  [
    'introspect',
    {
      title: 'Introspect',
      async run({ relyingParty }, { tokens }) {
        const { active } = await relyingParty.introspect(tokens.accessToken, 'this_application');
        return active
          ? 'This application may know: the token was issued to it.'
          : 'Not active: expired, revoked, or never ours. The server does not say which.';
      },
    },
  ],
  [
    'introspect-api',
    {
      title: 'Introspect as the API',
      async run({ relyingParty }, { apiTokens }) {
        const { active } = await relyingParty.introspect(neededApiTokens(apiTokens).accessToken, 'the_api');
        return active
          ? 'The API may know: it is the audience of this token.'
          : 'Not active: expired, revoked, or for another API. The server does not say which.';
      },
    },
  ],
  [
    'revoke',
    {
      title: 'Revoke',
      async run({ relyingParty }, { tokens }) {
        await relyingParty.revoke(neededRefreshToken(tokens.refreshToken));
        return 'The grant is gone: userinfo, refresh and introspection now refuse. A signature alone cannot know that.';
      },
    },
  ],
]);

const apiPaths = ['/local', '/live', '/admins-only'] as const;

function neededRefreshToken(token: string | undefined): string {
  if (token === undefined) throw new Error('There is no refresh token for this.');
  return token;
}

function neededApiTokens(tokens: Tokens | undefined): Tokens {
  if (tokens === undefined) throw new Error('There is no token for the API yet: get one first.');
  return tokens;
}

function signedInSlugs(session: Session | undefined): ReadonlySet<string> {
  return new Set(session?.signIns.keys());
}

function notFound(): Reply {
  const description = 'There is nothing at this address.';
  return { status: 404, page: problemPage({ title: 'Not found', description, code: 'not_found' }) };
}

function expiredPage(): Html {
  return problemPage({
    title: 'This attempt is over',
    description:
      'It was finished before, took too long, or was started in another browser. Nothing is lost: start again.',
    code: 'unknown_state',
  });
}

function refusedPage(error: unknown): Html {
  const { code, description } = explain(error);
  if (code !== 'access_denied') return problemPage({ title: 'The sign-in did not succeed', description, code });
  return problemPage({
    title: 'You did not give access',
    description: 'So nobody is signed in here, and nothing was kept. You can try again at any time.',
    code: `${code}: ${description}`,
  });
}
