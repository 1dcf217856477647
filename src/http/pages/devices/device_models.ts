/**
 * The pages on which a device is paired (RFC 8628): typing its code, comparing and deciding, and how it ended. What a page warns of
 * comes before what it asks for, and refusing is never harder than allowing.
 */
import { showUserCode } from '#src/domain/user_code.ts';
import {
  displayName,
  type FactView,
  formScripts,
  type PageContext,
  type PageView,
  presentField,
  presentMoment,
  safeAddress,
  tenantOf,
} from '../kit/page_shell.ts';
import { type NamedScope, presentScope } from '../kit/scope_words.ts';
import type { Translate } from '../kit/translations.ts';
import { formErrors, type VisitorForm } from '../visitors/visitor_models.ts';

export interface DeviceModel extends Omit<VisitorForm, 'error'> {
  /** As it was typed, or came with the address. */
  readonly userCode?: string | undefined;
  /** `unknown` is all that is ever said of a code that does not work. */
  readonly error?: VisitorForm['error'] | 'missing' | 'unknown' | undefined;
}

/** Which network two addresses belong to, as far as addresses tell. */
export type NetworkSeen = 'same' | 'other' | 'unknown';

export interface DeviceConfirmModel {
  readonly action: string;
  readonly csrf: string;
  readonly userCode: string;
  /** The e-mail address the person is signed in with. */
  readonly account: string;
  readonly applicationName: string;
  /** What the device says of itself. */
  readonly device: { readonly model: string | undefined; readonly firmware: string | undefined };
  /** What it will be called, unless the person says otherwise. */
  readonly deviceName: string;
  readonly scopes: readonly NamedScope[];
  readonly askedAt: Date;
  readonly askedFrom: string | undefined;
  readonly yourAddress: string | undefined;
  readonly network: NetworkSeen;
  readonly error?: 'name' | undefined;
}

/** `unknown` and `throttled`: somebody followed a short address that leads nowhere, or too many of them. */
export type DeviceResult = 'allowed' | 'denied' | 'role' | 'too_many' | 'unknown' | 'throttled';

export interface DeviceResultModel {
  readonly what: DeviceResult;
  /** Where somebody sees and ends what they have paired. */
  readonly devicesAddress?: string | undefined;
}

const refusals: ReadonlySet<DeviceResult> = new Set(['role', 'too_many', 'unknown', 'throttled']);

export const devicePages = {
  device: presentDevice,
  device_confirm: presentDeviceConfirm,
  device_result: presentDeviceResult,
};

function presentDevice(model: DeviceModel, { t }: PageContext): PageView {
  const errors = formErrors(model, t, { field: 'user_code', words: 'device' });
  return {
    step: t('device.step'),
    heading: t('device.heading'),
    failed: errors.length > 0,
    scripts: formScripts(errors),
    warning: t('device.warning'),
    action: model.action,
    csrf: model.csrf,
    errors,
    userCode: presentField(
      {
        name: 'user_code',
        label: t('device.user_code'),
        hint: t('device.user_code_hint'),
        value: model.userCode,
        autocomplete: 'off',
        inputMode: 'text',
        capitals: true,
        focus: model.userCode === undefined,
      },
      errors,
    ),
    submit: { label: t('device.submit'), busy: t('device.busy') },
  };
}

function presentDeviceConfirm(model: DeviceConfirmModel, context: PageContext): PageView {
  const { shell, t } = context;
  const application = displayName(model.applicationName);
  const errors =
    model.error === undefined ? [] : [{ field: 'device_name', text: t(`device_confirm.error.${model.error}`) }];
  return {
    step: t('device_confirm.step'),
    heading: t('device_confirm.heading', { tenant: tenantOf(shell) }),
    failed: errors.length > 0,
    scripts: formScripts(errors),
    warning: t('device_confirm.warning'),
    compare: t('device_confirm.compare'),
    userCode: showUserCode(model.userCode),
    account: displayName(model.account),
    errors,
    facts: factsOf(model, context),
    network: t(`device_confirm.network.${model.network}`),
    scopesIntro: t('consent.scopes', { application }),
    scopes: model.scopes.map((scope) => presentScope(scope, t)),
    nothing: t('device_confirm.nothing', { application }),
    action: model.action,
    csrf: model.csrf,
    deviceName: presentField(
      {
        name: 'device_name',
        label: t('device_confirm.device_name'),
        hint: t('device_confirm.device_name_hint'),
        value: model.deviceName,
        autocomplete: 'off',
      },
      errors,
    ),
  };
}

function factsOf(model: DeviceConfirmModel, { shell, t }: PageContext): readonly FactView[] {
  const { model: kind, firmware } = model.device;
  const told = [kind, firmware].filter((text) => text !== undefined).map(displayName);
  return [
    { label: t('device_confirm.application'), text: displayName(model.applicationName) },
    ...(told.length === 0 ? [] : [{ label: t('device_confirm.device'), text: told.join(', ') }]),
    { label: t('device_confirm.asked_at'), moment: presentMoment(model.askedAt, shell) },
    { label: t('device_confirm.asked_from'), ...addressFact(model.askedFrom, t) },
    { label: t('device_confirm.your_address'), ...addressFact(model.yourAddress, t) },
  ];
}

function addressFact(address: string | undefined, t: Translate): Pick<FactView, 'code' | 'text'> {
  return address === undefined ? { text: t('device_confirm.unknown_address') } : { code: displayName(address) };
}

function presentDeviceResult(model: DeviceResultModel, { shell, t }: PageContext): PageView {
  const words = `device_result.${model.what}`;
  const address = safeAddress(model.devicesAddress);
  return {
    step: t(`${words}.heading`),
    heading: t(`${words}.heading`),
    failed: refusals.has(model.what),
    scripts: [],
    text: t(`${words}.text`, { tenant: tenantOf(shell) }),
    more: model.what === 'allowed' ? t('device_result.close') : undefined,
    devices:
      address === undefined || model.what === 'role' ? undefined : { label: t('device_result.devices'), address },
  };
}
