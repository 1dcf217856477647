/**
 * What the engine needs shown to people, as a port: the rendering lives a floor above, in `src/http/pages`. Each function sets
 * status, headers and body of the response it is given.
 */
import type { KoaContextWithOIDC } from 'oidc-provider';
import type { TenantRow } from '#src/storage/tables/tenants.ts';

export interface EnginePages {
  /** An error that can't be sent to the client: the person must be told. `error` is an OAuth error code. */
  problem(ctx: KoaContextWithOIDC, tenant: TenantRow, error: { code: string; status: number }): void;
  /** The sign-in this address belonged to is over. `applicationUrl` leads back to where it began, when that is known. */
  expired(ctx: KoaContextWithOIDC, tenant: TenantRow, application: ApplicationLink | undefined): void;
  /** Asks whether to sign out; posts `xsrf` and `logout` to `action`. */
  logout(ctx: KoaContextWithOIDC, tenant: TenantRow, form: LogoutForm): void;
  loggedOut(ctx: KoaContextWithOIDC, tenant: TenantRow, ending: SessionEnding): void;
}

/** What is left after the person answered the logout page. */
export interface SessionEnding {
  /** The application that was signed out of, when it was only that one. */
  readonly application: ApplicationLink | undefined;
  readonly stillSignedIn: boolean;
}

export interface ApplicationLink {
  readonly name: string;
  readonly url: string | undefined;
}

export interface LogoutForm {
  readonly action: string;
  readonly xsrf: string;
  readonly application: ApplicationLink | undefined;
  /** Where the browser goes afterwards, so that the page may post there through a redirect. */
  readonly redirectOrigin: string | undefined;
}
