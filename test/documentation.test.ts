/**
 * Keeps the documentation true where a program can tell: what it names exists, what it promises is proven by a test with that
 * name, and the program in README signs somebody in. The page about settings has a test of its own (config/documentation.test.ts).
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { blocksOf } from './support/documented_program.ts';
import { freePort, startTestServer } from './support/test_server.ts';
import { createUserAgent } from './support/user_agent.ts';
import { createTestTenant } from './support/world.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const notOurs = new Set(['node_modules', '.git', '.poort', 'coverage']);

function read(file: string): string {
  return readFileSync(path.join(root, file), 'utf8');
}

function filesOf(folder: string): readonly string[] {
  return readdirSync(path.join(root, folder)).flatMap((name) => {
    if (notOurs.has(name) || name.startsWith('.poort-setup')) return [];
    const file = path.posix.join(folder, name);
    return statSync(path.join(root, file)).isDirectory() ? filesOf(file) : [file];
  });
}

const files = filesOf('.');
const pages = files.filter((file) => file.endsWith('.md'));

/** Without blocks and spans of code: an example may hold brackets of its own. */
function prose(page: string): string {
  return read(page)
    .replaceAll(/^```.*?^```$/gms, '')
    .replaceAll(/`[^`\n]*`/g, '');
}

describe('a page of the documentation', () => {
  it('is there, and the pages that a newcomer needs are among them', () => {
    expect(pages).toEqual(
      expect.arrayContaining([
        'README.md',
        'CHANGELOG.md',
        'CONTRIBUTING.md',
        'docs/operations.md',
        'docs/security.md',
      ]),
    );
  });

  it('links only to what exists', () => {
    const broken = pages.flatMap((page) =>
      [...prose(page).matchAll(/\]\(([^)\s]+)\)/g)]
        .map(([, target = '']) => target)
        .filter((target) => !/^(?:[a-z]+:|#)/.test(target))
        .filter((target) => !existsSync(path.join(root, path.dirname(page), target.replace(/#.*$/, ''))))
        .map((target) => `${page}: ${target}`),
    );
    expect(broken).toEqual([]);
  });

  it('shows where the gate stands', () => {
    expect(read('docs/operations.md')).toMatch(/```mermaid\nflowchart.*?proxy or API gateway.*?PostgreSQL.*?```/s);
  });

  it('names the faults of a start in the words of the program', () => {
    const sources = files.filter((file) => /^(?:src|config)\/.*\.ts$/.test(file)).map(read);
    const program = sources.join('\n').replaceAll("\\'", "'");
    const section = /## When it does not start(.*?)\nAnd when/s.exec(read('docs/operations.md'))?.[1] ?? '';
    const faults = [...section.matchAll(/^\| (`[^|]+`) \|/gm)].flatMap(([, cell = '']) =>
      [...cell.matchAll(/`([^`]+)`/g)].map(([, text = '']) => text),
    );
    expect(faults.length).toBeGreaterThanOrEqual(10);
    // What stands around a value, and what PostgreSQL and the operating system say themselves.
    const ours = faults.filter((fault) => !/^(?:connect|password authentication|permission denied)/.test(fault));
    const unknown = ours.filter((fault) =>
      fault.split(/… is |…|3000|\bN$/).some((part) => part.trim().length > 8 && !program.includes(part.trim())),
    );
    expect(unknown).toEqual([]);
  });
});

describe('a decision', () => {
  const decisions = files.filter((file) => file.startsWith('docs/decisions/'));

  it('has a number of its own, from the first on', () => {
    const numbers = decisions.map((file) => /\/(\d{4})-[a-z0-9-]+\.md$/.exec(file)?.[1]);
    expect(numbers).toEqual(decisions.map((_file, index) => String(index + 1).padStart(4, '0')));
  });

  it.each(decisions)('says why, what, at which price, and what would change it: %s', (file) => {
    for (const part of ['Context', 'Decision', 'Consequences', 'What would change our mind'])
      expect(read(file)).toContain(`**${part}.**`);
  });

  it('is there when the code refers to it', () => {
    const references = files
      .filter((file) => /\.(?:ts|mjs|js|sql|yaml|yml|md|ejs|css)$/.test(file))
      .flatMap((file) => [...read(file).matchAll(/docs\/decisions\/(\d{4})/g)].map(([, number = '']) => number));
    expect(references.length).toBeGreaterThan(0);
    const known = new Set(decisions.map((file) => path.basename(file).slice(0, 4)));
    expect(references.filter((number) => !known.has(number))).toEqual([]);
  });
});

describe('the changelog', () => {
  it('has what is not released yet on top, security first', () => {
    const headings = [...read('CHANGELOG.md').matchAll(/^###? (.*)$/gm)].map(([, heading]) => heading);
    expect(headings.slice(0, 2)).toEqual(['Unreleased', 'Security']);
  });
});

describe('the list of features', () => {
  interface Row {
    readonly id: string;
    readonly state: string;
    readonly proofs: readonly { readonly file: string; readonly sentence: string }[];
  }

  const rows: readonly Row[] = [
    ...read('docs/features.md').matchAll(/^\| (S\d{3}) \| [^|]+ \| ([^|]+) \| ([^|]*) \|$/gm),
  ].map(([, id = '', state = '', proof = '']) => ({
    id,
    state: state.trim(),
    proofs: [...proof.matchAll(/`([^`]+)`: "(.+?)"(?=<br>|\s*$)/g)].map(([, file = '', sentence = '']) => ({
      file,
      sentence,
    })),
  }));

  it('has every row once, in order', () => {
    expect(rows.map((row) => row.id)).toEqual(
      Array.from({ length: 250 }, (_, index) => `S${String(index + 1).padStart(3, '0')}`),
    );
  });

  it('knows the state of every row', () => {
    const parts = 'tokens|people|administration|devices|evidence|federation|scale';
    const known = new RegExp(`^(?:done|partly: .+|later: (?:${parts})|out of scope)$`);
    expect(rows.filter((row) => !known.test(row.state))).toEqual([]);
  });

  it('proves what is there by a test, and nothing else', () => {
    const isThere = (row: Row): boolean => /^(?:done|partly)/.test(row.state);
    expect(rows.filter((row) => isThere(row) !== row.proofs.length > 0).map((row) => row.id)).toEqual([]);
  });

  it('names tests that exist, by their own sentences', () => {
    const missing = rows.flatMap(({ id, proofs }) =>
      proofs
        .filter(({ file, sentence }) => !files.includes(file) || !isTitle(read(file), sentence))
        .map(({ file, sentence }) => `${id}: ${file}: ${sentence}`),
    );
    expect(missing).toEqual([]);
  });

  /** The sentence as the whole title of a test or a group, not just somewhere in the file. */
  function isTitle(text: string, sentence: string): boolean {
    return ["'", '"', '`'].some((quote) => text.includes(quote + sentence + quote));
  }
});

describe('the image', () => {
  const dockerfile = read('Dockerfile');
  const copied = [...dockerfile.matchAll(/^COPY (?!--)(.+) \S+$/gm)].flatMap(([, sources = '']) => sources.split(' '));

  it('holds every folder that the program reads at run time', () => {
    const isRunning = /^(?:src|adapters|config)\/.*\.ts$/;
    const read_ = files.filter((file) => isRunning.test(file)).map((file) => ({ file, text: read(file) }));
    const named = read_.flatMap(({ file, text }) =>
      [...text.matchAll(/(?:new URL\(|join\(import\.meta\.dirname, )'(\.\.?\/[^']+)'/g)].map(([, target = '']) =>
        path.posix.normalize(path.posix.join(path.posix.dirname(file), target)),
      ),
    );
    expect(named).toContain('migrations');
    // The demo is not part of production, and so its application is not part of the image.
    const needed = [...new Set(named)].filter((target) => !target.startsWith('examples/'));
    const isCopied = (target: string): boolean =>
      copied.some((source) => target === source || target.startsWith(`${source}/`));
    expect(needed.filter((target) => !isCopied(target))).toEqual([]);
  });

  it('keeps every package that the program needs', () => {
    const removed = [...dockerfile.matchAll(/node_modules\/(\S+)/g)].map(([, pattern = '']) => pattern);
    const { packages } = JSON.parse(read('package-lock.json')) as {
      packages: Readonly<Record<string, { readonly dev?: boolean; readonly optional?: boolean }>>;
    };
    const needed = Object.entries(packages)
      .filter(([path, entry]) => path.startsWith('node_modules/') && entry.dev !== true && entry.optional !== true)
      .map(([path]) => path.slice('node_modules/'.length));
    const matches = (name: string): boolean =>
      removed.some((pattern) => new RegExp(`^${pattern.replaceAll('.', '\\.').replaceAll('*', '[^/]*')}$`).test(name));
    expect(removed).toContain('node-linux-*');
    expect(needed).toContain('node-gyp-build');
    expect(needed.filter(matches)).toEqual([]);
  });

  it('is given everything that it copies', () => {
    const admitted = new Set(read('.dockerignore').match(/(?<=^!).+$/gm));
    expect(copied.length).toBeGreaterThan(0);
    expect(copied.filter((source) => !admitted.has(source.replace(/^\.\//, '')))).toEqual([]);
  });
});

describe('the compose file', () => {
  interface Service {
    readonly command?: readonly string[];
    readonly healthcheck?: { readonly disable?: boolean };
    readonly environment?: Readonly<Record<string, string>>;
    readonly depends_on?: Readonly<Record<string, unknown>>;
  }
  const { services } = parse(read('docker-compose.yml'), { merge: true }) as {
    services: Readonly<Record<string, Service>>;
  };

  it('has the server, the worker, the migration and what they need, each with a check of its health', () => {
    expect(Object.keys(services).toSorted()).toEqual(['mail', 'migrate', 'postgres', 'redis', 'server', 'worker']);
    expect(services['migrate']?.command).toEqual(['node', 'src/main.ts', 'migrate']);
    expect(services['worker']?.command).toEqual(['node', 'src/main.ts', 'worker']);
    for (const name of ['postgres', 'redis', 'mail']) expect(services[name]?.healthcheck).toHaveProperty('test');
    // The server's is in the image.
    expect(read('Dockerfile')).toMatch(/^HEALTHCHECK /m);
    expect(services['server']?.healthcheck).toBeUndefined();
    for (const name of ['server', 'worker'])
      expect(services[name]?.depends_on).toHaveProperty('migrate', { condition: 'service_completed_successfully' });
  });

  it('holds no secret: each must be given, or it does not start', () => {
    const secret = /(?:KEY|PASSWORD|SECRET)$/;
    const given = Object.values(services).flatMap((service) => Object.entries(service.environment ?? {}));
    const secrets = given.filter(([name]) => secret.test(name));
    expect(secrets.length).toBeGreaterThan(0);
    for (const [name, value] of secrets)
      expect({ name, value }).toEqual({ name, value: expect.stringMatching(/^\$\{\w+:\?/) });
  });

  it('has every one of its secrets, empty, in the example of an environment', () => {
    const asked = [...read('docker-compose.yml').matchAll(/\$\{(\w+):\?/g)].map(([, name]) => name);
    for (const name of new Set(asked)) expect(read('.env.example')).toMatch(new RegExp(`^${name}=$`, 'm'));
  });
});

describe('a page about a client library', () => {
  const index = read('docs/integration/README.md');
  const section = /## Client libraries\n(.*?)\n## /s.exec(index)?.[1] ?? '';
  const libraries = [...section.matchAll(/\]\((\S+\.md)\)/g)].map(([, page]) => `docs/integration/${page}`);

  it('is there for each library that journeys are driven with', () => {
    expect(libraries).toHaveLength(6);
    expect(section).toContain('better-auth');
  });

  it.each(libraries)('holds one program, what is odd and what errors look like: %s', (page) => {
    expect(blocksOf(page, 'js')).toHaveLength(1);
    expect(read(page)).toMatch(/^## What is odd$.*^## What errors look like$/ms);
  });

  it.each(libraries)('shows a program that a test runs as it is: %s', (page) => {
    const [program = ''] = blocksOf(page, 'js');
    const isRun = read('test/journeys/client_libraries.test.ts').includes(`page: '${page}'`);
    // The one of the browser is a piece of an example that test/browser/spa.test.ts drives.
    expect(isRun || read('examples/spa/public/app.js').includes(program)).toBe(true);
  });
});

describe('the application in README', () => {
  it('is a program that signs somebody in', async () => {
    const server = await startTestServer();
    const directory = await mkdtemp(path.join(tmpdir(), 'poort-readme-'));
    const port = await freePort();
    const demo = path.join(directory, 'demo.json');
    const acme = await createTestTenant(server, 'acme');
    const clients = [{ type: 'native', client_id: acme.clients.native.clientId }];
    await writeFile(demo, JSON.stringify({ tenants: [{ issuer: acme.issuer, clients }] }));

    const program = /```js\n(.*?)```/s.exec(read('README.md'))?.[1] ?? '';
    expect(program).toContain("'.poort/demo.json'");
    const child = spawn(process.execPath, ['--input-type=module', '-'], {
      cwd: root,
      stdio: ['pipe', 'ignore', 'inherit', 'ipc'],
    });
    try {
      const listening = once(child, 'message');
      child.stdin?.end(
        program
          .replace('.poort/demo.json', demo)
          .replaceAll('4000', String(port))
          .replace(`.listen(${port}, '127.0.0.1')`, `.listen(${port}, '127.0.0.1', () => process.send('listening'))`),
      );
      await listening;

      const agent = createUserAgent(server.origin);
      const start = await agent.request(`http://127.0.0.1:${port}/`);
      const page = await agent.follow(start.headers.get('location') ?? '');
      const { email, password } = acme.person;
      const callback = await agent.submit(page, { email, password });
      const answer = await agent.request(callback.url);
      expect(JSON.parse(answer.body)).toMatchObject({ sub: acme.person.id, email, name: 'Ada Lovelace' });
    } finally {
      child.kill();
      await rm(directory, { recursive: true, force: true });
      await server.close();
    }
  });
});
