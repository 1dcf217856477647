/** A person at their own pages, in a browser without a screen. */
import { totpCode } from './second_factor.ts';
import type { TestServer } from './test_server.ts';
import { createUserAgent, type Page, type UserAgent } from './user_agent.ts';
import type { TestTenant } from './world.ts';

export interface OwnPerson {
  readonly email: string;
  readonly password: string;
  /** Of their app, when they have one. */
  readonly secret?: string | undefined;
}

/** Opens one of the own pages, and signs in on the way as far as is asked. */
export async function openOwnPage(
  server: TestServer,
  tenant: TestTenant,
  {
    person,
    path = '/account/second-factor',
    agent = createUserAgent(server.origin),
    at = server.context.clock(),
  }: { person: OwnPerson; path?: string; agent?: UserAgent; at?: Date },
): Promise<{ readonly agent: UserAgent; readonly page: Page }> {
  let page = await agent.follow(tenant.issuer + path);
  if (page.body.includes('name="password"'))
    page = await agent.submit(page, { email: person.email, password: person.password });
  if (page.body.includes('name="code"') && page.url.includes('/interaction/') && person.secret !== undefined)
    page = await agent.submit(page, { code: totpCode(person.secret, at) });
  return { agent, page };
}

/** The secret that a set-up page shows, as its app would read it. */
export function shownSecretOf(page: Page): string {
  const secret = /<code id="totp-secret">([^<]+)</.exec(page.body)?.[1];
  if (secret === undefined) throw new Error(`no secret on ${page.url} (${page.status}): ${page.body.slice(0, 300)}`);
  return secret.replaceAll(' ', '');
}

/** The backup codes that a page shows. */
export function shownCodesOf(page: Page): readonly string[] {
  return [...page.body.matchAll(/<li><code>([^<]+)<\/code><\/li>/g)].map(([, code = '']) => code);
}
