/** The pages with what a person has paired: all of it with what is offered to them, and one device with what can be done about it. */
import type { DeviceState } from '#src/domain/device.ts';
import {
  displayName,
  type EntryView,
  type FactView,
  type FieldMessage,
  formScripts,
  type PageContext,
  type PageView,
  presentField,
  presentMoment,
  safeAddress,
} from '../kit/page_shell.ts';
import { type NamedScope, presentScope } from '../kit/scope_words.ts';
import { type AccountModel, accountAddress, accountView } from './account_frame.ts';

export interface OwnDevice {
  readonly id: string;
  readonly name: string;
  readonly model: string | undefined;
  readonly firmware: string | undefined;
  readonly state: DeviceState;
  readonly applicationName: string;
  readonly pairedAt: Date;
  readonly pairedAddress: string | undefined;
  readonly lastSeenAt: Date;
  readonly lastSeenAddress: string | undefined;
  /** It is offered to somebody else until then. */
  readonly offeredUntil: Date | undefined;
}

/** A device of somebody else's that this person can take over. */
export interface OfferedDevice {
  readonly id: string;
  readonly name: string;
  readonly model: string | undefined;
  readonly from: string;
  readonly until: Date;
  readonly scopes: readonly NamedScope[];
}

export interface OwnDevicesModel extends AccountModel {
  readonly action: string;
  readonly csrf: string;
  readonly devices: readonly OwnDevice[];
  readonly offers: readonly OfferedDevice[];
  /** Where a code is typed. */
  readonly pairingAddress: string;
  readonly notice?: 'removed' | 'gone' | 'accepted' | 'declined' | 'role' | 'second_factor' | 'too_many' | undefined;
}

export interface OwnDeviceModel extends AccountModel {
  readonly action: string;
  readonly csrf: string;
  readonly device: OwnDevice;
  readonly scopes: readonly NamedScope[];
  /** What was typed, when it could not be taken. */
  readonly typedName?: string | undefined;
  readonly typedAddress?: string | undefined;
  readonly error?: 'name' | 'offer_to' | 'own_address' | undefined;
  readonly notice?: 'renamed' | 'offered' | 'withdrawn' | undefined;
}

export const ownDevicesPages = { account_devices: presentOwnDevices, account_device: presentOwnDevice };

function presentOwnDevices(model: OwnDevicesModel, context: PageContext): PageView {
  const { shell, t } = context;
  const { action, csrf } = model;
  const entries: readonly EntryView[] = model.devices.map((device, index) => ({
    id: `device-${index + 1}`,
    name: displayName(device.name),
    tag: device.state === 'quarantined' ? t('account_devices.quarantined') : undefined,
    lines: [
      ...(device.model === undefined ? [] : [{ text: displayName(device.model) }]),
      { text: t('account_devices.last_seen'), moment: presentMoment(device.lastSeenAt, shell) },
    ],
    link: {
      label: t('account_devices.look'),
      address: `${accountAddress(model.base, 'devices')}?device=${device.id}`,
    },
  }));
  return {
    ...accountView(model, 'devices', context),
    failed: false,
    scripts: ['submit_guard'],
    intro: t('account_devices.intro'),
    notice: model.notice === undefined ? undefined : t(`account_devices.notice.${model.notice}`),
    nothing:
      entries.length > 0
        ? undefined
        : {
            text: t('account_devices.nothing'),
            link: { label: t('account_devices.pair'), address: safeAddress(model.pairingAddress) },
          },
    entries,
    offers: model.offers.map((offer, index) => ({
      label: `offer-${index + 1}`,
      name: displayName(offer.name),
      facts: [
        { label: t('account_devices.offered_by'), text: displayName(offer.from) },
        ...(offer.model === undefined ? [] : [{ label: t('account_device.model'), text: displayName(offer.model) }]),
        { label: t('account_devices.offered_until'), moment: presentMoment(offer.until, shell) },
      ] satisfies readonly FactView[],
      scopes: offer.scopes.map((scope) => presentScope(scope, t)),
      id: offer.id,
    })),
    action,
    csrf,
  };
}

function presentOwnDevice(model: OwnDeviceModel, context: PageContext): PageView {
  const { shell, t } = context;
  const { action, csrf, device } = model;
  const field = model.error === 'name' ? 'name' : 'offer_to';
  const errors: readonly FieldMessage[] =
    model.error === undefined ? [] : [{ field, text: t(`account_device.error.${model.error}`) }];
  const fields = [['device', device.id]];
  return {
    ...accountView(model, 'devices', context),
    step: displayName(device.name),
    heading: displayName(device.name),
    failed: errors.length > 0,
    errors,
    scripts: formScripts(errors),
    notice: model.notice === undefined ? undefined : t(`account_device.notice.${model.notice}`),
    warning: device.state === 'quarantined' ? t('account_device.quarantined') : undefined,
    backLink: { label: t('account_device.back'), address: accountAddress(model.base, 'devices') },
    facts: factsOf(device, context),
    scopes: model.scopes.map((scope) => presentScope(scope, t)),
    action,
    csrf,
    id: device.id,
    name: presentField(
      {
        name: 'name',
        label: t('account_device.name'),
        value: model.typedName ?? device.name,
        autocomplete: 'off',
        maximumLength: 60,
      },
      errors,
    ),
    offer:
      device.offeredUntil === undefined
        ? {
            field: presentField(
              {
                name: 'offer_to',
                label: t('account_device.offer_to'),
                hint: t('account_device.offer_to_hint'),
                type: 'email',
                value: model.typedAddress,
                autocomplete: 'off',
                verbatim: true,
              },
              errors,
            ),
          }
        : { until: presentMoment(device.offeredUntil, shell) },
    deed: {
      action,
      csrf,
      fields: [...fields, ['remove', 'yes']],
      label: t('account_device.remove'),
      busy: t('account_device.busy'),
      warning: t('account_device.remove_warning'),
    },
  };
}

function factsOf(device: OwnDevice, { shell, t }: PageContext): readonly FactView[] {
  const line = (label: string, text: string | undefined): readonly FactView[] =>
    text === undefined ? [] : [{ label, text: displayName(text) }];
  return [
    ...line(t('account_device.application'), device.applicationName),
    ...line(t('account_device.model'), device.model),
    ...line(t('account_device.firmware'), device.firmware),
    { label: t('account_devices.last_seen'), moment: presentMoment(device.lastSeenAt, shell) },
    ...line(t('account_device.last_seen_address'), device.lastSeenAddress),
    { label: t('account_device.paired_at'), moment: presentMoment(device.pairedAt, shell) },
    ...line(t('account_device.paired_address'), device.pairedAddress),
  ];
}
