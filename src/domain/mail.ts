/**
 * This file owns what Poort writes to people: every kind of mail with what it says, and whose budget it is taken from. It does not
 * own the words (views/mail, views/locales) or how a mail travels (flows/mail/deliver_mails.ts).
 *
 * Links are given whole. Each must begin with the tenant's issuer, or the mail is not sent.
 */

export type MailLocale = 'nl' | 'en';

/** When something happened to an account, and from where. */
export interface NoticeOrigin {
  readonly when: Date;
  /** The User-Agent header as it came; the mail says "Chrome on Windows". */
  readonly browser?: string | undefined;
  /** The network address it came from. */
  readonly address?: string | undefined;
}

/** The stable name of a second factor, and its words in the mail. */
export type MailedFactor = 'totp' | 'passkey' | 'backup_codes' | 'email_code';

/** What somebody asked for, who may be a stranger: everybody who knows an address can cause these. */
export type RequestedMail = Partial<NoticeOrigin> & AskedFor;

type AskedFor =
  | { readonly kind: 'verify_email'; readonly link: string; readonly code: string }
  /** Instead of `verify_email`, to who has an account here already. */
  | { readonly kind: 'already_registered'; readonly signInLink: string; readonly resetLink: string }
  /** To who has an account elsewhere in the installation: the same words as `verify_email`, as far as a stranger sees. */
  | { readonly kind: 'join_tenant'; readonly link: string; readonly code: string }
  | {
      readonly kind: 'invitation';
      readonly link: string;
      readonly invitedBy?: string | undefined;
      readonly roles: readonly string[];
    }
  | { readonly kind: 'reset_password'; readonly link: string; readonly code: string }
  | { readonly kind: 'email_code'; readonly code: string }
  | { readonly kind: 'unlock'; readonly link: string }
  /** To the new address. */
  | { readonly kind: 'email_change'; readonly link: string; readonly code: string };

/** What happened to an account. Each says when, from where, and what to do if it was not you. */
export type NoticeMail = NoticeOrigin &
  (
    | { readonly kind: 'new_device' }
    | { readonly kind: 'password_changed' }
    | { readonly kind: 'second_factor_added'; readonly factor: MailedFactor }
    | { readonly kind: 'second_factor_removed'; readonly factor: MailedFactor }
    /** By an administrator, with the reason that they gave. */
    | { readonly kind: 'second_factor_reset'; readonly reason: string }
    | { readonly kind: 'backup_code_used'; readonly remaining: number }
    | { readonly kind: 'backup_codes_renewed' }
    | { readonly kind: 'passkey_added'; readonly name: string }
    | { readonly kind: 'passkey_removed'; readonly name: string }
    /** To the old and to the new address. */
    | { readonly kind: 'email_changed'; readonly newAddress: string }
    | { readonly kind: 'account_locked'; readonly link: string }
    | { readonly kind: 'deletion_requested'; readonly undoLink: string; readonly dueAt: Date }
    | { readonly kind: 'account_deleted' }
    | { readonly kind: 'device_paired'; readonly device: string }
    | { readonly kind: 'api_key_created'; readonly name: string }
  );

/** A mail that says something. */
export type WrittenMail = RequestedMail | NoticeMail;

/** `none` costs what a mail costs and is never sent: for an address that nobody has. */
export type Mail = WrittenMail | { readonly kind: 'none' };

export type MailKind = Mail['kind'];

/** How many mails may be written, by whom they are caused. */
export interface MailBudgets {
  /** By anybody. */
  readonly requested: MailBudget;
  /** By who has shown a password or a session: a stranger cannot use this one up. */
  readonly entitled: MailBudget;
  readonly notice: MailBudget;
  readonly lock: MailBudget;
}

/** No setting: the link works for a day and one is enough, however often an account is locked. */
export const LOCK_BUDGET: MailBudget = { perRecipientAndHour: 2, perRecipientAndDay: 6, perTenantAndHour: 10_000 };

/** Of one tenant. */
export interface MailBudget {
  readonly perRecipientAndHour: number;
  readonly perRecipientAndDay: number;
  readonly perTenantAndHour: number;
}

const budgetOfKind = {
  // Stands in for what a stranger asks for, and must run out when that does.
  none: 'requested',
  verify_email: 'requested',
  already_registered: 'requested',
  join_tenant: 'requested',
  invitation: 'entitled',
  reset_password: 'requested',
  email_code: 'entitled',
  unlock: 'requested',
  email_change: 'entitled',
  new_device: 'notice',
  password_changed: 'notice',
  second_factor_added: 'notice',
  second_factor_removed: 'notice',
  second_factor_reset: 'notice',
  backup_code_used: 'notice',
  backup_codes_renewed: 'notice',
  passkey_added: 'notice',
  passkey_removed: 'notice',
  email_changed: 'notice',
  // A stranger can cause locks: its owner is told of one in a while, and of everything else all the same.
  account_locked: 'lock',
  deletion_requested: 'notice',
  account_deleted: 'notice',
  device_paired: 'notice',
  api_key_created: 'notice',
} as const satisfies Record<MailKind, keyof MailBudgets>;

export const MAIL_KINDS = Object.keys(budgetOfKind) as readonly MailKind[]; // the keys of a record typed by MailKind

/** Which budget a mail is taken from. What happened to an account is counted apart from what strangers ask for. */
export function budgetOf(kind: MailKind): keyof MailBudgets {
  return budgetOfKind[kind];
}

/** Every link that a mail was given. */
export function linksOf(mail: WrittenMail): readonly string[] {
  if ('link' in mail) return [mail.link];
  if (mail.kind === 'already_registered') return [mail.signInLink, mail.resetLink];
  return mail.kind === 'deletion_requested' ? [mail.undoLink] : [];
}

/**
 * Whether a link leads to this tenant and nowhere else: it begins with the issuer as it is written in the settings, and a browser
 * reads it so too.
 */
export function isLinkOf(issuer: string, link: string): boolean {
  const beginning = `${issuer}/`;
  return link.startsWith(beginning) && URL.canParse(link) && new URL(link).href.startsWith(beginning);
}

/** A mail with whom it is for: what waits to be sent. */
export interface AddressedMail {
  readonly to: string;
  readonly locale: MailLocale;
  readonly mail: Mail;
  /** When what it links to is over, as the mail says. */
  readonly validUntil?: Date | undefined;
}

/** As text, for keeping. */
export function serialiseMail(mail: AddressedMail): string {
  return JSON.stringify(mail);
}

const moments: ReadonlySet<string> = new Set(['when', 'dueAt', 'validUntil']);

/** What `serialiseMail` wrote, by this version or one before it. Throws on anything else. */
export function parseMail(text: string): AddressedMail {
  const parsed: unknown = JSON.parse(text, (name, value) => (moments.has(name) ? new Date(value) : value));
  // Sealed by us and opened under its own seal: nobody else can have written it.
  return parsed as AddressedMail;
}
