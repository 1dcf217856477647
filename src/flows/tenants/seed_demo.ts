/**
 * The demo: two tenants that share one person, with one client of each type, and the file that tells people and programs
 * how to get in. Passwords and secrets exist in two places only: in the file as they are, in the database as
 * hashes. So the file is written last, and whatever a killed run, a lost file or another database left unknown is made anew:
 * running this again always ends with a file that is true.
 */
import { chmod, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { type ClientType, presetFor } from '#src/domain/client.ts';
import { parseEmailAddress } from '#src/domain/email_address.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import { randomValue, sha256 } from '#src/foundation/identifiers.ts';
import { appendEvent } from '#src/storage/event_log.ts';
import { listApis } from '#src/storage/tables/apis.ts';
import { type ClientListRow, listClients, readClient, updateRedirectUris } from '#src/storage/tables/clients.ts';
import { readSignInCandidate, replacePasswordHash } from '#src/storage/tables/people.ts';
import { findTenantBySlug } from '#src/storage/tables/tenants.ts';
import { createApi, createClient, rotateClientSecret } from '../clients/manage_clients.ts';
import type { FlowContext } from '../flow_context.ts';
import { addMember } from '../people/manage_people.ts';
import { addOperator } from './manage_operators.ts';
import { createTenant } from './manage_tenants.ts';

const demoFileSchema = z.object({
  public_url: z.string(),
  operator: z.object({ email: z.string(), password: z.string() }),
  tenants: z.array(
    z.object({
      slug: z.string(),
      issuer: z.string(),
      users: z.array(
        z.object({
          email: z.string(),
          password: z.string(),
          roles: z.array(z.string()),
          totp_secret: z.string().nullable(),
        }),
      ),
      clients: z.array(
        z.object({
          name: z.string(),
          type: z.string(),
          client_id: z.string(),
          client_secret: z.string().exactOptional(),
          redirect_uris: z.array(z.string()),
        }),
      ),
      apis: z.array(z.object({ audience: z.string(), scopes: z.array(z.string()), token_format: z.string() })),
    }),
  ),
});

/** `demo.json`, named as in the file. Full of secrets. */
export type DemoFile = z.infer<typeof demoFileSchema>;
export type DemoTenant = DemoFile['tenants'][number];
type DemoClient = DemoTenant['clients'][number];

interface PlannedTenant {
  readonly slug: string;
  readonly name: string;
  readonly locale: 'en' | 'nl';
  readonly members: readonly { readonly person: keyof typeof people; readonly roles: readonly string[] }[];
  readonly apis: readonly {
    readonly audience: string;
    readonly tokenFormat: 'jwt' | 'opaque';
    readonly scopes: readonly { readonly name: string; readonly description: string }[];
  }[];
}

/** The domain is reserved for examples (RFC 6761 §6.2): no mail can ever reach a stranger. */
const people = {
  ada: { email: 'ada@example.test', givenName: 'Ada', familyName: 'Lovelace' },
  grace: { email: 'grace@example.test', givenName: 'Grace', familyName: 'Hopper' },
  edsger: { email: 'edsger@example.test', givenName: 'Edsger', familyName: 'Dijkstra' },
} as const;

const plannedTenants: readonly PlannedTenant[] = [
  {
    slug: 'demo',
    name: 'Demo',
    locale: 'en',
    members: [
      { person: 'ada', roles: ['admin'] },
      { person: 'grace', roles: ['user'] },
    ],
    apis: plannedApis('demo'),
  },
  {
    slug: 'acme',
    name: 'Acme',
    locale: 'en',
    members: [
      { person: 'ada', roles: ['user'] },
      { person: 'edsger', roles: ['admin'] },
    ],
    apis: plannedApis('acme'),
  },
];

function plannedApis(slug: string): PlannedTenant['apis'] {
  return [
    {
      audience: `https://api.${slug}.example/readings`,
      tokenFormat: 'jwt',
      scopes: [
        { name: 'readings:read', description: 'See the readings of your meters' },
        { name: 'readings:write', description: 'Add readings on your behalf' },
      ],
    },
    {
      audience: `https://api.${slug}.example/invoices`,
      tokenFormat: 'opaque',
      scopes: [
        { name: 'invoices:read', description: 'See your invoices' },
        { name: 'invoices:write', description: 'Pay and dispute your invoices' },
      ],
    },
  ];
}

const clientTypes: readonly ClientType[] = ['web', 'spa', 'native', 'device', 'machine', 'resource_server'];

/** What people call this tenant of the demo; the slug for one that is not of the demo. */
export function demoTenantName(slug: string): string {
  return plannedTenants.find((tenant) => tenant.slug === slug)?.name ?? slug;
}

export interface DemoInput {
  /** The origin of the issuers, without a trailing slash. */
  readonly publicUrl: string;
  /** The origin of the demo application: where the clients `web` and `spa` live. */
  readonly demoOrigin: string;
  readonly dataDirectory: string;
}

/**
 * Makes what is missing of the demo and keeps the rest, and resolves when `<dataDirectory>/demo.json` (mode 0600) is true. Only
 * redirect URIs follow a moved demo application; roles, scopes and disabled things stay as people left them.
 * Throws when the database refuses what the demo is made of.
 */
export async function seedDemo(context: FlowContext, input: DemoInput): Promise<DemoFile> {
  const known = await readDemoFile(input.dataDirectory);
  const passwords = new Map(Object.values(people).map(({ email }) => [email, knownPassword(known, email)]));
  const tenants: DemoTenant[] = [];
  for (const plan of plannedTenants) {
    const tenantId = await ensureTenant(context, plan);
    await ensureApis(context, { tenantId, plan });
    const knownTenant = known?.tenants.find((tenant) => tenant.slug === plan.slug);
    const clients = await ensureClients(context, { tenantId, plan, known: knownTenant?.clients ?? [], input });
    // The file of another database would name other clients; then its passwords may be just as wrong.
    const isOurs = clients.every((client) =>
      knownTenant?.clients.some((other) => other.client_id === client.client_id),
    );
    const users = await ensureMembers(context, { tenantId, plan, passwords, isOurs });
    await ensureOperator(context, { tenantId, plan });
    tenants.push({
      slug: plan.slug,
      issuer: `${input.publicUrl}/t/${plan.slug}`,
      users,
      clients,
      apis: plan.apis.map(({ audience, scopes, tokenFormat }) => ({
        audience,
        scopes: scopes.map((scope) => scope.name),
        token_format: tokenFormat,
      })),
    });
  }
  const operator = { email: people.ada.email, password: passwords.get(people.ada.email) ?? '' };
  const demo = { public_url: input.publicUrl, operator, tenants };
  await keepDemoFile(input.dataDirectory, demo);
  return demo;
}

function knownPassword(known: DemoFile | undefined, email: string): string | undefined {
  const users = known?.tenants.flatMap((tenant) => tenant.users) ?? [];
  return users.find((user) => user.email === email)?.password;
}

async function ensureTenant(context: FlowContext, plan: PlannedTenant): Promise<TenantId> {
  const found = await findTenantBySlug(context.database, plan.slug);
  if (found !== undefined) return found.id;
  const created = await createTenant(context, plan);
  if (created.outcome === 'created') return created.id;
  // Another process seeds the same database at this very moment.
  const raced = created.reason === 'slug_taken' ? await findTenantBySlug(context.database, plan.slug) : undefined;
  if (raced === undefined) throw new Error(`the tenant ${plan.slug} of the demo is refused: ${created.reason}`);
  return raced.id;
}

async function ensureApis(
  context: FlowContext,
  { tenantId, plan }: { tenantId: TenantId; plan: PlannedTenant },
): Promise<void> {
  const tenant = context.database.tenant(tenantId);
  const present = await tenant.transaction((transaction) => listApis(transaction, tenantId));
  for (const { audience, tokenFormat, scopes } of plan.apis) {
    if (present.some((api) => api.audience === audience)) continue;
    const api = { audience, tokenFormat, scopes: scopes.map(({ name, description }) => `${name}=${description}`) };
    const created = await createApi(context, { tenantId, api });
    if (created.outcome === 'refused') throw new Error(`the API ${audience} of the demo is refused`);
  }
}

interface WantedClient {
  readonly type: ClientType;
  readonly redirectUris: readonly string[];
  readonly postLogoutRedirectUris: readonly string[];
  readonly scopes: readonly string[];
}

function wantedClient(type: ClientType, plan: PlannedTenant, { demoOrigin }: DemoInput): WantedClient {
  const scopesOf = (tokenFormat: string): readonly string[] =>
    plan.apis.filter((api) => api.tokenFormat === tokenFormat).flatMap((api) => api.scopes.map((scope) => scope.name));
  const readings = scopesOf('jwt');
  const everything = [...readings, ...scopesOf('opaque')];
  const nowhere = { type, redirectUris: [], postLogoutRedirectUris: [] };
  const postLogoutRedirectUris = [`${demoOrigin}/`];
  switch (type) {
    case 'web':
      return {
        type,
        redirectUris: [`${demoOrigin}/callback/${plan.slug}`],
        postLogoutRedirectUris,
        scopes: everything,
      };
    case 'spa':
      return { type, redirectUris: [`${demoOrigin}/spa/callback`], postLogoutRedirectUris, scopes: readings };
    case 'native':
      // RFC 8252 §7.3: the engine lets the port of a loopback address differ.
      return { ...nowhere, redirectUris: ['http://127.0.0.1/callback'], scopes: readings };
    case 'device':
      return { ...nowhere, scopes: readings };
    case 'machine':
      return { ...nowhere, scopes: everything };
    case 'resource_server':
      return { ...nowhere, scopes: [] };
    default: {
      const never: never = type;
      return never;
    }
  }
}

interface ClientsInput {
  readonly tenantId: TenantId;
  readonly plan: PlannedTenant;
  readonly known: readonly DemoClient[];
  readonly input: DemoInput;
}

async function ensureClients(
  context: FlowContext,
  { tenantId, plan, known, input }: ClientsInput,
): Promise<DemoClient[]> {
  const tenant = context.database.tenant(tenantId);
  const present = await tenant.transaction((transaction) => listClients(transaction, tenantId));
  const clients: DemoClient[] = [];
  for (const type of clientTypes) {
    const wanted = wantedClient(type, plan, input);
    const written = known.find((client) => client.name === type && client.type === type);
    const ofThisType = present.filter((client) => client.type === type);
    const found =
      ofThisType.find((client) => client.client_id === written?.client_id) ??
      ofThisType.find((client) => client.name === type);
    clients.push(
      found === undefined
        ? await makeClient(context, { tenantId, wanted })
        : await keepClient(context, { tenantId, wanted, found, written }),
    );
  }
  return clients;
}

async function makeClient(
  context: FlowContext,
  { tenantId, wanted }: { tenantId: TenantId; wanted: WantedClient },
): Promise<DemoClient> {
  const { type } = wanted;
  const firstParty = type === 'web' || type === 'spa' || type === 'native';
  const created = await createClient(context, { tenantId, client: { ...wanted, name: type, firstParty } });
  if (created.outcome === 'refused') {
    const reasons = created.problems.map(({ field, problem }) => `${field} ${problem}`);
    throw new Error(`the client ${type} of the demo is refused: ${reasons.join(', ')}`);
  }
  return demoClient(wanted, created);
}

async function keepClient(
  context: FlowContext,
  {
    tenantId,
    wanted,
    found,
    written,
  }: { tenantId: TenantId; wanted: WantedClient; found: ClientListRow; written: DemoClient | undefined },
): Promise<DemoClient> {
  const clientId = found.client_id;
  const tenant = context.database.tenant(tenantId);
  const { redirectUris, postLogoutRedirectUris } = wanted;
  const hasMoved =
    redirectUris.join(' ') !== found.redirect_uris.join(' ') ||
    postLogoutRedirectUris.join(' ') !== found.post_logout_redirect_uris.join(' ');
  if (hasMoved) {
    const change = { tenantId, clientId, redirectUris, postLogoutRedirectUris, now: context.clock() };
    await tenant.transaction((transaction) => updateRedirectUris(transaction, change));
  }

  if (!presetFor(wanted.type).confidential) return demoClient(wanted, { clientId, clientSecret: undefined });
  const secret = written?.client_id === clientId ? written.client_secret : undefined;
  // A disabled client cannot be read, and needs no secret that works.
  const live = secret === undefined ? undefined : await readClient(tenant, clientId);
  const isKnown = secret !== undefined && (live?.secret_hashes.includes(sha256(secret).toString('hex')) ?? true);
  if (isKnown) return demoClient(wanted, { clientId, clientSecret: secret });
  const rotated = await rotateClientSecret(context, { tenantId, clientId });
  return demoClient(wanted, {
    clientId,
    clientSecret: rotated.outcome === 'rotated' ? rotated.clientSecret : undefined,
  });
}

function demoClient(
  { type, redirectUris }: WantedClient,
  { clientId, clientSecret }: { clientId: string; clientSecret: string | undefined },
): DemoClient {
  const secret = clientSecret === undefined ? {} : { client_secret: clientSecret };
  return { name: type, type, client_id: clientId, ...secret, redirect_uris: [...redirectUris] };
}

interface MembersInput {
  readonly tenantId: TenantId;
  readonly plan: PlannedTenant;
  /** By e-mail address; undefined until known. Filled in here. */
  readonly passwords: Map<string, string | undefined>;
  readonly isOurs: boolean;
}

async function ensureMembers(
  context: FlowContext,
  { tenantId, plan, passwords, isOurs }: MembersInput,
): Promise<DemoTenant['users']> {
  const users: DemoTenant['users'] = [];
  for (const { person, roles } of plan.members) {
    const { email, givenName, familyName } = people[person];
    const known = passwords.get(email);
    const password = known ?? createPassword();
    passwords.set(email, password);
    // The password makes a new person only: someone who is known, here or at another tenant, keeps theirs for now.
    const added = await addMember(context, { tenantId, email, password, roles, verified: true, givenName, familyName });
    if (added.outcome === 'refused' && added.reason !== 'already_a_member') {
      throw new Error(`the person ${person} of the demo is refused: ${added.reason}`);
    }
    const isCertain =
      added.outcome === 'created' ||
      (added.outcome === 'joined' && added.passwordMatches === true) ||
      (added.outcome === 'refused' && known !== undefined && isOurs);
    if (!isCertain) await ensurePassword(context, { tenantId, email, password });
    users.push({ email, password, roles: [...roles], totp_secret: null });
  }
  return users;
}

/** The file says who the operator is, so they are: at the tenant that comes first, unless they left it. */
async function ensureOperator(
  { database, ...context }: FlowContext,
  { tenantId, plan }: { tenantId: TenantId; plan: PlannedTenant },
): Promise<void> {
  if (plan !== plannedTenants[0]) return;
  const parsed = parseEmailAddress(people.ada.email);
  const found =
    parsed.outcome === 'valid' ? await readSignInCandidate(database.tenant(tenantId), parsed.canonical) : undefined;
  if (found !== undefined) await addOperator({ ...context, database }, { tenantId, userId: found.id });
}

async function ensurePassword(
  context: FlowContext,
  { tenantId, email, password }: { tenantId: TenantId; email: string; password: string },
): Promise<void> {
  const parsed = parseEmailAddress(email);
  if (parsed.outcome === 'invalid') return;
  const tenant = context.database.tenant(tenantId);
  const candidate = await readSignInCandidate(tenant, parsed.canonical);
  const from = candidate?.password_hash ?? undefined;
  if (candidate === undefined || from === undefined) return;
  const { matches } = await context.passwords.verify(from, password);
  if (matches) return;

  const to = await context.passwords.hash(password);
  const now = context.clock();
  await tenant.transaction(async (transaction) => {
    await replacePasswordHash(transaction, { userId: candidate.id, from, to, now });
    const event = {
      type: 'password.reset',
      outcome: 'success',
      actor: context.actor,
      target: { type: 'user', id: candidate.id },
    } as const;
    await appendEvent(transaction, { tenant, event, origin: context.origin, now });
  });
}

/** Sixteen letters and digits in groups of four, some 95 bits: to be typed by people who try the demo. */
function createPassword(): string {
  const characters = randomValue('', 32).replace(/[-_]/g, '').slice(0, 16);
  return (characters.match(/.{1,4}/g) ?? []).join('-');
}

const demoFileName = 'demo.json';

/** Undefined when there is none, or when it is damaged: everything in it can be made anew. */
async function readDemoFile(dataDirectory: string): Promise<DemoFile | undefined> {
  try {
    return demoFileSchema.parse(JSON.parse(await readFile(join(dataDirectory, demoFileName), 'utf8')));
  } catch (fault) {
    const isMissing = typeof fault === 'object' && fault !== null && 'code' in fault && fault.code === 'ENOENT';
    const isDamaged = fault instanceof SyntaxError || fault instanceof z.ZodError;
    if (isMissing || isDamaged) return undefined;
    throw fault;
  }
}

/** In one step, so that nobody ever reads half of it. */
async function keepDemoFile(dataDirectory: string, demo: DemoFile): Promise<void> {
  const file = join(dataDirectory, demoFileName);
  const text = `${JSON.stringify(demo, undefined, 2)}\n`;
  const present = await readFile(file, 'utf8').catch(() => undefined);
  if (present === text) {
    if (((await stat(file)).mode & 0o777) !== 0o600) await chmod(file, 0o600);
    return;
  }
  await mkdir(dataDirectory, { recursive: true, mode: 0o700 });
  const temporary = `${file}.tmp`;
  await rm(temporary, { force: true });
  await writeFile(temporary, text, { mode: 0o600, flag: 'wx' });
  await rename(temporary, file);
}
