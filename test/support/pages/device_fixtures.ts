/** The pages on which a device is paired, in every state. */
import type { DeviceConfirmModel, DeviceModel } from '#src/http/pages/devices/device_models.ts';
import { consent } from './consent_fixtures.ts';
import { account, application, at, csrf, type PageFixtures } from './page_state.ts';

const device: DeviceModel = { action: '/t/linde/device', csrf };
const confirm: DeviceConfirmModel = {
  action: '/t/linde/device/confirm',
  csrf,
  userCode: 'BCDFGHJK',
  account,
  applicationName: application.name,
  device: { model: 'Klimaatsensor C3', firmware: '1.4.2' },
  deviceName: 'Sensor slaapkamer',
  scopes: consent.scopes,
  askedAt: at,
  askedFrom: '203.0.113.7',
  yourAddress: '203.0.113.7',
  network: 'same',
};
const devicesAddress = '/t/linde/account/devices';
const byForm = { languageSwitch: { kind: 'form' } } as const;

export const deviceFixtures = {
  device: {
    initial: { model: device, shell: { ...byForm, applicationName: undefined } },
    error: { model: { ...device, userCode: 'bcdf-ghjk', error: 'unknown' }, shell: byForm },
    success: { without: 'leads on to the comparison' },
    more: {
      'with the code of a complete address': { model: { ...device, userCode: 'BCDFGHJK' }, shell: byForm },
      'error without a code': { model: { ...device, error: 'missing' }, shell: byForm },
      'error after too many codes': {
        model: { ...device, userCode: 'BCDFGHJK', error: 'throttled', retryAfterMinutes: 10 },
        shell: byForm,
      },
      'error of an old form': { model: { ...device, userCode: 'BCDFGHJK', error: 'stale_form' }, shell: byForm },
    },
  },
  device_confirm: {
    initial: { model: confirm, shell: byForm },
    error: { model: { ...confirm, deviceName: '', error: 'name' }, shell: byForm },
    success: { without: 'leads on to what became of it' },
    more: {
      'on another network': {
        model: { ...confirm, yourAddress: '2001:db8:85a3:8d3:1319:8a2e:370:7348', network: 'other' },
        shell: byForm,
      },
      'of a device that says nothing': {
        model: {
          ...confirm,
          device: { model: undefined, firmware: undefined },
          deviceName: application.name,
          scopes: [],
          askedFrom: undefined,
          network: 'unknown',
        },
        shell: byForm,
      },
    },
  },
  device_result: {
    initial: { model: { what: 'denied', devicesAddress } },
    error: { model: { what: 'too_many', devicesAddress } },
    success: { model: { what: 'allowed', devicesAddress } },
    more: {
      'error of somebody without the role': { model: { what: 'role', devicesAddress } },
      'error of a short address': { model: { what: 'unknown' } },
      'error after too many short addresses': { model: { what: 'throttled' } },
    },
  },
} satisfies Pick<PageFixtures, 'device' | 'device_confirm' | 'device_result'>;
