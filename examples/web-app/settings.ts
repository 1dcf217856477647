// What the demo application must be told, and how it reads that from the environment. Nothing else reads it.
import { z } from 'zod';

const tenantSchema = z.strictObject({
  slug: z.string().regex(/^[a-z0-9-]+$/),
  name: z.string().min(1),
  issuer: z.url({ protocol: /^https?$/ }),
  client_id: z.string().min(1),
  client_secret: z.string().min(1),
  /** Registered at the authorization server; must end in `/callback/{slug}` on this application's origin. */
  redirect_uri: z.url({ protocol: /^https?$/ }),
  api: z.strictObject({ audience: z.url(), scopes: z.array(z.string().min(1)) }),
  resource_server: z.strictObject({ client_id: z.string().min(1), client_secret: z.string().min(1) }),
});

const environmentSchema = z.object({
  DEMO_PORT: z.coerce.number().int().min(0).max(65_535).default(3100),
  DEMO_HOST: z.string().default('127.0.0.1'),
  DEMO_ORIGIN: z.url({ protocol: /^https?$/ }).optional(),
  DEMO_TENANTS: z
    .string()
    .transform((text, context) => {
      try {
        return JSON.parse(text);
      } catch {
        context.addIssue({ code: 'custom', message: 'is not JSON' });
        return z.NEVER;
      }
    })
    .pipe(z.array(tenantSchema).min(1)),
});

export type TenantSettings = Readonly<z.infer<typeof tenantSchema>>;

export interface DemoApplicationOptions {
  /** 0 picks a free port. */
  readonly port: number;
  /** The address to listen on; 127.0.0.1 unless given. */
  readonly host?: string | undefined;
  /** What the browser sees, without a trailing slash; `http://localhost:{port}` unless given. */
  readonly origin?: string | undefined;
  readonly tenants: readonly TenantSettings[];
}

export type ReadSettings =
  | { readonly outcome: 'read'; readonly options: DemoApplicationOptions }
  | { readonly outcome: 'invalid'; readonly problems: readonly string[] };

/** Reads DEMO_PORT, DEMO_HOST, DEMO_ORIGIN and DEMO_TENANTS; lists every problem at once and never repeats a value. */
export function readSettings(environment: Readonly<Record<string, string | undefined>>): ReadSettings {
  const parsed = environmentSchema.safeParse(environment);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
    return { outcome: 'invalid', problems };
  }
  const { DEMO_PORT, DEMO_HOST, DEMO_ORIGIN, DEMO_TENANTS } = parsed.data;
  const origin = DEMO_ORIGIN === undefined ? undefined : new URL(DEMO_ORIGIN).origin;
  return { outcome: 'read', options: { port: DEMO_PORT, host: DEMO_HOST, origin, tenants: DEMO_TENANTS } };
}
