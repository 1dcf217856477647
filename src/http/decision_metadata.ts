/** Where an application finds out how to ask for decisions: the metadata of OpenID AuthZEN (Authorization API 1.0, §9), for each tenant. */
import { type AnswerOptions, answerProblem } from './answer_problem.ts';
import { evaluationPath, evaluationsPath } from './api/evaluation_routes.ts';
import type { HttpExchange } from './gates/exchange.ts';
import { problems } from './problems.ts';

export const decisionMetadataPath = '/.well-known/authzen-configuration';

export function answerDecisionMetadata(exchange: HttpExchange, issuer: string, options: AnswerOptions): void {
  const { request, response } = exchange;
  const allow = ['GET', 'HEAD'];
  if (!allow.includes(request.method ?? '')) {
    answerProblem(exchange, problems.methodNotAllowed(allow), options);
    return;
  }
  response.setHeader('content-type', 'application/json; charset=utf-8');
  response.setHeader('cache-control', 'public, max-age=300');
  response.setHeader('access-control-allow-origin', '*');
  const metadata = {
    policy_decision_point: issuer,
    access_evaluation_endpoint: issuer + evaluationPath,
    access_evaluations_endpoint: issuer + evaluationsPath,
  };
  response.end(request.method === 'HEAD' ? undefined : JSON.stringify(metadata));
}
