/**
 * The development mailbox at /dev/mail: what would have been sent, for the person who builds something with Poort and for tests. It is
 * there only where mail is shown instead of sent, which production never does. In English: nobody else reads it.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type Router from '@koa/router';
import ejs from 'ejs';
import type { DevelopmentMail, DevelopmentMailbox } from '#src/flows/mail/deliver_mails.ts';
import { assetsPath } from './kit/page_kit.ts';
import { assets } from './kit/render.ts';

/** In the mail's own document nothing runs and nothing is fetched; its links open beside it. Only there are inline styles wanted. */
const mailPolicy =
  "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox allow-popups allow-popups-to-escape-sandbox";

/** Adds nothing without a mailbox: the addresses are then like any other that does not exist. */
export function mountDevelopmentMailbox(router: Router, mailbox: DevelopmentMailbox | undefined): void {
  if (mailbox === undefined) return;
  const stylesheet = `${assetsPath}${assets.find(({ path }) => path.endsWith('.css'))?.path ?? ''}`;

  router.get('/dev/mail.json', async (ctx) => {
    ctx.body = { data: (await mailbox.list()).map(present) };
  });

  router.get('/dev/mail', async (ctx) => {
    ctx.type = 'text/html; charset=utf-8';
    ctx.body = fillList({ stylesheet, mails: (await mailbox.list()).map(present) });
  });

  router.get('/dev/mail/:id', async (ctx) => {
    const mail = await find(String(ctx.params['id']));
    if (mail === undefined) return;
    ctx.type = 'text/html; charset=utf-8';
    ctx.body = fillOne({ stylesheet, mail, parts: withLinks(mail) });
  });

  router.get('/dev/mail/:id/html', async (ctx) => {
    const mail = await find(String(ctx.params['id']));
    if (mail === undefined) return;
    ctx.type = 'text/html; charset=utf-8';
    ctx.set('content-security-policy', mailPolicy);
    ctx.body = mail.html;
  });

  async function find(id: string): Promise<DevelopmentMail | undefined> {
    return (await mailbox?.list())?.find((mail) => mail.id === id);
  }
}

function present({ id, to, from, subject, text, html, at, tenant, kind, links, code }: DevelopmentMail) {
  return { id, to, from, subject, text, html, at: at.toISOString(), tenant, kind, links, code: code ?? null };
}

interface TextPart {
  readonly text: string;
  readonly link: boolean;
}

/** The text of a mail, cut where its links begin and end. */
function withLinks({ text, links }: DevelopmentMail): readonly TextPart[] {
  return text.split(/(\bhttps?:\/\/\S+)/u).map((part) => ({ text: part, link: links.includes(part) }));
}

const fillList = compileTemplate('mailbox');
const fillOne = compileTemplate('mailbox_mail');

function compileTemplate(name: string): ejs.TemplateFunction {
  const filename = fileURLToPath(new URL(`../../../views/mail/${name}.ejs`, import.meta.url));
  return ejs.compile(readFileSync(filename, 'utf8'), { filename, cache: true, strict: true, localsName: 'view' });
}
