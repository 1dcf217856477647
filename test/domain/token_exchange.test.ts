import fc from 'fast-check';
import {
  type Actor,
  actorsOf,
  type ExchangePlan,
  type ExchangeRequest,
  MAXIMUM_ACTORS,
  parseActor,
  planExchange,
} from '#src/domain/token_exchange.ts';

const readings = 'https://api.test/readings';
const archive = 'https://api.test/archive';

const honest: ExchangeRequest = {
  subject: { clientId: 'web', audiences: [readings], scopes: ['read', 'write'], expiresAt: 1_500, actor: undefined },
  client: { clientId: 'readings', scopes: ['read', 'write'], audiences: [readings], targets: [archive] },
  target: { audience: archive, scopes: ['read', 'write', 'erase'] },
  scopes: undefined,
  nowSeconds: 1_000,
  maximumSeconds: 900,
};

const plan = (change: (request: ExchangeRequest) => Partial<ExchangeRequest> = () => ({})): ExchangePlan =>
  planExchange({ ...honest, ...change(honest) });

const chainOf = (length: number): Actor | undefined =>
  length === 0 ? undefined : { sub: `actor-${length}`, act: chainOf(length - 1) };

describe('an exchange', () => {
  it('takes what subject, client and target have in common, and what is left of the time', () => {
    expect(plan()).toEqual({
      outcome: 'planned',
      scopes: ['read', 'write'],
      lifetimeSeconds: 500,
      actor: { sub: 'readings' },
    });
    expect(plan(() => ({ scopes: ['read'] }))).toMatchObject({ scopes: ['read'] });
    expect(plan(() => ({ maximumSeconds: 60 }))).toMatchObject({ lifetimeSeconds: 60 });
  });

  it('keeps everyone who acted before', () => {
    const acted = plan(({ subject }) => ({ subject: { ...subject, actor: { sub: 'gateway', act: { sub: 'edge' } } } }));
    expect(acted).toMatchObject({ actor: { sub: 'readings', act: { sub: 'gateway', act: { sub: 'edge' } } } });
  });

  it('by a client of a token that was issued to itself needs no audience', () => {
    const own = plan(({ client }) => ({ client: { ...client, clientId: 'web', audiences: [] } }));
    expect(own).toMatchObject({ outcome: 'planned', actor: { sub: 'web' } });
  });

  it.each<[string, (request: ExchangeRequest) => Partial<ExchangeRequest>, string]>([
    [
      'of a token for another API',
      ({ subject }) => ({ subject: { ...subject, audiences: ['x'] } }),
      'not_for_this_client',
    ],
    ['of a token for no API', ({ subject }) => ({ subject: { ...subject, audiences: [] } }), 'not_for_this_client'],
    ['by who stands for every API', ({ client }) => ({ client: { ...client, audiences: [] } }), 'not_for_this_client'],
    ['of an expired token', () => ({ nowSeconds: 1_500 }), 'expired'],
    [
      'for an API that is not on the list',
      ({ client }) => ({ client: { ...client, targets: [readings] } }),
      'target_not_allowed',
    ],
    ['with a scope that the subject lacks', () => ({ scopes: ['read', 'erase'] }), 'scope_not_allowed'],
    [
      'with a scope that the client lacks',
      ({ client }) => ({ client: { ...client, scopes: ['read'] }, scopes: ['write'] }),
      'scope_not_allowed',
    ],
    [
      'with a scope that the target lacks',
      ({ target }) => ({ target: { ...target, scopes: ['read'] }, scopes: ['write'] }),
      'scope_not_allowed',
    ],
    ['of which nothing would be left', ({ client }) => ({ client: { ...client, scopes: [] } }), 'nothing_left'],
    ['for nothing', () => ({ scopes: [] }), 'nothing_left'],
    [
      'that passed too many hands',
      ({ subject }) => ({ subject: { ...subject, actor: chainOf(MAXIMUM_ACTORS) } }),
      'chain_too_long',
    ],
  ])('%s is refused', (_name, change, problem) => {
    expect(plan(change)).toEqual({ outcome: 'refused', problem });
  });

  it('C14 never widens anything, however often it is repeated and whatever is asked', () => {
    const names = fc.subarray(['read', 'write', 'erase', 'admin', 'openid']);
    const audiences = fc.subarray([readings, archive, 'urn:third', 'urn:fourth']);
    const step = fc.record({
      clientId: fc.constantFrom('web', 'a', 'b', 'c'),
      clientScopes: names,
      clientAudiences: audiences,
      targets: audiences,
      target: fc.constantFrom(readings, archive, 'urn:third', 'urn:fourth'),
      targetScopes: names,
      asked: fc.option(names, { nil: undefined }),
      passes: fc.integer({ min: 0, max: 400 }),
      maximumSeconds: fc.integer({ min: 1, max: 2_000 }),
    });
    fc.assert(
      fc.property(names, fc.array(step, { minLength: 1, maxLength: 8 }), (scopes, steps) => {
        let subject = { ...honest.subject, scopes: scopes as readonly string[], actor: undefined as Actor | undefined };
        let nowSeconds = honest.nowSeconds;
        for (const {
          clientId,
          clientScopes,
          clientAudiences,
          targets,
          target,
          targetScopes,
          asked,
          passes,
          maximumSeconds,
        } of steps) {
          nowSeconds += passes;
          const client = { clientId, scopes: clientScopes, audiences: clientAudiences, targets };
          const planned = planExchange({
            subject,
            client,
            target: { audience: target, scopes: targetScopes },
            scopes: asked,
            nowSeconds,
            maximumSeconds,
          });
          if (planned.outcome === 'refused') continue;
          expect(targets).toContain(target);
          expect(
            clientAudiences.some((audience) => subject.audiences.includes(audience)) || subject.clientId === clientId,
          ).toBe(true);
          for (const scope of planned.scopes) {
            for (const allowed of [subject.scopes, clientScopes, targetScopes]) expect(allowed).toContain(scope);
          }
          expect(nowSeconds + planned.lifetimeSeconds).toBeLessThanOrEqual(subject.expiresAt);
          expect(planned.lifetimeSeconds).toBeGreaterThan(0);
          const [latest, ...before] = actorsOf(planned.actor);
          expect(latest).toBe(clientId);
          expect([before, [latest, ...before]]).toContainEqual(actorsOf(subject.actor));
          expect(actorsOf(planned.actor).length).toBeLessThanOrEqual(MAXIMUM_ACTORS);
          subject = {
            clientId,
            audiences: [target],
            scopes: planned.scopes,
            expiresAt: nowSeconds + planned.lifetimeSeconds,
            actor: planned.actor,
          };
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('an actor', () => {
  it('is read from a claim of ours, and from nothing else', () => {
    const act = { sub: 'b', act: { sub: 'a' } };
    expect(parseActor(act)).toEqual(act);
    expect(actorsOf(parseActor(act))).toEqual(['b', 'a']);
    for (const other of [undefined, null, 'a', { act }, { sub: 7 }, []]) expect(parseActor(other)).toBeUndefined();
  });
});
