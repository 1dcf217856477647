/**
 * The mail server: hands it one mail after another over a few connections that are kept (SMTP, RFC 5321), and says what it answered.
 * It decides nothing about trying again, and never repeats what a server wrote beyond its codes: servers like to quote addresses.
 */
import { createTransport } from 'nodemailer';
import type { Secret } from '#src/foundation/secret.ts';

/** A name and an address; neither is ever put into a header as it is. */
export interface Mailbox {
  readonly name: string;
  readonly address: string;
}

export interface OutgoingMail {
  /** Without angle brackets. The same at every attempt: a server that took it already can tell. */
  readonly messageId: string;
  readonly date: Date;
  readonly from: Mailbox;
  readonly to: Mailbox;
  readonly subject: string;
  readonly text: string;
  readonly html: string;
}

export type SendOutcome =
  | { readonly outcome: 'accepted' }
  /** `permanent`: this mail will never be taken. What a server says of us and not of the mail is not: an operator can repair it. */
  | { readonly outcome: 'failed'; readonly permanent: boolean; readonly problem: string };

export interface MailServer {
  /** Resolves within the time limit, whatever the server does. */
  send(mail: OutgoingMail): Promise<SendOutcome>;
  close(): void;
}

export interface MailServerOptions {
  /** smtp: or smtps:, with the credentials in it. */
  readonly url: Secret;
  /** What we call ourselves: the host of the public URL. */
  readonly clientName: string;
  readonly timeLimitSeconds: number;
  /** Certificate authorities in PEM; those of Node unless given. */
  readonly certificateAuthorities?: readonly string[];
}

const connections = 4;
/** Between two bytes; the time limit is for all of it together. */
const silenceMilliseconds = 30_000;
const connectMilliseconds = 10_000;

/**
 * Connects when there is something to send. smtps: is TLS from the first byte; smtp: turns to TLS when the server offers it, and must
 * when there are credentials to send. A certificate that is not valid for the host is refused.
 */
export function createMailServer(options: MailServerOptions): MailServer {
  const { url, clientName, timeLimitSeconds, certificateAuthorities } = options;
  const { protocol, hostname, port, username, password } = new URL(url.reveal());
  const secure = protocol === 'smtps:';
  const host = hostname.replace(/^\[|\]$/g, '');
  const hasCredentials = username !== '';
  const transport = createTransport({
    pool: true,
    maxConnections: connections,
    // Trying again is decided by whoever sends: here it would be neither counted nor bounded.
    maxRequeues: 0,
    host,
    port: port === '' ? (secure ? 465 : 587) : Number(port),
    secure,
    requireTLS: hasCredentials && !secure,
    name: clientName,
    ...(hasCredentials ? { auth: { user: decodeURIComponent(username), pass: decodeURIComponent(password) } } : {}),
    ...(certificateAuthorities === undefined ? {} : { tls: { ca: [...certificateAuthorities] } }),
    connectionTimeout: connectMilliseconds,
    greetingTimeout: connectMilliseconds,
    socketTimeout: silenceMilliseconds,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  return {
    async send({ messageId, date, from, to, subject, text, html }) {
      try {
        await transport.sendMail({
          messageId: `<${messageId}>`,
          date,
          from: { ...from },
          to: { ...to },
          subject,
          text,
          html,
          textEncoding: 'quoted-printable',
          headers: {
            // RFC 3834: an absent person's answering machine leaves it alone; the second is what Exchange reads.
            'Auto-Submitted': 'auto-generated',
            'X-Auto-Response-Suppress': 'All',
          },
          signal: AbortSignal.timeout(timeLimitSeconds * 1000),
        });
        return { outcome: 'accepted' };
      } catch (fault) {
        return describeFailure(fault, timeLimitSeconds);
      }
    },
    close: () => transport.close(),
  };
}

/** For an installation that was not told of any: every mail waits for the operator to say. */
export const noMailServer: MailServer = {
  send: async () => ({ outcome: 'failed', permanent: false, problem: 'no mail server is set (POORT_SMTP_URL)' }),
  close: () => undefined,
};

/** Commands whose refusal is about this one mail: its recipient, or what it says. */
const aboutTheMail: ReadonlySet<string> = new Set(['RCPT TO', 'DATA']);

function describeFailure(fault: unknown, timeLimitSeconds: number): SendOutcome {
  const { code, command, responseCode, response } = readFault(fault);
  if (responseCode !== undefined) {
    const enhanced = /^\d{3}[ -](\d\.\d{1,3}\.\d{1,3})\b/.exec(response)?.[1];
    const answer = [responseCode, ...(enhanced === undefined ? [] : [enhanced])].join(' ');
    // 503 is about the order of commands: a new conversation may go better.
    const permanent = responseCode >= 500 && responseCode !== 503 && aboutTheMail.has(command);
    return { outcome: 'failed', permanent, problem: `${command === '' ? 'the server' : command}: ${answer}` };
  }
  if (code === 'EABORT') {
    return { outcome: 'failed', permanent: false, problem: `no answer within ${timeLimitSeconds} seconds` };
  }
  return { outcome: 'failed', permanent: false, problem: `${command === '' ? 'the server' : command}: ${code}` };
}

function readFault(fault: unknown): {
  code: string;
  command: string;
  responseCode: number | undefined;
  response: string;
} {
  const read = typeof fault === 'object' && fault !== null ? (fault as Readonly<Record<string, unknown>>) : {};
  const text = (value: unknown): string => (typeof value === 'string' ? value : '');
  const responseCode = typeof read['responseCode'] === 'number' ? read['responseCode'] : undefined;
  // What the network or TLS said, before it was counted among the faults of sockets: ECONNREFUSED, CERT_HAS_EXPIRED.
  const code = text(read['originalCode']) || text(read['code']) || 'unknown fault';
  return { code, command: text(read['command']), responseCode, response: text(read['response']) };
}
