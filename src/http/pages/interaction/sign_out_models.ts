/** The pages of signing out: the question, and what has ended and what has not. */
import {
  backTo,
  type Destination,
  displayName,
  type PageContext,
  type PageView,
  presentDestination,
  tenantOf,
} from '../kit/page_shell.ts';

export interface LogoutModel {
  /** The engine's confirmation address. */
  readonly action: string;
  /** The engine's own token, `ctx.oidc.session.state.secret`. */
  readonly xsrf: string;
  readonly account?: string | undefined;
}

export interface LoggedOutModel {
  readonly result: 'signed_out' | 'signed_out_of_application' | 'stayed';
  readonly application?: Destination | undefined;
}

export const signOutPages = { logout: presentLogout, logged_out: presentLoggedOut };

function presentLogout(model: LogoutModel, { shell, t }: PageContext): PageView {
  const tenant = tenantOf(shell);
  return {
    step: t('logout.step'),
    heading: t('logout.heading'),
    failed: false,
    scripts: ['submit_guard'],
    action: model.action,
    xsrf: model.xsrf,
    consequence: t('logout.consequence', { tenant }),
    account: model.account === undefined ? undefined : displayName(model.account),
    stay: t('logout.stay', { tenant }),
  };
}

function presentLoggedOut(model: LoggedOutModel, { shell, t }: PageContext): PageView {
  const unnamed = t('logged_out.this_application');
  const application = presentDestination(model.application, unnamed);
  const values = {
    tenant: tenantOf(shell),
    application: displayName(model.application?.name ?? shell.applicationName ?? unnamed),
  };
  const say = (key: string) => t(`logged_out.${model.result}.${key}`, values);
  return {
    step: say('step'),
    heading: say('heading'),
    failed: false,
    scripts: [],
    text: say('text'),
    hint: say('hint'),
    back: backTo(application, (name) => t('logged_out.back', { application: name })),
  };
}
