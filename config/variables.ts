/**
 * This file owns reading settings from environment variables: the NAME_FILE form, old names, refused names and typing
 * errors. The environment is an argument; nothing here looks at the process.
 */

import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { closestName, fileFault, type SettingsFault } from './faults.ts';
import { quoted, wholeNumber } from './setting_values.ts';
import {
  type GivenSettings,
  type GivenValue,
  issuerVariable,
  refusedVariables,
  type SettingDefinition,
  type SettingName,
  settingDefinitions,
  settings,
  testVariablePrefix,
} from './settings_schema.ts';

/** Variables by name; an absent one and an undefined one are the same. */
export type Environment = Readonly<Record<string, string | undefined>>;

interface RawVariable {
  readonly text: string;
  readonly source: 'environment' | 'file';
  readonly writtenAs: string;
}

type VariableReading = RawVariable | { readonly fault: SettingsFault } | undefined;

/**
 * Reads every setting that the environment gives. An empty variable counts as not given, as compose files and CI
 * systems pass empty strings for what they have no value for.
 * @param workingDirectory what a relative path in NAME_FILE is resolved against.
 */
export async function readVariables(
  environment: Environment,
  workingDirectory: string,
): Promise<GivenSettings & { readonly warnings: readonly string[] }> {
  const values = new Map<SettingName, GivenValue>();
  const refused = new Set<SettingName>();
  const faults: SettingsFault[] = [...unknownVariables(environment), ...refusedNames(environment)];
  const warnings: string[] = [];

  for (const [name, definition] of settings) {
    const given = await readSetting(name, definition);
    if (given !== undefined) {
      values.set(name, given);
    }
  }
  await readIssuer();
  return { values, refused, faults, warnings };

  async function readSetting(name: SettingName, definition: SettingDefinition): Promise<GivenValue | undefined> {
    const { variable, alias } = definition;
    const current = variable === undefined ? undefined : await readOne(name, variable, definition);
    if (alias === undefined) {
      return current;
    }
    const old = await readOne(name, alias.variable, definition, alias.unitSeconds);
    if (old === undefined) {
      return current;
    }
    warnings.push(
      variable === undefined
        ? `${old.writtenAs} is an old name: set ${name}: ${String(old.value)} in config/<POORT_ENV>.yaml instead`
        : `${old.writtenAs} is an old name: use ${variable} instead`,
    );
    if (current !== undefined && current.value !== old.value) {
      refuse(name, old.writtenAs, `it contradicts ${current.writtenAs}`, `Remove ${old.writtenAs}.`);
      return undefined;
    }
    return current ?? old;
  }

  async function readOne(
    name: SettingName,
    variable: string,
    definition: SettingDefinition,
    unitSeconds = 1,
  ): Promise<GivenValue | undefined> {
    const raw = await readRaw(variable, environment, workingDirectory);
    if (raw === undefined) {
      return undefined;
    }
    if ('fault' in raw) {
      refused.add(name);
      faults.push(raw.fault);
      return undefined;
    }
    const inSeconds = unitSeconds === 1 ? raw.text : convert(raw.text, unitSeconds);
    const result = definition.value.safeParse(inSeconds);
    if (!result.success) {
      const problem = result.error.issues[0]?.message ?? 'it is not valid';
      refuse(
        name,
        raw.writtenAs,
        unitSeconds === 1 ? problem : `${problem} (in seconds)`,
        unitSeconds === 1
          ? fixFor(variable, raw, definition)
          : `Remove it and set ${name} in config/<POORT_ENV>.yaml to ${definition.expected}.`,
      );
      return undefined;
    }
    return { value: result.data, source: raw.source, writtenAs: raw.writtenAs };
  }

  /** An issuer of an old service may be its origin; only then is it of use here. */
  async function readIssuer(): Promise<void> {
    const raw = await readRaw(issuerVariable, environment, workingDirectory);
    if (raw === undefined) {
      return;
    }
    if ('fault' in raw) {
      faults.push(raw.fault);
      return;
    }
    const rule = 'the issuer of a tenant is POORT_PUBLIC_URL followed by /t/{slug}';
    const origin = settingDefinitions['http.public_url'].value.safeParse(raw.text);
    if (!origin.success) {
      warnings.push(
        `${raw.writtenAs} is an old name and is ignored, because ${quotedIssuer(raw.text)} is not an origin: ${rule}`,
      );
      return;
    }
    const current = values.get('http.public_url');
    if (current !== undefined && current.value !== origin.data) {
      refuse(
        'http.public_url',
        raw.writtenAs,
        `it contradicts ${current.writtenAs}: ${rule}`,
        `Remove ${raw.writtenAs}.`,
      );
      return;
    }
    warnings.push(`${raw.writtenAs} is an old name: use POORT_PUBLIC_URL=${origin.data} instead; ${rule}`);
    if (current === undefined && !refused.has('http.public_url')) {
      values.set('http.public_url', { value: origin.data, source: raw.source, writtenAs: raw.writtenAs });
    }
  }

  function refuse(name: SettingName, setting: string, problem: string, fix: string): void {
    refused.add(name);
    faults.push({ setting, problem, fix });
  }
}

async function readRaw(name: string, environment: Environment, workingDirectory: string): Promise<VariableReading> {
  const direct = environment[name];
  const fileVariable = `${name}_FILE`;
  const fileName = environment[fileVariable];
  const hasDirect = direct !== undefined && direct !== '';
  if (fileName === undefined || fileName === '') {
    return hasDirect ? { text: direct, source: 'environment', writtenAs: name } : undefined;
  }
  if (hasDirect) {
    return {
      fault: {
        setting: name,
        problem: `both ${name} and ${fileVariable} are given`,
        fix: 'Keep one and remove the other.',
      },
    };
  }
  const path = resolve(workingDirectory, fileName);
  try {
    const text = (await readFile(path, 'utf8')).replace(/^\uFEFF/, '').replace(/[\r\n]+$/, '');
    if (text === '') {
      return {
        fault: { setting: fileVariable, problem: `the file ${path} is empty`, fix: 'Write the value into it.' },
      };
    }
    return { text, source: 'file', writtenAs: fileVariable };
  } catch (error) {
    return { fault: fileFault(fileVariable, path, error) };
  }
}

function fixFor(variable: string, raw: RawVariable, definition: SettingDefinition): string {
  // A Kubernetes Service named poort puts POORT_PORT=tcp://10.0.0.1:3000 into every pod beside it.
  if (/^tcp:\/\//.test(raw.text) && definition.secret !== true) {
    return kubernetesFix;
  }
  return raw.source === 'file'
    ? `Write ${definition.expected} into the file that ${raw.writtenAs} names.`
    : `Set ${variable} to ${definition.expected}.`;
}

const kubernetesFix =
  'It comes from a Kubernetes Service named poort: set enableServiceLinks: false in the pod, or rename the Service.';

function unknownVariables(environment: Environment): readonly SettingsFault[] {
  const known = settings.flatMap(([, { variable }]) => (variable === undefined ? [] : [variable]));
  const accepted = new Set(known.flatMap((variable) => [variable, `${variable}_FILE`]));
  return Object.keys(environment)
    .filter((name) => name.startsWith('POORT_') && environment[name] !== undefined)
    .filter((name) => !accepted.has(name) && !name.startsWith(testVariablePrefix))
    .sort()
    .map((name) => ({ setting: name, problem: 'there is no such setting', fix: fixForUnknown(name, known) }));
}

/** What other products call our settings, without the prefix: too far for a typing error, too common to be left alone. */
const habitualNames: ReadonlyMap<string, string> = new Map([
  ['DB_URL', 'DATABASE_URL'],
  ['DATABASE', 'DATABASE_URL'],
  ['POSTGRES_URL', 'DATABASE_URL'],
  ['BASE_URL', 'PUBLIC_URL'],
  ['ISSUER', 'PUBLIC_URL'],
  ['URL', 'PUBLIC_URL'],
  ['HTTP_PORT', 'PORT'],
  ['ENCRYPTION_KEY', 'MASTER_KEY'],
  ['SECRET', 'MASTER_KEY'],
  ['SECRET_KEY', 'MASTER_KEY'],
  ['MAIL_URL', 'SMTP_URL'],
  ['TRUST_PROXY', 'TRUSTED_PROXIES'],
  ['WORKERS', 'PROCESSES'],
]);

function fixForUnknown(name: string, known: readonly string[]): string {
  if (/^POORT_(SERVICE_(HOST|PORT)(_\w+)?|PORT_\d+_(TCP|UDP)(_\w+)?)$/.test(name)) {
    return kubernetesFix;
  }
  // Compared without the prefix that all share, which would make every name look alike.
  const suffix = name.endsWith('_FILE') ? '_FILE' : '';
  const bare = name.slice('POORT_'.length, suffix === '' ? undefined : -suffix.length);
  const names = known.map((variable) => variable.slice('POORT_'.length));
  const meant = habitualNames.get(bare) ?? closestName(bare, names);
  return meant === undefined
    ? 'Remove it. The settings are listed in docs/settings.md.'
    : `Did you mean POORT_${meant}${suffix}? The settings are listed in docs/settings.md.`;
}

function refusedNames(environment: Environment): readonly SettingsFault[] {
  return Object.entries(refusedVariables).flatMap(([name, { problem, fix }]) =>
    [name, `${name}_FILE`]
      .filter((candidate) => (environment[candidate] ?? '') !== '')
      .map((setting) => ({ setting, problem, fix })),
  );
}

function convert(text: string, unitSeconds: number): number | string {
  const number = wholeNumber(0, Math.floor(Number.MAX_SAFE_INTEGER / unitSeconds)).safeParse(text);
  return number.success ? number.data * unitSeconds : text;
}

function quotedIssuer(text: string): string {
  return text.includes('@') ? 'its value' : quoted(text);
}
