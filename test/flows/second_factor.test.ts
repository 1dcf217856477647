/** Going on with a sign-in, as the flows do it: each proof once, on whichever server, and nothing looked at that was not counted. */
import type { PeopleSettings } from '#src/domain/people_settings.ts';
import { changePassword } from '#src/flows/people/change_password.ts';
import { changeMembershipStatus } from '#src/flows/people/manage_people.ts';
import { finish, type SignInPlace, type SignInServices } from '#src/flows/sign_in/authentication_steps.ts';
import { sendEmailCode } from '#src/flows/sign_in/email_codes.ts';
import { continueSignIn, findPendingSignIn } from '#src/flows/sign_in/second_factor.ts';
import { signIn } from '#src/flows/sign_in/sign_in.ts';
import { mailContext, totpSecretContext } from '#src/foundation/sealing_contexts.ts';
import { defaultPeopleSettings } from '#test/support/people_settings.ts';
import { giveBackupCodes, newPersonWithTotp, totpCode } from '#test/support/second_factor.ts';
import { placeAt, signInServicesOf } from '#test/support/sign_in.ts';
import { queryAsSuperuser, readEvents } from '#test/support/superuser.ts';
import { createMovableClock, startTestServer, type TestServer } from '#test/support/test_server.ts';
import { createTestTenant, type TestTenant } from '#test/support/world.ts';

const time = createMovableClock();
let server: TestServer;
let beside: TestServer;
let acme: TestTenant;
let globex: TestTenant;
let services: SignInServices;
let others: SignInServices;

beforeAll(async () => {
  server = await startTestServer({ clock: time.clock });
  beside = await startTestServer({ clock: time.clock, beside: server });
  acme = await createTestTenant(server, 'acme');
  globex = await createTestTenant(server, 'globex');
  services = signInServicesOf(server);
  others = signInServicesOf(beside);
}, 30_000);

afterAll(async () => {
  await beside.close();
  await server.close();
});

type Person = Awaited<ReturnType<typeof newPersonWithTotp>>;

/** Half way: the password was right. */
async function halfWay(person: Person, changes: Partial<SignInPlace> = {}): Promise<SignInPlace> {
  const place = placeAt(acme, changes);
  const { email, password } = person;
  expect(await signIn(services, { ...place, email, password })).toMatchObject({ outcome: 'second_factor' });
  return place;
}

const totp = (code: string) => ({ proof: { kind: 'totp', code } }) as const;
const allowing = (changes: Partial<PeopleSettings>): PeopleSettings => ({ ...defaultPeopleSettings, ...changes });

describe('a code of an app', () => {
  it('signs in, with both factors', async () => {
    const person = await newPersonWithTotp(server, acme);
    const place = await halfWay(person);
    const done = await continueSignIn(services, place, totp(totpCode(person.secret, time.clock())));
    expect(done).toMatchObject({
      outcome: 'signed_in',
      authentication: { userId: person.id, acr: 'urn:poort:acr:mfa', amr: ['mfa', 'otp', 'pwd'] },
    });
    // What was half done is used up.
    expect(await findPendingSignIn(services, place)).toBeUndefined();
  });

  it('is good once, however many bring it at the same moment at two servers', async () => {
    const person = await newPersonWithTotp(server, acme);
    const places: SignInPlace[] = [];
    for (let count = 0; count < 16; count += 1) places.push(await halfWay(person));
    // So that the limit of the account is not what stops the others.
    const { settings } = services;
    const patient = { ...settings, perIdentifier: { ...settings.perIdentifier, code: 100 } };
    const code = totpCode(person.secret, time.clock());
    const answers = await Promise.all(
      places.map((place, index) =>
        continueSignIn({ ...(index % 2 === 0 ? services : others), settings: patient }, place, totp(code)),
      ),
    );
    expect(answers.map(({ outcome }) => outcome).sort()).toEqual([...Array(15).fill('refused'), 'signed_in']);
    // Nor later in its half minute.
    const place = await halfWay(person);
    const late = await continueSignIn({ ...services, settings: patient }, place, totp(code));
    expect(late).toEqual({ outcome: 'refused' });
  });

  it('may come from a clock half a minute off, and not from one further off', async () => {
    const offsets = [-30, 30, -90, 90];
    const outcomes = await Promise.all(
      offsets.map(async (seconds) => {
        const person = await newPersonWithTotp(server, acme);
        const place = await halfWay(person);
        const at = new Date(time.clock().getTime() + seconds * 1000);
        return (await continueSignIn(services, place, totp(totpCode(person.secret, at)))).outcome;
      }),
    );
    expect(outcomes).toEqual(['signed_in', 'signed_in', 'refused', 'refused']);
  });

  it('is looked at a few times and no more, whoever guesses ten thousand times in however many sign-ins', async () => {
    const person = await newPersonWithTotp(server, acme);
    let opened = 0;
    const counting: SignInServices = {
      ...services,
      sealer: {
        ...services.sealer,
        open(sealed, context) {
          if (context === totpSecretContext(person.id)) opened += 1;
          return services.sealer.open(sealed, context);
        },
      },
    };
    const outcomes = new Set<string>();
    for (let round = 0; round < 20; round += 1) {
      const place = await halfWay(person);
      const guesses = Array.from({ length: 500 }, (_, index) => String(round * 500 + index).padStart(6, '0'));
      const answers = await Promise.all(guesses.map((code) => continueSignIn(counting, place, totp(code))));
      for (const { outcome } of answers) outcomes.add(outcome);
    }
    expect([...outcomes].sort()).toEqual(['expired', 'refused', 'throttled']);
    expect(opened).toBe(services.settings.perIdentifier.code);
    // Not even the right one is looked at any more.
    const place = await halfWay(person);
    const right = totp(totpCode(person.secret, time.clock()));
    expect(await continueSignIn(counting, place, right)).toMatchObject({ outcome: 'throttled' });
    expect(opened).toBe(services.settings.perIdentifier.code);
  }, 120_000);
});

describe('a sign-in that is half done', () => {
  it('belongs to its interaction, client, tenant and time', async () => {
    const person = await newPersonWithTotp(server, acme);
    const place = await halfWay(person);
    const right = totp(totpCode(person.secret, time.clock()));
    const elsewhere: readonly SignInPlace[] = [
      { ...place, key: 'interaction:another' },
      { ...place, clientId: acme.clients.third.clientId },
      { ...place, tenantId: globex.id },
    ];
    for (const other of elsewhere) {
      expect(await findPendingSignIn(services, other)).toBeUndefined();
      expect(await continueSignIn(services, other, right)).toEqual({ outcome: 'expired' });
    }
    time.advance(599);
    expect(await findPendingSignIn(services, place)).toBeDefined();
    time.advance(2);
    const late = totp(totpCode(person.secret, time.clock()));
    expect(await continueSignIn(services, place, late)).toEqual({ outcome: 'expired' });
  });

  it('is over once its tries are used up, also for the right code', async () => {
    const person = await newPersonWithTotp(server, acme);
    const place = await halfWay(person);
    for (let tries = 0; tries < 5; tries += 1) await continueSignIn(services, place, totp('000000'));
    const right = totp(totpCode(person.secret, time.clock()));
    expect(await continueSignIn(services, place, right)).toEqual({ outcome: 'expired' });
    // To begin again at the same place gives no new tries.
    await signIn(services, { ...place, email: person.email, password: person.password });
    expect(await continueSignIn(services, place, right)).toEqual({ outcome: 'expired' });
  });

  it('ends for somebody who is shut out meanwhile, even after the code was found right', async () => {
    const person = await newPersonWithTotp(server, acme);
    const place = await halfWay(person);
    await changeMembershipStatus(server.context, { tenantId: acme.id, email: person.email, status: 'disabled' });
    const right = totp(totpCode(person.secret, time.clock()));
    expect(await continueSignIn(services, place, right)).toEqual({ outcome: 'expired' });

    // At the last moment: the factor is proven already, and used up in the transaction that would sign them in.
    const late = await newPersonWithTotp(server, acme);
    const finished = await finish(services, placeAt(acme), {
      userId: late.id,
      factors: [{ method: 'password', at: time.clock() }],
      async use() {
        await queryAsSuperuser(server.database, "update users set status = 'disabled' where id = $1", [late.id]);
        return true;
      },
    });
    expect(finished).toEqual({ outcome: 'expired' });
    const signedIn = await readEvents(server.database, { tenantId: acme.id, types: ['user.signed_in'] });
    expect(signedIn.filter(({ target_id: id }) => id === late.id)).toEqual([]);
  });

  it('ends with the password that began it', async () => {
    const person = await newPersonWithTotp(server, acme);
    const place = await halfWay(person);
    const changed = await changePassword(
      { ...server.context, breachedPasswords: server.server.house.breachedPasswords },
      {
        tenantId: acme.id,
        userId: person.id,
        password: 'another horse, another battery',
        settings: defaultPeopleSettings,
        hasSecondFactor: true,
        event: 'password.changed',
      },
    );
    expect(changed.outcome).toBe('changed');
    const right = totp(totpCode(person.secret, time.clock()));
    expect(await continueSignIn(services, place, right)).toEqual({ outcome: 'expired' });
  });

  it('looks only at what is offered', async () => {
    const person = await newPersonWithTotp(server, acme);
    const place = await halfWay(person);
    // The tenant has not allowed codes by mail.
    expect(await sendEmailCode(services, place)).toEqual({ outcome: 'refused' });
    expect(await continueSignIn(services, place, { proof: { kind: 'email_code', code: '12345678' } })).toEqual({
      outcome: 'refused',
    });
    expect(await continueSignIn(services, place, { proof: { kind: 'passkey', answer: '{}' } })).toEqual({
      outcome: 'refused',
    });
  });
});

describe('a backup code', () => {
  it('is good once, also in parallel, and its owner is told', async () => {
    const person = await newPersonWithTotp(server, acme);
    const [code = ''] = await giveBackupCodes(server, acme, person.id);
    const places: SignInPlace[] = [];
    for (let count = 0; count < 5; count += 1) places.push(await halfWay(person));
    const typed = code.toLowerCase().replaceAll('-', ' ');
    const answers = await Promise.all(
      places.map((place) => continueSignIn(services, place, { proof: { kind: 'backup_code', code: typed } })),
    );
    expect(answers.map(({ outcome }) => outcome).sort()).toEqual([...Array(4).fill('refused'), 'signed_in']);
    const used = await readEvents(server.database, { tenantId: acme.id, types: ['backup_code.used'] });
    expect(used.filter(({ target_id: id }) => id === person.id).map(({ data }) => data)).toEqual([{ left: 9 }]);
    const mails = await queryAsSuperuser<{ kind: string }>(
      server.database,
      "select kind from mails where kind = 'backup_code_used'",
    );
    expect(mails).toHaveLength(1);
  });

  it('of somebody else is none', async () => {
    const [ada, ben] = [await newPersonWithTotp(server, acme), await newPersonWithTotp(server, acme)];
    const [, code = ''] = await giveBackupCodes(server, acme, ada.id);
    const place = await halfWay(ben);
    await giveBackupCodes(server, acme, ben.id, 1);
    expect(await continueSignIn(services, place, { proof: { kind: 'backup_code', code } })).toEqual({
      outcome: 'refused',
    });
  });
});

describe('a browser that was remembered', () => {
  const remembering = allowing({ 'second_factor.remember_device_days': 30 });

  it('spares the second factor there, for this person, for so long, and says no more than a password', async () => {
    const person = await newPersonWithTotp(server, acme);
    const place = await halfWay(person, { policy: remembering });
    const done = await continueSignIn(services, place, {
      ...totp(totpCode(person.secret, time.clock())),
      rememberDevice: true,
    });
    const deviceToken = done.outcome === 'signed_in' ? done.device?.token : undefined;
    const enter = (changes: Partial<SignInPlace>, who = person) =>
      signIn(services, { ...placeAt(acme, changes), email: who.email, password: who.password });
    expect(await enter({ policy: remembering, deviceToken })).toMatchObject({
      outcome: 'signed_in',
      authentication: { acr: 'urn:poort:acr:password', amr: ['pwd'] },
    });
    const second = { outcome: 'second_factor' };
    // An application that asks for both is never told otherwise; nor where the tenant has taken it back; nor for somebody else.
    expect(await enter({ policy: remembering, deviceToken, wantsMultiFactor: true })).toMatchObject(second);
    expect(await enter({ deviceToken })).toMatchObject(second);
    expect(await enter({ policy: remembering, deviceToken }, await newPersonWithTotp(server, acme))).toMatchObject(
      second,
    );
    expect(await enter({ policy: remembering })).toMatchObject(second);
    time.advance(31 * 86_400);
    expect(await enter({ policy: remembering, deviceToken })).toMatchObject(second);
  });

  it('is not remembered where the tenant does not offer it, whatever the form says', async () => {
    const person = await newPersonWithTotp(server, acme);
    const place = await halfWay(person);
    const done = await continueSignIn(services, place, {
      ...totp(totpCode(person.secret, time.clock())),
      rememberDevice: true,
    });
    const deviceToken = done.outcome === 'signed_in' ? done.device?.token : undefined;
    const back = placeAt(acme, { policy: remembering, deviceToken });
    expect(await signIn(services, { ...back, email: person.email, password: person.password })).toMatchObject({
      outcome: 'second_factor',
    });
  });

  it('that is new is told to who has another one, and to nobody at their first', async () => {
    const person = await newPersonWithTotp(server, acme);
    const told = async () =>
      (await queryAsSuperuser(server.database, "select 1 from mails where kind = 'new_device'")).length;
    const before = await told();
    const signInAgain = async (deviceToken?: string): Promise<string | undefined> => {
      time.advance(30);
      const place = await halfWay(person, { deviceToken });
      const done = await continueSignIn(services, place, totp(totpCode(person.secret, time.clock())));
      if (done.outcome !== 'signed_in') throw new Error(done.outcome);
      return done.device?.token;
    };
    const token = await signInAgain();
    expect(await told()).toBe(before);
    expect(await signInAgain(token)).toBeUndefined();
    expect(await told()).toBe(before);
    await signInAgain();
    expect(await told()).toBe(before + 1);
  });
});

describe('a code by mail', () => {
  const policy = allowing({ 'second_factor.email_code': true });
  /** Mails are sealed; the code is where only the person can read it. */
  const lastCode = async (): Promise<string> => {
    const [mail] = await queryAsSuperuser<{ tenant_id: string; id: string; sealed: Buffer }>(
      server.database,
      "select tenant_id, id, sealed from mails where kind = 'email_code' order by id desc limit 1",
    );
    if (mail === undefined) throw new Error('no mail');
    const text = services.sealer.open(mail.sealed, mailContext(mail.tenant_id, mail.id)).toString('utf8');
    return JSON.parse(text).mail.code;
  };
  const emailed = (code: string) => ({ proof: { kind: 'email_code', code } }) as const;

  it('stands in for a second factor, once, at the sign-in that asked for it, for ten minutes', async () => {
    const person = await newPersonWithTotp(server, acme);
    const place = await halfWay(person, { policy });
    expect(await sendEmailCode(services, place)).toEqual({ outcome: 'sent' });
    const code = await lastCode();
    expect(code).toMatch(/^\d{8}$/);
    const other = await halfWay(person, { policy });
    expect(await continueSignIn(services, other, emailed(code))).toEqual({ outcome: 'refused' });
    const both = await Promise.all([place, place].map((here) => continueSignIn(services, here, emailed(code))));
    expect(both.filter(({ outcome }) => outcome === 'signed_in')).toHaveLength(1);
  });

  it('ends with its ten minutes, with a newer one, and after three', async () => {
    const person = await newPersonWithTotp(server, acme);
    const place = await halfWay(person, { policy });
    await sendEmailCode(services, place);
    const first = await lastCode();
    await sendEmailCode(services, place);
    expect(await continueSignIn(services, place, emailed(first))).toEqual({ outcome: 'refused' });
    expect(await sendEmailCode(services, place)).toEqual({ outcome: 'sent' });
    expect(await sendEmailCode(services, place)).toEqual({ outcome: 'refused' });
    // A sign-in that begins again at the same place has had its three.
    await signIn(services, { ...place, email: person.email, password: person.password });
    expect(await sendEmailCode(services, place)).toEqual({ outcome: 'refused' });
  });

  it('is in no table as it was sent', async () => {
    const person = await newPersonWithTotp(server, acme);
    const place = await halfWay(person, { policy });
    await sendEmailCode(services, place);
    const code = await lastCode();
    for (const table of ['pending_sign_ins', 'mails', 'events']) {
      const rows = await queryAsSuperuser<{ text: string }>(server.database, `select t::text as text from ${table} t`);
      expect(rows.filter(({ text }) => text.includes(code))).toEqual([]);
    }
  });
});
