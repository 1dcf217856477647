/**
 * Keeps the house as docs/architecture.md draws it: who may import whom, that every folder is described, and that no file
 * names the machine it was written on. It reads the sources itself and fails when it finds nothing to read: a checker that
 * silently sees no files passes everything.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/**
 * From the cellar up. A room imports from the floors below its own; `src/main.ts` and `src/cli/` are one room. `config` lies half
 * a step above the foundation, whose `Secret` it hands out.
 */
const floors: readonly (readonly string[])[] = [
  ['src/domain', 'src/foundation'],
  ['config'],
  ['src/storage', 'src/gateways'],
  ['src/flows', 'adapters', 'src/subscribers'],
  ['src/oidc'],
  ['src/http', 'src/grpc', 'src/jobs'],
  ['src/server.ts'],
  // What other people's programs import: nothing in the house does, and it takes nothing from the house (see below).
  ['src/main.ts', 'src/guard'],
];

function roomOf(file: string): string | undefined {
  if (file.startsWith('src/cli/')) return 'src/main.ts';
  return floors.flat().find((room) => file === room || file.startsWith(`${room}/`));
}

function floorOf(room: string): number {
  return floors.findIndex((rooms) => rooms.includes(room));
}

/** Every module that is named after `from` or `import`, also in types, dynamic imports and comments: better one too many. */
function importsOf(text: string): readonly string[] {
  const found = text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*(['"`])([^'"`\n]+)\1/g);
  return [...found].flatMap((match) => match[2] ?? []).filter((specifier) => /^[.#]/.test(specifier));
}

function faultsOf(file: string, text: string): readonly string[] {
  const room = roomOf(file);
  if (room === undefined) return [`${file} is in no room of the house`];
  return importsOf(text).flatMap((specifier) => {
    const isRelative = specifier.startsWith('.');
    const target = isRelative ? path.posix.join(path.posix.dirname(file), specifier) : specifier.slice(1);
    const targetRoom = roomOf(target);
    if (targetRoom === undefined) return [`${file}: ${specifier} is in no room of the house`];
    if (targetRoom === room)
      return isRelative ? [] : [`${file}: ${specifier} is in this room, say where from here (./)`];
    if (isRelative) return [`${file}: ${specifier} leaves the room, say #${target}`];
    return floorOf(targetRoom) < floorOf(room) ? [] : [`${file}: ${specifier} is not on a floor below`];
  });
}

function entriesBelow(folder: string): readonly string[] {
  const absolute = path.join(root, folder);
  if (!existsSync(absolute)) return [];
  return readdirSync(absolute, { recursive: true, encoding: 'utf8' })
    .map((entry) => path.posix.join(folder, entry.split(path.sep).join('/')))
    .toSorted();
}

/** What is or will be committed; without git (an unpacked archive) the folders that hold our own work. */
function trackedFiles(): readonly string[] {
  try {
    const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
      cwd: root,
      stdio: 'pipe',
    });
    return listed
      .toString('utf8')
      .split('\0')
      .filter((file) => file !== '' && existsSync(path.join(root, file)));
  } catch {
    const top = readdirSync(root).filter((name) => !['node_modules', '.git', '.poort', 'coverage'].includes(name));
    return top
      .flatMap((name) => (statSync(path.join(root, name)).isDirectory() ? entriesBelow(name) : [name]))
      .filter((file) => statSync(path.join(root, file)).isFile());
  }
}

function read(file: string): string {
  return readFileSync(path.join(root, file), 'utf8');
}

describe('the house', () => {
  const sources = ['src', 'adapters', 'config'].flatMap(entriesBelow).filter((file) => /\.[cm]?[jt]s$/.test(file));

  it('has sources to read on its lowest floor', () => {
    expect(sources.filter((file) => file.startsWith('src/domain/')).length).toBeGreaterThan(0);
    expect(sources.flatMap((file) => importsOf(read(file))).length).toBeGreaterThan(0);
  });

  it('imports only from the floors below', () => {
    expect(sources.flatMap((file) => faultsOf(file, read(file)))).toEqual([]);
  });

  it.each([
    ['a floor above', 'src/domain/lockout.ts', `import { send } from '#src/gateways/mail.ts';`],
    ['a neighbour on the same floor', 'src/http/app.ts', `const jobs = await import('#src/jobs/sweep.ts');`],
    [
      'another room by a relative path',
      'src/flows/sign_in/sign_in.ts',
      `export { database } from '../../storage/database.ts';`,
    ],
    ['its own room by the long way', 'src/flows/sign_in/sign_in.ts', `import type { Hash } from "#src/flows/hash.ts";`],
    ['outside the house', 'src/server.ts', `import '#test/support/cluster.ts';`],
    ['a room that nobody drew', 'src/shared/utilities.ts', ''],
  ])('would notice an import from %s', (_name, file, text) => {
    expect(faultsOf(file, text)).toHaveLength(1);
  });

  it('lets a room import downwards and from itself', () => {
    const text = `import { a } from '#src/domain/a.ts'; import b from 'koa'; import { c } from './c.ts'; import '../d.ts';`;
    expect(importsOf(text)).toHaveLength(3);
    expect(faultsOf('src/http/pages/sign_in.ts', text)).toEqual([]);
  });

  it('lets nothing of itself into the guard, which runs in the programs of others', () => {
    const files = sources.filter((file) => file.startsWith('src/guard/'));
    const foreign = files.flatMap((file) =>
      [...read(file).matchAll(/(?:\bfrom|\bimport)\s*\(?\s*(['"`])([^'"`\n]+)\1/g)]
        .map((match) => match[2] ?? '')
        .filter((specifier) => !/^(?:\.\/|node:|(?:jose|eventsource-parser|lru-cache)$)/.test(specifier))
        .map((specifier) => `${file}: ${specifier}`),
    );
    expect(files.length).toBeGreaterThan(5);
    expect(foreign).toEqual([]);
  });

  it('has every folder of src in its description', () => {
    const folders = entriesBelow('src').filter((entry) => statSync(path.join(root, entry)).isDirectory());
    const described = ['src/README.md', 'docs/architecture.md']
      .filter((file) => existsSync(path.join(root, file)))
      .map(read)
      .join('\n');
    expect(folders.length).toBeGreaterThan(0);
    // A folder inside a room is named in the room's own row.
    const rowOf = (room: string): string =>
      described.split('\n').find((line) => line.startsWith(`| \`${room}/\``)) ?? '';
    const isDescribed = (folder: string): boolean =>
      described.includes(folder.slice('src/'.length)) ||
      rowOf(path.posix.dirname(folder)).includes(`\`${path.posix.basename(folder)}/\``);
    expect(folders.filter((folder) => !isDescribed(folder))).toEqual([]);
  });
});

/**
 * Who may do what makes somebody authenticated (docs/decisions/0026). A line more here is a door more: each needs a test that shows
 * what has to be proven before it opens.
 */
describe('the way to be authenticated', () => {
  const steps = 'src/flows/sign_in/authentication_steps.ts';
  const callersOf = (name: string, declaredIn: string): readonly string[] => {
    const called = new RegExp(`(?<!function )\\b${name}\\(`);
    return ['src', 'adapters']
      .flatMap(entriesBelow)
      .filter((file) => file.endsWith('.ts') && importsFrom(file, declaredIn, name) && called.test(read(file)));
  };

  /** Whether a file takes this name from that file, or is that file. */
  function importsFrom(file: string, declaredIn: string, name: string): boolean {
    if (file === declaredIn) return true;
    const statements = read(file).matchAll(/import (?:type )?\{([^}]*)\} from '([^']+)';/g);
    return [...statements].some(
      ([, names = '', from = '']) =>
        from.endsWith(`/${path.posix.basename(declaredIn)}`) && new RegExp(`\\b${name}\\b`).test(names),
    );
  }

  it.each([
    ['an Authentication', 'authenticate', 'src/domain/authentication.ts', [steps]],
    ['what follows a first factor', 'proceed', steps, ['src/flows/sign_in/sign_in.ts']],
    [
      'the end of a sign-in',
      'finish',
      steps,
      [
        steps,
        'src/flows/sign_in/enrol_at_sign_in.ts',
        'src/flows/sign_in/passkeys.ts',
        'src/flows/sign_in/second_factor.ts',
      ],
    ],
  ])('%s is made by no other', (_what, name, declaredIn, callers) => {
    expect([...callersOf(name, declaredIn)].sort()).toEqual([...callers].sort());
  });

  it('ends at the engine in one place', () => {
    const answers = ['src', 'adapters']
      .flatMap(entriesBelow)
      .filter((file) => file.endsWith('.ts') && /kind: 'signed_in',/.test(read(file)));
    expect(answers).toEqual(['src/http/pages/interaction/sign_in_pages.ts']);
  });
});

describe('a tracked file', () => {
  // Written so that this file does not contain what it forbids.
  const forbidden = new RegExp(
    ['(?<![\\w.~-])/(?:home|root|Users|work|tmp)/\\w', 'registry\\.(?:npmjs|yarnpkg)', '"resolved"\\s*:'].join('|'),
  );

  it('names no folder of a machine, no temporary file and no registry', () => {
    const files = trackedFiles();
    expect(files).toContain('package.json');
    expect(
      files.filter((file) => forbidden.test(read(file))).map((file) => `${file}: ${forbidden.exec(read(file))?.[0]}`),
    ).toEqual([]);
  });

  it('would be noticed', () => {
    const slash = '/';
    for (const text of [`cd ${slash}home/ada`, `"${slash}tmp/poort.log"`, `https://registry${'.'}npmjs.org/`])
      expect(text).toMatch(forbidden);
    for (const text of ['https://poort.example/home/page', 'var/tmp/x', '~/projects/poort'])
      expect(text).not.toMatch(forbidden);
  });

  it('keeps the packages of every machine in the lock file', () => {
    // npm drops those it cannot see while it writes the lock, and then `npm ci` refuses the lock everywhere.
    const { packages } = JSON.parse(read('package-lock.json')) as {
      packages: Record<string, { optionalDependencies?: Record<string, string> }>;
    };
    const optional = Object.values(packages).flatMap((entry) => Object.keys(entry.optionalDependencies ?? {}));
    const names = new Set(
      Object.keys(packages).map((where) => where.slice(where.lastIndexOf('node_modules/') + 'node_modules/'.length)),
    );
    expect(optional).toContain('@biomejs/cli-darwin-arm64');
    expect(optional.filter((name) => !names.has(name))).toEqual([]);
  });
});
