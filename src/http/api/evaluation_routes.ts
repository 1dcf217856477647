/**
 * The same questions in the shape of OpenID AuthZEN (Authorization API 1.0): whether a subject may do an action to a resource, one at a time
 * or several together. A permission is `{resource.type}:{action.name}`; which resource of its type it is, properties and context are taken
 * and make no difference, because roles do not know them. Who may ask about whom: permission_routes.ts.
 */
import { z } from 'zod';
import { isPermission } from '#src/domain/role.ts';
import { type Rights, readRights } from '#src/flows/access/check_permission.ts';
import type { FlowContext } from '#src/flows/flow_context.ts';
import type { TenantEngine } from '#src/oidc/tenant_engine.ts';
import { ProblemRaised } from '../problems.ts';
import { bearerOrKey, type EitherCaller } from './chains.ts';
import { line, refuseField } from './input.ts';
import { assertMayAskAbout, permissionsCheckScope } from './permission_routes.ts';
import { type ApiRoute, route } from './routes.ts';

export interface EvaluationRoutesOptions {
  readonly apiServices: Pick<FlowContext, 'database'>;
}

export const evaluationPath = '/api/v1/access/v1/evaluation';
export const evaluationsPath = '/api/v1/access/v1/evaluations';

/** More are asked for in several calls. */
const maximumEvaluations = 100;

const properties = z.record(z.string(), z.unknown()).optional();
// §5: whoever asks may say more of each than we look at.
const subject = z.object({ type: line(100), id: line(200), properties });
const action = z.object({ name: line(100), properties });
const resource = z.object({ type: line(100), id: line(2_000), properties });

const question = z.object({ subject, action, resource, context: properties });

const evaluations = z.object({
  subject: subject.optional(),
  action: action.optional(),
  resource: resource.optional(),
  context: properties,
  evaluations: z.array(question.partial()).max(maximumEvaluations).optional(),
  options: z
    .object({
      evaluations_semantic: z.enum(['execute_all', 'deny_on_first_deny', 'permit_on_first_permit']).optional(),
    })
    .optional(),
});

const decision = z.object({ decision: z.boolean() }).meta({ id: 'Decision' });

type Question = z.output<typeof question>;

export function evaluationRoutes({ apiServices }: EvaluationRoutesOptions): readonly ApiRoute[] {
  const chain = bearerOrKey({ key: { scope: permissionsCheckScope } });
  return [
    route({
      summary: 'Whether a subject may do an action to a resource (OpenID AuthZEN)',
      method: 'POST',
      path: evaluationPath,
      chain,
      body: question,
      answers: decision,
      async handle({ caller, engine, body }) {
        const [answer] = await decide(caller, engine, [body]);
        return { status: 200, body: { decision: answer === true } };
      },
    }),
    route({
      summary: 'The same for several at once (OpenID AuthZEN)',
      method: 'POST',
      path: evaluationsPath,
      chain,
      body: evaluations,
      answers: z.union([z.object({ evaluations: z.array(decision) }), decision]),
      async handle({ caller, engine, body }) {
        const { evaluations: asked = [], options, ...defaults } = body;
        // §7.1: with none of them it is a single question.
        const isSingle = asked.length === 0;
        const questions = (isSingle ? [{}] : asked).map((one, index) =>
          complete({ ...defaults, ...one }, isSingle ? '#' : `#/evaluations/${index}`),
        );
        const answers = await decide(caller, engine, questions);
        if (isSingle) return { status: 200, body: { decision: answers[0] === true } };
        const told = upTo(answers, endsAt[options?.evaluations_semantic ?? 'execute_all']);
        return { status: 200, body: { evaluations: told.map((answer) => ({ decision: answer })) } };
      },
    }),
  ];

  /** Each person is read once, however often they are asked about. */
  async function decide(
    caller: EitherCaller,
    engine: TenantEngine,
    questions: readonly Question[],
  ): Promise<readonly boolean[]> {
    const people = [...new Set(questions.filter(isAboutPerson).map((one) => one.subject.id))];
    for (const id of people) assertMayAskAbout(caller, id, engine);
    const tenant = apiServices.database.tenant(engine.tenant.id);
    const rights = new Map<string, Rights>();
    await Promise.all(people.map(async (id) => rights.set(id, await readRights(tenant, id))));
    return questions.map((one) => {
      const permission = `${one.resource.type}:${one.action.name}`;
      const held = isAboutPerson(one) ? rights.get(one.subject.id) : undefined;
      return isPermission(permission) && held?.permissions.includes(permission) === true;
    });
  }
}

/** The `sub` of a person's tokens. Nobody else has roles. */
function isAboutPerson({ subject: { type } }: Question): boolean {
  return type === 'user';
}

/** §7.1.1. Throws for a question that lacks a part, itself and by default. */
function complete(
  asked: { readonly [Part in keyof Question]?: Question[Part] | undefined },
  pointer: string,
): Question {
  const { subject: who, action: what, resource: which, context } = asked;
  const missing =
    who === undefined ? 'subject' : what === undefined ? 'action' : which === undefined ? 'resource' : undefined;
  if (who !== undefined && what !== undefined && which !== undefined)
    return { subject: who, action: what, resource: which, context };
  throw new ProblemRaised(refuseField(`${pointer}/${missing}`, { code: 'missing', detail: 'is missing' }));
}

/** §7.1.2: the answer behind which no other is wanted. */
const endsAt = { execute_all: undefined, deny_on_first_deny: false, permit_on_first_permit: true } as const;

function upTo(answers: readonly boolean[], end: boolean | undefined): readonly boolean[] {
  const index = end === undefined ? -1 : answers.indexOf(end);
  return index < 0 ? answers : answers.slice(0, index + 1);
}
