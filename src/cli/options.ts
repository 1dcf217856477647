/** Options and arguments that several commands share, and how help shows examples. */
import { type Command, Option } from 'commander';
import { findTenantBySlug, type TenantRow } from '#src/storage/tables/tenants.ts';
import { CommandRefused, WrongUsage } from './answers.ts';
import type { CommonOptions, Session } from './runner.ts';

export interface TenantOptions extends CommonOptions {
  readonly tenant: string;
}

/** A noun with commands below it. */
export function group(program: Command, name: string, description: string): Command {
  return program.command(name).description(description).helpCommand(false);
}

/** A command that answers: takes `--json`, and shows its examples below its options. */
export function answering(command: Command, examples: readonly string[]): Command {
  return command
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      ['', examples.length === 1 ? 'Example:' : 'Examples:', ...examples.map((line) => `  $ poort ${line}`)].join('\n'),
    );
}

export function tenantOption(): Option {
  return new Option('--tenant <slug>', 'the tenant').makeOptionMandatory();
}

/** An option that may be given several times. */
export function repeatable(flags: string, description: string): Option {
  return new Option(flags, `${description}; repeatable`).argParser(
    (value: string, previous: readonly string[] | undefined) => [...(previous ?? []), value],
  );
}

/** The value of `--expires`, an instant of RFC 3339. Throws `WrongUsage`. */
export function parseExpiry(written: string): Date {
  const isInstant = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)$/.test(written);
  const instant = new Date(isInstant ? written : Number.NaN);
  if (Number.isNaN(instant.getTime())) throw new WrongUsage('--expires is an instant like 2030-01-01T00:00:00Z');
  return instant;
}

/** Throws `CommandRefused` when there is none. */
export async function findTenant({ house }: Pick<Session, 'house'>, slug: string): Promise<TenantRow> {
  // PostgreSQL takes no NUL, and nothing of that kind is a slug.
  const tenant = /^[a-z0-9-]+$/.test(slug) ? await findTenantBySlug(house.database, slug) : undefined;
  if (tenant === undefined) throw new CommandRefused('unknown_tenant', `there is no tenant ${JSON.stringify(slug)}`);
  return tenant;
}
