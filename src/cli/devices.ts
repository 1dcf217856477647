/** `poort device …`: the devices of a tenant's people: seeing them, stopping them, knowing which will fall silent. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { DEVICE_STATES, type DeviceChange, type DeviceState } from '#src/domain/device.ts';
import { offerDevice } from '#src/flows/devices/hand_over_device.ts';
import {
  changeDevice,
  changeDevices,
  deviceTimeline,
  forecastDevices,
  LIVING_STATES,
  listDevices,
  renameDevice,
} from '#src/flows/devices/manage_devices.ts';
import { isUuid } from '#src/foundation/identifiers.ts';
import type { DeviceEventRow, DeviceMake, DeviceRow } from '#src/storage/tables/devices.ts';
import { type Answer, CommandRefused, described, table, WrongUsage } from './answers.ts';
import { answering, findTenant, group, type TenantOptions, tenantOption } from './options.ts';
import type { Runner, Session } from './runner.ts';
import { findPerson } from './users.ts';

interface ListOptions extends TenantOptions, MakeOptions {
  readonly state?: DeviceState;
  readonly owner?: string;
  readonly unseenDays?: number;
  readonly before?: string;
  readonly limit: number;
}

interface MakeOptions {
  readonly client?: string;
  readonly model?: string;
  readonly firmware?: string;
}

interface ChangeOptions extends TenantOptions, MakeOptions {
  readonly reason?: string;
}

export function addDeviceCommands(program: Command, runner: Runner): void {
  const device = group(program, 'device', 'paired devices: seeing, stopping and ending them');

  answering(
    makeOptions(device.command('list').description('list devices, the latest paired first'))
      .addOption(tenantOption())
      .addOption(new Option('--state <state>', 'only those in this state').choices(DEVICE_STATES))
      .option('--owner <person>', 'only those of this person: an e-mail address or an id')
      .addOption(wholeNumber('--unseen-days <days>', 'only those that were not heard of for so long', 1, 3650))
      .option('--before <device>', 'those paired before this one: the next page')
      .addOption(wholeNumber('--limit <number>', 'how many at most', 1, 1_000).default(100)),
    ['device list --tenant acme --model C3', 'device list --tenant acme --state quarantined --unseen-days 30'],
  ).action((options: ListOptions) => runner.withHouse(options, (session) => list(session, options)));

  answering(
    device.command('show').description('show one device and what happened to it').argument('<device>', 'its id'),
    ['device show --tenant acme 0193f0a2-7c1e-7f6a-9b7e-4c1d2e3f4a5b'],
  )
    .addOption(tenantOption())
    .action((id: string, options: TenantOptions) =>
      runner.withHouse(options, (session) => show(session, { id, options })),
    );

  answering(
    device
      .command('rename')
      .description('give a device another name')
      .argument('<device>', 'its id')
      .requiredOption('--name <name>', 'what it is called from now on'),
    ['device rename --tenant acme 0193f0a2-… --name "Lamp, hall"'],
  )
    .addOption(tenantOption())
    .action((id: string, options: TenantOptions & { name: string }) =>
      runner.withHouse(options, (session) => rename(session, { id, options })),
    );

  answering(
    device
      .command('transfer')
      .description('offer a device to another member, who accepts it at their own pages')
      .argument('<device>', 'its id')
      .requiredOption('--to <person>', 'the new owner: an e-mail address or an id'),
    ['device transfer --tenant acme 0193f0a2-… --to grace@example.org'],
  )
    .addOption(tenantOption())
    .action((id: string, options: TenantOptions & { to: string }) =>
      runner.withHouse(options, (session) => transfer(session, { id, options })),
    );

  const changes: readonly (readonly [DeviceChange, string])[] = [
    ['quarantine', 'stop devices for a while: nothing of them works, and they keep their tokens'],
    ['release', 'let quarantined devices go on'],
    ['revoke', 'end devices for ever, with everything they have'],
  ];
  for (const [change, description] of changes) {
    answering(
      makeOptions(device.command(change).description(description).argument('[device]', 'one device, by its id'))
        .addOption(tenantOption())
        .option('--reason <words>', 'for the history'),
      [
        `device ${change} --tenant acme 0193f0a2-… --reason stolen`,
        `device ${change} --tenant acme --model C3 --firmware 1.0.2`,
      ],
    ).action((id: string | undefined, options: ChangeOptions) =>
      runner.run(options, async () => {
        const isMany = Object.values(makeOf(options)).some((value) => value !== undefined);
        if ((id === undefined) !== isMany)
          throw new WrongUsage('name one device, or say which: --client, --model, --firmware');
        await runner.withHouse(options, (session) =>
          id === undefined ? changeMany(session, { change, options }) : changeOne(session, { id, change, options }),
        );
        return undefined;
      }),
    );
  }

  answering(
    device
      .command('forecast')
      .description('list devices that will be without tokens within some days')
      .addOption(wholeNumber('--days <days>', 'how far to look ahead', 1, 3650).default(30)),
    ['device forecast --tenant acme --days 14'],
  )
    .addOption(tenantOption())
    .action((options: TenantOptions & { days: number }) =>
      runner.withHouse(options, (session) => forecast(session, options)),
    );
}

function makeOptions(command: Command): Command {
  return command
    .option('--client <client_id>', 'of this client')
    .option('--model <model>', 'of this model')
    .option('--firmware <version>', 'with this firmware');
}

function wholeNumber(flags: string, description: string, minimum: number, maximum: number): Option {
  return new Option(flags, description).argParser((written) => {
    const number = Number(written);
    if (/^\d+$/.test(written) && number >= minimum && number <= maximum) return number;
    throw new InvalidArgumentError(`It is a whole number from ${minimum} to ${maximum}.`);
  });
}

function makeOf({ client: clientId, model, firmware }: MakeOptions): DeviceMake {
  return { clientId, model, firmware };
}

async function list(session: Session, options: ListOptions): Promise<Answer> {
  const { id: tenantId, slug } = await findTenant(session, options.tenant);
  const owner =
    options.owner === undefined ? undefined : await findPerson(session, { tenantId, person: options.owner });
  if (options.before !== undefined) requireId(options.before);
  const { clock } = session.context;
  const page = await listDevices(session.context, {
    tenantId,
    filter: {
      ...makeOf(options),
      states: options.state === undefined ? LIVING_STATES : [options.state],
      userId: owner?.id,
      seenBefore:
        options.unseenDays === undefined ? undefined : new Date(clock().getTime() - options.unseenDays * 86_400_000),
    },
    before: options.before,
    limit: options.limit,
  });
  const devices = page.devices.map(present);
  const rows = devices.map((one) => [one.id, one.state, one.name, made(one), one.owner, one.last_seen_at]);
  const headings = ['ID', 'STATE', 'NAME', 'MODEL', 'OWNER', 'LAST SEEN'];
  const text = table(headings, rows, `${slug} has no such devices.`);
  const more = page.next === undefined ? '' : `\nThere are more: --before ${page.next}`;
  return { json: { devices, next: page.next ?? null }, text: text + more };
}

const eventsShown = 50;

async function show(session: Session, { id, options }: OneDevice): Promise<Answer> {
  const { id: tenantId } = await findTenant(session, options.tenant);
  const deviceId = requireId(id);
  const timeline = await deviceTimeline(session.context, { tenantId, deviceId, limit: eventsShown });
  if (timeline === undefined) throw unknownDevice(id);
  const shown = present(timeline.device);
  const events = timeline.events.map(presentEvent);
  const rows = events.map((event) => [event.time, event.type, event.reason ?? '', event.by ?? '']);
  const refused = shown.refused_at === null ? undefined : `${shown.refused_at} ${shown.refused_because ?? ''}`;
  const facts = {
    state: shown.state,
    model: made(shown),
    owner: shown.owner,
    client: shown.client,
    scopes: shown.scopes,
    paired: shown.paired_at,
    'last seen': `${shown.last_seen_at} ${shown.last_seen_address ?? ''}`.trim(),
    'silent from': shown.expires_at,
    'turned away': refused,
  };
  const history = table(['TIME', 'EVENT', 'REASON', 'BY'], rows, 'Nothing is known of its history.');
  return { json: { ...shown, events }, text: `${described(`device ${shown.name}`, facts)}\n\n${history}` };
}

async function rename(session: Session, { id, options }: OneDevice<{ name: string }>): Promise<Answer> {
  const { id: tenantId } = await findTenant(session, options.tenant);
  const device = { tenantId, deviceId: requireId(id) };
  const { outcome } = await renameDevice(session.context, { ...device, name: options.name });
  if (outcome === 'invalid_name')
    throw new CommandRefused(outcome, 'a name is a line of 1 to 60 characters that can be seen');
  if (outcome !== 'renamed') throw refusalOf(outcome, id);
  return { json: { id, name: options.name }, text: `device ${id} is called ${options.name}` };
}

async function transfer(session: Session, { id, options }: OneDevice<{ to: string }>): Promise<Answer> {
  const { id: tenantId } = await findTenant(session, options.tenant);
  const member = await findPerson(session, { tenantId, person: options.to });
  const offered = await offerDevice(session.context, { tenantId, deviceId: requireId(id), email: member.email });
  if (offered.outcome === 'owner_already') throw new CommandRefused(offered.outcome, `${member.email} has it already`);
  if (offered.outcome !== 'offered') throw refusalOf(offered.outcome, id);
  const until = offered.until.toISOString();
  const text = `device ${id} is offered to ${member.email}, who can accept it at their account until ${until}`;
  return { json: { id, offered_to: member.email, offered_until: until }, text };
}

const done = { quarantine: 'quarantined', release: 'released', revoke: 'revoked' } as const;

async function changeOne(
  session: Session,
  { id, change, options }: OneDevice<ChangeOptions> & { readonly change: DeviceChange },
): Promise<Answer> {
  const { id: tenantId } = await findTenant(session, options.tenant);
  const { outcome } = await changeDevice(session.context, {
    tenantId,
    deviceId: requireId(id),
    change,
    reason: options.reason,
  });
  if (outcome === 'unknown' || outcome === 'retired') throw refusalOf(outcome, id);
  const changed = outcome === 'changed';
  return { json: { id, change, changed }, text: `device ${id} is ${changed ? '' : 'already '}${done[change]}` };
}

async function changeMany(
  session: Session,
  { change, options }: { readonly change: DeviceChange; readonly options: ChangeOptions },
): Promise<Answer> {
  const { id: tenantId, slug } = await findTenant(session, options.tenant);
  let total = 0;
  let more = true;
  while (more) {
    const wanted = { tenantId, change, make: makeOf(options), reason: options.reason };
    const changed = await changeDevices(session.context, wanted);
    if (changed.outcome === 'no_filter') throw new WrongUsage('say which: --client, --model, --firmware');
    total += changed.count;
    more = changed.more;
  }
  const text = `${total} device${total === 1 ? '' : 's'} of ${slug} ${done[change]}`;
  return { json: { tenant: slug, change, changed: total }, text };
}

async function forecast(session: Session, options: TenantOptions & { days: number }): Promise<Answer> {
  const { id: tenantId } = await findTenant(session, options.tenant);
  const absoluteSeconds = session.house.config.lifetimes.refreshToken.absoluteSeconds.device;
  const found = await forecastDevices(session.context, { tenantId, days: options.days, absoluteSeconds });
  const devices = found.map(({ device, reason }) => ({ ...present(device), reason }));
  const rows = devices.map((one) => [one.id, one.expires_at, one.reason, one.name, made(one), one.owner]);
  const none = `No device will be without tokens within ${options.days} days.`;
  return {
    json: { days: options.days, devices },
    text: table(['ID', 'UNTIL', 'WHY', 'NAME', 'MODEL', 'OWNER'], rows, none),
  };
}

interface OneDevice<Options extends object = object> {
  readonly id: string;
  readonly options: TenantOptions & Options;
}

/** Throws `CommandRefused`: what is no identifier is nobody's. */
function requireId(id: string): string {
  if (!isUuid(id)) throw unknownDevice(id);
  return id;
}

function unknownDevice(id: string): CommandRefused {
  return new CommandRefused('unknown_device', `there is no device ${JSON.stringify(id)}`);
}

function refusalOf(outcome: 'unknown' | 'retired', id: string): CommandRefused {
  return outcome === 'unknown' ? unknownDevice(id) : new CommandRefused(outcome, `device ${id} is retired, for ever`);
}

function made({ model, firmware }: Pick<ReturnType<typeof present>, 'model' | 'firmware'>): string {
  return [model, firmware].filter((word) => word !== null).join(' ');
}

function present(device: DeviceRow) {
  return {
    id: device.device_id,
    name: device.name,
    state: device.state,
    model: device.model,
    firmware: device.firmware,
    owner: device.owner_email,
    client: device.client_id,
    scopes: device.scopes,
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
  const { occurred_at: at, type, outcome, reason, actor_type: by, ip: address, data } = event;
  return { time: at.toISOString(), type, outcome, reason, by, address, data };
}
