/** Reads what a call brings, strictly, and says what is wrong with it in the words of RFC 9457: all of it at once, each with its place. */
import { z } from 'zod';
import { isNoDeeperThan, isStorable, isStorableText } from '#src/domain/stored_text.ts';
import { type FieldFault, type Problem, ProblemRaised, problems } from '../problems.ts';

/** A line of text that can be stored and shown. */
export function line(maximumCharacters: number) {
  return z
    .string()
    .trim()
    .min(1)
    .max(maximumCharacters)
    .refine((text) => isStorableText(text) && !/\p{Cc}/u.test(text), 'holds characters that cannot be shown');
}

/** An instant of RFC 3339, with its offset. */
export const instant = z.iso.datetime({ offset: true }).transform((written) => new Date(written));

const deepestLevel = 64;

/** Throws `ProblemRaised` for a body that is not as the schema says. @param body Undefined for what was no JSON. */
export function parseBody(schema: z.ZodType, body: unknown): unknown {
  if (body === undefined) throw new ProblemRaised(problems.malformed('The body is no JSON in UTF-8.'));
  if (!isNoDeeperThan(body, deepestLevel))
    throw new ProblemRaised(problems.malformed(`The body is nested more than ${deepestLevel} levels deep.`));
  const parsed = schema.safeParse(body);
  if (!parsed.success)
    throw new ProblemRaised(problems.invalidFields(faultsOf(parsed.error, (path) => ({ pointer: pointerTo(path) }))));
  if (!isStorable(body))
    throw new ProblemRaised(
      problems.malformed('The body holds NUL, or half a surrogate pair, which nothing here can be.'),
    );
  return parsed.data;
}

/** Throws `ProblemRaised` for parameters that the route does not know, that come twice, or that hold something else. */
export function parseQuery(schema: z.ZodType | undefined, written: URLSearchParams): unknown {
  const names = [...new Set(written.keys())];
  const repeated = names.filter((name) => written.getAll(name).length > 1);
  if (repeated.length > 0)
    throw new ProblemRaised(
      problems.invalidFields(
        repeated.map((parameter) => ({ parameter, code: 'repeated', detail: 'is there more than once' })),
      ),
    );
  const unkept = names.filter((name) => !isStorableText(name + written.get(name)));
  if (unkept.length > 0)
    throw new ProblemRaised(
      problems.invalidFields(
        unkept.map((parameter) => ({ parameter, code: 'custom', detail: 'holds characters that nothing here has' })),
      ),
    );
  const parsed = (schema ?? z.strictObject({})).safeParse(Object.fromEntries(written));
  if (parsed.success) return parsed.data;
  throw new ProblemRaised(problems.invalidFields(faultsOf(parsed.error, (path) => ({ parameter: String(path[0]) }))));
}

type Place = Pick<FieldFault, 'pointer' | 'parameter'>;

function faultsOf({ issues }: z.ZodError, placeOf: (path: readonly PropertyKey[]) => Place): readonly FieldFault[] {
  return issues.flatMap((issue): readonly FieldFault[] =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => ({
          ...placeOf([...issue.path, key]),
          code: 'unknown',
          detail: 'is not known here',
        }))
      : [{ ...placeOf(issue.path), code: issue.code, detail: issue.message }],
  );
}

/** RFC 6901 §6, as a fragment: the form that RFC 9457 §3 shows. */
function pointerTo(path: readonly PropertyKey[]): string {
  const parts = path.map((part) =>
    encodeURIComponent(String(part).toWellFormed().replaceAll('~', '~0').replaceAll('/', '~1')),
  );
  return `#${parts.map((part) => `/${part}`).join('')}`;
}

/** For a route that found something wrong with a body which its schema cannot see. */
export function refuseField(pointer: string, { code, detail }: { code: string; detail: string }): Problem {
  return problems.invalidFields([{ pointer, code, detail }]);
}
