/** The pages where something ends without having worked: a fault, a refusal, a sign-in that took too long. */
import {
  backTo,
  type Destination,
  displayName,
  type PageContext,
  type PageView,
  presentDestination,
  presentMoment,
  wholeMinutes,
} from './page_shell.ts';

export interface ExpiredModel {
  readonly application?: Destination | undefined;
}

export type ProblemKind =
  | 'fault'
  | 'not_found'
  | 'invalid_request'
  | 'unknown_application'
  | 'invalid_redirect'
  | 'refused'
  | 'stale_form'
  | 'cookies'
  | 'throttled'
  | 'busy';

export interface ProblemModel {
  readonly kind: ProblemKind;
  readonly at: Date;
  /** RFC 6749 §5.2 code and description, shown folded away for whoever maintains the application. */
  readonly oauth?: { readonly error: string; readonly description?: string | undefined } | undefined;
  readonly retryAfterMinutes?: number | undefined;
  readonly application?: Destination | undefined;
}

export const problemPages = { expired: presentExpired, problem: presentProblem };

function presentExpired(model: ExpiredModel, { t }: PageContext): PageView {
  const application = presentDestination(model.application, t('logged_out.this_application'));
  return {
    step: t('expired.step'),
    heading: t('expired.heading'),
    failed: false,
    scripts: [],
    why: t('expired.why'),
    whatNow:
      application === undefined
        ? t('expired.what_now_unknown')
        : t('expired.what_now', { application: application.name }),
    back: backTo(application, (name) => t('expired.back', { application: name })),
  };
}

function presentProblem(model: ProblemModel, { shell, t }: PageContext): PageView {
  const heading = t(`problem.${model.kind}.heading`);
  const application = presentDestination(model.application, t('logged_out.this_application'));
  const applicationName = model.application?.name ?? shell.applicationName;
  return {
    step: heading,
    heading,
    failed: true,
    scripts: [],
    text: t(`problem.${model.kind}.text`),
    retry:
      model.retryAfterMinutes === undefined
        ? undefined
        : t('problem.retry', { count: wholeMinutes(model.retryAfterMinutes) }),
    at: presentMoment(model.at, shell),
    application: applicationName === undefined ? undefined : displayName(applicationName),
    oauth:
      model.oauth === undefined
        ? undefined
        : { error: displayName(model.oauth.error), description: model.oauth.description },
    back: backTo(application, (name) => t('problem.back', { application: name })),
  };
}
