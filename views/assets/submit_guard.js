// One press, one POST. The button stays focusable and keeps its value (aria-disabled, not disabled); a second submit is
// dropped. The guard opens again when the page comes back from the browser's cache, or when no answer replaced it.
const reopenMilliseconds = 10_000;

for (const form of document.querySelectorAll('form[data-guard]')) {
  let pressed;

  const reopen = () => {
    if (pressed === undefined) return;
    clearTimeout(pressed.timer);
    if (pressed.button !== null) {
      pressed.button.removeAttribute('aria-disabled');
      pressed.button.textContent = pressed.label;
    }
    pressed = undefined;
  };

  form.addEventListener('submit', (event) => {
    if (pressed !== undefined) {
      event.preventDefault();
      return;
    }
    const button = event.submitter;
    pressed = { button, label: button?.textContent, timer: setTimeout(reopen, reopenMilliseconds) };
    button?.setAttribute('aria-disabled', 'true');
    if (button?.dataset.busy) button.textContent = button.dataset.busy;
    // A change of language is no attempt to sign in: what was typed as a password has no reason to travel.
    if (button?.name === 'ui_locales') for (const field of form.querySelectorAll('[type=password]')) field.value = '';
  });

  window.addEventListener('pageshow', (event) => {
    if (event.persisted) reopen();
  });
}
