/**
 * Turns a mail into what is sent: subject, text and HTML in the language of its reader. Owns the templates of views/mail; sends
 * nothing. Nothing in it is fetched from anywhere, so nobody learns that or when it was read.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import Bowser from 'bowser';
import ejs from 'ejs';
import { mailColorsOf, readBrand } from '#src/domain/brand.ts';
import {
  type AddressedMail,
  isLinkOf,
  linksOf,
  type MailKind,
  type NoticeOrigin,
  type WrittenMail,
} from '#src/domain/mail.ts';
import { issuerOf } from '#src/domain/tenant.ts';
import type { RenderedMail } from '#src/flows/mail/deliver_mails.ts';
import { formatMoment, type Locale, type Translate, translatorFor } from './translations.ts';

export interface MailSetting {
  readonly tenant: {
    readonly slug: string;
    readonly name: string;
    /** As it is stored. */
    readonly brand?: unknown;
  };
  /** From the settings, never from a request: where every link begins. */
  readonly publicUrl: string;
  /** When it was written: what is said of a request that does not say it itself. */
  readonly writtenAt: Date;
}

/** A link in a mail that does not lead to its tenant: a fault of whoever wrote it, and never sent. */
export class ForeignLink extends Error {
  override readonly name = 'ForeignLink';
}

/** Pure: the same mail gives the same text. Throws `ForeignLink`. */
export function renderMail(
  { locale, mail, validUntil }: Omit<AddressedMail, 'mail'> & { readonly mail: WrittenMail },
  setting: MailSetting,
): RenderedMail {
  const { writtenAt } = setting;
  const issuer = issuerOf(setting.tenant, setting.publicUrl);
  if (!linksOf(mail).every((link) => isLinkOf(issuer, link)))
    throw new ForeignLink(`a mail of kind ${mail.kind} has a link that does not begin with the issuer`);
  const tenant = onOneLine(setting.tenant.name);
  const t: Translate = (key, values) => translatorFor(locale)(`mail.${key}`, { tenant, ...values });
  const words = { t, locale };
  const code = 'code' in mail ? mail.code : undefined;
  const actions = actionsOf(mail, words);
  const notYou = notYouOf(mail.kind, { t, issuer });
  const view = {
    locale,
    colors: mailColorsOf(readBrand(setting.tenant.brand)),
    tenantName: tenant,
    subject: t(`kind.${mail.kind}.subject`),
    heading: t(`kind.${mail.kind}.heading`),
    text: t(`kind.${mail.kind}.text`, valuesOf(mail, t)),
    actions,
    fallback: t('button_fallback'),
    code,
    codeLabel: t(actions.length > 0 ? 'code' : 'only_code'),
    remarks: [
      ...(code === undefined ? [] : [t('never_share')]),
      ...(validUntil === undefined ? [] : [t('valid_until', { moment: formatMoment(validUntil, locale) })]),
    ],
    facts: [...factsOf(mail, words), ...originOf({ when: writtenAt, ...mail }, words)],
    notYou,
    sender: t('sender'),
  };
  return {
    subject: view.subject,
    text: fillText(view),
    html: fillHtml(view),
    links: [...actions.map(({ link }) => link), notYou.link],
    code,
  };
}

interface Words {
  readonly t: Translate;
  readonly locale: Locale;
}

interface Action {
  readonly label: string;
  readonly link: string;
}

function actionsOf(mail: WrittenMail, { t }: Words): readonly Action[] {
  const label = (name = 'action'): string => t(`kind.${mail.kind}.${name}`);
  if ('link' in mail) return [{ label: label(), link: mail.link }];
  if (mail.kind === 'already_registered') {
    const { signInLink, resetLink } = mail;
    return [
      { label: label(), link: signInLink },
      { label: label('second_action'), link: resetLink },
    ];
  }
  if (mail.kind === 'deletion_requested') return [{ label: label(), link: mail.undoLink }];
  return [];
}

/** What fills the sentence of a mail. */
function valuesOf(mail: WrittenMail, t: Translate): Readonly<Record<string, string | number>> {
  if ('factor' in mail) return { factor: t(`factor.${mail.factor}`) };
  if ('name' in mail) return { name: givenName(mail.name) };
  if (mail.kind === 'device_paired') return { device: givenName(mail.device) };
  if (mail.kind === 'backup_code_used') return { count: mail.remaining };
  return {};
}

interface Fact {
  readonly label: string;
  readonly value: string;
}

function factsOf(mail: WrittenMail, { t, locale }: Words): readonly Fact[] {
  const fact = (name: string, value: string): Fact => ({ label: t(`kind.${mail.kind}.${name}`), value });
  switch (mail.kind) {
    case 'invitation': {
      const { invitedBy, roles } = mail;
      return [
        ...(invitedBy === undefined ? [] : [fact('invited_by', givenName(invitedBy))]),
        ...(roles.length === 0 ? [] : [fact('roles', roles.map(givenName).join(', '))]),
      ];
    }
    case 'second_factor_reset':
      return [fact('reason', givenName(mail.reason))];
    case 'email_changed':
      return [fact('new_address', onOneLine(mail.newAddress))];
    case 'deletion_requested':
      return [fact('due_at', formatMoment(mail.dueAt, locale))];
    default:
      return [];
  }
}

function originOf({ when, browser, address }: NoticeOrigin, { t, locale }: Words): readonly Fact[] {
  const device = browser === undefined ? undefined : describeBrowser(browser, t);
  return [
    { label: t('when'), value: formatMoment(when, locale) },
    ...(device === undefined ? [] : [{ label: t('browser'), value: device }]),
    ...(address === undefined ? [] : [{ label: t('address'), value: onOneLine(address) }]),
  ];
}

/** "Chrome on Windows". Undefined for what nobody has heard of: only names that are known are shown, never what was sent. */
function describeBrowser(userAgent: string, t: Translate): string | undefined {
  if (userAgent.trim() === '') return undefined;
  const { browser, os } = Bowser.parse(userAgent.slice(0, longestUserAgent));
  const names = [browser.name, os.name].filter((name): name is string => name !== undefined && knownNames.has(name));
  const [first, second] = names;
  if (first === undefined) return undefined;
  return second === undefined ? first : t('browser_on', { browser: first, system: second });
}

const longestUserAgent = 500;
const knownNames: ReadonlySet<string> = new Set([
  ...Object.values(Bowser.BROWSER_MAP),
  ...Object.values(Bowser.OS_MAP),
]);

/** Where a link to this tenant leads whoever did not do what the mail says. */
function notYouOf(kind: MailKind, { t, issuer }: { readonly t: Translate; readonly issuer: string }) {
  const question = t('not_you');
  const home = { label: t('ignore_link'), link: issuer };
  if (kind === 'account_deleted') return { question, advice: t('contact'), ...home };
  if (needsNothing.has(kind)) return { question, advice: t('ignore'), ...home };
  return { question, advice: t('secure'), label: t('secure_link'), link: `${issuer}/forgot` };
}

/** Nothing has happened yet, and nothing does without the link. */
const needsNothing: ReadonlySet<MailKind> = new Set<MailKind>([
  'verify_email',
  'already_registered',
  'join_tenant',
  'invitation',
  'reset_password',
  'email_change',
]);

const longestName = 100;

/** Controls, line breaks and what turns a sentence around become one space. */
function onOneLine(text: string): string {
  return text
    .toWellFormed()
    .replaceAll(/[\p{C}\p{Z}]+/gu, ' ')
    .trim();
}

/**
 * A name that somebody gave to something, perhaps a stranger to the reader. Mail programs make a link of whatever looks like one, and
 * this mail carries the tenant's name: so nothing in a name does.
 */
function givenName(name: string): string {
  const short = [...onOneLine(name)].slice(0, longestName).join('');
  return short.replaceAll(/[.:@/](?=\S)/gu, (sign) => `${sign}\u200b`);
}

// An escape of its own for each: what is HTML is escaped, what is text is text.
const fillHtml = compileTemplate('message_html', ejs.escapeXML);
const fillText = compileTemplate('message_text', String);

function compileTemplate(name: string, escapeValue: (text: unknown) => string): ejs.TemplateFunction {
  const filename = fileURLToPath(new URL(`../../../../views/mail/${name}.ejs`, import.meta.url));
  const options = { filename, cache: true, strict: true, localsName: 'view', escape: escapeValue };
  return ejs.compile(readFileSync(filename, 'utf8'), options);
}
