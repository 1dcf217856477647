// Looks at a page from inside the browser. Each function gives what is wrong, one line for each fault; nothing when it is sound.
// Test support only: the browser runs it before the page's own scripts, outside the page's policy.
const shortly = (element) => element.outerHTML.replace(/\s+/gu, ' ').slice(0, 120);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
// What only a screen reader gets is clipped to nothing.
const clipped = (element) =>
  element !== null && (getComputedStyle(element).clipPath === 'inset(50%)' || clipped(element.parentElement));
const seen = (element) => element.checkVisibility({ visibilityProperty: true }) && !clipped(element);
const targets = 'a[href], button, input:not([type=hidden]), select, textarea, summary';

const backgroundBehind = (element) => {
  for (let at = element.parentElement; at !== null; at = at.parentElement) {
    const { backgroundColor } = getComputedStyle(at);
    if (backgroundColor !== 'rgba(0, 0, 0, 0)') return backgroundColor;
  }
  return 'rgb(255, 255, 255)';
};

function structure(locale) {
  const faults = [];
  const say = (fault) => faults.push(fault);
  const headings = all('h1');
  if (headings.length !== 1) say(`${headings.length} h1`);
  if (document.title.trim() === '') say('no title');
  if (document.documentElement.lang !== locale) say(`lang is ${document.documentElement.lang}`);
  for (const landmark of ['header', 'main', 'footer'])
    if (all(`body > ${landmark}`).length !== 1) say(`not one ${landmark}`);
  const order = all(targets).filter((element) => element.tabIndex >= 0 && !element.hidden);
  if (order[0]?.getAttribute('href') !== '#main') say('the skip link is not first');
  if (all('[tabindex]').some(({ tabIndex }) => tabIndex > 0)) say('a tab order of its own');
  const summary = document.querySelector('[data-error-summary]');
  if (summary !== null && all('[autofocus]').length > 0) say('a cursor beside an error summary');
  if (summary !== null && document.activeElement !== summary) say('the error summary has no focus');
  for (const link of all('[data-error-summary] a'))
    if (document.querySelector(`${link.getAttribute('href')}[aria-invalid=true]`) === null)
      say(`${shortly(link)} leads to no field that is wrong`);
  for (const field of all('[aria-describedby]'))
    for (const id of field.getAttribute('aria-describedby').split(' '))
      if (document.getElementById(id) === null) say(`${shortly(field)} is described by nothing`);
  for (const element of all('*'))
    for (const { name } of element.attributes)
      if (name === 'style' || name.startsWith('on')) say(`${name}= on ${shortly(element)}`);
  if (all('style, script:not([src]), iframe, object').length > 0) say('inline script or style');
  if (document.querySelector('meta[name=color-scheme]')?.content !== 'light dark') say('no color-scheme');
  return faults;
}

function sizes() {
  const faults = [];
  const sideways = document.documentElement.scrollWidth - innerWidth;
  if (sideways > 0) faults.push(`scrolls ${sideways} px sideways`);
  for (const target of all(targets).filter(seen)) {
    // A link inside a sentence is as high as its line (WCAG 2.2 2.5.8, "inline"); a checkbox has its label.
    if (getComputedStyle(target).display === 'inline') continue;
    const { width, height } = (target.type === 'checkbox' ? target.closest('label') : target).getBoundingClientRect();
    if (height < (target.matches('.button') ? 44 : 24) || width < 24)
      faults.push(`${Math.round(width)} x ${Math.round(height)} px: ${shortly(target)}`);
  }
  return faults;
}

// WCAG 2.2 1.4.12: nobody's text is cut off when its reader gives it more room.
function spacedText() {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(
    `* { line-height: 1.5 !important; letter-spacing: 0.12em !important; word-spacing: 0.16em !important; }
     p { margin-bottom: 2em !important; }`,
  );
  document.adoptedStyleSheets = [sheet];
  const faults = [];
  const sideways = document.documentElement.scrollWidth - innerWidth;
  if (sideways > 0) faults.push(`scrolls ${sideways} px sideways with spaced text`);
  const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = words.nextNode(); text !== null; text = words.nextNode()) {
    const element = text.parentElement;
    if (text.data.trim() === '' || !seen(element)) continue;
    const range = document.createRange();
    range.selectNodeContents(text);
    const { right, bottom, top } = range.getBoundingClientRect();
    if (right > innerWidth + 1) faults.push(`leaves the screen: ${shortly(element)}`);
    const frame = element.closest('button, .button');
    for (let at = element; at !== document.body; at = at.parentElement) {
      if (at !== frame && getComputedStyle(at).overflowY === 'visible') continue;
      const box = at.getBoundingClientRect();
      if (bottom > box.bottom + 1 || top < box.top - 1 || right > box.right + 1)
        faults.push(`is cut off: ${shortly(element)}`);
    }
  }
  document.adoptedStyleSheets = [];
  return faults;
}

// After a key was pressed, so that focus is the visible kind. Colours are judged by who asks.
function focus() {
  const faults = [];
  const rings = [];
  // The skip link is seen when it has the focus.
  const reached = all(targets).filter(
    (element) => element.tabIndex >= 0 && (seen(element) || element.matches('.skip')),
  );
  for (const target of reached) {
    // What has the focus already would not be scrolled to.
    document.activeElement?.blur();
    target.focus();
    const { outlineStyle, outlineWidth, outlineColor } = getComputedStyle(target);
    if (outlineStyle === 'none' || Number.parseFloat(outlineWidth) < 2) faults.push(`no ring: ${shortly(target)}`);
    rings.push({ target: shortly(target), ring: outlineColor, behind: backgroundBehind(target) });
    const box = target.getClientRects()[0];
    const top = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
    if (top === null || !(target.contains(top) || top.contains(target))) faults.push(`hidden: ${shortly(target)}`);
  }
  return { faults, rings };
}

function motion() {
  const moving = all('*').filter((element) => {
    const { transitionDuration, animationName } = getComputedStyle(element);
    return animationName !== 'none' || transitionDuration.split(', ').some((time) => Number.parseFloat(time) > 0.01);
  });
  return moving.map((element) => `moves: ${shortly(element)}`);
}

function forcedColours() {
  const faceless = all('.button, .toggle, input:not([type=hidden]), select').filter((element) => {
    const { borderTopStyle, borderTopWidth } = getComputedStyle(element);
    return seen(element) && element.type !== 'checkbox' && (borderTopStyle === 'none' || borderTopWidth === '0px');
  });
  return faceless.map((element) => `no edge: ${shortly(element)}`);
}

const background = () => getComputedStyle(document.body).backgroundColor;

globalThis.poortInspection = {
  wide: (locale) => ({ faults: [...structure(locale), ...sizes()], background: background() }),

  narrow() {
    const { faults, rings } = focus();
    return { faults: [...sizes(), ...faults, ...spacedText(), ...motion()], rings };
  },

  dark() {
    const { faults, rings } = focus();
    const grey = all('.qr').filter((code) => getComputedStyle(code).backgroundColor !== 'rgb(255, 255, 255)');
    const lost = grey.map((code) => `a QR code without its white: ${shortly(code)}`);
    return { faults: [...faults, ...lost], rings, background: background() };
  },

  forcedColours: () => ({ faults: forcedColours() }),
};
