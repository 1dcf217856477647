/**
 * This file owns the shape of a log line and what may never be in one: JSON by pino, or the same line made readable
 * for development. It does not own request ids (a gate makes a child logger) or history (events do that).
 *
 * Two nets, because a leak in a log is for ever: values under a sensitive name are replaced, however deep and however
 * spelled; and whatever text is left is searched for our own token formats, JWTs and credentials in URLs.
 */

import { type DestinationStream, type Logger, pino } from 'pino';
import { prettyFactory } from 'pino-pretty';

/** Settings of the logger. */
export interface LoggerSettings {
  readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';
  readonly format: 'pretty' | 'json';
  /** Colours in the pretty format; unless told, when standard output is a terminal. */
  readonly colours?: boolean;
}

const REDACTED = '[redacted]';
const DEEPEST = 8;

/** Names whose values are never logged, without case, hyphens and underscores: `Set-Cookie` is `setcookie`. */
const SENSITIVE_NAMES: ReadonlySet<string> = new Set(
  [
    ['password', 'new_password', 'current_password', 'password_hash', 'secret', 'client_secret', 'totp_secret'],
    ['code', 'user_code', 'device_code', 'backup_code', 'backup_codes', 'code_verifier', 'otp', 'csrf'],
    ['token', 'access_token', 'refresh_token', 'id_token', 'mfa_token', 'registration_access_token', 'logout_token'],
    ['id_token_hint', 'subject_token', 'actor_token', 'assertion', 'client_assertion', 'dpop'],
    ['authorization', 'proxy_authorization', 'cookie', 'cookies', 'set_cookie', 'api_key', 'x_api_key'],
    ['master_key', 'master_keys', 'private_key', 'database_url', 'redis_url', 'smtp_url', 'sentry_dsn'],
  ]
    .flat()
    .map(plainName),
);

/**
 * What an error may say. An allow-list, because libraries hang anything on their errors: PostgreSQL's `detail` and
 * `where` quote the row (`Key (email)=(…) already exists`), HTTP clients attach the whole request.
 */
const ERROR_FIELDS = [
  'code',
  'syscall',
  'severity',
  'schema',
  'table',
  'column',
  'constraint',
  'routine',
  'status',
  'statusCode',
  'error',
  'error_description',
  'error_detail',
] as const;

/** Credentials recognised by their looks. Runs over a finished JSON line, so no pattern may match a quote. */
const CREDENTIALS: readonly (readonly [pattern: RegExp, replacement: string])[] = [
  [/\beyJ[\w-]{8,}\.[\w-]*\.[\w-]*/g, REDACTED],
  [/\b(?:at|rt|ac|dc|rat|pk)_[\w-]{20,}/g, REDACTED],
  // API keys with a prefix of the tenant's own: 43 random characters or more, among which a capital and a digit never lack.
  [/\b[a-z][a-z0-9]{0,11}_(?=[\w-]*[A-Z])(?=[\w-]*\d)[\w-]{43,}/g, REDACTED],
  [/\b(Bearer|Basic|DPoP) [\w.~+/=-]{16,}/gi, `$1 ${REDACTED}`],
  [
    /([?&#](?:[a-z_]*(?:code|token|secret|password|assertion)(?:_hint)?|state|nonce|csrf)=)[^&#\s"'\\]+/gi,
    `$1${REDACTED}`,
  ],
  [/(\b[a-z][a-z0-9+.-]*:\/\/[^\s/:@"']*:)[^\s/@"']+(?=@)/gi, `$1${REDACTED}`],
];

/** What JSON leaves unescaped and a terminal or a line splitter may obey: DEL and C1, line separators, bidi controls. */
const UNESCAPED_CONTROLS = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: finding control characters is its purpose
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/**
 * Creates the process's logger. Lines carry `level` as a word, `time` in ISO 8601 and `message`; an Error under any key,
 * or as the first argument, becomes `{ type, message, stack, … }` with its causes. Children made with `child()` redact
 * their bindings too.
 *
 * @param destination Where finished lines go; standard output unless told. The write is synchronous: the last words of
 *   a dying process are the ones that matter.
 */
export function createLogger(settings: LoggerSettings, destination?: DestinationStream): Logger {
  const output = destination ?? pino.destination({ fd: 1, sync: true });
  const pretty = settings.format === 'pretty';
  const logger = pino(
    {
      level: settings.level,
      base: pretty ? null : { pid: process.pid },
      messageKey: 'message',
      errorKey: 'err',
      timestamp: pino.stdTimeFunctions.isoTime,
      // pino's own serialiser would copy every property of an error; describeError has already been here
      serializers: { err: (described: unknown) => described },
      formatters: { level: (label) => ({ level: label }), log: redactRecord },
      hooks: { streamWrite: sanitise },
    },
    pretty ? prettyDestination(output, settings.colours ?? process.stdout.isTTY === true) : output,
  );

  // pino formats the fields of a line but not the bindings of a child; children inherit this method and its `this`
  const child = logger.child;
  logger.child = function redactingChild(this: Logger, bindings, options) {
    return child.call(this, redactRecord(bindings), options);
  } as typeof child;
  return logger;
}

function redactRecord(record: Record<string, unknown>): Record<string, unknown> {
  const ancestors: object[] = [record];
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, redactField(name, value, ancestors)]));
}

function redactField(name: string, value: unknown, ancestors: readonly object[]): unknown {
  if (value === undefined || value === null || typeof value === 'boolean') return value;
  return SENSITIVE_NAMES.has(plainName(name)) ? REDACTED : redactValue(value, ancestors);
}

function redactValue(value: unknown, ancestors: readonly object[]): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return value;
  if (Buffer.isBuffer(value) || ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (ancestors.includes(value)) return '[circular]';
  if (ancestors.length >= DEEPEST) return '[too deep]';
  const path = [...ancestors, value];
  if (value instanceof Error) return describeError(value, path);
  if (Array.isArray(value)) return value.map((item) => redactValue(item, path));
  if ('toJSON' in value && typeof value.toJSON === 'function') return redactJson(value.toJSON(), path);
  if (value instanceof Map) return redactValue(Object.fromEntries(value), path);
  if (value instanceof Set) return redactValue([...value], path);
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, redactField(name, member, path)]));
}

/** A `toJSON` that answers itself would never end; its members are still walked. */
function redactJson(json: unknown, path: readonly object[]): unknown {
  if (typeof json !== 'object' || json === null) return json;
  return redactValue({ ...json }, path);
}

function describeError(error: Error, path: readonly object[]): Record<string, unknown> {
  const described: Record<string, unknown> = {
    type: error.name === 'Error' ? error.constructor.name : error.name,
    message: error.message,
    stack: error.stack,
  };
  for (const field of ERROR_FIELDS) {
    const value: unknown = Reflect.get(error, field);
    if (typeof value === 'string' || typeof value === 'number') described[field] = value;
  }
  if (error.cause !== undefined) described['cause'] = redactField('cause', error.cause, path);
  if (error instanceof AggregateError) described['errors'] = redactValue(error.errors, path);
  return described;
}

function plainName(name: string): string {
  return name.toLowerCase().replace(/[-_\s]/g, '');
}

/** Runs over a finished JSON line: the second net, and the control characters that JSON does not escape. */
function sanitise(line: string): string {
  let safe = line;
  for (const [pattern, replacement] of CREDENTIALS) safe = safe.replace(pattern, replacement);
  return safe.replace(UNESCAPED_CONTROLS, (character) => `\\u${hexadecimal(character, 4)}`);
}

function prettyDestination(output: DestinationStream, colours: boolean): DestinationStream {
  const format = prettyFactory({
    colorize: colours,
    messageKey: 'message',
    translateTime: 'SYS:HH:MM:ss.l',
    ignore: 'pid,hostname',
    errorLikeObjectKeys: ['err'],
    singleLine: true,
  });
  return {
    write(line) {
      const record: unknown = JSON.parse(line);
      output.write(format(neutralise(record, '')));
    },
  };
}

/**
 * Makes control characters visible before a terminal sees them: otherwise a user agent or an e-mail address could forge
 * lines (CR, LF), recolour or erase the screen (ANSI escapes), or truncate what is copied (NUL). A stack keeps its lines.
 */
function neutralise(value: unknown, name: string): unknown {
  if (typeof value === 'string') {
    if (name === 'stack') return value.split('\n').map(visible).join('\n');
    return visible(value);
  }
  if (Array.isArray(value)) return value.map((item) => neutralise(item, ''));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [visible(key), neutralise(member, key)]));
}

function visible(text: string): string {
  return text.replace(CONTROLS, (character) => {
    if (character === '\n') return '\\n';
    if (character === '\r') return '\\r';
    if (character === '\t') return '\\t';
    return character > '\u00ff' ? `\\u${hexadecimal(character, 4)}` : `\\x${hexadecimal(character, 2)}`;
  });
}

function hexadecimal(character: string, digits: number): string {
  return character.charCodeAt(0).toString(16).padStart(digits, '0');
}
