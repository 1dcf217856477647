/**
 * This file owns the list of settings: the name of each in YAML and in the environment, its type, whether it is a secret,
 * and the words that tell an operator what belongs there. Defaults are not here but in default.yaml (and, where they depend
 * on other settings, in config.ts). docs/settings.md is held against this list by a test.
 */

import type { z } from 'zod';
import {
  PEOPLE_SETTINGS,
  type PeopleSettingName,
  type PeopleSettings,
  peopleSettingKinds,
} from '#src/domain/people_settings.ts';
import { MAXIMUM_GRACE_SECONDS } from '#src/domain/rotation.ts';
import { OTHER_ATTEMPT_KINDS, type OtherAttemptKind } from '#src/domain/sign_in_throttle.ts';
import type { SettingsFault } from './faults.ts';
import {
  headerName,
  hostsOrNetworks,
  httpEndpoint,
  httpOrigin,
  listenHost,
  mailSender,
  masterKeyList,
  networks,
  oneOf,
  onOrOff,
  parsedBy,
  pem,
  port,
  secretUrl,
  text,
  wholeNumber,
} from './setting_values.ts';

const minuteSeconds = 60;
const dayInSeconds = 86_400;
const tenYearsInSeconds = 3650 * dayInSeconds;

/** An old name from a service that Poort replaces; accepted with a warning. */
export interface SettingAlias {
  readonly variable: string;
  /** The old unit, in seconds; a setting without a unit has none. */
  readonly unitSeconds?: number;
}

/** What is known about one setting before anybody has given it a value. */
export interface SettingDefinition {
  /** The name in the environment; also as NAME_FILE. Numbers that only YAML holds have none. */
  readonly variable?: string;
  readonly value: z.ZodType;
  /** Completes the sentence "Set it to …". */
  readonly expected: string;
  /** Masked wherever it is shown, and refused in YAML files, which end up in repositories and images. */
  readonly secret?: true;
  /** May have no value at all, or gets one that is derived from the others. */
  readonly optional?: true;
  /** Chooses the YAML file, so it cannot stand in one. */
  readonly environmentOnly?: true;
  readonly alias?: SettingAlias;
}

const seconds = (minimum: number, maximum: number) => ({
  value: wholeNumber(minimum, maximum),
  expected: `a number of seconds from ${minimum} to ${maximum}`,
});

const count = (minimum: number, maximum: number) => ({
  value: wholeNumber(minimum, maximum),
  expected: `a whole number from ${minimum} to ${maximum}`,
});

const protocolSwitch = { value: onOrOff, expected: 'on or off' };

/** What a tenant may also say for itself: parsed by the same rules wherever it is written. */
function peopleSettings(): {
  readonly [Name in PeopleSettingName]: { readonly value: z.ZodType<PeopleSettings[Name]>; readonly expected: string };
} {
  // One entry for each name, with the schema of its own kind: what `fromEntries` cannot tell.
  return Object.fromEntries(
    PEOPLE_SETTINGS.map((name) => {
      const { parse, expected } = peopleSettingKinds[name];
      return [name, { value: parsedBy<unknown>(parse, expected), expected }];
    }),
  ) as ReturnType<typeof peopleSettings>;
}

function limitsPerIdentifier(): {
  readonly [Kind in OtherAttemptKind as `sign_in.per_identifier.${Kind}`]: ReturnType<typeof count>;
} {
  // One entry for each kind: what `fromEntries` cannot tell.
  return Object.fromEntries(
    OTHER_ATTEMPT_KINDS.map((kind) => [`sign_in.per_identifier.${kind}`, count(1, 1_000_000)]),
  ) as ReturnType<typeof limitsPerIdentifier>;
}

/** Every setting, by its name in YAML. */
export const settingDefinitions = {
  env: {
    variable: 'POORT_ENV',
    value: oneOf(['development', 'test', 'production']),
    expected: 'development, test or production',
    environmentOnly: true,
    optional: true,
  },
  'http.port': {
    variable: 'POORT_PORT',
    value: port,
    expected: 'a port from 0 to 65535, for example 3000',
    alias: { variable: 'AUTH_SERVICE_PORT' },
  },
  'http.host': {
    variable: 'POORT_HOST',
    value: listenHost,
    expected: 'an address to listen on, for example 127.0.0.1 or 0.0.0.0',
  },
  'http.public_url': {
    variable: 'POORT_PUBLIC_URL',
    value: httpOrigin,
    expected: 'the origin that browsers see, for example https://id.example.org',
    optional: true,
  },
  'http.trusted_proxies': {
    variable: 'POORT_TRUSTED_PROXIES',
    value: networks,
    expected: 'a list of networks, for example 10.0.0.0/8,192.168.1.7',
  },
  'http.client_certificate_header': {
    variable: 'POORT_CLIENT_CERTIFICATE_HEADER',
    value: headerName,
    expected: 'the header that your proxy overwrites with the client certificate, for example Client-Cert',
    optional: true,
  },
  'http.client_certificate_verified_header': {
    variable: 'POORT_CLIENT_CERTIFICATE_VERIFIED_HEADER',
    value: headerName,
    expected: 'the header in which your proxy says SUCCESS of a certificate it has checked',
    optional: true,
  },
  'http.body_limit_bytes': {
    value: wholeNumber(1024, 16_777_216),
    expected: 'a number of bytes from 1024 to 16777216',
  },
  'http.drain_seconds': seconds(0, 600),
  data_directory: {
    variable: 'POORT_DATA_DIR',
    value: text,
    expected: 'a directory that this process may write, for example .poort',
  },
  database_url: {
    variable: 'POORT_DATABASE_URL',
    value: secretUrl(['postgres:', 'postgresql:'], { userName: false }),
    expected: "the owner's connection, as in postgres://owner:password@host:5432/poort",
    secret: true,
    optional: true,
    alias: { variable: 'AUTH_DB_CONNECTION_STRING' },
  },
  redis_url: {
    variable: 'POORT_REDIS_URL',
    value: secretUrl(['redis:', 'rediss:'], { userName: false }),
    expected: 'a Redis address, as in rediss://:password@host:6379/0',
    secret: true,
    optional: true,
  },
  master_key: {
    variable: 'POORT_MASTER_KEY',
    value: masterKeyList,
    expected:
      '32 random bytes in base64 (openssl rand -base64 32); to rotate, the new key first, then a comma and the old one',
    secret: true,
    optional: true,
  },
  'mail.smtp_url': {
    variable: 'POORT_SMTP_URL',
    value: secretUrl(['smtp:', 'smtps:'], { userName: false }),
    expected: 'a mail server, as in smtps://user:password@host:465',
    secret: true,
    optional: true,
  },
  'mail.from': {
    variable: 'POORT_MAIL_FROM',
    value: mailSender,
    expected: 'a sender, for example Poort <no-reply@example.org>',
    optional: true,
  },
  'mail.maximum_attempts': count(1, 100),
  'mail.first_retry_seconds': seconds(1, 3600),
  'mail.maximum_retry_seconds': seconds(1, dayInSeconds),
  // Below the lease of src/flows/mail/deliver_mails.ts.
  'mail.time_limit_seconds': seconds(1, 100),
  'mail.requested_per_recipient_and_hour': count(1, 1000),
  'mail.requested_per_recipient_and_day': count(1, 1000),
  'mail.requested_per_tenant_and_hour': count(1, 100_000),
  'mail.entitled_per_recipient_and_hour': count(1, 1000),
  'mail.entitled_per_recipient_and_day': count(1, 1000),
  'mail.entitled_per_tenant_and_hour': count(1, 100_000),
  'mail.notices_per_recipient_and_hour': count(1, 1000),
  'mail.notices_per_recipient_and_day': count(1, 1000),
  'mail.notices_per_tenant_and_hour': count(1, 100_000),
  'mail.development_mailbox_size': count(1, 10_000),
  'grpc.port': {
    variable: 'POORT_GRPC_PORT',
    value: port,
    expected: 'a port from 1 to 65535, or 0 to switch gRPC off',
  },
  'grpc.host': {
    variable: 'POORT_GRPC_HOST',
    value: listenHost,
    expected: 'an address to listen on, for example 127.0.0.1',
  },
  'grpc.tls.certificate': {
    variable: 'POORT_GRPC_TLS_CERTIFICATE',
    value: pem('CERTIFICATE'),
    expected: 'a certificate as PEM, with those that lead to its authority',
    optional: true,
  },
  'grpc.tls.key': {
    variable: 'POORT_GRPC_TLS_KEY',
    value: pem('PRIVATE KEY'),
    expected: "the certificate's private key as PEM",
    secret: true,
    optional: true,
  },
  'grpc.tls.client_authority': {
    variable: 'POORT_GRPC_TLS_CLIENT_AUTHORITY',
    value: pem('CERTIFICATE'),
    expected: 'the certificate, as PEM, of the authority that issues those of your services',
    optional: true,
  },
  'grpc.plaintext': { variable: 'POORT_GRPC_PLAINTEXT', value: onOrOff, expected: 'on or off' },
  'grpc.maximum_call_seconds': seconds(1, 600),
  'grpc.maximum_message_bytes': {
    value: wholeNumber(1024, 16_777_216),
    expected: 'a number of bytes from 1024 to 16777216',
  },
  'grpc.maximum_streams': count(1, 100_000),
  metrics_port: {
    variable: 'POORT_METRICS_PORT',
    value: port,
    expected: 'a port from 1 to 65535, or 0 to switch the metrics off',
  },
  processes: { variable: 'POORT_PROCESSES', ...count(1, 256) },
  egress_allow: {
    variable: 'POORT_EGRESS_ALLOW',
    value: hostsOrNetworks,
    expected: 'a list of host names or networks, for example ldap.internal,10.1.0.0/16',
  },
  'egress.time_limit_seconds': seconds(1, 60),
  'egress.maximum_body_bytes': {
    value: wholeNumber(1024, 16_777_216),
    expected: 'a number of bytes from 1024 to 16777216',
  },
  'egress.maximum_per_host': count(1, 1000),
  'log.level': {
    variable: 'POORT_LOG_LEVEL',
    value: oneOf(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
    expected: 'trace, debug, info, warn, error, fatal or silent',
  },
  'log.format': {
    variable: 'POORT_LOG_FORMAT',
    value: oneOf(['pretty', 'json']),
    expected: 'pretty or json',
  },
  sentry_dsn: {
    variable: 'POORT_SENTRY_DSN',
    value: secretUrl(['https:', 'http:'], { userName: true }),
    expected: 'a Sentry DSN, as in https://key@sentry.example.org/1',
    secret: true,
    optional: true,
  },
  otlp_endpoint: {
    variable: 'POORT_OTLP_ENDPOINT',
    value: httpEndpoint,
    expected: 'the address of an OTLP collector, for example http://127.0.0.1:4318',
    optional: true,
  },
  'demo.enabled': { variable: 'POORT_DEMO', value: onOrOff, expected: 'on or off', optional: true },
  'demo.port': { value: port, expected: 'a port from 0 to 65535', optional: true },

  'lifetimes.access_token_seconds': {
    ...seconds(1, dayInSeconds),
    alias: { variable: 'AUTH_ACCESS_TOKEN_TTL_MINUTES', unitSeconds: minuteSeconds },
  },
  'lifetimes.id_token_seconds': seconds(1, dayInSeconds),
  // RFC 6749 §4.1.2 recommends at most ten minutes for an authorization code.
  'lifetimes.authorization_code_seconds': seconds(1, 600),
  'lifetimes.interaction_seconds': seconds(60, dayInSeconds),
  // RFC 9126 §2.2: "a few seconds to a few minutes".
  'lifetimes.par_seconds': seconds(5, 600),
  'lifetimes.session.idle_seconds': seconds(60, 365 * dayInSeconds),
  'lifetimes.session.absolute_seconds': seconds(60, 365 * dayInSeconds),
  'lifetimes.refresh_token.idle_seconds': {
    ...seconds(60, tenYearsInSeconds),
    alias: { variable: 'AUTH_REFRESH_TOKEN_TTL_HOURS', unitSeconds: 60 * minuteSeconds },
  },
  'lifetimes.refresh_token.device_idle_seconds': seconds(60, tenYearsInSeconds),
  'lifetimes.refresh_token.grace_seconds': seconds(0, MAXIMUM_GRACE_SECONDS),
  'lifetimes.refresh_token.device_grace_seconds': seconds(0, dayInSeconds),
  'lifetimes.refresh_token.absolute_seconds.web': seconds(60, tenYearsInSeconds),
  'lifetimes.refresh_token.absolute_seconds.spa': seconds(60, tenYearsInSeconds),
  'lifetimes.refresh_token.absolute_seconds.native': seconds(60, tenYearsInSeconds),
  'lifetimes.refresh_token.absolute_seconds.device': seconds(60, tenYearsInSeconds),

  'keys.jwks_cache_seconds': seconds(1, dayInSeconds),
  'keys.rotate_after_seconds': seconds(60, tenYearsInSeconds),
  'keys.id_token_hint_seconds': seconds(0, 365 * dayInSeconds),
  // Not shorter than a day: every epoch that a session may have seen is accepted, and each costs a look.
  'keys.cookie_epoch_seconds': seconds(dayInSeconds, tenYearsInSeconds),

  'protocol.mtls': protocolSwitch,
  'protocol.jar': protocolSwitch,
  'protocol.jarm': protocolSwitch,
  'protocol.rar': protocolSwitch,
  'protocol.ciba': protocolSwitch,
  'protocol.fapi2': protocolSwitch,
  'protocol.dynamic_registration': protocolSwitch,
  'protocol.token_exchange': protocolSwitch,
  'protocol.device_grant': protocolSwitch,

  ...peopleSettings(),

  // Of the installation and not of a tenant: it names a file of this machine.
  'password.breached_list_file': {
    variable: 'POORT_BREACHED_PASSWORDS',
    value: text,
    expected: 'a file of SHA-1 values in order, as the downloader of Have I Been Pwned writes it',
    optional: true,
  },
  'proofs.verification_seconds': seconds(300, 7 * dayInSeconds),
  'proofs.reset_seconds': seconds(60, dayInSeconds),

  'sign_in.window_seconds': seconds(1, dayInSeconds),
  'sign_in.maximum_per_identifier_and_address': count(1, 1_000_000),
  'sign_in.maximum_per_identifier': count(1, 1_000_000),
  'sign_in.maximum_per_address': count(1, 1_000_000),
  'sign_in.maximum_per_known_device': count(1, 1_000_000),
  'sign_in.maximum_per_tenant': count(1, 100_000_000),
  'sign_in.tenant_window_seconds': seconds(1, 3600),
  'sign_in.first_lock_seconds': seconds(1, dayInSeconds),
  'sign_in.longest_lock_seconds': seconds(1, dayInSeconds),
  ...limitsPerIdentifier(),
  'sign_in.user_codes_per_address': count(1, 1_000_000),
  'sign_in.user_codes_per_tenant': count(1, 1_000_000),
  'sign_in.short_addresses_per_installation': count(1, 1_000_000),

  'device_codes.maximum_per_client_and_address': count(1, 1_000_000),
  'device_codes.maximum_per_tenant': count(1, 1_000_000),

  'operators.require_second_factor': protocolSwitch,

  'tenants.deletion_delay_days': { value: wholeNumber(0, 365), expected: 'a number of days from 0 to 365' },

  'backchannel_logout.maximum_attempts': count(1, 100),
  'backchannel_logout.first_retry_seconds': seconds(1, 3600),
  'backchannel_logout.maximum_retry_seconds': seconds(1, dayInSeconds),

  'password_hashing.memory_kibibytes': {
    // RFC 9106 §3.1: at least eight KiB for each lane; a few GiB is where one sign-in takes the machine down.
    value: wholeNumber(128, 4_194_304),
    expected: 'a number of KiB from 128 to 4194304',
  },
  'password_hashing.passes': count(1, 100),
  'password_hashing.lanes': count(1, 16),
  'password_hashing.queue_length': count(1, 10_000),
  'password_hashing.concurrency': { ...count(1, 1024), optional: true },
} as const satisfies Record<string, SettingDefinition>;

type Definitions = typeof settingDefinitions;

/** The name of a setting, as it is written in YAML with dots between the groups. */
export type SettingName = keyof Definitions;

type ValueOf<Definition extends SettingDefinition> = Definition extends { readonly optional: true }
  ? z.output<Definition['value']> | undefined
  : z.output<Definition['value']>;

/** A value for every setting, before the derived defaults are filled in. */
export type SettingValues = { readonly [Name in SettingName]: ValueOf<Definitions[Name]> };

/** A valid value with the place it came from: a variable, a file, or a file with a line. */
export interface GivenValue {
  readonly value: unknown;
  readonly source: string;
  /** The name that the operator wrote, for faults that show only later. */
  readonly writtenAs: string;
}

/** What one source of settings holds. Names in `refused` were given there with a value that is wrong. */
export interface GivenSettings {
  readonly values: ReadonlyMap<SettingName, GivenValue>;
  readonly refused: ReadonlySet<SettingName>;
  readonly faults: readonly SettingsFault[];
}

/** The list as pairs, in the order in which settings are shown. */
export const settings = Object.entries(settingDefinitions) as readonly (readonly [SettingName, SettingDefinition])[];

/** Old names that are refused, each with the sentence why and what to do instead. */
export const refusedVariables: Readonly<Record<string, { readonly problem: string; readonly fix: string }>> = {
  JWT_SECRET: {
    problem:
      'tokens are not signed with a shared secret: every tenant has its own asymmetric keys, made and rotated here',
    fix: 'Remove it. Resource servers verify with the public keys at {issuer}/jwks or ask {issuer}/introspect.',
  },
  REFRESH_SECRET: {
    problem: 'refresh tokens are not signed: they are opaque, kept as a hash, and rotated at every use',
    fix: 'Remove it. There is nothing to configure in its place.',
  },
};

/** The old name of an issuer. Not an alias: an issuer here is the public URL plus `/t/{slug}`. */
export const issuerVariable = 'AUTH_JWT_ISSUER';

/** Left to the test suite and never read here, so that a variable for tests does not stop a server. */
export const testVariablePrefix = 'POORT_TEST_';
