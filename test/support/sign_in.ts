/** A sign-in as the flows see it, without a browser in front. */
import type { SignInPlace, SignInServices } from '#src/flows/sign_in/authentication_steps.ts';
import { relyingPartyOf } from '#src/foundation/relying_party.ts';
import { defaultPeopleSettings } from './people_settings.ts';
import type { TestServer } from './test_server.ts';
import type { TestTenant } from './world.ts';

export function signInServicesOf({ server, config }: TestServer): SignInServices {
  const { database, passwords, clock, sealer } = server.house;
  return {
    database,
    passwords,
    clock,
    sealer,
    settings: config.signIn,
    mailBudgets: config.mail.budgets,
    proofs: config.proofs,
    publicUrl: config.http.publicUrl,
    relyingParty: relyingPartyOf(config.http.publicUrl),
  };
}

let lastKey = 0;

/** A place of its own, at the tenant's web client, unless told otherwise. */
export function placeAt(tenant: TestTenant, changes: Partial<SignInPlace> = {}): SignInPlace {
  lastKey += 1;
  return {
    tenantId: tenant.id,
    clientId: tenant.clients.web.clientId,
    key: `interaction:${lastKey}`,
    origin: {},
    policy: defaultPeopleSettings,
    wantsMultiFactor: false,
    ...changes,
  };
}
