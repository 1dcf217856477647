/** How an exported history is written: one JSON object a line, or comma-separated values that no spreadsheet takes for a program. */
import { stringify } from 'csv-stringify/sync';
import type { AuditEntry } from './read_audit.ts';

export const AUDIT_FORMATS = ['ndjson', 'csv'] as const;
export type AuditFormat = (typeof AUDIT_FORMATS)[number];

export const auditMediaTypes: Readonly<Record<AuditFormat, string>> = {
  ndjson: 'application/x-ndjson; charset=utf-8',
  csv: 'text/csv; charset=utf-8; header=present',
};

/** One event, the same in a list, in an export and on the command line. */
export function presentAuditEntry(entry: AuditEntry) {
  return {
    id: entry.id,
    time: entry.occurred_at.toISOString(),
    type: entry.type,
    outcome: entry.outcome,
    reason: entry.reason,
    actor: presentParty(entry.actor_type, entry.actor_id, entry.actor_name),
    target: presentParty(entry.target_type, entry.target_id, entry.target_name),
    client_id: entry.client_id,
    session_id: entry.session_id,
    ip: entry.ip,
    user_agent: entry.user_agent,
    request_id: entry.request_id,
    data: entry.data,
  };
}

function presentParty(type: string | null, id: string | null, name: string | undefined) {
  return type === null ? null : { type, id, name: name ?? null };
}

/** The parts of a file, as the parts of the history come. */
export async function* writeAudit(
  batches: AsyncIterable<readonly AuditEntry[]>,
  format: AuditFormat,
): AsyncGenerator<string, void, undefined> {
  if (format === 'csv') yield csvOf([csvColumns]);
  for await (const batch of batches) yield format === 'csv' ? csvOf(batch.map(csvRecord)) : ndjsonOf(batch);
}

function ndjsonOf(batch: readonly AuditEntry[]): string {
  return batch.map((entry) => `${JSON.stringify(presentAuditEntry(entry))}\n`).join('');
}

const csvColumns = [
  'id',
  'time',
  'type',
  'outcome',
  'reason',
  'actor_type',
  'actor_id',
  'actor_name',
  'target_type',
  'target_id',
  'target_name',
  'client_id',
  'session_id',
  'ip',
  'user_agent',
  'request_id',
  'data',
] as const;

function csvRecord(entry: AuditEntry): readonly (string | null | undefined)[] {
  const told: Readonly<Record<(typeof csvColumns)[number], string | null | undefined>> = {
    ...entry,
    time: entry.occurred_at.toISOString(),
    data: entry.data === null ? null : JSON.stringify(entry.data),
  };
  return csvColumns.map((column) => told[column]);
}

/**
 * RFC 4180. A user agent or an address that begins with `=`, `+`, `-` or `@` is a formula to a spreadsheet, which runs it on the machine of
 * whoever opens the file: such a cell begins with an apostrophe here.
 */
function csvOf(records: readonly (readonly (string | null | undefined)[])[]): string {
  return stringify(
    records.map((record) => record.map((cell) => (cell?.startsWith('\n') === true ? `'${cell}` : cell))),
    { escape_formulas: true, record_delimiter: 'windows', quoted_match: /[\r\n]/ },
  );
}
