/**
 * A tenant as a YAML file: which keys it has, where in it something is wrong, and what it says in the words of
 * domain/tenant_configuration.ts. Secrets never stand in it: it names the variable or the file that holds them.
 */
import { readFile, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { type Document, isMap, isNode, isScalar, LineCounter, type Pair, parseDocument, stringify } from 'yaml';
import { z } from 'zod';
import { CLIENT_TYPES, TOKEN_ENDPOINT_AUTH_METHODS } from '#src/domain/client.ts';
import { MAXIMUM_LOGO_BYTES, parseLogo } from '#src/domain/logo.ts';
import {
  type ConfigurationProblem,
  isUsableSecret,
  readWritten,
  type TenantConfiguration,
  type WantedConfiguration,
  type WrittenClient,
  type WrittenConfiguration,
  writtenOf,
} from '#src/domain/tenant_configuration.ts';
import { listTenantSettings } from '#src/domain/tenant_settings.ts';
import type { LogoPicture } from '#src/flows/tenants/apply_configuration.ts';
import { logoVersion } from '#src/flows/tenants/manage_branding.ts';
import { sha256 } from '#src/foundation/identifiers.ts';

const texts = z.array(z.string());

const secretReference = z
  .strictObject(
    {
      environment: z.string().optional().describe('The variable that holds it'),
      file: z.string().optional().describe('The file that holds it, as seen from this one'),
    },
    { error: 'a secret does not stand in the file: write environment: or file:, or nothing to have one made' },
  )
  .refine(({ environment, file }) => (environment === undefined) !== (file === undefined), {
    error: 'name either environment or file',
  });

const logo = z
  .strictObject({
    file: z.string().optional().describe('A PNG or WebP of at most 200 KiB, as seen from this file'),
    data: z.base64().optional().describe('The picture itself in base64, as an export writes it'),
    alt: z.string().optional().describe('Said instead of the picture, where the name of the tenant does not say it'),
  })
  .refine(({ file, data }) => (file === undefined) !== (data === undefined), { error: 'name either file or data' });

const permission = z.strictObject({
  description: z.string().optional(),
  is_active: z.boolean().optional().describe('Whether it is in force; true unless given'),
});

const role = z.strictObject({
  description: z.string().optional(),
  is_active: z.boolean().optional().describe('Whether it gives anything; true unless given'),
  permissions: texts.optional().describe('What it permits, each as resource:action'),
  inherits: z.string().optional().describe('The role whose permissions it has as well'),
});

const api = z.strictObject({
  token_format: z.enum(['jwt', 'opaque']).optional().describe('jwt unless given'),
  signing_alg: z.enum(['ES256', 'RS256', 'EdDSA']).optional().describe('Of its JWTs; ES256 unless given'),
  scopes: z.record(z.string(), z.string()).optional().describe('By name, the sentence that people read'),
  authorization_details: z
    .record(z.string(), z.string())
    .optional()
    .describe('By type, the sentence that people read with its {fields} (RFC 9396)'),
});

const client = z.strictObject({
  name: z.string().describe('What people see on the consent page'),
  type: z.enum(CLIENT_TYPES),
  first_party: z.boolean().optional().describe('Ours: people are not asked for consent'),
  redirect_uris: texts.optional(),
  post_logout_redirect_uris: texts.optional(),
  backchannel_logout_uri: z.string().optional(),
  scopes: texts.optional().describe('Beside those of its type'),
  audiences: texts.optional().describe('The APIs that a resource_server stands for; without, every API of the tenant'),
  token_endpoint_auth_method: z.enum(TOKEN_ENDPOINT_AUTH_METHODS).optional(),
  jwks: z
    .looseObject({ keys: z.array(z.looseObject({})) })
    .optional()
    .describe('Its public keys'),
  settings: z.looseObject({}).optional().describe('docs/integration/client-settings.md lists them'),
  secret: secretReference.optional().describe('Without, one is made with the client and printed once'),
});

const setting = z.union([z.boolean(), z.number(), z.string(), texts]);

/** What a file may say. What it leaves out has its default; a section that it leaves out is left alone. */
export const tenantDocumentSchema = z
  .strictObject({
    version: z.literal(1).describe('Of this format'),
    tenant: z.string().describe('The slug, which is part of the issuer'),
    name: z.string().describe('What people see'),
    locale: z.enum(['nl', 'en']).optional().describe('nl unless given'),
    settings: z
      .strictObject(
        Object.fromEntries(
          listTenantSettings().map(({ name, expected }) => [
            name,
            setting.optional().describe(`Set it to ${expected}`),
          ]),
        ),
      )
      .optional()
      .describe('What holds for this tenant; the installation says the rest (config/default.yaml)'),
    brand: z
      .strictObject({
        color: z.string().optional().describe('Of links and buttons, written #rrggbb'),
        logo: logo.optional(),
      })
      .optional(),
    permissions: z.record(z.string(), permission).optional().describe('What the tenant says of its own, by name'),
    roles: z.record(z.string(), role).optional().describe('By name; the built-in ones are there anyway'),
    apis: z.record(z.string(), api).optional().describe('By audience'),
    clients: z.record(z.string(), client).optional().describe('By client_id, which you choose'),
  })
  .describe('A tenant of Poort, for `poort plan` and `poort apply`');

/** For editors: JSON Schema 2020-12. */
export function tenantDocumentJsonSchema(): object {
  return z.toJSONSchema(tenantDocumentSchema, { target: 'draft-2020-12', io: 'input' });
}

/** A problem with its place. `line` and `column` from 1; absent where nothing in the file is to blame. */
export interface DocumentProblem {
  readonly path: string;
  readonly problem: string;
  readonly line?: number;
  readonly column?: number;
}

export interface ReadDocument {
  readonly outcome: 'read';
  readonly slug: string;
  readonly wanted: WantedConfiguration;
  readonly logos: ReadonlyMap<string, LogoPicture>;
  /** Puts a problem that turned up later in its place in the file. */
  readonly locate: (problem: ConfigurationProblem) => DocumentProblem;
}

/** From which file the text is, and where what it refers to is looked for. */
export interface DocumentSource {
  readonly text: string;
  /** Files are named as seen from here. */
  readonly folder: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Reads a tenant, with all problems at once as far as reading gets. */
export async function readTenantDocument(
  source: DocumentSource,
): Promise<ReadDocument | { readonly outcome: 'refused'; readonly problems: readonly DocumentProblem[] }> {
  const lines = new LineCounter();
  const document = parseDocument(source.text, { lineCounter: lines, prettyErrors: false, merge: false });
  const broken = [...document.errors, ...document.warnings].map(({ message, pos: [offset] }) => ({
    path: '',
    problem: message,
    ...placeOf(lines, offset),
  }));
  if (broken.length > 0) return { outcome: 'refused', problems: broken };
  const locate = ({ path, problem, value }: ConfigurationProblem): DocumentProblem => ({
    path: path.join('.'),
    problem: `${problem.replaceAll('_', ' ')}${value === undefined ? '' : ` (${JSON.stringify(value)})`}`,
    ...placeOf(lines, offsetOf(document, path)),
  });
  const content = contentOf(document);
  if (content.outcome === 'refused') return { outcome: 'refused', problems: content.problems.map(locate) };
  const parsed = tenantDocumentSchema.safeParse(content.value);
  if (!parsed.success) return { outcome: 'refused', problems: parsed.error.issues.flatMap(problemsOf).map(locate) };

  const { version: _one, tenant: slug, brand, clients, ...others } = parsed.data;
  const problems: ConfigurationProblem[] = [];
  const picture = await readLogoOf(brand?.logo, { source, problems });
  const written: WrittenConfiguration = {
    ...others,
    brand: brand === undefined ? undefined : { color: brand.color, logo: picture?.item },
    clients: await readSecretsOf(clients, { source, problems }),
  };
  const read = readWritten(written);
  if (read.outcome === 'refused') problems.push(...read.problems);
  if (read.outcome === 'refused' || problems.length > 0) return { outcome: 'refused', problems: problems.map(locate) };
  const logos = new Map(picture === undefined ? [] : [[picture.item.version, picture.picture]]);
  return { outcome: 'read', slug, wanted: read.wanted, logos, locate };
}

/** The slug that a file names, whatever else is wrong with it. */
export function slugOfDocument(text: string): string | undefined {
  const slug: unknown = parseDocument(text, { prettyErrors: false }).get('tenant');
  return typeof slug === 'string' ? slug : undefined;
}

function contentOf(
  document: Document,
):
  | { readonly outcome: 'read'; readonly value: unknown }
  | { readonly outcome: 'refused'; readonly problems: readonly ConfigurationProblem[] } {
  const unsafe = unsafeKeysIn(document.contents, []);
  if (unsafe.length > 0) return { outcome: 'refused', problems: unsafe };
  try {
    return { outcome: 'read', value: document.toJS() };
  } catch (fault) {
    // An alias of an alias of an alias: what one of them stands for would be larger than anything somebody wrote.
    const problem = fault instanceof Error ? fault.message : 'it cannot be read';
    return { outcome: 'refused', problems: [{ path: [], problem }] };
  }
}

/** `__proto__` is no name of anything, and would be passed over in silence. */
function unsafeKeysIn(node: unknown, path: readonly string[]): readonly ConfigurationProblem[] {
  if (!isMap(node)) return [];
  return node.items.flatMap((pair: Pair): readonly ConfigurationProblem[] => {
    const inner = [...path, keyOf(pair)];
    return keyOf(pair) === '__proto__' ? [{ path: inner, problem: 'unknown_key' }] : unsafeKeysIn(pair.value, inner);
  });
}

function keyOf({ key }: Pair): string {
  return String(isScalar(key) ? key.value : key);
}

function problemsOf(issue: z.core.$ZodIssue): readonly ConfigurationProblem[] {
  const path = issue.path.map(String);
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => ({ path: [...path, key], problem: 'there is no such key' }));
  return [{ path, problem: issue.message }];
}

/** Where the path ends in the file, or its longest beginning that is there. */
function offsetOf(document: Document, path: readonly string[]): number | undefined {
  let node: unknown = document.contents;
  let offset: number | undefined;
  for (const name of path) {
    if (!isMap(node)) break;
    const pair = node.items.find((candidate: Pair) => keyOf(candidate) === name);
    if (pair === undefined) break;
    if (isNode(pair.key)) offset = pair.key.range?.[0];
    node = pair.value;
  }
  return offset;
}

function placeOf(lines: LineCounter, offset: number | undefined): { readonly line?: number; readonly column?: number } {
  if (offset === undefined) return {};
  const { line, col } = lines.linePos(offset);
  return { line, column: col };
}

interface Reading {
  readonly source: DocumentSource;
  readonly problems: ConfigurationProblem[];
}

async function readLogoOf(
  reference: z.infer<typeof logo> | undefined,
  { source, problems }: Reading,
): Promise<{ readonly item: { version: string; alt: string }; readonly picture: LogoPicture } | undefined> {
  if (reference === undefined) return undefined;
  const { file, data, alt = '' } = reference;
  const body =
    file === undefined ? Buffer.from(data ?? '', 'base64') : await readSmallFile(file, source, MAXIMUM_LOGO_BYTES);
  if (body === undefined) {
    problems.push({ path: ['brand', 'logo', 'file'], problem: 'it cannot be read, or is too large' });
    return undefined;
  }
  const picture = parseLogo(body);
  if (picture.outcome === 'valid') return { item: { version: logoVersion(picture.body), alt }, picture };
  problems.push({ path: ['brand', 'logo'], problem: picture.reason });
  return undefined;
}

async function readSecretsOf(
  clients: Readonly<Record<string, z.infer<typeof client>>> | undefined,
  { source, problems }: Reading,
): Promise<Readonly<Record<string, WrittenClient>> | undefined> {
  if (clients === undefined) return undefined;
  const read = Object.entries(clients).map(async ([clientId, { secret: reference, ...written }]) => {
    if (reference === undefined) return [clientId, written] as const;
    const secret = await readSecret(reference, source);
    const path = ['clients', clientId, 'secret'];
    if (secret === undefined) problems.push({ path, problem: 'what it names is not there' });
    else if (!isUsableSecret(secret))
      problems.push({
        path,
        problem: 'it has at least 32 characters, without spaces: `openssl rand -base64 32` makes one',
      });
    return [
      clientId,
      secret === undefined ? written : { ...written, secretHash: sha256(secret).toString('hex') },
    ] as const;
  });
  return Object.fromEntries(await Promise.all(read));
}

const maximumSecretBytes = 1_024;

async function readSecret(
  { environment, file }: z.infer<typeof secretReference>,
  source: DocumentSource,
): Promise<string | undefined> {
  if (environment !== undefined) return source.environment[environment];
  const content = await readSmallFile(file ?? '', source, maximumSecretBytes);
  return content?.toString('utf8').replace(/\r?\n$/, '');
}

async function readSmallFile(
  file: string,
  { folder }: DocumentSource,
  maximumBytes: number,
): Promise<Buffer | undefined> {
  const path = resolve(folder, file);
  const found = await stat(path).catch(() => undefined);
  if (found === undefined || !found.isFile() || found.size > maximumBytes) return undefined;
  return readFile(path).catch(() => undefined);
}

/** Where files that a document names are looked for. */
export function folderOf(file: string, workingDirectory: string): string {
  return file === '-' ? workingDirectory : dirname(resolve(workingDirectory, file));
}

/** A tenant as it stands: the same bytes for the same tenant, on every machine. */
export function writeTenantDocument({
  slug,
  configuration,
  logo: picture,
}: {
  readonly slug: string;
  readonly configuration: TenantConfiguration;
  readonly logo: Buffer | undefined;
}): { readonly document: object; readonly text: string } {
  const { name, locale, brand, ...sections } = writtenOf(configuration);
  const logoItem =
    brand.logo === undefined || picture === undefined
      ? {}
      : { logo: { data: picture.toString('base64'), ...(brand.logo.alt === '' ? {} : { alt: brand.logo.alt }) } };
  const document = {
    version: 1,
    tenant: slug,
    name,
    locale,
    settings: sections.settings,
    brand: { ...(brand.color === undefined ? {} : { color: brand.color }), ...logoItem },
    permissions: sections.permissions,
    roles: sections.roles,
    apis: sections.apis,
    clients: sections.clients,
  };
  const body = stringify(document, { lineWidth: 0, singleQuote: true, aliasDuplicateObjects: false });
  return {
    document,
    text: `# A tenant of Poort: see \`poort apply --help\`. Secrets are never written here.\n${body}`,
  };
}
