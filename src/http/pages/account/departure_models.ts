/** The pages where a person takes along what is known of them, and where they leave. */

import {
  displayName,
  type FieldMessage,
  formScripts,
  type PageContext,
  type PageView,
  presentField,
  presentMoment,
  safeAddress,
  tenantOf,
} from '../kit/page_shell.ts';
import { type AccountModel, accountAddress, accountView } from './account_frame.ts';

export interface ExportModel extends AccountModel {
  readonly action: string;
  readonly csrf: string;
}

export interface DepartureModel extends AccountModel {
  readonly action: string;
  readonly csrf: string;
  readonly email: string;
  readonly undoDays: number;
  /** Who ends an account here. */
  readonly by: 'self' | 'administrator';
  /** Asked for already. */
  readonly dueAt?: Date | undefined;
  readonly helpAddress?: string | undefined;
  readonly error?: 'not_confirmed' | 'last_administrator' | undefined;
}

/** Shown to somebody who is signed in no more. */
export interface DepartedModel extends AccountModel {
  readonly email: string;
  /** Undefined when there is nothing left to undo. */
  readonly dueAt?: Date | undefined;
}

export const departurePages = {
  account_export: presentExport,
  account_delete: presentDeparture,
  account_departed: presentDeparted,
};

function presentExport(model: ExportModel, context: PageContext): PageView {
  const { shell, t } = context;
  return {
    ...accountView(model, 'export', context),
    failed: false,
    scripts: [],
    intro: t('account_export.intro', { tenant: tenantOf(shell) }),
    action: model.action,
    csrf: model.csrf,
    submit: { label: t('account_export.submit'), busy: t('account_export.submit') },
  };
}

function presentDeparture(model: DepartureModel, context: PageContext): PageView {
  const { shell, t } = context;
  const tenant = tenantOf(shell);
  const { action, csrf, undoDays: count } = model;
  const errors: readonly FieldMessage[] =
    model.error === undefined ? [] : [{ field: 'confirm', text: t(`account_delete.error.${model.error}`, { tenant }) }];
  const isMine = model.by === 'self';
  return {
    ...accountView(model, 'delete', context),
    failed: errors.length > 0,
    errors,
    scripts: formScripts(errors),
    action,
    csrf,
    pending:
      model.dueAt === undefined
        ? undefined
        : { due: presentMoment(model.dueAt, shell), text: t('account_delete.pending', { tenant }) },
    consequences: isMine ? t('account_delete.consequences', { tenant, account: displayName(model.email) }) : undefined,
    undo: count === 0 ? t('account_delete.no_undo') : t('account_delete.undo', { count }),
    ask: isMine ? undefined : t('account_delete.ask_administrator', { tenant }),
    help: safeAddress(model.helpAddress === '' ? undefined : model.helpAddress),
    confirm: presentField(
      { name: 'confirm', label: t('account_delete.confirm', { tenant }), autocomplete: 'off' },
      errors,
    ),
    submit: t('account_delete.submit'),
    withdraw: t('account_delete.withdraw'),
    busy: t('account_delete.busy'),
  };
}

function presentDeparted(model: DepartedModel, { shell, t }: PageContext): PageView {
  const tenant = tenantOf(shell);
  const kind = model.dueAt === undefined ? 'deleted' : 'requested';
  return {
    step: t(`account_departed.${kind}.step`),
    heading: t(`account_departed.${kind}.heading`),
    failed: false,
    scripts: [],
    text: t(`account_departed.${kind}.text`, { tenant, account: displayName(model.email) }),
    due: model.dueAt === undefined ? undefined : presentMoment(model.dueAt, shell),
    undo:
      model.dueAt === undefined
        ? undefined
        : { label: t('account_departed.undo'), address: accountAddress(model.base, 'delete') },
  };
}
