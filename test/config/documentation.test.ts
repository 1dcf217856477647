/** docs/settings.md and the list of settings say the same, and no key that can be copied from a page opens production. */

import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { issuerVariable, refusedVariables, type SettingDefinition, settings } from '#config/settings_schema.ts';
import { createWorkspace, goodProduction } from './support.ts';

const projectRoot = fileURLToPath(new URL('../../', import.meta.url));
const page = readFileSync(join(projectRoot, 'docs/settings.md'), 'utf8');
const rows = page
  .split('\n')
  .filter((line) => line.startsWith('| `'))
  .map((line) => line.split('|').map((cell) => cell.trim().replaceAll('`', '')));

const yamlName = (name: string, { secret, environmentOnly }: SettingDefinition): string =>
  secret === true || environmentOnly === true ? '' : name;

describe('the page about settings', () => {
  it('has a row for every variable, with its name in YAML and the mark of a secret, and no other', () => {
    const documented = rows.filter(([, name]) => name?.startsWith('POORT_')).map(([, name, yaml]) => [name, yaml]);
    const known = settings.flatMap(([name, definition]) =>
      definition.variable === undefined
        ? []
        : [[`${definition.variable}${definition.secret === true ? ' ●' : ''}`, yamlName(name, definition)]],
    );
    expect(documented.sort()).toEqual(known.sort());
  });

  it('has a row for every number that only YAML holds, and no other', () => {
    const documented = rows.map(([, name = '']) => name).filter((name) => /^[a-z]/.test(name));
    const known = settings.filter(([, { variable }]) => variable === undefined).map(([name]) => name);
    expect(documented.sort()).toEqual([...known].sort());
  });

  it('has a row for every old name, and names those that are refused', () => {
    const documented = rows.map(([, name = '']) => name).filter((name) => name.startsWith('AUTH_'));
    const known = settings.flatMap(([, { alias }]) => (alias === undefined ? [] : [alias.variable]));
    expect(documented.sort()).toEqual([...known, issuerVariable].sort());
    for (const name of Object.keys(refusedVariables)) {
      expect(page).toContain(name);
    }
  });

  it('gives the numbers that default.yaml gives', async () => {
    const workspace = await createWorkspace();
    const result = await workspace.load();
    await workspace.remove();
    const shown = result.outcome === 'loaded' ? result.settings : [];
    for (const { name, value, source } of shown.filter((setting) => /^[a-z]/.test(setting.name))) {
      const row = rows.find(([, documented]) => documented === name);
      expect([name, source === 'default' ? value : row?.[2]?.split(' ')[0]]).toEqual([name, value]);
    }
    expect(shown.length).toBeGreaterThan(40);
  });
});

describe('a key that stands in the documentation', () => {
  it('is refused in production', async () => {
    const pages = ['README.md', 'CONTRIBUTING.md', 'Dockerfile', 'docker-compose.yml', '.env.example']
      .filter((name) => existsSync(join(projectRoot, name)))
      .concat(globSync('{docs,config,.ci}/**/*.{md,yaml,yml}', { cwd: projectRoot }));
    const keys = pages.flatMap(
      (name) => readFileSync(join(projectRoot, name), 'utf8').match(/[A-Za-z0-9+/]{43}=/g) ?? [],
    );
    expect(keys.length).toBeGreaterThan(0);
    const workspace = await createWorkspace();
    for (const key of keys) {
      const faults = await workspace.faults({ ...goodProduction, POORT_MASTER_KEY: key });
      expect(faults).toEqual([expect.objectContaining({ problem: expect.stringContaining('documentation') })]);
    }
    await workspace.remove();
  });
});
