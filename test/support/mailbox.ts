/** What people have been sent, read where it waits: opened with the installation's own key, the oldest first. */
import { type AddressedMail, parseMail, type WrittenMail } from '#src/domain/mail.ts';
import { mailContext } from '#src/foundation/sealing_contexts.ts';
import { queryAsSuperuser } from './superuser.ts';
import type { TestServer } from './test_server.ts';
import type { TestTenant } from './world.ts';

export interface ReceivedMail extends AddressedMail {
  readonly kind: string;
}

/** Of one tenant; those that say nothing are left out. */
export async function mailsOf(server: TestServer, tenant: Pick<TestTenant, 'id'>): Promise<readonly ReceivedMail[]> {
  const rows = await queryAsSuperuser<{ id: string; kind: string; sealed: Buffer }>(
    server.database,
    `select id, kind, sealed from mails where tenant_id = $1 and kind <> 'none' and sealed is not null order by id`,
    [tenant.id],
  );
  return rows.map(({ id, kind, sealed }) => {
    const opened = server.context.sealer.open(sealed, mailContext(tenant.id, id)).toString('utf8');
    return { ...parseMail(opened), kind };
  });
}

/** The last one to this address. Throws when there is none. */
export async function lastMailTo(
  server: TestServer,
  tenant: Pick<TestTenant, 'id'>,
  to: string,
): Promise<ReceivedMail> {
  const mail = (await mailsOf(server, tenant)).filter((one) => one.to.toLowerCase() === to.toLowerCase()).at(-1);
  if (mail === undefined) throw new Error(`nothing was sent to ${to}`);
  return mail;
}

/** The link and the code of a mail that has them. */
export function proofIn({ mail }: ReceivedMail): { readonly link: string; readonly code: string } {
  const { link = '', code = '' } = mail as Partial<Extract<WrittenMail, { link: string; code: string }>>;
  return { link, code };
}
