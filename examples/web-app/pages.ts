// The pages of the demo application: a model in, HTML out. They decide nothing and work without JavaScript.
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { type Exchange, mask } from './exchanges.ts';
import { type Html, html } from './html.ts';
import type { Tokens } from './relying_party.ts';
import type { LastAction, SignIn } from './sessions.ts';
import type { TenantSettings } from './settings.ts';

export interface Problem {
  readonly title: string;
  readonly description: string;
  readonly code: string;
}

/** One card per tenant, with the button that starts a sign-in. */
export function homePage(
  tenants: readonly TenantSettings[],
  signedIn: ReadonlySet<string>,
  notice: string | undefined,
): Html {
  return layout(
    'Home',
    html`
      ${notice === undefined ? undefined : html`<p class="notice" role="status">${notice}</p>`}
      <h1>A small application that lets people sign in</h1>
      <p class="lead">
        It knows no passwords. It sends the browser to the authorization server, gets tokens back, and shows you every
        request that this takes. The same person may exist at several tenants: sign in at both and compare.
      </p>
      <div class="tenants">${tenants.map((tenant) => tenantCard(tenant, signedIn.has(tenant.slug)))}</div>
      <h2>What happens when you sign in</h2>
      <ol class="steps">
        <li>This application makes a secret (<abbr title="Proof Key for Code Exchange, RFC 7636">PKCE</abbr>), a
          <code>state</code> and a <code>nonce</code>, keeps them, and sends the browser to <code>/authorize</code>.</li>
        <li>The person signs in there, and agrees when the application is somebody else's. The browser comes back with a code that is useless to others.</li>
        <li>This application redeems the code from its own server, checks the ID token and starts its own session.</li>
      </ol>`,
  );
}

/** Everything there is to see and do after a sign-in. */
export function sessionPage(tenant: TenantSettings, signIn: SignIn): Html {
  const { tokens, apiTokens, previousRefreshToken } = signIn;
  return layout(
    `Signed in at ${tenant.name}`,
    html`
      <div class="headline">
        <div>
          <h1>Signed in at ${tenant.name}</h1>
          <p class="lead">as ${tokens.name} <code>${tokens.subject}</code></p>
        </div>
        <form method="post" action="/sign-out/${tenant.slug}"><button class="quiet">Log out</button></form>
      </div>
      <div class="columns">
        <div>
          <section class="card" aria-labelledby="id-token">
            <h2 id="id-token">ID token</h2>
            <p>Tells this application who signed in, and how. It is for this application only.</p>
            ${decodedToken(tokens.idToken)}
          </section>
          <section class="card" aria-labelledby="access-token">
            <h2 id="access-token">Access token</h2>
            <p>Good for userinfo. It names no API.</p>
            ${decodedToken(tokens.accessToken)}
            <div class="actions">
              ${actionButton(tenant, 'userinfo', 'Userinfo')}
              ${actionButton(tenant, 'introspect', 'Introspect')}
            </div>
          </section>
          ${apiTokenCard(tenant, apiTokens)}
          <section class="card" aria-labelledby="refresh-token">
            <h2 id="refresh-token">Refresh token</h2>
            <p>Gives fresh access tokens without the person. Replaced at every use.</p>
            <dl>
              <dt>now</dt><dd><code>${tokens.refreshToken === undefined ? 'none' : mask(tokens.refreshToken)}</code></dd>
              ${
                previousRefreshToken === undefined
                  ? undefined
                  : html`<dt>before</dt><dd><code>${mask(previousRefreshToken)}</code></dd>`
              }
            </dl>
            <div class="actions">
              ${actionButton(tenant, 'refresh', 'Refresh')}
              ${
                previousRefreshToken === undefined
                  ? undefined
                  : actionButton(tenant, 'repeat-refresh', 'Present the previous one again')
              }
              ${actionButton(tenant, 'revoke', 'Revoke')}
            </div>
          </section>
        </div>
        ${lastActionCard(signIn.lastAction)}
      </div>`,
  );
}

/** One page for everything that did not go as hoped. */
export function problemPage({ title, description, code }: Problem): Html {
  return layout(
    title,
    html`
      <section class="card problem">
        <h1>${title}</h1>
        <p>${description}</p>
        <p><a class="button" href="/">Back to the start</a></p>
        <details><summary>For developers</summary><p><code>${code}</code></p></details>
      </section>`,
  );
}

function layout(title: string, content: Html): Html {
  return html`<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <title>${title} - Demo application</title>
  <link rel="icon" href="/favicon.svg" type="image/svg+xml">
  <link rel="stylesheet" href="/style.css">
</head>
<body>
  <header><a href="/">Demo application</a><span>a relying party on openid-client</span></header>
  <main>${content}</main>
</body>
</html>
`;
}

function tenantCard(tenant: TenantSettings, isSignedIn: boolean): Html {
  return html`
    <section class="card" aria-labelledby="tenant-${tenant.slug}">
      <h2 id="tenant-${tenant.slug}">${tenant.name}</h2>
      <p><code>${tenant.issuer}</code></p>
      ${isSignedIn ? html`<p><a class="button" href="/session/${tenant.slug}">You are signed in: show the tokens</a></p>` : undefined}
      <form method="post" action="/sign-in/${tenant.slug}">
        <button class="${isSignedIn ? 'quiet' : 'primary'}" aria-describedby="tenant-${tenant.slug}">Sign in</button>
        <div class="options">
          <label><input type="checkbox" name="pushed"><span>push the request first (PAR, RFC 9126)</span></label>
          <label><input type="checkbox" name="ask_consent">
            <span>ask for consent, also when it was given (<code>prompt=consent</code>)</span></label>
        </div>
      </form>
    </section>`;
}

function apiTokenCard(tenant: TenantSettings, tokens: Tokens | undefined): Html {
  return html`
    <section class="card" aria-labelledby="api-token">
      <h2 id="api-token">Token for the API</h2>
      <p>For <code>${tenant.api.audience}</code> and for nothing else.</p>
      ${tokens === undefined ? undefined : decodedToken(tokens.accessToken)}
      <div class="actions">
        ${
          tokens === undefined
            ? actionButton(tenant, 'api-tokens', 'Get a token for the API')
            : apiActions(tenant, tokens)
        }
      </div>
    </section>`;
}

/** A signature can be checked on the spot; about an opaque token one has to ask. */
function apiActions(tenant: TenantSettings, { accessToken, refreshToken }: Tokens): Html {
  const checks =
    decode(accessToken) === undefined
      ? html`
        ${actionButton(tenant, 'call-api', 'Call the API', { path: '/live' })}
        ${actionButton(tenant, 'introspect-api', 'Introspect as the API')}`
      : html`
        ${actionButton(tenant, 'call-api', 'Call the API', { path: '/local' })}
        ${actionButton(tenant, 'call-api', 'Call as admin', { path: '/admins-only' })}`;
  return html`
    ${checks}
    ${refreshToken === undefined ? undefined : actionButton(tenant, 'refresh-api', 'Get a fresh one')}`;
}

function actionButton(
  tenant: TenantSettings,
  action: string,
  label: string,
  fields: Readonly<Record<string, string>> = {},
): Html {
  const hidden = Object.entries(fields).map(
    ([name, value]) => html`<input type="hidden" name="${name}" value="${value}">`,
  );
  return html`<form method="post" action="/session/${tenant.slug}/${action}">${hidden}<button>${label}</button></form>`;
}

function lastActionCard({ title, note, refused, exchanges }: LastAction): Html {
  // The request that mattered is the last one sent with a body; fetching metadata or keys is only preparation.
  const shown = exchanges.findLast((exchange) => exchange.title.startsWith('POST')) ?? exchanges.at(-1);
  return html`
    <section class="card last-action" id="last-action" aria-labelledby="last-action-title">
      <h2 id="last-action-title">${title}</h2>
      <p class="${refused ? 'notice refused' : 'notice'}">${note}</p>
      ${exchanges.map((exchange) => exchangeDetails(exchange, exchange === shown))}
      <p class="hint">Secrets and tokens are cut short; everything else is as it went over the line.</p>
    </section>`;
}

function exchangeDetails({ title, request, answer }: Exchange, open: boolean): Html {
  const content = html`<summary>${title}</summary>
    <pre tabindex="0" role="region" aria-label="Request: ${title}">${request}</pre>
    <pre tabindex="0" role="region" aria-label="Answer: ${title}" class="answer">${answer}</pre>`;
  return open ? html`<details open>${content}</details>` : html`<details>${content}</details>`;
}

function decodedToken(token: string): Html {
  const decoded = decode(token);
  if (decoded === undefined) {
    return html`<p><code>${mask(token)}</code></p><p class="hint">Opaque: only the authorization server can read it.</p>`;
  }
  const rows = Object.entries(decoded.claims).map(
    ([name, value]) => html`<tr><th scope="row"><code>${name}</code></th>
      <td><code>${shownClaim(name, value)}</code>${claimMeaning(name)}</td></tr>`,
  );
  return html`
    <p class="hint">Header <code>${JSON.stringify(decoded.header)}</code></p>
    <table><thead><tr><th scope="col">Claim</th><th scope="col">Value</th></tr></thead><tbody>${rows}</tbody></table>`;
}

/** For showing only. Whether to believe a token is decided in relying_party.ts and by the API. */
function decode(token: string): { readonly header: object; readonly claims: object } | undefined {
  try {
    return { header: decodeProtectedHeader(token), claims: decodeJwt(token) };
  } catch {
    return undefined;
  }
}

const instants = new Set(['exp', 'iat', 'nbf', 'auth_time']);

function shownClaim(name: string, value: unknown): string {
  if (instants.has(name) && typeof value === 'number') {
    return `${value} = ${new Date(value * 1_000).toISOString().replace('.000Z', 'Z')}`;
  }
  return typeof value === 'string' ? value : JSON.stringify(value);
}

const meanings: Readonly<Record<string, string>> = {
  iss: 'who issued it',
  sub: 'the person, by a name that never changes',
  aud: 'whom it is meant for',
  exp: 'until when it is valid',
  iat: 'when it was issued',
  auth_time: 'when the person last proved who they are',
  nonce: 'ties it to the request of this browser',
  at_hash: 'ties it to the access token',
  sid: 'the session at the authorization server',
  acr: 'how strong the sign-in was',
  amr: 'which proofs were given',
  jti: 'the name of this token',
  client_id: 'the application that asked for it',
  scope: 'what the application may do',
  roles: 'what the person is here',
  permissions: 'what the person may do in this API',
  tenant: 'the organisation',
};

function claimMeaning(name: string): Html | undefined {
  const meaning = Object.hasOwn(meanings, name) ? meanings[name] : undefined;
  return meaning === undefined ? undefined : html` <small>${meaning}</small>`;
}
