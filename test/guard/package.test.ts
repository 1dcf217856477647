/** `poort/guard` as somebody else's program gets it: inside node_modules, without the rest of Poort, also on an older Node. */
import { execFileSync } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import * as guard from '#src/guard/guard.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Another Node on this machine, where there is one: the guard promises Node 20. */
function otherNodes(): readonly string[] {
  return (process.env['PATH'] ?? '')
    .split(path.delimiter)
    .filter((folder) => path.isAbsolute(folder) && !folder.includes('node_modules'))
    .map((folder) => path.join(folder, 'node'))
    .filter((file) => {
      try {
        return Number(execFileSync(file, ['-p', 'process.versions.node.split(".")[0]'], { stdio: 'pipe' })) >= 20;
      } catch {
        return false;
      }
    });
}

describe('poort/guard', () => {
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'poort-guard-'));
    const poort = path.join(folder, 'node_modules', 'poort');
    await mkdir(path.join(poort, 'src'), { recursive: true });
    await cp(path.join(root, 'package.json'), path.join(poort, 'package.json'));
    await cp(path.join(root, 'src/guard'), path.join(poort, 'src/guard'), { recursive: true });
    for (const name of ['jose', 'eventsource-parser', 'lru-cache'])
      await symlink(path.join(root, 'node_modules', name), path.join(folder, 'node_modules', name), 'junction');
    await writeFile(
      path.join(folder, 'program.mjs'),
      `import * as guard from 'poort/guard';
       const made = guard.authenticate({ issuer: 'https://auth.example/t/acme', audience: 'https://api.example', mode: 'jwt' });
       console.log(JSON.stringify([Object.keys(guard).sort(), typeof made]));
       await import('poort').then(() => console.log('open'), (fault) => console.log(fault.code));`,
    );
  });

  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('can be imported from node_modules by every Node here, and nothing else of Poort can', () => {
    for (const node of [process.execPath, ...otherNodes()]) {
      const output = execFileSync(node, [path.join(folder, 'program.mjs')], { cwd: folder, encoding: 'utf8' });
      const [first = '', second] = output.trim().split('\n');
      expect(JSON.parse(first)).toEqual([Object.keys(guard).sort(), 'function']);
      expect(second).toBe('ERR_PACKAGE_PATH_NOT_EXPORTED');
    }
  });

  it('declares exactly what it exports', async () => {
    const declarations = await readFile(path.join(root, 'src/guard/guard.d.ts'), 'utf8');
    const declared = [...declarations.matchAll(/^export (?:function|const) (\w+)/gm)].map(([, name]) => name);
    expect(declared.sort()).toEqual(Object.keys(guard).sort());
  });
});
