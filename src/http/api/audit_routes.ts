/** The history of a tenant over REST: asked in parts, or taken out whole as a stream that is read no faster than its reader. */
import { Readable } from 'node:stream';
import { z } from 'zod';
import { EVENT_TYPES, type EventType } from '#src/domain/event.ts';
import { parseAddress } from '#src/domain/network_address.ts';
import { type AuditQuestion, exportAudit, listAudit } from '#src/flows/tenants/read_audit.ts';
import { AUDIT_FORMATS, auditMediaTypes, presentAuditEntry, writeAudit } from '#src/flows/tenants/write_audit.ts';
import { permitted } from './chains.ts';
import { instant, line } from './input.ts';
import { type ManagementServices, managementContext } from './management.ts';
import { listOf, listQuery } from './pages_of_lists.ts';
import { type ApiRoute, route } from './routes.ts';

export interface AuditRoutesOptions {
  readonly apiServices: ManagementServices;
}

const path = '/api/v1/admin/audit';

const party = z
  .object({
    type: z.string(),
    id: z.string().nullable(),
    name: z.string().nullable().describe('What it is called now; null when it is gone or has no name'),
  })
  .nullable();
const shownEvent = z
  .object({
    id: z.uuid(),
    time: z.iso.datetime(),
    type: z.string().describe('A past-tense name of the catalogue'),
    outcome: z.enum(['success', 'failure']),
    reason: z.string().nullable(),
    actor: party,
    target: party,
    client_id: z.string().nullable(),
    session_id: z.string().nullable(),
    ip: z.string().nullable(),
    user_agent: z.string().nullable(),
    request_id: z.string().nullable(),
    data: z.record(z.string(), z.unknown()).nullable(),
  })
  .meta({ id: 'AuditEvent' });

const isEventType = (name: string): name is EventType => EVENT_TYPES.some((type) => type === name);

const question = {
  actor: line(254).describe('An identifier, or what people call them: an address, a name').optional(),
  target: line(500).describe('Likewise: of a person, a client, a role, a key …').optional(),
  type: z
    .string()
    .transform((written) => written.split(','))
    .pipe(z.array(z.custom<EventType>((name) => typeof name === 'string' && isEventType(name), 'is no event')).max(50))
    .describe('One event, or several with commas between them')
    .optional(),
  outcome: z.enum(['success', 'failure']).optional(),
  ip: z
    .string()
    .refine((written) => parseAddress(written) !== undefined, 'is no address')
    .optional(),
  client_id: line(64).optional(),
  request_id: line(64).optional(),
  since: instant.describe('From this moment on').optional(),
  until: instant.describe('Before this moment').optional(),
} as const;

const wholeQuestion = z.strictObject({ ...question, format: z.enum(AUDIT_FORMATS).default('ndjson') });

export function auditRoutes({ apiServices }: AuditRoutesOptions): readonly ApiRoute[] {
  const reads = permitted('audit:read');
  return [
    route({
      summary: 'What happened, the latest first; issued tokens only when they are asked for by type',
      method: 'GET',
      path,
      chain: reads,
      query: listQuery.extend(question),
      answers: listOf(shownEvent),
      async handle({ engine, query }) {
        const { limit, cursor: before } = query;
        const asked = { tenantId: engine.tenant.id, question: questionOf(query), before, limit };
        const { entries, next } = await listAudit(apiServices, asked);
        return { status: 200, body: { data: entries.map(presentAuditEntry), next_cursor: next ?? null } };
      },
    }),
    route({
      summary: 'What happened, all of it and the oldest first, as NDJSON or CSV',
      method: 'GET',
      path: `${path}/export`,
      chain: reads,
      query: wholeQuestion,
      streams: Object.values(auditMediaTypes).map((type) => type.replace(/;.*/, '')),
      async handle(request) {
        const { engine, query } = request;
        const { slug, id: tenantId } = engine.tenant;
        const context = managementContext(apiServices, request);
        const parts = writeAudit(exportAudit(context, { tenantId, question: questionOf(query) }), query.format);
        return {
          status: 200,
          headers: { 'content-disposition': `attachment; filename="${slug}-audit.${query.format}"` },
          contentType: auditMediaTypes[query.format],
          // One part waits to be sent, one is being read.
          stream: Readable.from(parts, { objectMode: true, highWaterMark: 1 }),
        };
      },
    }),
  ];
}

function questionOf(query: Partial<Omit<z.output<typeof wholeQuestion>, 'format'>>): AuditQuestion {
  const { actor, target, type, outcome, ip, client_id: clientId, request_id: requestId, since, until } = query;
  return { actor, target, types: type, outcome, ip, clientId, requestId, since, until };
}
