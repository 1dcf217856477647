/** Every route of the REST API, in one list: what is not in it is not served. test/http/api/route_inventory.test.ts reads it aloud. */
import { type ApiKeyRoutesOptions, apiKeyRoutes } from './api_key_routes.ts';
import { type AuditRoutesOptions, auditRoutes } from './audit_routes.ts';
import { type BrandingRoutesOptions, brandingRoutes } from './branding_routes.ts';
import { type ClientRoutesOptions, clientRoutes } from './client_routes.ts';
import { descriptionRoute } from './description_route.ts';
import { type DeviceRoutesOptions, deviceRoutes } from './device_routes.ts';
import type { ApiDoorOptions } from './door.ts';
import { type EvaluationRoutesOptions, evaluationRoutes } from './evaluation_routes.ts';
import { type FactorRoutesOptions, factorRoutes } from './factor_routes.ts';
import { type InvitationRoutesOptions, invitationRoutes } from './invitation_routes.ts';
import { type OwnAccessRoutesOptions, ownAccessRoutes } from './own_access_routes.ts';
import { type PeopleRoutesOptions, peopleRoutes } from './people_routes.ts';
import { type PermissionCatalogueRoutesOptions, permissionCatalogueRoutes } from './permission_catalogue_routes.ts';
import { type PermissionRoutesOptions, permissionRoutes } from './permission_routes.ts';
import { type ProfileRoutesOptions, profileRoutes } from './profile_routes.ts';
import { type RecoveryRoutesOptions, recoveryRoutes } from './recovery_routes.ts';
import { type RegisteredApiRoutesOptions, registeredApiRoutes } from './registered_api_routes.ts';
import { type RoleRoutesOptions, roleRoutes } from './role_routes.ts';
import type { ApiRoute } from './routes.ts';
import { type SessionRoutesOptions, sessionRoutes } from './session_routes.ts';
import { type SettingsRoutesOptions, settingsRoutes } from './settings_routes.ts';
import { type SignInRoutesOptions, signInRoutes } from './sign_in_routes.ts';
import { type SigningKeyRoutesOptions, signingKeyRoutes } from './signing_key_routes.ts';
import { type TenantApiKeyRoutesOptions, tenantApiKeyRoutes } from './tenant_api_key_routes.ts';
import { type TenantRoutesOptions, tenantRoutes } from './tenant_routes.ts';
import { webhookRoutes } from './webhook_routes.ts';

export type ApiOptions = ApiDoorOptions &
  ApiKeyRoutesOptions &
  AuditRoutesOptions &
  BrandingRoutesOptions &
  ClientRoutesOptions &
  DeviceRoutesOptions &
  EvaluationRoutesOptions &
  InvitationRoutesOptions &
  PeopleRoutesOptions &
  PermissionCatalogueRoutesOptions &
  PermissionRoutesOptions &
  RoleRoutesOptions &
  SessionRoutesOptions &
  RegisteredApiRoutesOptions &
  SettingsRoutesOptions &
  SigningKeyRoutesOptions &
  TenantApiKeyRoutesOptions &
  FactorRoutesOptions &
  OwnAccessRoutesOptions &
  ProfileRoutesOptions &
  RecoveryRoutesOptions &
  SignInRoutesOptions &
  TenantRoutesOptions;

/** Below every issuer. */
export function apiRoutes(options: ApiOptions): readonly ApiRoute[] {
  const routes: readonly ApiRoute[] = [
    ...signInRoutes(options),
    ...factorRoutes(options),
    ...recoveryRoutes(options),
    ...profileRoutes(options),
    ...ownAccessRoutes(options),
    ...apiKeyRoutes(options),
    ...permissionRoutes(options),
    ...deviceRoutes(options),
    ...evaluationRoutes(options),
    ...roleRoutes(options),
    ...permissionCatalogueRoutes(options),
    ...peopleRoutes(options),
    ...invitationRoutes(options),
    ...sessionRoutes(options),
    ...clientRoutes(options),
    ...registeredApiRoutes(options),
    ...tenantApiKeyRoutes(options),
    ...signingKeyRoutes(options),
    ...settingsRoutes(options),
    ...brandingRoutes(options),
    ...auditRoutes(options),
    ...webhookRoutes(),
    descriptionRoute(options, () => routes),
  ];
  return routes;
}

/** At the installation, for its operators. */
export function platformRoutes(options: TenantRoutesOptions): readonly ApiRoute[] {
  return tenantRoutes(options);
}
