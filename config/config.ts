/**
 * This file owns the settings as the rest of the house sees them: one typed, frozen value, made once at the start from
 * environment > config/<POORT_ENV>.yaml > config/default.yaml, or every fault at once. Which settings exist is in
 * settings_schema.ts; what production refuses in production_guard.ts; the environment itself is an argument.
 */

import { isIP } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DeviceCodeLimits } from '#src/domain/device_grant.ts';
import { LOCK_BUDGET, type MailBudgets } from '#src/domain/mail.ts';
import { PEOPLE_SETTINGS, type PeopleSettingName, type PeopleSettings } from '#src/domain/people_settings.ts';
import type { ProofLifetimes } from '#src/domain/proof.ts';
import { PROTOCOL_FEATURES, type ProtocolFeature, type ProtocolFeatures } from '#src/domain/protocol_features.ts';
import {
  OTHER_ATTEMPT_KINDS,
  type OtherAttemptKind,
  type SignInThrottleSettings,
} from '#src/domain/sign_in_throttle.ts';
import { Secret } from '#src/foundation/secret.ts';
import { type DevelopmentSecrets, ensureDevelopmentSecrets, readDevelopmentSecrets } from './development_secrets.ts';
import type { SettingsFault } from './faults.ts';
import { productionFaults, productionWarnings } from './production_guard.ts';
import { readSettingsFile } from './settings_file.ts';
import {
  type GivenSettings,
  type GivenValue,
  type SettingDefinition,
  type SettingName,
  type SettingValues,
  settings,
} from './settings_schema.ts';
import { type Environment, readVariables } from './variables.ts';

/** The settings of one process: complete, checked and deeply frozen. Units are in the names. */
export interface Config {
  readonly env: 'development' | 'test' | 'production';
  readonly http: {
    readonly port: number;
    readonly host: string;
    /** An origin without a trailing slash: the beginning of every issuer and of every link. */
    readonly publicUrl: string;
    /** Networks in CIDR notation whose X-Forwarded-* is believed. */
    readonly trustedProxies: readonly string[];
    /** In lower case: where a trusted proxy puts the client's certificate. Undefined: nobody has one. */
    readonly clientCertificateHeader: string | undefined;
    /** In lower case: where it says SUCCESS of one that it checked against its authorities. */
    readonly clientCertificateVerifiedHeader: string | undefined;
    readonly bodyLimitBytes: number;
    readonly drainSeconds: number;
  };
  /** Absolute. Exists after loading when the development secrets are in it; otherwise whoever needs it makes it. */
  readonly dataDirectory: string;
  /** The owner's connection; undefined means the embedded database. */
  readonly databaseUrl: Secret | undefined;
  readonly redisUrl: Secret | undefined;
  /** Each the plain base64 of 32 bytes, never empty. The first one seals, all of them open. */
  readonly masterKeys: readonly Secret[];
  readonly mail: {
    readonly smtpUrl: Secret | undefined;
    readonly from: string;
    readonly timeLimitSeconds: number;
    readonly retry: {
      readonly maximumAttempts: number;
      readonly firstRetrySeconds: number;
      readonly maximumRetrySeconds: number;
    };
    readonly budgets: MailBudgets;
    /** Of each tenant, where mail is not sent but shown. */
    readonly developmentMailboxSize: number;
  };
  /** Port 0 switches gRPC off. */
  readonly grpc: {
    readonly port: number;
    readonly host: string;
    /** Undefined: nothing is encrypted. */
    readonly tls:
      | {
          /** PEM, with what leads to its authority. */
          readonly certificate: string;
          readonly key: Secret;
          /** PEM. Whose certificates clients must show; undefined: they need none. */
          readonly clientAuthority: string | undefined;
        }
      | undefined;
    /** Unencrypted also beyond this machine, in production. */
    readonly plaintext: boolean;
    readonly maximumCallSeconds: number;
    readonly maximumMessageBytes: number;
    /** Calls at the same time on one connection. */
    readonly maximumStreams: number;
  };
  /** Port 0 switches the metrics off. */
  readonly metricsPort: number;
  readonly processes: number;
  /** Host names in lower case, and networks in CIDR notation. */
  readonly egressAllow: readonly string[];
  readonly egress: {
    readonly timeLimitSeconds: number;
    readonly maximumBodyBytes: number;
    readonly maximumPerHost: number;
  };
  readonly log: {
    readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';
    readonly format: 'pretty' | 'json';
  };
  readonly sentryDsn: Secret | undefined;
  readonly otlpEndpoint: string | undefined;
  /** `port` is where the demo application prefers to listen. */
  readonly demo: { readonly enabled: boolean; readonly port: number };
  readonly lifetimes: {
    readonly accessTokenSeconds: number;
    readonly idTokenSeconds: number;
    readonly authorizationCodeSeconds: number;
    readonly interactionSeconds: number;
    readonly parSeconds: number;
    readonly session: { readonly idleSeconds: number; readonly absoluteSeconds: number };
    readonly refreshToken: {
      readonly idleSeconds: number;
      readonly deviceIdleSeconds: number;
      readonly absoluteSeconds: {
        readonly web: number;
        readonly spa: number;
        readonly native: number;
        readonly device: number;
      };
      readonly graceSeconds: number;
      readonly deviceGraceSeconds: number;
    };
  };
  readonly keys: {
    /** How long anyone may remember a key set, and so how long a key is published before it signs. */
    readonly jwksCacheSeconds: number;
    readonly rotateAfterSeconds: number;
    /** How old an ID token may be as a hint at sign-out: its key is kept that long. */
    readonly idTokenHintSeconds: number;
    readonly cookieEpochSeconds: number;
  };
  /** What is on unless a tenant says otherwise. */
  readonly protocol: ProtocolFeatures;
  /** What holds for the people of a tenant that says nothing else. */
  readonly people: PeopleSettings;
  /** Absolute. A list of breached passwords beside the shipped one. */
  readonly breachedListFile: string | undefined;
  /** How long what is mailed proves anything. */
  readonly proofs: ProofLifetimes;
  readonly signIn: SignInThrottleSettings;
  readonly deviceCodes: DeviceCodeLimits;
  /** How people act on the installation from outside. */
  readonly operators: { readonly requireSecondFactor: boolean };
  readonly tenants: {
    /** Between asking for the end of a tenant and the end. */
    readonly deletionDelayDays: number;
  };
  readonly backchannelLogout: {
    readonly maximumAttempts: number;
    readonly firstRetrySeconds: number;
    readonly maximumRetrySeconds: number;
  };
  readonly passwordHashing: {
    readonly memoryKibibytes: number;
    readonly passes: number;
    readonly lanes: number;
    readonly queueLength: number;
    /** Hashes at the same time; undefined follows the number of processors. */
    readonly concurrency: number | undefined;
  };
}

/** One setting as it came to be, fit to be shown: secrets are masked, addresses keep their host. */
export interface EffectiveSetting {
  /** The variable, or the YAML name of a number that has none. */
  readonly name: string;
  /** `none` where nothing is set. */
  readonly value: string;
  /** `environment`, `file` (NAME_FILE), `config/….yaml`, `default` (derived from other settings) or `generated`. */
  readonly source: string;
}

/** What loading gives: everything, or everything that is wrong. */
export type ConfigResult =
  | {
      readonly outcome: 'loaded';
      readonly config: Config;
      readonly warnings: readonly string[];
      readonly settings: readonly EffectiveSetting[];
    }
  | { readonly outcome: 'faulty'; readonly faults: readonly SettingsFault[] };

/** Where to look. */
export interface ConfigOptions {
  /** What relative paths in settings are resolved against. */
  readonly workingDirectory: string;
  /** The folder with default.yaml, resolved against the working directory; the product's own unless given. */
  readonly configDirectory?: string;
}

const productConfigDirectory = dirname(fileURLToPath(import.meta.url));

/**
 * Loads the settings. Outside production a missing master key is generated into the data directory, which is then made.
 * @param environment usually `process.env`; nothing else in the product reads it.
 * @returns the settings with warnings for the operator, or every fault found. Throws only on a bug.
 */
export async function loadConfig(environment: Environment, options: ConfigOptions): Promise<ConfigResult> {
  const workingDirectory = resolve(options.workingDirectory);
  const configDirectory = resolve(workingDirectory, options.configDirectory ?? productConfigDirectory);
  const variables = await readVariables(environment, workingDirectory);
  const env = readEnv(variables);
  const defaultsPath = join(configDirectory, 'default.yaml');
  const [specific, defaults] = await Promise.all([
    env === undefined ? undefined : readSettingsFile(join(configDirectory, `${env}.yaml`)),
    readSettingsFile(defaultsPath),
  ]);
  const sources = [variables, ...(specific ? [specific] : []), ...(defaults ? [defaults] : [])];
  const faults = sources.flatMap((source) => source.faults);
  if (defaults === undefined) {
    faults.push({
      setting: 'config/default.yaml',
      problem: `the file ${defaultsPath} does not exist`,
      fix: 'Restore it from the release; every default is in it.',
    });
    return { outcome: 'faulty', faults };
  }

  const given = merge(sources);
  const refused = new Set(sources.flatMap((source) => [...source.refused]));
  const missing = settings.filter(([name, { optional }]) => optional !== true && !given.has(name));
  if (missing.length > 0) {
    faults.push(...missing.filter(([name]) => !refused.has(name)).map(missingFault));
    return { outcome: 'faulty', faults };
  }
  // Every required setting is there, and each value came out of its own schema: the table's types hold.
  const values = Object.fromEntries(settings.map(([name]) => [name, given.get(name)?.value])) as SettingValues;
  const dataDirectory = resolve(workingDirectory, values.data_directory);

  // With an unknown environment neither the guard nor a generated key makes sense; that fault is in the list already.
  let generated: DevelopmentSecrets | undefined;
  if (env === 'production') {
    generated = await readDevelopmentSecrets(dataDirectory);
  } else if (
    env !== undefined &&
    !given.has('master_key') &&
    !refused.has('master_key') &&
    !refused.has('data_directory')
  ) {
    generated = await ensureDevelopmentSecrets(dataDirectory, workingDirectory);
    if (generated.outcome === 'faulty') {
      faults.push(generated.fault);
    }
  }
  const generatedKeys = generated?.outcome === 'present' ? generated.masterKeys : [];

  const breachedList = values['password.breached_list_file'];
  const files = {
    dataDirectory,
    breachedList: breachedList === undefined ? undefined : resolve(workingDirectory, breachedList),
  };
  const config = build(env ?? 'development', values, files, env === 'production' ? [] : generatedKeys);
  // A refused value is told already; the default that stands in for it must not be judged as if it had been meant.
  const refusedVariables = new Set(
    settings.flatMap(([name, { variable = name }]) => (refused.has(name) ? variable : [])),
  );
  const guarded = env === 'production' ? productionFaults(config, generatedKeys) : [];
  faults.push(
    ...portFaults(config, refusedVariables),
    ...grpcFaults(values, refusedVariables),
    ...guarded.filter(({ setting }) => !refusedVariables.has(setting)),
  );
  if (faults.length > 0) {
    return { outcome: 'faulty', faults };
  }
  return {
    outcome: 'loaded',
    config: deepFreeze(config),
    warnings: [
      ...variables.warnings,
      ...generalWarnings(config, environment, given),
      ...(env === 'production' ? productionWarnings(config) : []),
    ],
    settings: effectiveSettings(config, given, generated !== undefined),
  };
}

function readEnv(variables: GivenSettings): Config['env'] | undefined {
  if (variables.refused.has('env')) {
    return undefined;
  }
  return (variables.values.get('env')?.value as Config['env'] | undefined) ?? 'development'; // Its schema knows these words only.
}

/** The first source that gives a setting decides. */
function merge(sources: readonly GivenSettings[]): ReadonlyMap<SettingName, GivenValue> {
  return new Map(sources.toReversed().flatMap((source) => [...source.values]));
}

function missingFault([name, { expected }]: readonly [SettingName, SettingDefinition]): SettingsFault {
  return { setting: name, problem: 'it has no value', fix: `Set ${name} in config/default.yaml to ${expected}.` };
}

function build(
  env: Config['env'],
  values: SettingValues,
  files: { readonly dataDirectory: string; readonly breachedList: string | undefined },
  generatedKeys: readonly string[],
): Config {
  const httpPort = values['http.port'];
  const publicUrl = values['http.public_url'] ?? `http://localhost${httpPort === 80 ? '' : `:${httpPort}`}`;
  const isEmbedded = values.database_url === undefined;
  return {
    env,
    http: {
      port: httpPort,
      host: values['http.host'],
      publicUrl,
      trustedProxies: values['http.trusted_proxies'],
      clientCertificateHeader: values['http.client_certificate_header'],
      clientCertificateVerifiedHeader: values['http.client_certificate_verified_header'],
      bodyLimitBytes: values['http.body_limit_bytes'],
      drainSeconds: values['http.drain_seconds'],
    },
    dataDirectory: files.dataDirectory,
    databaseUrl: secret(values.database_url),
    redisUrl: secret(values.redis_url),
    masterKeys: (values.master_key ?? generatedKeys).map((key) => new Secret(key)),
    mail: {
      smtpUrl: secret(values['mail.smtp_url']),
      from: values['mail.from'] ?? defaultSender(publicUrl),
      timeLimitSeconds: values['mail.time_limit_seconds'],
      retry: {
        maximumAttempts: values['mail.maximum_attempts'],
        firstRetrySeconds: values['mail.first_retry_seconds'],
        maximumRetrySeconds: values['mail.maximum_retry_seconds'],
      },
      budgets: {
        requested: {
          perRecipientAndHour: values['mail.requested_per_recipient_and_hour'],
          perRecipientAndDay: values['mail.requested_per_recipient_and_day'],
          perTenantAndHour: values['mail.requested_per_tenant_and_hour'],
        },
        entitled: {
          perRecipientAndHour: values['mail.entitled_per_recipient_and_hour'],
          perRecipientAndDay: values['mail.entitled_per_recipient_and_day'],
          perTenantAndHour: values['mail.entitled_per_tenant_and_hour'],
        },
        notice: {
          perRecipientAndHour: values['mail.notices_per_recipient_and_hour'],
          perRecipientAndDay: values['mail.notices_per_recipient_and_day'],
          perTenantAndHour: values['mail.notices_per_tenant_and_hour'],
        },
        lock: LOCK_BUDGET,
      },
      developmentMailboxSize: values['mail.development_mailbox_size'],
    },
    grpc: {
      port: values['grpc.port'],
      host: values['grpc.host'],
      tls: grpcTls(values),
      plaintext: values['grpc.plaintext'],
      maximumCallSeconds: values['grpc.maximum_call_seconds'],
      maximumMessageBytes: values['grpc.maximum_message_bytes'],
      maximumStreams: values['grpc.maximum_streams'],
    },
    metricsPort: values.metrics_port,
    processes: values.processes,
    egressAllow: values.egress_allow,
    egress: {
      timeLimitSeconds: values['egress.time_limit_seconds'],
      maximumBodyBytes: values['egress.maximum_body_bytes'],
      maximumPerHost: values['egress.maximum_per_host'],
    },
    log: { level: values['log.level'], format: values['log.format'] },
    sentryDsn: secret(values.sentry_dsn),
    otlpEndpoint: values.otlp_endpoint,
    demo: {
      enabled: values['demo.enabled'] ?? (env !== 'production' && isEmbedded),
      port: values['demo.port'] ?? defaultDemoPort(httpPort),
    },
    lifetimes: {
      accessTokenSeconds: values['lifetimes.access_token_seconds'],
      idTokenSeconds: values['lifetimes.id_token_seconds'],
      authorizationCodeSeconds: values['lifetimes.authorization_code_seconds'],
      interactionSeconds: values['lifetimes.interaction_seconds'],
      parSeconds: values['lifetimes.par_seconds'],
      session: {
        idleSeconds: values['lifetimes.session.idle_seconds'],
        absoluteSeconds: values['lifetimes.session.absolute_seconds'],
      },
      refreshToken: {
        idleSeconds: values['lifetimes.refresh_token.idle_seconds'],
        deviceIdleSeconds: values['lifetimes.refresh_token.device_idle_seconds'],
        absoluteSeconds: {
          web: values['lifetimes.refresh_token.absolute_seconds.web'],
          spa: values['lifetimes.refresh_token.absolute_seconds.spa'],
          native: values['lifetimes.refresh_token.absolute_seconds.native'],
          device: values['lifetimes.refresh_token.absolute_seconds.device'],
        },
        graceSeconds: values['lifetimes.refresh_token.grace_seconds'],
        deviceGraceSeconds: values['lifetimes.refresh_token.device_grace_seconds'],
      },
    },
    keys: {
      jwksCacheSeconds: values['keys.jwks_cache_seconds'],
      rotateAfterSeconds: values['keys.rotate_after_seconds'],
      idTokenHintSeconds: values['keys.id_token_hint_seconds'],
      cookieEpochSeconds: values['keys.cookie_epoch_seconds'],
    },
    protocol: ofEveryFeature((feature) => values[`protocol.${feature}`]),
    // Each value was parsed by the schema of its own name.
    people: Object.fromEntries(PEOPLE_SETTINGS.map((name) => [name, values[name]])) as PeopleSettings,
    breachedListFile: files.breachedList,
    proofs: {
      verificationSeconds: values['proofs.verification_seconds'],
      resetSeconds: values['proofs.reset_seconds'],
    },
    signIn: {
      windowSeconds: values['sign_in.window_seconds'],
      maximumPerIdentifierAndAddress: values['sign_in.maximum_per_identifier_and_address'],
      maximumPerIdentifier: values['sign_in.maximum_per_identifier'],
      maximumPerAddress: values['sign_in.maximum_per_address'],
      maximumPerKnownDevice: values['sign_in.maximum_per_known_device'],
      maximumPerTenant: values['sign_in.maximum_per_tenant'],
      tenantWindowSeconds: values['sign_in.tenant_window_seconds'],
      firstLockSeconds: values['sign_in.first_lock_seconds'],
      longestLockSeconds: values['sign_in.longest_lock_seconds'],
      // Every kind of the list is a key, which is what the type says and `fromEntries` cannot.
      perIdentifier: Object.fromEntries(
        OTHER_ATTEMPT_KINDS.map((kind) => [kind, values[`sign_in.per_identifier.${kind}`]]),
      ) as Record<OtherAttemptKind, number>,
      userCodes: {
        maximumPerAddress: values['sign_in.user_codes_per_address'],
        maximumPerTenant: values['sign_in.user_codes_per_tenant'],
        maximumOfShortAddresses: values['sign_in.short_addresses_per_installation'],
      },
    },
    deviceCodes: {
      maximumPerClientAndAddress: values['device_codes.maximum_per_client_and_address'],
      maximumPerTenant: values['device_codes.maximum_per_tenant'],
    },
    operators: { requireSecondFactor: values['operators.require_second_factor'] },
    tenants: { deletionDelayDays: values['tenants.deletion_delay_days'] },
    backchannelLogout: {
      maximumAttempts: values['backchannel_logout.maximum_attempts'],
      firstRetrySeconds: values['backchannel_logout.first_retry_seconds'],
      maximumRetrySeconds: values['backchannel_logout.maximum_retry_seconds'],
    },
    passwordHashing: {
      memoryKibibytes: values['password_hashing.memory_kibibytes'],
      passes: values['password_hashing.passes'],
      lanes: values['password_hashing.lanes'],
      queueLength: values['password_hashing.queue_length'],
      concurrency: values['password_hashing.concurrency'],
    },
  };
}

/** Halves of it are faults, see `grpcFaults`. */
function grpcTls(values: SettingValues): Config['grpc']['tls'] {
  const certificate = values['grpc.tls.certificate'];
  const key = secret(values['grpc.tls.key']);
  if (certificate === undefined || key === undefined) return undefined;
  return { certificate, key, clientAuthority: values['grpc.tls.client_authority'] };
}

function ofEveryFeature<Value>(value: (feature: ProtocolFeature) => Value): Record<ProtocolFeature, Value> {
  // Every name of the list is a key, which is what the type says and `fromEntries` cannot.
  return Object.fromEntries(PROTOCOL_FEATURES.map((feature) => [feature, value(feature)])) as Record<
    ProtocolFeature,
    Value
  >;
}

function secret(value: string | undefined): Secret | undefined {
  return value === undefined ? undefined : new Secret(value);
}

function defaultSender(publicUrl: string): string {
  const host = new URL(publicUrl).hostname;
  return `Poort <no-reply@${isAddress(host) ? 'localhost' : host}>`;
}

function defaultDemoPort(httpPort: number): number {
  // Port 0 means any free one, for both.
  if (httpPort === 0) {
    return 0;
  }
  return httpPort + 100 <= 65_535 ? httpPort + 100 : httpPort - 100;
}

function isAddress(host: string): boolean {
  return isIP(host) !== 0 || host.startsWith('[');
}

/** Two doors on one port: the second would fail to listen, minutes later and with a worse message. */
function portFaults(config: Config, refusedVariables: ReadonlySet<string>): readonly SettingsFault[] {
  const all = [
    ['POORT_PORT', config.http.port],
    ['POORT_GRPC_PORT', config.grpc.port],
    ['POORT_METRICS_PORT', config.metricsPort],
  ] as const;
  const doors = all.filter(([setting]) => !refusedVariables.has(setting));
  return doors.flatMap(([setting, port], index) => {
    const other = doors.slice(0, index).find(([, earlier]) => earlier === port);
    return port === 0 || other === undefined
      ? []
      : [
          {
            setting,
            problem: `${port} is the port of ${other[0]} already`,
            fix: `Set ${setting} to another port, or to 0.`,
          },
        ];
  });
}

/** A certificate without its key, or the other way round, would be no encryption that somebody believes in. */
function grpcFaults(values: SettingValues, refusedVariables: ReadonlySet<string>): readonly SettingsFault[] {
  const parts = [
    ['POORT_GRPC_TLS_CERTIFICATE', values['grpc.tls.certificate'], true],
    ['POORT_GRPC_TLS_KEY', values['grpc.tls.key'], true],
    ['POORT_GRPC_TLS_CLIENT_AUTHORITY', values['grpc.tls.client_authority'], false],
  ] as const;
  const isBegun = parts.some(([, value]) => value !== undefined);
  return parts.flatMap(([setting, value, isNeeded]) =>
    !isBegun || !isNeeded || value !== undefined || refusedVariables.has(setting)
      ? []
      : [{ setting, problem: 'gRPC cannot use TLS without it', fix: `Set ${setting}, or remove the others.` }],
  );
}

function generalWarnings(
  config: Config,
  environment: Environment,
  given: ReadonlyMap<SettingName, GivenValue>,
): readonly string[] {
  const warnings: string[] = [];
  const { publicUrl } = config.http;
  const host = new URL(publicUrl).hostname;
  const isLoopback = host === 'localhost' || host.endsWith('.localhost') || host === '[::1]' || /^127\./.test(host);
  if (environment['NODE_ENV'] === 'production' && !given.has('env')) {
    warnings.push(
      'NODE_ENV is production but POORT_ENV is not given: this is a development server; set POORT_ENV=production',
    );
  }
  if (config.http.port === 0 && !given.has('http.public_url')) {
    warnings.push('POORT_PORT is 0 and POORT_PUBLIC_URL is not given: every issuer and link will name port 0');
  }
  if (publicUrl.startsWith('http:') && !isLoopback) {
    warnings.push(
      `POORT_PUBLIC_URL is ${publicUrl}: plain http beyond this machine, where passwords can be read on the way`,
    );
  }
  if (isAddress(host)) {
    warnings.push(`POORT_PUBLIC_URL is ${publicUrl}: passkeys need a host name there; on this machine use localhost`);
  }
  if (config.http.trustedProxies.some((network) => network.endsWith('/0'))) {
    warnings.push('POORT_TRUSTED_PROXIES trusts every address: whoever connects can pretend to be anyone');
  }
  if (config.http.clientCertificateHeader !== undefined && config.http.trustedProxies.length === 0) {
    warnings.push(
      'POORT_CLIENT_CERTIFICATE_HEADER has no effect without POORT_TRUSTED_PROXIES: nobody is believed about certificates',
    );
  }
  if (config.env !== 'production' && config.databaseUrl !== undefined && !given.has('master_key')) {
    warnings.push(
      `POORT_DATABASE_URL is given but POORT_MASTER_KEY is not: keys in that database are sealed with the generated key in ${config.dataDirectory}, and no other machine can open them`,
    );
  }
  return [...warnings, ...withoutEffect(given), ...lifetimeWarnings(config)];
}

/** Settings of parts that come with later versions. Whoever gives one must not believe that it does something. */
const notYetInUse: readonly SettingName[] = ['metrics_port', 'processes', 'sentry_dsn', 'otlp_endpoint'];

function withoutEffect(given: ReadonlyMap<SettingName, GivenValue>): readonly string[] {
  return notYetInUse.flatMap((name) => {
    const value = given.get(name);
    // Zero switches a part off, which it is.
    if (value === undefined || value.source === 'config/default.yaml' || value.value === 0) return [];
    return [`${value.writtenAs} has no effect in this version`];
  });
}

function lifetimeWarnings({ lifetimes }: Config): readonly string[] {
  const { session, refreshToken } = lifetimes;
  const { absoluteSeconds } = refreshToken;
  const pairs = [
    ['lifetimes.session.idle_seconds', session.idleSeconds, session.absoluteSeconds, ''],
    ['lifetimes.refresh_token.idle_seconds', refreshToken.idleSeconds, absoluteSeconds.web, ' of web clients'],
    ['lifetimes.refresh_token.idle_seconds', refreshToken.idleSeconds, absoluteSeconds.spa, ' of spa clients'],
    ['lifetimes.refresh_token.idle_seconds', refreshToken.idleSeconds, absoluteSeconds.native, ' of native clients'],
    [
      'lifetimes.refresh_token.device_idle_seconds',
      refreshToken.deviceIdleSeconds,
      absoluteSeconds.device,
      ' of devices',
    ],
  ] as const;
  return pairs.flatMap(([name, idle, absolute, whose]) =>
    idle <= absolute
      ? []
      : [`${name} (${idle}) is longer than the absolute limit${whose} (${absolute}), which decides`],
  );
}

function effectiveSettings(
  config: Config,
  given: ReadonlyMap<SettingName, GivenValue>,
  isGenerated: boolean,
): readonly EffectiveSetting[] {
  const shown = shownValues(config);
  return settings.map(([name, definition]) => ({
    name: definition.variable ?? name,
    value: shown[name] ?? 'none',
    source: given.get(name)?.source ?? (name === 'master_key' && isGenerated ? 'generated' : 'default'),
  }));
}

/** Every setting as an operator may see it. Typed by the table, so that a new setting cannot be forgotten here. */
function shownValues(config: Config): Readonly<Record<SettingName, string | undefined>> {
  const { http, lifetimes, keys, protocol, signIn, egress, backchannelLogout, passwordHashing } = config;
  const { session, refreshToken } = lifetimes;
  return {
    env: config.env,
    'http.port': String(http.port),
    'http.host': http.host,
    'http.public_url': http.publicUrl,
    'http.trusted_proxies': shownList(http.trustedProxies),
    'http.client_certificate_header': http.clientCertificateHeader,
    'http.client_certificate_verified_header': http.clientCertificateVerifiedHeader,
    'http.body_limit_bytes': String(http.bodyLimitBytes),
    'http.drain_seconds': String(http.drainSeconds),
    data_directory: config.dataDirectory,
    database_url: maskedUrl(config.databaseUrl),
    redis_url: maskedUrl(config.redisUrl),
    master_key: shownList(config.masterKeys.map(String)),
    'mail.smtp_url': maskedUrl(config.mail.smtpUrl),
    'mail.from': config.mail.from,
    ...shownMail(config.mail),
    'grpc.port': String(config.grpc.port),
    'grpc.host': config.grpc.host,
    'grpc.tls.certificate': config.grpc.tls === undefined ? undefined : 'given',
    'grpc.tls.key': config.grpc.tls === undefined ? undefined : String(config.grpc.tls.key),
    'grpc.tls.client_authority': config.grpc.tls?.clientAuthority === undefined ? undefined : 'given',
    'grpc.plaintext': onOff(config.grpc.plaintext),
    'grpc.maximum_call_seconds': String(config.grpc.maximumCallSeconds),
    'grpc.maximum_message_bytes': String(config.grpc.maximumMessageBytes),
    'grpc.maximum_streams': String(config.grpc.maximumStreams),
    metrics_port: String(config.metricsPort),
    processes: String(config.processes),
    egress_allow: shownList(config.egressAllow),
    'egress.time_limit_seconds': String(egress.timeLimitSeconds),
    'egress.maximum_body_bytes': String(egress.maximumBodyBytes),
    'egress.maximum_per_host': String(egress.maximumPerHost),
    'log.level': config.log.level,
    'log.format': config.log.format,
    sentry_dsn: maskedUrl(config.sentryDsn, { hideUserName: true }),
    otlp_endpoint: config.otlpEndpoint,
    'demo.enabled': onOff(config.demo.enabled),
    'demo.port': String(config.demo.port),
    'lifetimes.access_token_seconds': String(lifetimes.accessTokenSeconds),
    'lifetimes.id_token_seconds': String(lifetimes.idTokenSeconds),
    'lifetimes.authorization_code_seconds': String(lifetimes.authorizationCodeSeconds),
    'lifetimes.interaction_seconds': String(lifetimes.interactionSeconds),
    'lifetimes.par_seconds': String(lifetimes.parSeconds),
    'lifetimes.session.idle_seconds': String(session.idleSeconds),
    'lifetimes.session.absolute_seconds': String(session.absoluteSeconds),
    'lifetimes.refresh_token.idle_seconds': String(refreshToken.idleSeconds),
    'lifetimes.refresh_token.device_idle_seconds': String(refreshToken.deviceIdleSeconds),
    'lifetimes.refresh_token.grace_seconds': String(refreshToken.graceSeconds),
    'lifetimes.refresh_token.device_grace_seconds': String(refreshToken.deviceGraceSeconds),
    'lifetimes.refresh_token.absolute_seconds.web': String(refreshToken.absoluteSeconds.web),
    'lifetimes.refresh_token.absolute_seconds.spa': String(refreshToken.absoluteSeconds.spa),
    'lifetimes.refresh_token.absolute_seconds.native': String(refreshToken.absoluteSeconds.native),
    'lifetimes.refresh_token.absolute_seconds.device': String(refreshToken.absoluteSeconds.device),
    'keys.jwks_cache_seconds': String(keys.jwksCacheSeconds),
    'keys.rotate_after_seconds': String(keys.rotateAfterSeconds),
    'keys.id_token_hint_seconds': String(keys.idTokenHintSeconds),
    'keys.cookie_epoch_seconds': String(keys.cookieEpochSeconds),
    'protocol.mtls': onOff(protocol.mtls),
    'protocol.jar': onOff(protocol.jar),
    'protocol.jarm': onOff(protocol.jarm),
    'protocol.rar': onOff(protocol.rar),
    'protocol.ciba': onOff(protocol.ciba),
    'protocol.fapi2': onOff(protocol.fapi2),
    'protocol.dynamic_registration': onOff(protocol.dynamic_registration),
    'protocol.token_exchange': onOff(protocol.token_exchange),
    'protocol.device_grant': onOff(protocol.device_grant),
    ...shownPeople(config.people),
    'password.breached_list_file': config.breachedListFile,
    'proofs.verification_seconds': String(config.proofs.verificationSeconds),
    'proofs.reset_seconds': String(config.proofs.resetSeconds),
    'sign_in.window_seconds': String(signIn.windowSeconds),
    'sign_in.maximum_per_identifier_and_address': String(signIn.maximumPerIdentifierAndAddress),
    'sign_in.maximum_per_identifier': String(signIn.maximumPerIdentifier),
    'sign_in.maximum_per_address': String(signIn.maximumPerAddress),
    'sign_in.maximum_per_known_device': String(signIn.maximumPerKnownDevice),
    'sign_in.maximum_per_tenant': String(signIn.maximumPerTenant),
    'sign_in.tenant_window_seconds': String(signIn.tenantWindowSeconds),
    'sign_in.first_lock_seconds': String(signIn.firstLockSeconds),
    'sign_in.longest_lock_seconds': String(signIn.longestLockSeconds),
    'sign_in.per_identifier.code': String(signIn.perIdentifier.code),
    'sign_in.per_identifier.backup_code': String(signIn.perIdentifier.backup_code),
    'sign_in.per_identifier.email_code': String(signIn.perIdentifier.email_code),
    'sign_in.per_identifier.passkey': String(signIn.perIdentifier.passkey),
    'sign_in.per_identifier.proof': String(signIn.perIdentifier.proof),
    'sign_in.per_identifier.reset': String(signIn.perIdentifier.reset),
    'sign_in.per_identifier.registration': String(signIn.perIdentifier.registration),
    'sign_in.per_identifier.invitation': String(signIn.perIdentifier.invitation),
    'sign_in.per_identifier.user_code': String(signIn.perIdentifier.user_code),
    'sign_in.user_codes_per_address': String(signIn.userCodes.maximumPerAddress),
    'sign_in.user_codes_per_tenant': String(signIn.userCodes.maximumPerTenant),
    'sign_in.short_addresses_per_installation': String(signIn.userCodes.maximumOfShortAddresses),
    'device_codes.maximum_per_client_and_address': String(config.deviceCodes.maximumPerClientAndAddress),
    'device_codes.maximum_per_tenant': String(config.deviceCodes.maximumPerTenant),
    'operators.require_second_factor': onOff(config.operators.requireSecondFactor),
    'tenants.deletion_delay_days': String(config.tenants.deletionDelayDays),
    'backchannel_logout.maximum_attempts': String(backchannelLogout.maximumAttempts),
    'backchannel_logout.first_retry_seconds': String(backchannelLogout.firstRetrySeconds),
    'backchannel_logout.maximum_retry_seconds': String(backchannelLogout.maximumRetrySeconds),
    'password_hashing.memory_kibibytes': String(passwordHashing.memoryKibibytes),
    'password_hashing.passes': String(passwordHashing.passes),
    'password_hashing.lanes': String(passwordHashing.lanes),
    'password_hashing.queue_length': String(passwordHashing.queueLength),
    'password_hashing.concurrency': passwordHashing.concurrency?.toString(),
  };
}

function shownMail({ timeLimitSeconds, retry, budgets, developmentMailboxSize }: Config['mail']) {
  const { requested, entitled, notice } = budgets;
  return {
    'mail.maximum_attempts': String(retry.maximumAttempts),
    'mail.first_retry_seconds': String(retry.firstRetrySeconds),
    'mail.maximum_retry_seconds': String(retry.maximumRetrySeconds),
    'mail.time_limit_seconds': String(timeLimitSeconds),
    'mail.requested_per_recipient_and_hour': String(requested.perRecipientAndHour),
    'mail.requested_per_recipient_and_day': String(requested.perRecipientAndDay),
    'mail.requested_per_tenant_and_hour': String(requested.perTenantAndHour),
    'mail.entitled_per_recipient_and_hour': String(entitled.perRecipientAndHour),
    'mail.entitled_per_recipient_and_day': String(entitled.perRecipientAndDay),
    'mail.entitled_per_tenant_and_hour': String(entitled.perTenantAndHour),
    'mail.notices_per_recipient_and_hour': String(notice.perRecipientAndHour),
    'mail.notices_per_recipient_and_day': String(notice.perRecipientAndDay),
    'mail.notices_per_tenant_and_hour': String(notice.perTenantAndHour),
    'mail.development_mailbox_size': String(developmentMailboxSize),
  };
}

function shownPeople(people: PeopleSettings): Readonly<Record<PeopleSettingName, string | undefined>> {
  const shown = ([name, value]: [string, unknown]) => {
    if (typeof value === 'boolean') return [name, onOff(value)];
    const text = Array.isArray(value) ? value.join(', ') : String(value);
    return [name, text === '' ? undefined : text];
  };
  return Object.fromEntries(Object.entries(people).map(shown));
}

function onOff(value: boolean): string {
  return value ? 'on' : 'off';
}

function shownList(items: readonly string[]): string | undefined {
  return items.length === 0 ? undefined : items.join(', ');
}

/** Scheme, user, host, port and path stay; the password goes, and the query, where libpq takes a password as well. */
function maskedUrl(value: Secret | undefined, options: { readonly hideUserName?: true } = {}): string | undefined {
  if (value === undefined) {
    return undefined;
  }
  const url = new URL(value.reveal());
  const userName = options.hideUserName === true && url.username !== '' ? '***' : url.username;
  const credentials = `${userName}${url.password === '' ? '' : ':***'}`;
  return `${url.protocol}//${credentials === '' ? '' : `${credentials}@`}${url.host}${url.pathname}${url.search === '' ? '' : '?***'}`;
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    Object.values(value).forEach(deepFreeze);
    Object.freeze(value);
  }
  return value;
}
