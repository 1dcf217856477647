/** Everything a database holds, to be compared with another: rows as text, sequences, partitions. Read as the superuser. */
import { withConnection } from './sql.ts';

export interface Contents {
  /** By table: how many rows there are, and a checksum of all of them. */
  readonly tables: Readonly<Record<string, string>>;
  readonly partitions: readonly string[];
  readonly sequences: readonly string[];
}

/** Without what migrations keep of themselves: when they ran is another moment in every database. */
export async function readContents(superuserUrl: string): Promise<Contents> {
  return withConnection(superuserUrl, async (superuser) => {
    const { rows } = await superuser.query<{ name: string; kind: string; parent: string | null }>(
      `select c.relname as name, c.relkind as kind, (select i.inhparent::regclass::text from pg_inherits i where i.inhrelid = c.oid) as parent
         from pg_class c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'S') and c.relname not like 'schema\\_migrations%'
        order by 1`,
    );
    const tables: Record<string, string> = {};
    const sequences: string[] = [];
    for (const { name, kind } of rows) {
      if (kind === 'S') {
        const state = await superuser.query<{ text: string }>(
          `select last_value::text || is_called as text from "${name}"`,
        );
        sequences.push(`${name} ${state.rows[0]?.text}`);
        continue;
      }
      const content = await superuser.query<{ text: string }>(
        `select count(*) || ' ' || coalesce(md5(string_agg(t::text, E'\\n' order by t::text collate "C")), '') as text from "${name}" t`,
      );
      tables[name] = content.rows[0]?.text ?? '';
    }
    const partitions = rows.flatMap(({ name, parent }) => (parent === null ? [] : [`${parent} ${name}`]));
    return { tables, partitions, sequences };
  });
}
