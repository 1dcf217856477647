/**
 * A mail server as others run them: a real SMTP conversation (RFC 5321) over real sockets, with STARTTLS when it has a certificate. It
 * keeps every byte that was said to it, and behaves as badly as it is told to.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { createSecureContext, TLSSocket } from 'node:tls';
import type { IssuedCertificate } from './certificates.ts';

export interface ReceivedMail {
  readonly sender: string;
  readonly recipients: readonly string[];
  /** As it was sent, without the dots that only the transport needs. */
  readonly raw: string;
  readonly encrypted: boolean;
}

/** What it does when somebody says this command, instead of what it should. `undefined`: what it should. */
export type SmtpAnswer = string | 'hang' | 'drop' | undefined;
export type SmtpBehaviour = (command: string) => SmtpAnswer;

export interface SmtpServer {
  readonly url: string;
  readonly port: number;
  /** Mails that were taken, in the order of their arrival. */
  readonly mails: readonly ReceivedMail[];
  /** Every command, whole, in order. */
  readonly commands: readonly string[];
  /** From now on. It is asked with each command, and with `.` when a mail is complete. */
  behave(behaviour: SmtpBehaviour): void;
  /** Resolves when this many mails have come. */
  whenReceived(count: number): Promise<void>;
  close(): Promise<void>;
}

const obedient: SmtpBehaviour = () => undefined;

export async function startSmtpServer({
  certificate,
  implicitTls = false,
  extensions = [],
}: {
  certificate?: IssuedCertificate;
  implicitTls?: boolean;
  extensions?: readonly string[];
} = {}): Promise<SmtpServer> {
  const mails: ReceivedMail[] = [];
  const commands: string[] = [];
  const sockets = new Set<Socket>();
  const waiting = new Set<() => void>();
  let behaviour = obedient;
  const context =
    certificate === undefined
      ? undefined
      : createSecureContext({ cert: certificate.certificate, key: certificate.key });

  function converse(socket: Socket, encrypted: boolean, greets: boolean): void {
    let buffer = '';
    let data: string[] | undefined;
    let sender = '';
    let recipients: string[] = [];
    const reply = (text: string): void => void socket.write(`${text}\r\n`);
    const act = (command: string, otherwise: () => void): void => {
      const answer = behaviour(command);
      if (answer === undefined) otherwise();
      else if (answer === 'drop') socket.destroy();
      else if (answer !== 'hang') reply(answer);
    };
    if (greets) act('connect', () => reply('220 mail.test ESMTP'));

    const onLine = (line: string): void => {
      if (data !== undefined) {
        if (line !== '.') return void data.push(line.replace(/^\./, ''));
        const raw = data.map((each) => `${each}\r\n`).join('');
        data = undefined;
        const mail = { sender, recipients, raw, encrypted };
        act('.', () => {
          mails.push(mail);
          reply('250 2.0.0 taken');
          for (const check of waiting) check();
        });
        return;
      }
      commands.push(line);
      const verb = line.split(/[ :]/)[0]?.toUpperCase() ?? '';
      act(line, () => {
        switch (verb) {
          case 'EHLO': {
            const offered = [
              'mail.test',
              ...extensions,
              '8BITMIME',
              'SMTPUTF8',
              'AUTH PLAIN',
              ...(context !== undefined && !encrypted ? ['STARTTLS'] : []),
            ];
            return offered.forEach((each, index) => {
              reply(`250${index === offered.length - 1 ? ' ' : '-'}${each}`);
            });
          }
          case 'STARTTLS': {
            if (context === undefined) return reply('502 5.5.1 not here');
            socket.removeAllListeners('data');
            reply('220 2.0.0 go ahead');
            const secured = new TLSSocket(socket, { isServer: true, secureContext: context });
            secured.on('error', () => secured.destroy());
            return converse(secured, true, false);
          }
          case 'AUTH':
            return reply('235 2.7.0 welcome');
          case 'MAIL':
            sender = /<([^>]*)>/.exec(line)?.[1] ?? '';
            recipients = [];
            return reply('250 2.1.0 fine');
          case 'RCPT':
            recipients = [...recipients, /<([^>]*)>/.exec(line)?.[1] ?? ''];
            return reply('250 2.1.5 fine');
          case 'DATA':
            data = [];
            return reply('354 go on');
          case 'RSET':
          case 'NOOP':
            return reply('250 2.0.0 fine');
          case 'QUIT':
            reply('221 2.0.0 bye');
            return void socket.end();
          default:
            return reply('500 5.5.2 what?');
        }
      });
    };

    socket.on('data', (chunk) => {
      buffer += chunk.toString('latin1');
      for (let end = buffer.indexOf('\r\n'); end !== -1; end = buffer.indexOf('\r\n')) {
        const line = buffer.slice(0, end);
        buffer = buffer.slice(end + 2);
        onLine(line);
      }
    });
  }

  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    if (!implicitTls || context === undefined) return converse(socket, false, true);
    const secured = new TLSSocket(socket, { isServer: true, secureContext: context });
    secured.on('error', () => secured.destroy());
    secured.once('secure', () => converse(secured, true, true));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('no port');
  return {
    url: `${implicitTls ? 'smtps' : 'smtp'}://${certificate === undefined ? '127.0.0.1' : 'localhost'}:${address.port}`,
    port: address.port,
    mails,
    commands,
    behave(next) {
      behaviour = next;
    },
    whenReceived(count) {
      return new Promise((resolve) => {
        const check = (): void => {
          if (mails.length < count) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        check();
      });
    },
    close() {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

export interface ReadMail {
  /** Unfolded, in order, names as they were written. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  header(name: string): string;
  readonly text: string;
  readonly html: string;
}

/** Reads a mail of two alternatives as a mail program does, as far as our own mails need it (RFC 2045, 2046, 2047). */
export function readMail(raw: string): ReadMail {
  const { headers, body } = splitEntity(raw);
  const header = (name: string): string =>
    decodeWords(headers.find(([each]) => each.toLowerCase() === name.toLowerCase())?.[1] ?? '');
  const boundary = /boundary="?([^";]+)"?/.exec(header('Content-Type'))?.[1];
  const parts =
    boundary === undefined
      ? []
      : body
          .split(`--${boundary}`)
          .slice(1, -1)
          .map((part) => splitEntity(part.replace(/^\r\n/, '')));
  const partOf = (type: string): string => {
    const part = parts.find(({ headers: own }) =>
      own.some(([name, value]) => name.toLowerCase() === 'content-type' && value.startsWith(type)),
    );
    return part === undefined ? '' : decodeBody(part);
  };
  return { headers, header, text: partOf('text/plain'), html: partOf('text/html') };
}

interface Entity {
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
}

function splitEntity(raw: string): Entity {
  const end = raw.indexOf('\r\n\r\n');
  const head = raw.slice(0, end).replaceAll(/\r\n[ \t]/g, ' ');
  const headers = head.split('\r\n').map((line) => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1).trim()] as const;
  });
  return { headers, body: raw.slice(end + 4) };
}

function decodeBody({ headers, body }: Entity): string {
  const encoding = headers.find(([name]) => name.toLowerCase() === 'content-transfer-encoding')?.[1].toLowerCase();
  if (encoding === 'base64') return Buffer.from(body, 'base64').toString('utf8');
  if (encoding === 'quoted-printable') return decodeQuoted(body.replaceAll(/=\r\n/g, ''));
  return Buffer.from(body, 'latin1').toString('utf8');
}

function decodeQuoted(text: string): string {
  const bytes = text.replaceAll(/=([0-9A-F]{2})/gi, (_all, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

function decodeWords(value: string): string {
  const joined = value.replaceAll(/\?=\s+=\?/g, '?==?');
  return joined.replaceAll(/=\?utf-8\?([BQ])\?([^?]*)\?=/gi, (_all, kind: string, text: string) =>
    kind.toUpperCase() === 'B' ? Buffer.from(text, 'base64').toString('utf8') : decodeQuoted(text.replaceAll('_', ' ')),
  );
}
