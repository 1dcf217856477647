/**
 * Devices over REST: a person's own, a tenant's, and what a device reports of itself. Whoever asks for one that is not theirs, or another
 * tenant's, hears that there is none.
 */
import { z } from 'zod';
import { changeTo, DEVICE_CHANGES, DEVICE_STATES } from '#src/domain/device.ts';
import { TELEMETRY_LIMITS } from '#src/domain/telemetry.ts';
import { userId } from '#src/domain/user.ts';
import { offerDevice, withdrawOffer } from '#src/flows/devices/hand_over_device.ts';
import {
  changeDevice,
  changeDevices,
  deviceTimeline,
  listDevices,
  renameDevice,
  showDevice,
} from '#src/flows/devices/manage_devices.ts';
import { listTelemetry, type ReportOutcome, reportTelemetry } from '#src/flows/devices/report_telemetry.ts';
import type { FlowContext } from '#src/flows/flow_context.ts';
import { isUuid } from '#src/foundation/identifiers.ts';
import type { TokenCaller } from '#src/oidc/own_access_tokens.ts';
import type { DeviceNotes } from '#src/storage/device_notes.ts';
import type { DeviceEventRow, DeviceFilter, DeviceRow, OneDevice } from '#src/storage/tables/devices.ts';
import { ProblemRaised, problems } from '../problems.ts';
import { bearer, type ManagementCaller, permitted } from './chains.ts';
import { instant, line, refuseField } from './input.ts';
import { answerList, listOf, listQuery } from './pages_of_lists.ts';
import { type ApiAnswer, type ApiRequest, type ApiRoute, route } from './routes.ts';

export interface DeviceRoutesOptions {
  readonly apiServices: Omit<FlowContext, 'actor' | 'origin'>;
  readonly deviceNotes: Pick<DeviceNotes, 'note'>;
}

const ownDevices = '/api/v1/user/devices';
const allDevices = '/api/v1/admin/devices';
const deviceText = line(60);
const emailText = line(254);

const filters = listQuery.extend({
  state: z.enum(DEVICE_STATES).optional(),
  client_id: line(200).optional(),
  model: deviceText.optional(),
  firmware: deviceText.optional(),
  seen_before: instant.optional(),
});
const ofOwner = filters.extend({
  owner: z.string().refine(isUuid, 'is no identifier of a person').optional(),
});
const ownChange = z.strictObject({ name: deviceText.optional(), offer_to: z.union([emailText, z.null()]).optional() });
const adminChange = ownChange.extend({
  state: z.enum(['active', 'quarantined']).optional(),
  reason: line(60).optional(),
});
const manyChange = z
  .strictObject({
    change: z.enum(DEVICE_CHANGES),
    client_id: line(200).optional(),
    model: deviceText.optional(),
    firmware: deviceText.optional(),
    reason: line(60).optional(),
  })
  .refine(
    (many) => many.client_id !== undefined || many.model !== undefined || many.firmware !== undefined,
    'names neither client_id nor model nor firmware',
  );

const time = z.iso.datetime();
const deviceThing = z
  .object({
    id: z.uuid(),
    name: z.string(),
    model: z.string().nullable(),
    firmware: z.string().nullable(),
    state: z.enum(DEVICE_STATES),
    state_changed_at: time,
    owner: z.object({ id: z.uuid(), email: z.string() }),
    client: z.object({ id: z.string(), name: z.string() }),
    scopes: z.array(z.string()),
    key_thumbprint: z.string().nullable(),
    paired_at: time,
    paired_address: z.string().nullable(),
    last_seen_at: time,
    last_seen_address: z.string().nullable(),
    expires_at: time,
    offered_until: time.nullable(),
    refused_at: time.nullable(),
    refused_because: z.string().nullable(),
  })
  .meta({ id: 'Device' });
const eventThing = z
  .object({
    id: z.uuid(),
    time,
    type: z.string(),
    outcome: z.string(),
    reason: z.string().nullable(),
    actor: z.object({ type: z.string(), id: z.string().nullable() }).nullable(),
    address: z.string().nullable(),
    data: z.record(z.string(), z.unknown()).nullable(),
  })
  .meta({ id: 'DeviceEvent' });
const telemetryReport = z.record(z.string(), z.unknown()).meta({ id: 'TelemetryReport' });
const telemetryList = listOf(z.object({ id: z.uuid(), received_at: time, report: telemetryReport })).extend({
  last: z.object({ reported_at: time, report: telemetryReport }).nullable(),
});

export function deviceRoutes({ apiServices, deviceNotes }: DeviceRoutesOptions): readonly ApiRoute[] {
  const own = bearer({ scope: 'devices:manage', kinds: ['user'] });
  const reads = permitted('devices:read');
  const manages = permitted('devices:write');

  return [
    route({
      summary: 'Your devices',
      method: 'GET',
      path: ownDevices,
      chain: own,
      answers: listOf(deviceThing),
      query: filters,
      handle: (request) => list(request, { ...filterOf(request.query), userId: callerId(request.caller) }),
    }),
    route({
      summary: 'One of your devices',
      method: 'GET',
      path: `${ownDevices}/{id}`,
      chain: own,
      answers: deviceThing,
      handle: (request) => show(request, ownOf(request)),
    }),
    route({
      summary: 'Name one of your devices, or offer it to somebody else',
      method: 'PATCH',
      path: `${ownDevices}/{id}`,
      chain: own,
      answers: deviceThing,
      body: ownChange,
      handle: (request) => change(request, ownOf(request), request.body),
    }),
    route({
      summary: 'Take one of your devices away for ever',
      method: 'DELETE',
      path: `${ownDevices}/{id}`,
      chain: own,
      handle: (request) => remove(request, ownOf(request)),
    }),
    route({
      summary: 'Take all of your devices away for ever',
      method: 'DELETE',
      path: ownDevices,
      chain: own,
      handle: (request) => removeAll(request),
    }),
    route({
      summary: 'What one of your devices reported',
      method: 'GET',
      path: `${ownDevices}/{id}/telemetry`,
      chain: own,
      answers: telemetryList,
      query: listQuery,
      handle: (request) => telemetry(request, ownOf(request)),
    }),
    route({
      summary: 'Devices of the tenant',
      method: 'GET',
      path: allDevices,
      chain: reads,
      answers: listOf(deviceThing),
      query: ofOwner,
      handle: (request) => {
        const { owner } = request.query;
        return list(request, { ...filterOf(request.query), userId: owner === undefined ? undefined : userId(owner) });
      },
    }),
    route({
      summary: 'One device',
      method: 'GET',
      path: `${allDevices}/{id}`,
      chain: reads,
      answers: deviceThing,
      handle: (request) => show(request, oneOf(request)),
    }),
    route({
      summary: 'What happened to a device',
      method: 'GET',
      path: `${allDevices}/{id}/events`,
      chain: reads,
      answers: listOf(eventThing),
      query: listQuery,
      handle: (request) => events(request, oneOf(request)),
    }),
    route({
      summary: 'What a device reported',
      method: 'GET',
      path: `${allDevices}/{id}/telemetry`,
      chain: reads,
      answers: telemetryList,
      query: listQuery,
      handle: (request) => telemetry(request, oneOf(request)),
    }),
    route({
      summary: 'Name, quarantine, release or offer a device',
      method: 'PATCH',
      path: `${allDevices}/{id}`,
      chain: manages,
      answers: deviceThing,
      body: adminChange,
      handle: (request) => change(request, oneOf(request), request.body),
    }),
    route({
      summary: 'Take a device away for ever',
      method: 'DELETE',
      path: `${allDevices}/{id}`,
      chain: manages,
      handle: (request) => remove(request, oneOf(request)),
    }),
    route({
      summary: 'Quarantine, release or revoke many devices at once',
      method: 'POST',
      path: allDevices,
      chain: manages,
      answers: z.object({ changed: z.number(), more: z.boolean() }),
      body: manyChange,
      handle: async (request) => {
        const { change: wanted, client_id: clientId, model, firmware, reason } = request.body;
        const { id: tenantId } = request.engine.tenant;
        const make = { clientId, model, firmware };
        const changed = await changeDevices(asCaller(request), { tenantId, change: wanted, make, reason });
        if (changed.outcome === 'no_filter') throw notThere();
        return { status: 200, body: { changed: changed.count, more: changed.more } };
      },
    }),
    route({
      summary: 'Report state, as a device',
      method: 'POST',
      path: '/api/v1/devices/self/telemetry',
      chain: bearer({ scope: 'telemetry:write', kinds: ['device'] }),
      body: z.unknown(),
      handle: (request) => report(request),
    }),
  ];

  async function list(request: AnyRequest<ListPart>, filter: DeviceFilter): Promise<ApiAnswer> {
    const { limit, cursor } = request.query;
    const { id: tenantId } = request.engine.tenant;
    const page = await listDevices(apiServices, { tenantId, filter, before: cursor, limit });
    // One more than was asked for says that there are more.
    const more = page.next === undefined ? [] : page.devices.slice(-1);
    const rows = [...page.devices, ...more].map((device) => ({ id: device.device_id, device }));
    return { status: 200, body: answerList(rows, { limit }, ({ device }) => presentDevice(device)) };
  }

  async function show(_request: AnyRequest, device: OneDevice): Promise<ApiAnswer> {
    const found = await showDevice(apiServices, device);
    if (found === undefined) throw notThere();
    return { status: 200, body: presentDevice(found) };
  }

  /** One thing after another; what was done before something is refused stays done, and the answer of the next look tells. */
  async function change(
    request: AnyRequest,
    device: OneDevice,
    wanted: z.infer<typeof ownChange> & Partial<z.infer<typeof adminChange>>,
  ): Promise<ApiAnswer> {
    const context = asCaller(request);
    if (wanted.name !== undefined) settle(await renameDevice(context, { ...device, name: wanted.name }));
    if (wanted.state !== undefined)
      settle(await changeDevice(context, { ...device, change: changeTo(wanted.state), reason: wanted.reason }));
    if (wanted.offer_to === null) await withdrawOffer(context, device);
    else if (wanted.offer_to !== undefined) settle(await offerDevice(context, { ...device, email: wanted.offer_to }));
    return show(request, device);
  }

  async function remove(request: AnyRequest, device: OneDevice): Promise<ApiAnswer> {
    const { outcome } = await changeDevice(asCaller(request), { ...device, change: 'revoke' });
    if (outcome === 'unknown') throw notThere();
    return { status: 204 };
  }

  async function removeAll(request: AnyRequest): Promise<ApiAnswer> {
    const owned = { tenantId: request.engine.tenant.id, userId: callerId(request.caller) };
    const filter = { userId: owned.userId, states: ['active', 'quarantined'] } as const;
    let before: string | undefined;
    do {
      const page = await listDevices(apiServices, { tenantId: owned.tenantId, filter, before, limit: 100 });
      for (const { device_id: deviceId } of page.devices)
        await changeDevice(asCaller(request), { ...owned, deviceId, change: 'revoke' });
      before = page.next;
    } while (before !== undefined);
    return { status: 204 };
  }

  async function events(request: AnyRequest<ListPart>, device: OneDevice): Promise<ApiAnswer> {
    const { limit, cursor } = request.query;
    const timeline = await deviceTimeline(apiServices, { ...device, before: cursor, limit });
    if (timeline === undefined) throw notThere();
    const more = timeline.next === undefined ? [] : timeline.events.slice(-1);
    return { status: 200, body: answerList([...timeline.events, ...more], { limit }, presentEvent) };
  }

  async function telemetry(request: AnyRequest<ListPart>, device: OneDevice): Promise<ApiAnswer> {
    const found = await showDevice(apiServices, device);
    if (found === undefined) throw notThere();
    const { limit, cursor } = request.query;
    const { people } = request.engine;
    // A report's identifier begins with the time at which it came.
    const before = cursor === undefined ? undefined : { id: cursor, at: timeOf(cursor) };
    const wanted = { ...device, days: people['devices.telemetry_days'], before, limit };
    const page = await listTelemetry(apiServices, wanted);
    const more = page.next === undefined ? [] : page.reports.slice(-1);
    const last = page.last && { reported_at: page.last.reported_at.toISOString(), report: page.last.report };
    const shown = answerList([...page.reports, ...more], { limit }, (row) => ({
      id: row.id,
      received_at: row.received_at.toISOString(),
      report: row.report,
    }));
    return { status: 200, body: { last: last ?? null, ...shown } };
  }

  async function report({
    caller: { deviceId },
    engine,
    exchange,
    body,
  }: ApiRequest<TokenCaller, unknown, unknown>): Promise<ApiAnswer> {
    if (deviceId === undefined) throw notThere();
    const { tenant, people: settings } = engine;
    if (Buffer.byteLength(JSON.stringify(body)) > settings['devices.telemetry_maximum_bytes'])
      throw new ProblemRaised(problems.tooLarge(settings['devices.telemetry_maximum_bytes']));
    const answered = await reportTelemetry(apiServices, { tenantId: tenant.id, deviceId, report: body, settings });
    refuseReport(answered);
    const seenAt = apiServices.clock().toISOString();
    deviceNotes.note(tenant.id, { device_id: deviceId, seen_at: seenAt, address: exchange.origin.ip });
    return { status: 204 };
  }

  function asCaller({ caller, exchange }: AnyRequest): FlowContext {
    const actor = 'actor' in caller ? caller.actor : ({ type: 'user', id: caller.userId } as const);
    return { ...apiServices, actor, origin: exchange.origin };
  }
}

interface ListPart {
  readonly limit: number;
  readonly cursor?: string | undefined;
}

type AnyRequest<Query = unknown> = ApiRequest<TokenCaller | ManagementCaller, unknown, Query>;

/** Of the tenant. What is no identifier is nobody's. */
function oneOf({ engine, parameters }: AnyRequest): OneDevice {
  const deviceId = parameters['id'] ?? '';
  if (!isUuid(deviceId)) throw notThere();
  return { tenantId: engine.tenant.id, deviceId };
}

/** Of whoever calls. */
function ownOf(request: AnyRequest): OneDevice {
  return { ...oneOf(request), userId: callerId(request.caller) };
}

function callerId({ userId: id }: TokenCaller | ManagementCaller) {
  return userId(id ?? '');
}

function filterOf(query: z.infer<typeof filters>): DeviceFilter {
  const { state, client_id: clientId, model, firmware, seen_before: seenBefore } = query;
  return { states: state === undefined ? undefined : [state], clientId, model, firmware, seenBefore };
}

const fieldOf = { invalid_name: '#/name', retired: '#/state', owner_already: '#/offer_to' } as const;
const detailOf = {
  invalid_name: 'is no line of 1 to 60 characters that can be seen',
  retired: 'the device is retired, for ever',
  owner_already: 'has it already',
} as const;

function settle({ outcome }: { readonly outcome: string }): void {
  if (outcome === 'unknown') throw notThere();
  if (outcome !== 'invalid_name' && outcome !== 'retired' && outcome !== 'owner_already') return;
  throw new ProblemRaised(refuseField(fieldOf[outcome], { code: outcome, detail: detailOf[outcome] }));
}

/** Nothing for a report that was taken. */
function refuseReport(answered: ReportOutcome): void {
  if (answered.outcome === 'not_active') throw notThere();
  if (answered.outcome === 'too_many') throw new ProblemRaised(problems.tooManyRequests(answered.retryAfterSeconds));
  if (answered.outcome === 'taken') return;
  const { pointer, code } = answered.fault;
  throw new ProblemRaised(refuseField(`#${pointer}`, { code, detail: telemetryWords[code] }));
}

const telemetryWords = {
  not_an_object: 'is no JSON object',
  too_deep: `lies deeper than ${TELEMETRY_LIMITS.depth}`,
  too_many_members: `has more than ${TELEMETRY_LIMITS.members} members in all`,
  name: `has a member whose name is not of 1 to ${TELEMETRY_LIMITS.nameCharacters} characters`,
  text: `is no text of at most ${TELEMETRY_LIMITS.textCharacters} characters`,
  number: 'is no finite number',
  firmware: 'is no line of 1 to 60 characters that can be seen',
} as const;

function notThere(): ProblemRaised {
  return new ProblemRaised(problems.notFound());
}

/** UUIDv7: 48 bits of milliseconds. */
function timeOf(id: string): Date {
  return new Date(Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16));
}

export function presentDevice(device: DeviceRow) {
  return {
    id: device.device_id,
    name: device.name,
    model: device.model,
    firmware: device.firmware,
    state: device.state,
    state_changed_at: device.state_changed_at.toISOString(),
    owner: { id: device.user_id, email: device.owner_email },
    client: { id: device.client_id, name: device.client_name },
    scopes: device.scopes,
    key_thumbprint: device.key_thumbprint,
    paired_at: device.paired_at.toISOString(),
    paired_address: device.paired_address,
    last_seen_at: device.last_seen_at.toISOString(),
    last_seen_address: device.last_seen_address,
    expires_at: device.expires_at.toISOString(),
    offered_until: device.offered_until?.toISOString() ?? null,
    refused_at: device.refused_at?.toISOString() ?? null,
    refused_because: device.refused_because,
  };
}

function presentEvent(event: DeviceEventRow) {
  return {
    id: event.id,
    time: event.occurred_at.toISOString(),
    type: event.type,
    outcome: event.outcome,
    reason: event.reason,
    actor: event.actor_type === null ? null : { type: event.actor_type, id: event.actor_id },
    address: event.ip,
    data: event.data,
  };
}
