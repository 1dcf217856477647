/**
 * Brings people of another product into a tenant, from lines of JSON (NDJSON), with the hashes of their passwords where it has them.
 * Each line is judged by itself: what is wrong with one keeps no other out. Doing it again changes nothing, so an import that was
 * interrupted is simply started anew. A person who is known at another tenant joins as they are, and keeps the password that is theirs.
 */
import { z } from 'zod';
import { parseEmailAddress } from '#src/domain/email_address.ts';
import type { NewEvent } from '#src/domain/event.ts';
import { isStorable } from '#src/domain/stored_text.ts';
import type { TenantId } from '#src/domain/tenant.ts';
import { parsePersonName, type UserId, userId } from '#src/domain/user.ts';
import { parseUsername, type Username } from '#src/domain/username.ts';
import { uuidv7 } from '#src/foundation/identifiers.ts';
import { isUsablePasswordHash } from '#src/foundation/password_hashing.ts';
import type { Transaction } from '#src/storage/database.ts';
import { appendEvents, eventRow } from '#src/storage/event_log.ts';
import {
  assignRolesToMany,
  findPeopleOfInstallation,
  insertMemberships,
  insertPeople,
  listTenantsOfPerson,
  type NewPerson,
  nameMembers,
} from '#src/storage/tables/people.ts';
import { listRoles } from '#src/storage/tables/roles.ts';
import { type FlowContext, Refusal } from '../flow_context.ts';
import { claimUnproven } from '../proofs/prove_address.ts';

export interface PeopleImport {
  readonly tenantId: TenantId;
  /** One person each; empty ones are passed over, and counted. */
  readonly lines: AsyncIterable<string>;
  /** Does everything and takes it back, so that what it reports is what an import would. */
  readonly dryRun: boolean;
  /** Called for each line that is refused, in order. */
  readonly onRefused: (refused: RefusedLine) => void;
}

export interface RefusedLine {
  /** Counted from 1. */
  readonly line: number;
  readonly reason: ImportRefusal;
  /** For operators: which field, which role. Never a hash, and no address. */
  readonly detail?: string | undefined;
}

export type ImportRefusal =
  | 'too_long'
  | 'not_utf8'
  | 'not_json'
  | 'fields'
  | 'email'
  | 'username'
  | 'name'
  | 'password_hash'
  | 'unknown_role'
  | 'twice_in_the_file';

export interface ImportReport {
  readonly lines: number;
  readonly created: number;
  /** Known at another tenant; members of this one now. */
  readonly joined: number;
  /** Were members before; nothing of theirs was changed. */
  readonly alreadyMembers: number;
  /** Of those who came: without the name to sign in with, which somebody else of the tenant has. They sign in with their address. */
  readonly namesTaken: number;
  readonly refused: number;
}

/** Far more than a person has. */
const MAXIMUM_LINE_CHARACTERS = 16_384;
const PEOPLE_TOGETHER = 500;
/** How often a batch is tried in which somebody has just been made by somebody else. */
const MAXIMUM_TRIES = 3;

const instant = z.iso.datetime({ offset: true }).transform((text) => new Date(text));

/** A line. Unknown fields are refused: what somebody took the trouble to export must not get lost unnoticed. */
const personSchema = z.strictObject({
  email: z.string(),
  username: z.string().nullish(),
  given_name: z.string().nullish(),
  family_name: z.string().nullish(),
  locale: z.enum(['nl', 'en']).nullish(),
  email_verified: z.boolean().optional(),
  password_hash: z.string().nullish(),
  roles: z.array(z.string()).max(100).optional(),
  created_at: instant.optional(),
});

interface Candidate {
  readonly emailAddress: string;
  readonly emailCanonical: string;
  readonly emailVerified: boolean;
  readonly username: Username | undefined;
  readonly passwordHash: string | undefined;
  readonly givenName: string | undefined;
  readonly familyName: string | undefined;
  readonly locale: 'nl' | 'en' | undefined;
  readonly createdAt: Date | undefined;
  readonly roleIds: readonly string[];
  readonly roles: readonly string[];
}

type ReadLine =
  | { readonly outcome: 'read'; readonly person: Candidate }
  | { readonly outcome: 'refused'; readonly reason: ImportRefusal; readonly detail?: string | undefined };

/** In batches, so that a hundred thousand people take neither the memory nor one transaction. Rejects only for faults. */
export async function importPeople(context: FlowContext, input: PeopleImport): Promise<ImportReport> {
  const { tenantId, dryRun, onRefused } = input;
  const roles = await context.database.tenant(tenantId).transaction((transaction) => listRoles(transaction, tenantId));
  const roleIds = new Map(roles.map(({ name, id }) => [name, id]));
  const seen = new Set<string>();
  const report = { lines: 0, created: 0, joined: 0, alreadyMembers: 0, namesTaken: 0, refused: 0 };
  let batch: Candidate[] = [];

  const flush = async (): Promise<void> => {
    const done = await importBatch(context, { tenantId, batch, dryRun });
    report.created += done.created;
    report.joined += done.joined;
    report.alreadyMembers += done.alreadyMembers;
    report.namesTaken += done.namesTaken;
    batch = [];
  };

  for await (const text of input.lines) {
    report.lines += 1;
    // A byte order mark is what some programs begin a file with.
    const line = (report.lines === 1 ? text.replace(/^\ufeff/, '') : text).trim();
    if (line === '') continue;
    const read = readPerson(line, { roleIds, seen });
    if (read.outcome === 'refused') {
      report.refused += 1;
      onRefused({ line: report.lines, reason: read.reason, detail: read.detail });
      continue;
    }
    seen.add(read.person.emailCanonical);
    batch.push(read.person);
    if (batch.length === PEOPLE_TOGETHER) await flush();
  }
  if (batch.length > 0) await flush();
  return report;
}

interface Known {
  readonly roleIds: ReadonlyMap<string, string>;
  /** Canonical addresses of the lines before. */
  readonly seen: ReadonlySet<string>;
}

function readPerson(line: string, { roleIds, seen }: Known): ReadLine {
  const refused = (reason: ImportRefusal, detail?: string): ReadLine => ({ outcome: 'refused', reason, detail });
  if (line.length > MAXIMUM_LINE_CHARACTERS) return refused('too_long');
  // What the decoder writes for bytes that are no text: an export in Latin-1 would give people names that are not theirs.
  if (line.includes('\ufffd')) return refused('not_utf8');
  const value = parseJson(line);
  if (value === undefined) return refused('not_json');
  const parsed = personSchema.safeParse(value);
  if (!parsed.success) return refused('fields', fieldsOf(parsed.error));
  const {
    email,
    username,
    given_name,
    family_name,
    locale,
    email_verified,
    password_hash,
    roles = [],
    created_at,
  } = parsed.data;

  const address = parseEmailAddress(email);
  if (address.outcome === 'invalid') return refused('email', address.reason);
  if (seen.has(address.canonical)) return refused('twice_in_the_file');
  const [givenName, familyName] = [given_name, family_name].map((name) => parsePersonName(name ?? undefined));
  if ((isGiven(given_name) && givenName === undefined) || (isGiven(family_name) && familyName === undefined))
    return refused('name');
  const signInName = isGiven(username) ? parseUsername(username) : undefined;
  if (isGiven(username) && signInName === undefined) return refused('username');
  const passwordHash = password_hash ?? undefined;
  if (passwordHash !== undefined && !isUsablePasswordHash(passwordHash)) return refused('password_hash');
  const unknown = roles.filter((role) => !roleIds.has(role));
  if (unknown.length > 0) return refused('unknown_role', unknown.filter(isStorable).join(', ').slice(0, 200));

  const person: Candidate = {
    emailAddress: address.address,
    emailCanonical: address.canonical,
    emailVerified: email_verified ?? false,
    username: signInName,
    passwordHash,
    givenName,
    familyName,
    locale: locale ?? undefined,
    createdAt: created_at,
    roles: [...new Set(roles)],
    roleIds: [...new Set(roles)].flatMap((role) => roleIds.get(role) ?? []),
  };
  return { outcome: 'read', person };
}

/** Exports write what is not there as nothing at all, as null or as an empty text. */
function isGiven(name: string | null | undefined): name is string {
  return name !== undefined && name !== null && name !== '';
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** Which fields are wrong, never what is in them. Names of unknown fields are the file's own: only what can be read is repeated. */
function fieldsOf(error: z.ZodError): string {
  const names = error.issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys' ? issue.keys.map((key) => `unknown ${key}`) : issue.path.slice(0, 1).map(String),
  );
  return [...new Set(names)]
    .map((name) => name.replace(/[^\x20-\x7e]/g, '?').slice(0, 40))
    .join(', ')
    .slice(0, 200);
}

interface Batch {
  readonly tenantId: TenantId;
  readonly batch: readonly Candidate[];
  readonly dryRun: boolean;
}

type BatchReport = Pick<ImportReport, 'created' | 'joined' | 'alreadyMembers' | 'namesTaken'>;

async function importBatch(context: FlowContext, batch: Batch): Promise<BatchReport> {
  for (let tries = 1; ; tries += 1) {
    const report = await tryBatch(context, batch);
    if (report !== 'lost_race') return report;
    if (tries === MAXIMUM_TRIES) throw new Error('people are being made at the same time, again and again');
  }
}

async function tryBatch(context: FlowContext, { tenantId, batch, dryRun }: Batch): Promise<BatchReport | 'lost_race'> {
  const now = context.clock();
  const known = await findPeopleOfInstallation(
    context.database,
    batch.map(({ emailCanonical }) => emailCanonical),
  );
  const people = batch.map((person) => {
    const holder = known.get(person.emailCanonical);
    const isKnown = holder !== undefined;
    return { ...person, id: holder?.id ?? userId(uuidv7(now)), isKnown, isUnproven: holder?.proven === false };
  });
  const unproven = people.filter(({ isUnproven }) => isUnproven);
  const tenantsOf = await Promise.all(unproven.map(({ id }) => listTenantsOfPerson(context.database, id)));
  try {
    return await context.database.tenant(tenantId).transaction(async (transaction) => {
      const ids = people.map(({ id }) => id);
      const members = new Set(await insertMemberships(transaction, { tenantId, userIds: ids, now }));
      const joining = people.filter(({ id }) => members.has(id));
      const names = joining.flatMap(({ id, username }) => (username === undefined ? [] : [{ userId: id, username }]));
      const withoutName = await nameMembers(transaction, { tenantId, names });
      const unknown = joining.filter(({ isKnown }) => !isKnown);
      // Taken by somebody at this very moment: asking again finds them.
      if ((await insertPeople(transaction, unknown.map(rowOf(now)))) < unknown.length)
        throw new Refusal<BatchReport | 'lost_race'>('lost_race');
      // Who made an account with an address that nobody proved may be anybody: it becomes what the file says.
      for (const [index, person] of unproven.entries())
        if (members.has(person.id))
          await claimUnproven(context, {
            tenantId,
            userId: person.id,
            transaction,
            tenantIds: [...new Set([...(tenantsOf[index] ?? []), tenantId])],
            claim: {
              address: person.emailCanonical,
              passwordHash: person.passwordHash,
              verified: person.emailVerified,
              givenName: person.givenName,
              familyName: person.familyName,
            },
          });
      await assignRolesToMany(transaction, {
        tenantId,
        assignments: joining.flatMap(({ id, roleIds }) => roleIds.map((roleId) => ({ userId: id, roleId }))),
      });
      await recordPeople(context, { transaction, tenantId, people: joining, now });
      const report = {
        created: unknown.length,
        joined: joining.length - unknown.length,
        alreadyMembers: people.length - joining.length,
        namesTaken: withoutName,
      };
      if (dryRun) throw new Refusal<BatchReport | 'lost_race'>(report);
      return report;
    });
  } catch (fault) {
    if (fault instanceof Refusal) return fault.outcome;
    // A name to sign in with that somebody has just chosen.
    if (fault instanceof Error && 'code' in fault && fault.code === uniqueViolation) return 'lost_race';
    throw fault;
  }
}

/** SQLSTATE. */
const uniqueViolation = '23505';

interface Joining extends Candidate {
  readonly id: UserId;
  readonly isKnown: boolean;
}

const rowOf =
  (now: Date) =>
  (person: Joining): NewPerson => ({
    id: person.id,
    email: person.emailAddress,
    emailCanonical: person.emailCanonical,
    emailVerified: person.emailVerified,
    passwordHash: person.passwordHash,
    givenName: person.givenName,
    familyName: person.familyName,
    locale: person.locale,
    createdAt: person.createdAt,
    now,
  });

async function recordPeople(
  { actor, origin }: FlowContext,
  {
    transaction,
    tenantId,
    people,
    now,
  }: { transaction: Transaction; tenantId: TenantId; people: readonly Joining[]; now: Date },
): Promise<void> {
  const rows = people.map(({ id, isKnown, roles }) => {
    const type = isKnown ? 'membership.added' : 'user.created';
    const target = { type: 'user', id };
    const event: NewEvent = { type, outcome: 'success', actor, target, data: { roles, imported: true } };
    return eventRow(event, origin, now);
  });
  if (rows.length > 0) await transaction.query(appendEvents.text, [tenantId, JSON.stringify(rows)]);
}
