// Takes a keyboard or screen-reader user to what went wrong. Without script the summary still comes first and is an alert.
document.querySelector('[data-error-summary]')?.focus();
