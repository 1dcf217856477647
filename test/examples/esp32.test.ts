/**
 * The device of examples/esp32 against a running Poort: its C core under AddressSanitizer and UndefinedBehaviorSanitizer, a person who
 * answers at the pages, and power that fails at every point where something is kept or said.
 */
import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type OwnAnswer, startBalancer } from '#test/support/balancer.ts';
import { createCertificateAuthority } from '#test/support/certificates.ts';
import { createPairer, type Pairer } from '#test/support/device_pairing.ts';
import {
  buildWithCore,
  compile,
  coreSources,
  createWorkshop,
  type DeviceWorld,
  describeWithCompiler,
  Esp32Device,
} from '#test/support/esp32_device.ts';
import { registerAs } from '#test/support/protocol.ts';
import { queryAsSuperuser } from '#test/support/superuser.ts';
import { createMovableClock, freePort, startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, type TestClient, type TestTenant } from '#test/support/world.ts';

const HEAP_BYTES = 24 * 1024;

describeWithCompiler('a device that runs the core of examples/esp32', () => {
  const time = createMovableClock();
  let workshop: Awaited<ReturnType<typeof createWorkshop>>;
  let server: TestServer;
  let acme: TestTenant;
  let bound: TestClient;
  let owner: Pairer;
  let program: string;
  let programOnPsa: string;

  beforeAll(async () => {
    workshop = await createWorkshop();
    program = join(workshop.folder, 'device');
    programOnPsa = join(workshop.folder, 'device_on_psa');
    const parts = ['posix/hal_posix.c', 'test/scripted_device.c'];
    await buildWithCore(program, parts);
    await buildWithCore(programOnPsa, parts, ['-DDEVICE_AUTH_PSA']);
    server = await startTestServer({
      clock: time.clock,
      change: (config) => ({
        ...config,
        deviceCodes: { ...config.deviceCodes, maximumPerClientAndAddress: 10_000, maximumPerTenant: 10_000 },
      }),
    });
    acme = await createTestTenant(server, 'acme');
    bound = await registerAs(server, acme, {
      name: 'Lamp with a key',
      type: 'device',
      firstParty: true,
      settings: { dpop_bound_access_tokens: true, require_dpop_nonce: true },
    });
    owner = createPairer(server, acme);
  }, 120_000);

  let running: Esp32Device[] = [];
  let passedSeconds = 0;

  function advance(seconds: number): void {
    passedSeconds += seconds;
    time.advance(seconds);
  }

  /** The engine's own clock stands still: codes must not be older for the pages than they are for the engine. */
  function turnBackTime(): void {
    time.advance(-passedSeconds);
    passedSeconds = 0;
  }

  afterEach(() => {
    for (const device of running) device.kill();
    running = [];
    turnBackTime();
  });

  afterAll(async () => {
    await server.close();
    await workshop.close();
  });

  interface Start {
    readonly folder: string;
    readonly issuer?: string;
    readonly client?: TestClient;
    readonly world?: Partial<DeviceWorld>;
    readonly environment?: Readonly<Record<string, string>>;
    readonly binary?: string;
  }

  function start({
    folder,
    issuer = acme.issuer,
    client = acme.clients.device,
    world,
    environment,
    binary = program,
  }: Start) {
    const settings = { program: binary, folder, issuer, clientId: client.clientId };
    const device = new Esp32Device(
      { ...settings, ...(environment === undefined ? {} : { environment }) },
      { advance, ...world },
    );
    running.push(device);
    return device;
  }

  /** A person in the room: answers every code they see, once. */
  function room(decision: 'allow' | 'deny', answered = new Set<string>()): Partial<DeviceWorld> {
    return {
      async whileAsleep(device) {
        const code = device.shown?.userCode;
        if (code === undefined || answered.has(code)) return undefined;
        answered.add(code);
        const page = await owner.answer(code, decision);
        expect({ status: page.status, url: page.url }).toEqual({ status: 200, url: `${acme.issuer}/device/confirm` });
        return undefined;
      },
    };
  }

  const userinfo = (issuer = acme.issuer): string => `${issuer}/userinfo`;
  const sent = { outcome: 'sent', status: 200 };

  async function pairedIn(folder: string, options: Omit<Start, 'folder'> = {}): Promise<Esp32Device> {
    const device = start({ folder, world: room('allow'), ...options });
    await device.until('ready');
    return device;
  }

  const deviceIds = async (): Promise<readonly string[]> =>
    (await queryAsSuperuser<{ device_id: string }>(server.database, 'select device_id from devices')).map(
      (row) => row.device_id,
    );

  /** The same, and which row it is. */
  async function knownIn(folder: string): Promise<{ readonly device: Esp32Device; readonly id: string }> {
    const before = new Set(await deviceIds());
    const device = await pairedIn(folder);
    const id = (await deviceIds()).find((candidate) => !before.has(candidate));
    if (id === undefined) throw new Error('no device was paired');
    return { device, id };
  }

  const setState = (id: string, state: string): Promise<unknown> =>
    queryAsSuperuser(server.database, 'update devices set state = $1 where device_id = $2', [state, id]);

  it('shows a code and both addresses, is paired by its owner, sends, and takes no more than 24 KB in doing so', async () => {
    const device = await pairedIn(await workshop.newFolder());
    const shown = device.history.find(({ state }) => state === 'pairing');
    expect(shown).toMatchObject({
      userCode: expect.stringMatching(/^[A-Z]{4}-[A-Z]{4}$/),
      verificationUri: `${acme.issuer}/device`,
      verificationUriComplete: expect.stringMatching(/^http:\/\/localhost:\d+\/d\/[A-Z]{8}$/i),
    });
    expect(await device.send(userinfo())).toEqual(sent);
    await device.until('ready');
    await device.unplug();
    expect(device.used?.heapNow).toBe(0);
    expect(device.used?.heapAtMost).toBeGreaterThan(4096);
    expect(device.used?.heapAtMost).toBeLessThanOrEqual(HEAP_BYTES);
  });

  it('reports what it measures to the tenant', async () => {
    const sensor = { name: 'Sensor', type: 'device', firstParty: true, scopes: ['telemetry:write'] } as const;
    const client = await registerAs(server, acme, sensor);
    const environment = { SCOPE: 'openid offline_access telemetry:write' };
    const device = await pairedIn(await workshop.newFolder(), { client, environment });
    const { outcome, status } = await device.send(`${acme.issuer}/api/v1/devices/self/telemetry`, 'send');
    expect({ outcome, isTaken: status >= 200 && status < 300 }).toEqual({ outcome: 'sent', isTaken: true });
    await device.until('ready');
    await device.unplug();
  });

  it('renews before its token ends, at another moment each time, and keeps what it got over a restart', async () => {
    const folder = await workshop.newFolder();
    const first = await pairedIn(folder);
    for (let round = 0; round < 3; round += 1) {
      first.tell(`pass ${14 * 60_000}`);
      await first.until('ready');
      expect(await first.send(userinfo())).toEqual(sent);
      await first.until('ready');
    }
    await first.unplug();
    const second = start({ folder });
    await second.until('ready');
    expect(second.history.some(({ state }) => state === 'pairing')).toBe(false);
    expect(await second.send(userinfo())).toEqual(sent);
    await second.until('ready');
    await second.unplug();
  });

  it('waits five seconds longer each time it is told to slow down', async () => {
    let polls = 0;
    const device = start({
      folder: await workshop.newFolder(),
      world: {
        // The server's clock stands still for the first rounds: every poll comes too early.
        advance: (seconds) => (polls > 3 ? advance(seconds) : undefined),
        async whileAsleep(asleep) {
          polls += 1;
          if (polls === 6) await owner.answer(asleep.shown?.userCode ?? '', 'allow');
          return undefined;
        },
      },
    });
    await device.until('ready');
    const intervals = device.sleeps.slice(0, 4);
    expect(intervals[0]).toBe(5000);
    expect(intervals).toEqual([5000, 5000, 10_000, 15_000]);
    await device.unplug();
  });

  it('that is denied leaves its owner in peace for a while, and then shows another code', async () => {
    const answered = new Set<string>();
    const device = start({ folder: await workshop.newFolder(), world: room('deny', answered) });
    await device.until('needs_pairing');
    expect(device.shown).toMatchObject({ reason: 'denied', userCode: undefined });
    expect(device.sleeps.at(-1)).toBeGreaterThanOrEqual(30_000);
    await device.wake();
    await device.until('pairing');
    expect(answered.has(device.shown?.userCode ?? '')).toBe(false);
    await device.wake();
    await device.until('needs_pairing');
    await device.unplug();
  });

  it('whose code has expired shows another one at once, and never a dead one', async () => {
    const device = start({ folder: await workshop.newFolder() });
    await device.until('pairing');
    const code = device.shown?.userCode;
    await queryAsSuperuser(
      server.database,
      `update artifacts set expires_at = now() - interval '1 second',
              payload = jsonb_set(payload::jsonb, '{exp}', to_jsonb(extract(epoch from now())::int - 1))::json
        where kind = 'DeviceCode'`,
    );
    await device.wake();
    await device.until('needs_pairing');
    expect(device.shown).toMatchObject({ reason: 'code_expired', userCode: undefined });
    expect(device.sleeps.at(-1)).toBeLessThanOrEqual(1000);
    await device.wake();
    await device.until('pairing');
    expect(device.shown?.userCode).not.toBe(code);
    await device.unplug();
  });

  it('without a display asks for a code when its button is pressed, and not before', async () => {
    const environment = { BUTTON: '1' };
    const device = start({ folder: await workshop.newFolder(), environment, world: room('allow') });
    await device.until('idle').catch(() => undefined);
    device.tell('pass 600000');
    await device.until('idle');
    expect(device.history.map(({ state }) => state)).not.toContain('pairing');
    device.tell('button');
    await device.until('ready');
    await device.unplug();
  });

  it('in quarantine keeps its pairing, asks slowly, and goes on when it is released', async () => {
    const { device, id } = await knownIn(await workshop.newFolder());
    await setState(id, 'quarantined');
    expect(await device.send(userinfo())).toMatchObject({ outcome: 'not_ready' });
    await device.until('quarantined');
    expect(device.sleeps.at(-1)).toBeGreaterThanOrEqual(150_000);
    await device.wake();
    await device.until('quarantined');
    await setState(id, 'active');
    await device.wake();
    await device.until('ready');
    expect(await device.send(userinfo())).toEqual(sent);
    await device.until('ready');
    await device.unplug();
  });

  it('that was revoked needs pairing, says why, and is paired again without a restart', async () => {
    const folder = await workshop.newFolder();
    const { device, id } = await knownIn(folder);
    await queryAsSuperuser(
      server.database,
      'delete from artifacts where grant_hash = (select grant_hash from devices where device_id = $1)',
      [id],
    );
    expect(await device.send(userinfo())).toMatchObject({ outcome: 'not_ready' });
    await device.until('needs_pairing');
    expect(device.shown).toMatchObject({ state: 'needs_pairing', reason: 'revoked' });
    await device.wake();
    await device.until('ready');
    expect(await device.send(userinfo())).toEqual(sent);
    await device.until('ready');
    await device.unplug();
  });

  it('whose storage fails uses nothing that it could not keep, and goes on when it is mended', async () => {
    const folder = await workshop.newFolder();
    const device = await pairedIn(folder);
    device.tell('break_storage');
    await device.until('ready');
    device.tell(`pass ${15 * 60_000}`);
    await device.until('ready');
    expect(await device.send(userinfo())).toMatchObject({ outcome: 'not_ready' });
    await device.until('renewing');
    expect(device.shown).toMatchObject({ trouble: 'no_storage' });
    await device.unplug();
    const again = start({ folder });
    await again.until('ready');
    expect(await again.send(userinfo())).toEqual(sent);
    await again.until('ready');
    await again.unplug();
  });

  it('forgets everything when it is reset', async () => {
    const folder = await workshop.newFolder();
    const device = await pairedIn(folder);
    device.tell('forget');
    await device.until('pairing');
    await device.unplug();
  });

  it('is written for ESP-IDF and for Arduino as well, without a warning, as far as headers can tell', async () => {
    const stubs = (name: string): string => `-Itest/stubs/${name}`;
    const arduino = ['-fsyntax-only', '-DARDUINO', stubs('arduino')];
    await compile(['src/hal_espidf.c'], ['-fsyntax-only', '-D_GNU_SOURCE', '-DESP_PLATFORM', stubs('espidf')]);
    await compile(['src/hal_arduino.cpp'], arduino, 'g++');
    const sketch = 'examples/PoortDevice/PoortDevice.ino';
    await compile(['-x', 'c++', sketch], [...arduino, '-include', 'Arduino.h'], 'g++');
    await compile(
      [...(await coreSources()), 'posix/hal_posix.c', 'posix/main.c'],
      ['-o', join(workshop.folder, 'example')],
    );
  });

  it('refuses to start with an address that is not https', async () => {
    const device = start({ folder: workshop.folder, environment: { PLAIN_HTTP: '' } });
    await expect(device.until('ready')).rejects.toThrow('ended with 2');
  });

  describe('with a key of its own (DPoP)', () => {
    it.each([
      ['the API of mbedTLS 2.28 and 3.x', () => program],
      ['PSA', () => programOnPsa],
    ])('gets through the nonce at the token endpoint and at the resource, on %s', async (_name, binary) => {
      const environment = { DPOP: '1' };
      const folder = await workshop.newFolder();
      const device = await pairedIn(folder, { client: bound, environment, binary: binary() });
      expect(await device.send(userinfo())).toEqual(sent);
      await device.until('ready');
      device.tell(`pass ${15 * 60_000}`);
      await device.until('ready');
      expect(await device.send(userinfo())).toEqual(sent);
      await device.until('ready');
      await device.unplug();
      expect(device.used?.heapNow ?? 0).toBeLessThanOrEqual(4096);
      expect(device.used?.heapAtMost).toBeLessThanOrEqual(HEAP_BYTES);
      const again = start({ folder, client: bound, environment, binary: binary() });
      await again.until('ready');
      expect(await again.send(userinfo())).toEqual(sent);
      await again.until('ready');
      await again.unplug();
    });
  });

  describe('whose power fails', () => {
    /** A whole life: paired, sends, renews, sends. Resolves to false when the power failed. */
    async function live(device: Esp32Device): Promise<boolean> {
      try {
        for (let round = 0; round < 2; round += 1) {
          await device.until('ready');
          const { outcome, status } = await device.send(userinfo());
          if (outcome === 'lost') return false;
          expect({ outcome, status }).toEqual(sent);
          await device.until('ready');
          device.tell(`pass ${15 * 60_000}`);
        }
        await device.until('ready');
        await device.unplug();
        return true;
      } catch (fault) {
        if (device.lost === undefined) throw fault;
        return false;
      }
    }

    it.each([
      ['with a bearer token', () => acme.clients.device, {}],
      ['with a key', () => bound, { DPOP: '1' }],
    ])(
      'at any point, is back by itself %s, asking its owner for nothing that they have done',
      async (_name, client, extra) => {
        const places = new Set<string>();
        for (let point = 1; ; point += 1) {
          turnBackTime();
          const folder = await workshop.newFolder();
          const answered = new Set<string>();
          const options = { folder, client: client(), world: room('allow', answered) };
          const first = start({ ...options, environment: { ...extra, FAILS_AT: String(point) } });
          if (await live(first)) {
            // Past the last point: it lived through without one.
            expect(point).toBeGreaterThan(first.used?.points ?? Number.POSITIVE_INFINITY);
            break;
          }
          expect(await first.ended()).toBe(42);
          places.add(first.lost?.replace(/^\d+ /, '') ?? '');
          const agreedBefore = answered.size;
          const second = start({ ...options, environment: { ...extra } });
          expect({ point, lost: first.lost, lives: await live(second) }).toMatchObject({ lives: true });
          // Whoever has agreed once is not asked again.
          expect({ point, lost: first.lost, answers: answered.size }).toMatchObject({
            answers: Math.max(1, agreedBefore),
          });
        }
        expect([...places].toSorted()).toEqual(
          ['after a write', 'after an answer', 'before a request', 'before a write', 'within a write'].toSorted(),
        );
      },
      240_000,
    );
  });

  describe('behind what stands in front of Poort', () => {
    it('comes back when it is told, a little later than that, and not sooner', async () => {
      const own: OwnAnswer[] = [];
      const gateway = await startBalancer({
        host: new URL(server.origin).host,
        answer: ({ url }) =>
          url?.endsWith('/token') === true || url?.endsWith('/userinfo') === true ? own.shift() : undefined,
      });
      gateway.useServers([Number(new URL(server.origin).port)]);
      try {
        const issuer = acme.issuer.replace(server.origin, gateway.origin);
        const device = start({ folder: await workshop.newFolder(), issuer, world: room('allow') });
        await device.until('pairing');
        own.push({ status: 429, headers: { 'retry-after': '120' } }, { status: 503, headers: { 'retry-after': '30' } });
        await device.wake();
        await device.until('ready');
        expect(device.sleeps.filter((sleep) => sleep >= 120_000 && sleep <= 151_000)).toHaveLength(1);
        expect(device.sleeps.filter((sleep) => sleep >= 30_000 && sleep <= 38_500)).toHaveLength(1);
        own.push({ status: 429, headers: { 'retry-after': '60' } });
        expect(await device.send(userinfo(issuer))).toMatchObject({ outcome: 'try_later' });
        await device.until('ready');
        expect(device.sleeps.at(-1)).toBeGreaterThanOrEqual(60_000);
        await device.wake();
        await device.until('ready');
        expect(await device.send(userinfo(issuer))).toEqual(sent);
        await device.until('ready');
        await device.unplug();
      } finally {
        await gateway.close();
      }
    });

    it('believes a private authority that it was given the root of, and nobody else', async () => {
      const authority = createCertificateAuthority();
      const gateway = await startBalancer({
        certificate: authority.issue('localhost'),
        host: new URL(server.origin).host,
      });
      gateway.useServers([Number(new URL(server.origin).port)]);
      const roots = join(workshop.folder, 'roots.pem');
      const strangers = join(workshop.folder, 'strangers.pem');
      await writeFile(roots, authority.certificate);
      await writeFile(strangers, createCertificateAuthority().certificate);
      try {
        const issuer = acme.issuer.replace(server.origin, gateway.origin);
        const device = await pairedIn(await workshop.newFolder(), { issuer, environment: { ROOTS: roots } });
        expect(await device.send(userinfo(issuer))).toEqual(sent);
        await device.until('ready');
        await device.unplug();
        const careful = start({ folder: await workshop.newFolder(), issuer, environment: { ROOTS: strangers } });
        await careful.until('needs_pairing');
        expect(careful.shown).toMatchObject({ trouble: 'no_network', userCode: undefined });
        await careful.unplug();
      } finally {
        await gateway.close();
      }
    });

    it('waits through a restart of the server in the middle of its pairing, longer each time', async () => {
      const port = await freePort();
      const origin = `http://localhost:${port}`;
      const restart = (): Promise<TestServer> =>
        startTestServer({
          clock: time.clock,
          beside: server,
          environment: { POORT_PORT: String(port), POORT_PUBLIC_URL: origin },
        });
      let running = await restart();
      const globex = await createTestTenant({ ...running, origin }, `globex-${randomUUID().slice(0, 8)}`);
      const folder = await workshop.newFolder();
      const device = start({ folder, issuer: globex.issuer, client: globex.clients.device });
      await device.until('pairing');
      await running.close();
      for (let failures = 0; failures < 5; failures += 1) {
        await device.wake();
        await device.until('pairing');
        expect(device.shown?.trouble).toBe('no_network');
      }
      const [first = 0] = device.sleeps.slice(1);
      expect(device.sleeps.at(-1)).toBeGreaterThan(first);
      running = await restart();
      try {
        await createPairer({ ...running, origin }, globex).answer(device.shown?.userCode ?? '', 'allow');
        await device.wake();
        await device.until('ready');
        expect(await device.send(userinfo(globex.issuer))).toEqual(sent);
        await device.until('ready');
        await device.unplug();
      } finally {
        await running.close();
      }
    });
  });
});
