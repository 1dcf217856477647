/** What the `type` of a problem leads to: its section of docs/problems.md, as it is, so that a refusal explains itself offline too. */
import { readFileSync } from 'node:fs';

/** Sections by code, each from its heading on. */
export const problemSections: ReadonlyMap<string, string> = new Map(
  readFileSync(new URL('../../docs/problems.md', import.meta.url), 'utf8')
    .split(/^## /m)
    .slice(1)
    .map((section) => [section.slice(0, section.indexOf('\n')), `# ${section.trimEnd()}\n`]),
);
