// Sign-in, userinfo, silent refresh and sign-out on oidc-client-ts: authorization code with PKCE, no secret anywhere.
// `oidc` is the global of the library's browser build.
const { UserManager, WebStorageStateStore } = globalThis.oidc;

const settings = await (await fetch('/config.json')).json();
const manager = new UserManager({
  authority: settings.issuer,
  client_id: settings.client_id,
  redirect_uri: settings.redirect_uri,
  post_logout_redirect_uri: settings.post_logout_redirect_uri,
  scope: settings.scope,
  // Tokens live as long as this tab and survive a reload. A script of an attacker could read them: the strict
  // Content-Security-Policy keeps such a script out. With `new InMemoryWebStorage()` as store they do not survive a reload either.
  userStore: new WebStorageStateStore({ store: sessionStorage }),
  // What a sign-in under way needs to remember, in this tab only as well.
  stateStore: new WebStorageStateStore({ store: sessionStorage }),
});

const element = (id) => document.getElementById(id);

element('sign-in').addEventListener('click', () => attempt(() => manager.signinRedirect()));
element('sign-out').addEventListener('click', () => attempt(() => manager.signoutRedirect()));
element('userinfo').addEventListener('click', () => attempt(showUserinfo));
element('refresh').addEventListener('click', () => attempt(refresh));

// The library renews by itself shortly before the access token expires; this shows it when it happens.
manager.events.addUserLoaded(show);
manager.events.addUserUnloaded(() => show(undefined));
manager.events.addSilentRenewError((error) => say(`Renewing failed: ${error.message}`));

await attempt(async () => {
  if (location.pathname === '/callback') {
    try {
      await manager.signinRedirectCallback();
    } finally {
      // The code is used up; keep it out of the history, and let a reload start afresh.
      history.replaceState(undefined, '', '/');
    }
  }
  show(await manager.getUser());
});

async function showUserinfo() {
  const user = await manager.getUser();
  const { userinfo_endpoint } = await manager.metadataService.getMetadata();
  const response = await fetch(userinfo_endpoint, { headers: { Authorization: `Bearer ${user?.access_token}` } });
  if (!response.ok) throw new Error(`userinfo answered ${response.status}`);
  showAnswer('Userinfo', await response.json());
}

async function refresh() {
  const before = await manager.getUser();
  const after = await manager.signinSilent();
  showAnswer('Refresh', {
    'new access token': after?.access_token !== before?.access_token,
    'new refresh token': after?.refresh_token !== before?.refresh_token,
    expires_in: after?.expires_in,
  });
}

function show(user) {
  const signedIn = user !== undefined && user !== null && !user.expired;
  element('sign-in').hidden = signedIn;
  for (const id of ['userinfo', 'refresh', 'sign-out', 'claims-section']) element(id).hidden = !signedIn;
  element('claims').textContent = signedIn ? JSON.stringify(user.profile, undefined, 2) : '';
  say(signedIn ? `Signed in as ${user.profile.email ?? user.profile.sub}` : 'Not signed in');
}

function showAnswer(title, value) {
  element('answer-section').hidden = false;
  element('answer-title').textContent = title;
  element('answer').textContent = JSON.stringify(value, undefined, 2);
}

function say(text) {
  element('status').textContent = text;
}

// Everything a click can run into ends in a sentence on the page.
async function attempt(work) {
  try {
    await work();
  } catch (error) {
    if (element('claims-section').hidden) element('sign-in').hidden = false;
    say(error.error === 'access_denied' ? 'You did not give access.' : `That did not work: ${error.message}`);
  }
}
