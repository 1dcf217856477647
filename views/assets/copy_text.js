// Copies what a code or a key shows, without the spaces that only help reading. Hidden in the page: without script it could do nothing.
for (const button of document.querySelectorAll('[data-copy]')) {
  const source = document.getElementById(button.dataset.copy);
  if (source === null || navigator.clipboard === undefined) continue;

  const status = document.createElement('span');
  status.className = 'visually-hidden';
  status.setAttribute('role', 'status');
  button.after(status);

  const label = button.textContent;
  button.addEventListener('click', async () => {
    await navigator.clipboard.writeText(source.textContent.replaceAll(' ', '').trim());
    button.textContent = button.dataset.copied;
    status.textContent = button.dataset.copied;
    setTimeout(() => {
      button.textContent = label;
      status.textContent = '';
    }, 4_000);
  });
  button.hidden = false;
}
