/**
 * This file owns what production refuses or warns about, as far as settings alone can tell. What needs a connection (the
 * rights of the database role) is asked when there is one.
 */

import { createHash } from 'node:crypto';
import type { Config } from './config.ts';
import type { SettingsFault } from './faults.ts';

/** SHA-256 of every key that stands in our documentation; a test reads the pages and holds them against this list. */
const documentedKeyDigests: ReadonlySet<string> = new Set([
  '4f56f2b2bb7b508d9f988080a3bd79e53beb162d8e855ed5615525bece3fc939',
]);

/** The cheapest argon2id the OWASP password storage cheat sheet still lists: 7168 KiB × 5 passes. */
const cheapestHashing = 7168 * 5;

/** Everything in these settings that production refuses. `generatedKeys` are those of the development secrets file. */
export function productionFaults(config: Config, generatedKeys: readonly string[]): readonly SettingsFault[] {
  const faults: SettingsFault[] = [];
  if (!config.http.publicUrl.startsWith('https:')) {
    faults.push({
      setting: 'POORT_PUBLIC_URL',
      problem: `${config.http.publicUrl} is plain http; passwords and tokens would travel readably`,
      fix: 'Set POORT_PUBLIC_URL to the https origin that browsers see, for example https://id.example.org.',
    });
  }
  if (config.databaseUrl === undefined) {
    faults.push({
      setting: 'POORT_DATABASE_URL',
      problem: 'it is not given, and the embedded database is for trials only',
      fix: "Set POORT_DATABASE_URL to the owner's connection to a PostgreSQL >= 15.",
    });
  }
  if (config.demo.enabled) {
    faults.push({
      setting: 'POORT_DEMO',
      problem: 'the demo brings accounts whose passwords lie in a file',
      fix: 'Remove POORT_DEMO, or set it to off.',
    });
  }
  const { grpc } = config;
  if (grpc.port !== 0 && grpc.tls === undefined && !grpc.plaintext && !isLoopback(grpc.host)) {
    faults.push({
      setting: 'POORT_GRPC_HOST',
      problem: `gRPC would listen on ${grpc.host} without TLS; API keys and tokens would travel readably`,
      fix: 'Set POORT_GRPC_TLS_CERTIFICATE_FILE and POORT_GRPC_TLS_KEY_FILE, or POORT_GRPC_PLAINTEXT=on where a mesh encrypts, or POORT_GRPC_HOST to 127.0.0.1.',
    });
  }
  return [...faults, ...masterKeyFaults(config, generatedKeys)];
}

/** What production accepts but an operator should know. One sentence each. */
export function productionWarnings(config: Config): readonly string[] {
  const warnings: string[] = [];
  if (config.mail.smtpUrl === undefined) {
    warnings.push(
      'POORT_SMTP_URL is not given: no mail is sent, so nobody can register, be invited or reset a password',
    );
  }
  if (config.log.level === 'trace' || config.log.level === 'debug') {
    warnings.push(
      `POORT_LOG_LEVEL is ${config.log.level}: much is written, and it slows every request; info is meant for production`,
    );
  }
  if (config.passwordHashing.memoryKibibytes * config.passwordHashing.passes < cheapestHashing) {
    warnings.push(
      'password_hashing is cheaper than the least that OWASP recommends (for example 19456 KiB with 2 passes)',
    );
  }
  return warnings;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\./.test(host);
}

function masterKeyFaults(config: Config, generatedKeys: readonly string[]): readonly SettingsFault[] {
  const fix = 'Set POORT_MASTER_KEY (or POORT_MASTER_KEY_FILE) to the output of: openssl rand -base64 32';
  if (config.masterKeys.length === 0) {
    const problem = 'it is not given; production makes no key of its own, because losing it loses every signing key';
    return [{ setting: 'POORT_MASTER_KEY', problem, fix }];
  }
  return config.masterKeys.flatMap((masterKey, index) => {
    const weakness = weaknessOf(masterKey.reveal(), generatedKeys);
    const which = config.masterKeys.length === 1 ? 'the key' : `key ${index + 1} of ${config.masterKeys.length}`;
    return weakness === undefined ? [] : [{ setting: 'POORT_MASTER_KEY', problem: `${which} ${weakness}`, fix }];
  });
}

/** Why a key of 32 bytes is not a secret, or undefined. A random key is refused with a chance below one in 10^12. */
function weaknessOf(key: string, generatedKeys: readonly string[]): string | undefined {
  const bytes = Buffer.from(key, 'base64');
  const steps = new Set(bytes.subarray(1).map((byte, index) => byte - (bytes[index] ?? 0)));
  if (documentedKeyDigests.has(createHash('sha256').update(bytes).digest('hex'))) {
    return 'stands in the documentation as an example';
  }
  if (generatedKeys.includes(key)) {
    return 'is the one in development-secrets.json, which belongs to a development machine';
  }
  if (bytes.every((byte) => byte >= 0x20 && byte <= 0x7e)) {
    return 'is text, which can be guessed, and not random bytes';
  }
  if (steps.size === 1) {
    return 'is a pattern and not random bytes';
  }
  // 32 random bytes hold 30 different values on average.
  return new Set(bytes).size < 16 ? 'repeats itself too much to be random' : undefined;
}
