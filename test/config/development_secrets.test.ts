/** The master key that a machine makes for itself: made once, kept, private, agreed on, and never used in production. */

import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ensureDevelopmentSecrets } from '#config/development_secrets.ts';
import { createWorkspace, goodProduction, masterKey, type Workspace } from './support.ts';

let workspace: Workspace;
let dataDirectory: string;
let secretsPath: string;

beforeEach(async () => {
  workspace = await createWorkspace();
  dataDirectory = join(workspace.directory, '.poort');
  secretsPath = join(dataDirectory, 'development-secrets.json');
});
afterEach(async () => {
  await workspace.remove();
});

const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o7777;
const generatedKey = async (): Promise<string | undefined> => (await workspace.config()).masterKeys[0]?.reveal();

describe('the generated master key', () => {
  it('is made on the first run and kept', async () => {
    const key = await generatedKey();
    expect(Buffer.from(key ?? '', 'base64')).toHaveLength(32);
    expect(await generatedKey()).toBe(key);
    expect(await readFile(secretsPath, 'utf8')).toContain(key);
    expect(await readdir(dataDirectory)).toEqual(['development-secrets.json']);
  });

  it('is private, and its parents are left alone', async () => {
    await mkdir(join(workspace.directory, 'a'));
    await chmod(join(workspace.directory, 'a'), 0o755);
    const { dataDirectory: deep } = await workspace.config({ POORT_DATA_DIR: 'a/b/c' });
    expect(await modeOf(deep)).toBe(0o700);
    expect(await modeOf(join(deep, 'development-secrets.json'))).toBe(0o600);
    expect(await modeOf(join(workspace.directory, 'a'))).toBe(0o755);
    expect(await modeOf(join(workspace.directory, 'a/b'))).toBe(0o777 & ~process.umask());
  });

  it('is made private again when somebody opened it', async () => {
    const key = await generatedKey();
    await chmod(secretsPath, 0o644);
    await chmod(dataDirectory, 0o755);
    expect(await generatedKey()).toBe(key);
    expect([await modeOf(secretsPath), await modeOf(dataDirectory)]).toEqual([0o600, 0o700]);
  });

  it('never closes a directory that others share', async () => {
    const shared = join(workspace.directory, 'shared');
    await mkdir(shared);
    await chmod(shared, 0o1777);
    await workspace.config({ POORT_DATA_DIR: 'shared' });
    await chmod(workspace.directory, 0o755);
    await workspace.config({ POORT_DATA_DIR: '.' });
    expect([await modeOf(shared), await modeOf(workspace.directory)]).toEqual([0o1777, 0o755]);
    expect(await modeOf(join(shared, 'development-secrets.json'))).toBe(0o600);
  });

  it('is the same for all who start at once', async () => {
    const all = await Promise.all(
      Array.from({ length: 16 }, () => ensureDevelopmentSecrets(dataDirectory, workspace.directory)),
    );
    const keys = new Set(all.map((secrets) => (secrets.outcome === 'present' ? secrets.masterKeys.join() : 'faulty')));
    expect(keys.size).toBe(1);
    expect(keys.has('faulty')).toBe(false);
    expect(await readdir(dataDirectory)).toEqual(['development-secrets.json']);
  });

  it('is not made where one is given', async () => {
    const config = await workspace.config({ POORT_MASTER_KEY: `${masterKey(1)},${masterKey(2)}` });
    expect(config.masterKeys.map((key) => key.reveal())).toEqual([masterKey(1), masterKey(2)]);
    await expect(stat(dataDirectory)).rejects.toThrow('ENOENT');
  });

  it('is never replaced when its file is damaged', async () => {
    await mkdir(dataDirectory);
    for (const content of ['', '{', '{}', '{"master_key":"short"}']) {
      await writeFile(secretsPath, content);
      const faults = await workspace.faults();
      expect(faults).toEqual([
        expect.objectContaining({
          setting: 'POORT_MASTER_KEY',
          problem: expect.stringContaining('holds no master key'),
        }),
      ]);
      expect(await readFile(secretsPath, 'utf8')).toBe(content);
    }
  });

  it('is told as a fault of the data directory when it cannot be kept there', async () => {
    await workspace.write('file', 'not a directory');
    const faults = await workspace.faults({ POORT_DATA_DIR: 'file', POORT_PORT: 'x' });
    expect(faults.map(({ setting }) => setting)).toEqual(['POORT_PORT', 'POORT_DATA_DIR']);
  });

  it('is refused in production, where none is ever made', async () => {
    const key = await generatedKey();
    const before = await stat(secretsPath);
    const faults = await workspace.faults({ ...goodProduction, POORT_MASTER_KEY: key });
    expect(faults).toEqual([
      expect.objectContaining({
        setting: 'POORT_MASTER_KEY',
        problem: expect.stringContaining('development-secrets.json'),
      }),
    ]);
    expect((await workspace.faults({ ...goodProduction, POORT_MASTER_KEY: undefined }))[0]?.setting).toBe(
      'POORT_MASTER_KEY',
    );
    expect((await stat(secretsPath)).mtimeMs).toBe(before.mtimeMs);
    expect((await workspace.config({ ...goodProduction, POORT_DATA_DIR: 'elsewhere' })).env).toBe('production');
    await expect(stat(join(workspace.directory, 'elsewhere'))).rejects.toThrow('ENOENT');
  });
});
