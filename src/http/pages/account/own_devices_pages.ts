/** Where somebody sees what they have paired, names it, lets it go, gives it away, and takes over what another gives them. */
import type Router from '@koa/router';
import { z } from 'zod';
import { AUTHENTICATION_CONTEXTS } from '#src/domain/authentication.ts';
import { parseEmailAddress } from '#src/domain/email_address.ts';
import { acceptDevice, listOffers, offerDevice, withdrawOffer } from '#src/flows/devices/hand_over_device.ts';
import {
  changeDevice,
  LIVING_STATES,
  listDevices,
  renameDevice,
  rightsOfDevices,
  showDevice,
} from '#src/flows/devices/manage_devices.ts';
import { isUuid } from '#src/foundation/identifiers.ts';
import { accountPath, devicePath } from '#src/oidc/provider.ts';
import type { DeviceRow } from '#src/storage/tables/devices.ts';
import { ProblemRaised, problems } from '../../problems.ts';
import { field, goTo, type PageState, parseForm } from '../interaction/interaction_step.ts';
import {
  type AccountPagesOptions,
  asOwner,
  formOf,
  noticeOf,
  ownerOf,
  ownForm,
  showOwnPage,
} from './account_page_kit.ts';
import type { OwnDevice, OwnDeviceModel } from './own_devices_models.ts';
import { FRESH_SECONDS, type OwnPagesKit, type OwnVisit } from './own_pages.ts';

const path = `${accountPath}/devices` as const;
const about = { ...ownForm, device: field };
const yes = z.literal('yes');
const forms = z.union([
  z.strictObject({ ...about, name: field }),
  z.strictObject({ ...about, remove: yes }),
  z.strictObject({ ...about, offer_to: field }),
  z.strictObject({ ...about, withdraw: yes }),
  z.strictObject({ ...about, accept: yes }),
  z.strictObject({ ...about, decline: yes }),
]);
const mostShown = 1_000;

export function mountOwnDevicesPages(router: Router<PageState>, kit: OwnPagesKit, options: AccountPagesOptions): void {
  const { accountServices: services } = options;

  router.get(`/t/:slug${path}`, async (ctx) => {
    const visit = await kit.requireOwnSession(ctx, ctx.state, { path });
    if (visit === undefined) return;
    const { device: asked } = ctx.query;
    if (asked !== undefined) return showOne(visit, await findOwn(visit, asked));
    const owner = ownerOf(visit);
    const filter = { states: LIVING_STATES, userId: owner.userId };
    const { devices } = await listDevices(services, { tenantId: owner.tenantId, filter, limit: mostShown });
    const offers = await listOffers(services, owner);
    const rights = await rightsOfDevices(services, owner.tenantId);
    showOwnPage(visit, {
      name: 'account_devices',
      model: {
        ...formOf(kit, visit),
        devices: devices.map(shownOf),
        offers: offers.map((offer) => ({
          id: offer.device_id,
          name: offer.name,
          model: offer.model ?? undefined,
          from: offer.owner_email,
          until: offer.offered_until ?? offer.paired_at,
          scopes: rights(offer),
        })),
        pairingAddress: `/t/${visit.state.engine.tenant.slug}${devicePath}`,
        notice: noticeOf(visit, ['removed', 'gone', 'accepted', 'declined', 'role', 'second_factor', 'too_many']),
      },
    });
  });

  router.post(`/t/:slug${path}`, async (ctx) => {
    const sent = await kit.readOwnForm(ctx, ctx.state, { path });
    if (sent === undefined) return;
    const { visit } = sent;
    const form = parseForm(forms, sent.fields);
    const address = kit.addressOf(ctx.state, path);
    if (!isUuid(form.device)) return goTo(ctx, `${address}?done=gone`);
    const context = asOwner(services, visit);
    const owner = ownerOf(visit);
    const device = { ...owner, deviceId: form.device };
    const toDevice = (done: string): void => goTo(ctx, `${address}?device=${form.device}&done=${done}`);
    const toAll = (done: string): void => goTo(ctx, `${address}?done=${done}`);

    if ('name' in form) {
      const { outcome } = await renameDevice(context, { ...device, name: form.name });
      if (outcome === 'invalid_name')
        return showOne(visit, await findOwn(visit, form.device), { error: 'name', typedName: form.name });
      return outcome === 'renamed' ? toDevice('renamed') : toAll('gone');
    }
    if ('remove' in form) {
      const { outcome } = await changeDevice(context, { ...device, change: 'revoke' });
      return toAll(outcome === 'changed' ? 'removed' : 'gone');
    }
    if ('offer_to' in form) {
      const typed = { typedAddress: form.offer_to };
      if (parseEmailAddress(form.offer_to).outcome === 'invalid')
        return showOne(visit, await findOwn(visit, form.device), { error: 'offer_to', ...typed });
      const { outcome } = await offerDevice(context, { ...device, email: form.offer_to });
      if (outcome === 'owner_already')
        return showOne(visit, await findOwn(visit, form.device), { error: 'own_address', ...typed });
      return outcome === 'offered' ? toDevice('offered') : toAll('gone');
    }
    if ('withdraw' in form) {
      const { outcome } = await withdrawOffer(context, device);
      return outcome === 'withdrawn' ? toDevice('withdrawn') : toAll('gone');
    }
    const offer = { tenantId: owner.tenantId, deviceId: form.device };
    if ('decline' in form) {
      const { outcome } = await withdrawOffer(context, { ...offer, offeredTo: owner.userId });
      return toAll(outcome === 'withdrawn' ? 'declined' : 'gone');
    }
    // A device speaks for its owner for years: as fresh as for what changes how somebody gets in.
    const fresh = await kit.requireOwnSession(ctx, ctx.state, { path, freshSeconds: FRESH_SECONDS });
    if (fresh === undefined) return;
    const { amr, isMultiFactor, authenticatedAt } = fresh.session;
    const { outcome } = await acceptDevice(context, {
      ...offer,
      userId: owner.userId,
      settings: visit.state.engine.people,
      authentication: {
        amr,
        acr: isMultiFactor ? AUTHENTICATION_CONTEXTS.multiFactor : AUTHENTICATION_CONTEXTS.password,
        authTime: Math.floor(authenticatedAt.getTime() / 1000),
      },
    });
    toAll(outcome === 'unknown' ? 'gone' : outcome);
  });

  /** Throws `ProblemRaised` for what is none of theirs. */
  async function findOwn(visit: OwnVisit, id: unknown): Promise<DeviceRow> {
    const deviceId = typeof id === 'string' && isUuid(id) ? id : undefined;
    const found = deviceId && (await showDevice(services, { ...ownerOf(visit), deviceId }));
    if (!found || found.state === 'retired') throw new ProblemRaised(problems.notFound());
    return found;
  }

  async function showOne(
    visit: OwnVisit,
    device: DeviceRow,
    wrong: Pick<OwnDeviceModel, 'error' | 'typedName' | 'typedAddress'> = {},
  ): Promise<void> {
    const rights = await rightsOfDevices(services, ownerOf(visit).tenantId);
    showOwnPage(visit, {
      name: 'account_device',
      status: wrong.error === undefined ? 200 : 400,
      languageSwitch: {
        kind: 'link',
        address: `/t/${visit.state.engine.tenant.slug}${path}?device=${device.device_id}`,
      },
      model: {
        ...formOf(kit, visit),
        device: shownOf(device),
        scopes: rights(device),
        ...wrong,
        notice: noticeOf(visit, ['renamed', 'offered', 'withdrawn']),
      },
    });
  }

  function shownOf(device: DeviceRow): OwnDevice {
    const { offered_until: offeredUntil } = device;
    const isOffered = offeredUntil !== null && offeredUntil > services.clock();
    return {
      id: device.device_id,
      name: device.name,
      model: device.model ?? undefined,
      firmware: device.firmware ?? undefined,
      state: device.state,
      applicationName: device.client_name,
      pairedAt: device.paired_at,
      pairedAddress: device.paired_address ?? undefined,
      lastSeenAt: device.last_seen_at,
      lastSeenAddress: device.last_seen_address ?? undefined,
      offeredUntil: isOffered ? offeredUntil : undefined,
    };
  }
}
