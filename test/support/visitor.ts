/** Somebody who is not signed in, at the pages for that: a browser without a screen, and their mailbox. */
import { lastMailTo, proofIn } from './mailbox.ts';
import { queryAsSuperuser } from './superuser.ts';
import type { TestServer } from './test_server.ts';
import { authorizationRequest, createUserAgent, type Page, type UserAgent } from './user_agent.ts';
import { callbackUri, type TestTenant } from './world.ts';

export const goodPassword = 'wandelschoen koffie zeventien';

let people = 0;

/** An address that nobody has used before. */
export function newAddress(): string {
  people += 1;
  return `visitor${people}.${Date.now().toString(36)}@mailbox.test`;
}

export interface Visitor {
  readonly agent: UserAgent;
  /** A page below the issuer. */
  open(page: string): Promise<Page>;
  /** Opens the page and sends its form. */
  send(page: string, fields: Readonly<Record<string, string>>): Promise<Page>;
  signUp(
    fields: { readonly email: string; readonly password?: string } & Readonly<Record<string, string>>,
  ): Promise<Page>;
}

export function createVisitor(server: TestServer, tenant: TestTenant, agent = createUserAgent(server.origin)): Visitor {
  const visitor: Visitor = {
    agent,
    open: (page) => agent.follow(`${tenant.issuer}/${page}`),
    async send(page, fields) {
      return agent.submit(await visitor.open(page), fields);
    },
    signUp: ({ password = goodPassword, ...fields }) => visitor.send('signup', { password, ...fields }),
  };
  return visitor;
}

/** What the last mail to this address proves. */
export async function proofFor(
  server: TestServer,
  tenant: TestTenant,
  email: string,
): Promise<{ readonly link: string; readonly code: string }> {
  return proofIn(await lastMailTo(server, tenant, email));
}

/** Registers and proves the address, as whoever does everything right. */
export async function registered(
  server: TestServer,
  tenant: TestTenant,
  email = newAddress(),
  password = goodPassword,
): Promise<{ readonly email: string; readonly password: string }> {
  const visitor = createVisitor(server, tenant);
  const asked = await visitor.signUp({ email, password });
  const { code } = await proofFor(server, tenant, email);
  const done = await visitor.agent.submit(asked, { code });
  if (!done.url.includes('done=registered')) throw new Error(`${done.status} ${done.url} ${done.body.slice(0, 400)}`);
  return { email, password };
}

/** Whether this person gets through the ordinary sign-in, in a fresh browser. */
export async function canSignIn(
  server: TestServer,
  tenant: TestTenant,
  person: { readonly email: string; readonly password: string },
): Promise<boolean> {
  const agent = createUserAgent(server.origin);
  const page = await agent.follow(authorizationRequest(tenant, tenant.clients.web).url);
  const { url } = await agent.submit(page, { email: person.email, password: person.password });
  return url.startsWith(callbackUri) && new URL(url).searchParams.has('code');
}

export async function personOf(
  server: TestServer,
  email: string,
): Promise<
  { readonly id: string; readonly email_verified: boolean; readonly password_hash: string | null } | undefined
> {
  const text = 'select id, email_verified, password_hash from users where email_canonical = $1';
  return (
    await queryAsSuperuser<{ id: string; email_verified: boolean; password_hash: string | null }>(
      server.database,
      text,
      [email.toLowerCase()],
    )
  )[0];
}
