// Asks the browser for a passkey and sends its answer in the form, as any other field. Everything here is hidden in the page: without
// script, or where the browser has no passkeys, the page is complete without it.
const form = document.querySelector('[data-passkey]');

if (form !== null && window.PublicKeyCredential !== undefined) {
  const { options, autofill } = JSON.parse(form.dataset.passkey);
  const answer = form.elements.namedItem('passkey');
  const problem = document.querySelector('[data-passkey-problem]');
  let waiting;

  const show = (problemShown) => {
    if (problem !== null) problem.hidden = !problemShown;
  };

  const ask = async (mediation) => {
    // One question at a time: the browser refuses a second one.
    waiting?.abort();
    waiting = new AbortController();
    const { signal } = waiting;
    const isNew = options.user !== undefined;
    const credential = await (isNew
      ? navigator.credentials.create({ publicKey: creation(options), signal })
      : navigator.credentials.get({ publicKey: request(options), signal, ...(mediation && { mediation }) }));
    answer.value = JSON.stringify(serialised(credential));
    form.submit();
  };

  // Offered with the saved passwords, under the field that says `webauthn`. That nobody takes it up is no mistake.
  const offer = async () => {
    if (!autofill || !(await PublicKeyCredential.isConditionalMediationAvailable?.())) return;
    await ask('conditional').catch(() => undefined);
  };

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    show(false);
    ask().catch((fault) => {
      if (fault.name !== 'AbortError') show(true);
      void offer();
    });
  });
  for (const other of document.forms) if (other !== form) other.addEventListener('submit', () => waiting?.abort());
  for (const element of document.querySelectorAll('[data-without-passkeys]')) element.hidden = true;
  form.hidden = false;
  void offer();
}

function request({ challenge, allowCredentials = [], ...rest }) {
  return { ...rest, challenge: bytes(challenge), allowCredentials: allowCredentials.map(described) };
}

function creation({ challenge, user, excludeCredentials = [], ...rest }) {
  return {
    ...rest,
    challenge: bytes(challenge),
    user: { ...user, id: bytes(user.id) },
    excludeCredentials: excludeCredentials.map(described),
  };
}

function described({ id, ...rest }) {
  return { ...rest, id: bytes(id) };
}

// What browsers can say by themselves since a while (`toJSON`), for those that cannot yet.
function serialised({ id, rawId, type, response }) {
  const told = {};
  for (const name of ['clientDataJSON', 'attestationObject', 'authenticatorData', 'signature', 'userHandle'])
    if (response[name]) told[name] = text(response[name]);
  if (response.getTransports !== undefined) told.transports = response.getTransports();
  return { id, rawId: text(rawId), type, response: told, clientExtensionResults: {} };
}

function bytes(base64url) {
  const binary = atob(base64url.replaceAll('-', '+').replaceAll('_', '/'));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

function text(buffer) {
  const binary = Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join('');
  return btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}
