import { HtmlValidate, StaticConfigLoader } from 'html-validate';
import { MAIL_KINDS, type WrittenMail } from '#src/domain/mail.ts';
import { ForeignLink, renderMail } from '#src/http/pages/kit/render_mail.ts';
import { locales } from '#src/http/pages/kit/translations.ts';
import { chromeOnWindows, longToken, mailCode, mailsOfEveryKind } from '#test/support/mails.ts';

const publicUrl = 'https://id.example.org';
const tenant = { slug: 'linde', name: 'Zorggroep De Linde & <b>Zonen</b>' };
const issuer = `${publicUrl}/t/linde`;
const writtenAt = new Date('2026-11-25T09:30:00Z');
const validUntil = new Date('2026-11-25T09:45:00Z');
const every = mailsOfEveryKind(issuer);

const render = (
  mail: WrittenMail,
  { locale = 'nl', ...setting }: { locale?: 'nl' | 'en'; name?: string; brand?: object } = {},
) =>
  renderMail(
    { to: 'ada@example.org', locale, mail, validUntil: mail.kind === 'reset_password' ? validUntil : undefined },
    { tenant: { ...tenant, name: setting.name ?? tenant.name, brand: setting.brand }, publicUrl, writtenAt },
  );

const mailOf = (kind: WrittenMail['kind']): WrittenMail => {
  const mail = every.find((each) => each.kind === kind);
  if (mail === undefined) throw new Error(`no mail of kind ${kind}`);
  return mail;
};

const validator = new HtmlValidate(
  new StaticConfigLoader({
    root: true,
    extends: ['html-validate:recommended', 'html-validate:document', 'html-validate:a11y'],
    rules: { 'no-inline-style': 'off', 'long-title': 'off', 'no-trailing-whitespace': 'off' },
  }),
);

const cases = locales.flatMap((locale) => every.map((mail) => ({ locale, mail, name: `${mail.kind} in ${locale}` })));

describe('a mail', () => {
  it('is written here in every kind there is', () => {
    expect(every.map(({ kind }) => kind).sort()).toEqual(MAIL_KINDS.filter((kind) => kind !== 'none').sort());
  });

  it.each(cases)('is valid HTML: $name', async ({ locale, mail }) => {
    const report = await validator.validateString(render(mail, { locale }).html);
    const faults = report.results.flatMap(({ messages }) => messages.map(({ line, message }) => `${line}: ${message}`));
    expect(faults).toEqual([]);
  });

  it.each(cases)('says the same in text and in HTML, with words for everything: $name', ({ locale, mail }) => {
    const { subject, text, html, links, code } = render(mail, { locale });
    expect(`${subject} ${text} ${html}`).not.toMatch(/\bmail\.[a-z]|\{\{|undefined|\[object|Invalid Date|NaN/);
    expect(text.replaceAll(tenant.name, '')).not.toMatch(/<[a-z/]|&amp;|&#/i);
    for (const link of links) {
      expect(text.split(/\s/)).toContain(link);
      expect(html).toContain(`href="${link.replaceAll('&', '&amp;')}"`);
    }
    if (code !== undefined) for (const part of [text, html]) expect(part).toContain(mailCode);
    // Line breaks are the template's own, never more than one empty line.
    expect(text).not.toMatch(/\r|\n\n\n/);
  });

  it.each(cases)('has the tenant’s name, what to do if it was not you, and when it was: $name', ({ locale, mail }) => {
    const { subject, text, html } = render(mail, { locale });
    expect(subject).toContain('Zorggroep De Linde');
    expect(html).toContain('Zorggroep De Linde &amp; &lt;b&gt;Zonen&lt;/b&gt;');
    expect(text).toContain(locale === 'nl' ? 'Was u dit niet?' : 'Was this not you?');
    expect(text).toContain(locale === 'nl' ? 'Wanneer: 25 november 2026' : 'When: 25 November 2026');
  });

  it.each(cases)('fetches nothing and runs nothing: $name', ({ locale, mail }) => {
    const { html } = render(mail, { locale });
    expect(html).not.toMatch(
      /<(?:img|script|link|iframe|form|video|audio|object|svg)\b|url\(|@import|\bsrc=|background=/i,
    );
  });

  it.each(cases)('links to the tenant’s issuer and nowhere else (C1): $name', ({ locale, mail }) => {
    const { text, html, links } = render(mail, { locale });
    const hrefs = [...html.matchAll(/href="([^"]*)"/g)].map(([, href = '']) => href.replaceAll('&amp;', '&'));
    const written = [...`${text} ${html}`.matchAll(/\b[a-z][a-z0-9+.-]*:\/\/[^\s"<]*/gi)].map(([address]) => address);
    expect(hrefs.length).toBeGreaterThan(0);
    for (const address of [...hrefs, ...written, ...links]) {
      expect(address === issuer || address.startsWith(`${issuer}/`)).toBe(true);
    }
  });

  it.each([
    'https://evil.example/t/linde/reset',
    'https://id.example.org.evil.example/t/linde/reset',
    'https://id.example.org@evil.example/t/linde/reset',
    'https://id.example.org/t/other/reset',
    'https://id.example.org/t/linde/../other/reset',
    'https://id.example.org/t/linde/%2e%2e/other/reset',
    'https://id.example.org/t/lindenberg/reset',
    'http://id.example.org/t/linde/reset',
    '//id.example.org/t/linde/reset',
    'javascript:alert(1)',
    '',
  ])('is not written when a link leads elsewhere (C1): %j', (link) => {
    expect(() => render({ kind: 'unlock', link })).toThrow(ForeignLink);
    expect(() => render({ kind: 'already_registered', signInLink: issuer, resetLink: link })).toThrow(ForeignLink);
    const undo = { kind: 'deletion_requested', undoLink: link, dueAt: writtenAt, when: writtenAt } as const;
    expect(() => render(undo)).toThrow(ForeignLink);
  });

  it('keeps a link longer than a line in one piece', () => {
    const { text, links } = render(mailOf('reset_password'));
    expect(links[0]).toContain(longToken);
    expect(text).toContain(`\n${links[0]}\n`);
  });

  it('says where it came from in words, and of an unknown program nothing', () => {
    expect(render(mailOf('new_device')).text).toContain('Waarmee: Chrome op Windows\nVanaf adres: 192.0.2.7');
    expect(render(mailOf('new_device'), { locale: 'en' }).text).toContain('With: Chrome on Windows');
    for (const browser of ['', 'curl/8', 'Visit http://evil.example/ now', '\r\nBcc: x', 'x'.repeat(100_000)]) {
      const { text } = render({ kind: 'new_device', when: writtenAt, browser });
      expect(text).not.toContain('evil');
      expect(text.length).toBeLessThan(1000);
    }
    expect(render({ kind: 'email_code', code: mailCode, browser: chromeOnWindows }).text).toContain(
      'Chrome op Windows',
    );
  });

  it('is in the colour of its tenant, when it can be read on white', () => {
    const { html } = render(mailOf('reset_password'), { brand: { color: '#7a1f5c' } });
    expect(html).toContain('background:#7a1f5c;color:#ffffff');
    expect(render(mailOf('reset_password'), { brand: { color: '#ffffff' } }).html).not.toContain(
      'background:#ffffff;color',
    );
    expect(render(mailOf('reset_password'), { brand: { color: 'red;}' } }).html).not.toContain('red;}');
  });

  it('says until when a link works', () => {
    expect(render(mailOf('reset_password')).text).toMatch(/Dit werkt tot 25 november 2026.*10:45/);
  });

  it('counts backup codes in good Dutch', () => {
    const left = (remaining: number) => render({ kind: 'backup_code_used', remaining, when: writtenAt }).text;
    expect(left(0)).toContain('Het was uw laatste.');
    expect(left(1)).toContain('nog 1 code over');
    expect(left(2)).toContain('nog 2 codes over');
  });

  it.each([
    'Sensor\r\nBcc: everyone@example.org',
    'visit https://evil.example/login now',
    'evil.example',
    '<a href="https://evil.example">click</a>',
    '\u202egnp.exe',
    'x\u2028y\u2029z',
    '\u0000\u0001',
    'n'.repeat(5000),
  ])('makes a name that somebody gave no more than a name: %j', (name) => {
    for (const mail of [
      { kind: 'device_paired', device: name, when: writtenAt },
      { kind: 'passkey_added', name, when: writtenAt },
      { kind: 'invitation', link: `${issuer}/invite`, invitedBy: name, roles: [name] },
      { kind: 'second_factor_reset', reason: name, when: writtenAt },
    ] as const) {
      const { subject, text, html } = render(mail);
      for (const part of [subject, text, html]) {
        expect(part).not.toMatch(
          /https?:\/\/evil|evil\.example|<a href="https:\/\/evil|(?!\n)\p{Cc}|[\u202e\u2028\u2029]/u,
        );
        expect(part).not.toMatch(/^Bcc:/m);
        expect(part).not.toContain('n'.repeat(101));
      }
    }
    const { subject } = render(mailOf('email_code'), { name });
    expect(subject).not.toMatch(/[\p{Cc}\u2028\u2029\u202e]/u);
  });
});
