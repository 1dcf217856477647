// Shows and hides a password. The button is hidden in the page: without script there is nothing it could do.
for (const button of document.querySelectorAll('[data-password-toggle]')) {
  const field = document.getElementById(button.getAttribute('aria-controls'));
  const verb = button.querySelector('[data-verb]');
  if (field === null || verb === null) continue;

  const status = document.createElement('span');
  status.className = 'visually-hidden';
  status.setAttribute('role', 'status');
  button.after(status);

  const reveal = (shown) => {
    field.type = shown ? 'text' : 'password';
    verb.textContent = shown ? button.dataset.hide : button.dataset.show;
  };

  button.addEventListener('click', () => {
    const shown = field.type === 'password';
    reveal(shown);
    status.textContent = shown ? button.dataset.shown : button.dataset.hidden;
  });

  // A password manager saves only password fields, and a page kept for the back button must not show one.
  field.form?.addEventListener('submit', () => reveal(false));
  window.addEventListener('pagehide', () => reveal(false));
  button.hidden = false;
}
