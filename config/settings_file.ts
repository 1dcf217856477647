/**
 * This file owns reading one YAML file of settings: which keys are known, where in the file a fault is, and the values as
 * they stand there. It does not know about precedence, nor about the environment.
 */

import { readFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { isAlias, isMap, isNode, isScalar, LineCounter, type Node, parseDocument, type YAMLMap } from 'yaml';
import { closestName, fileFault, type SettingsFault, systemErrorCode } from './faults.ts';
import {
  type GivenSettings,
  type GivenValue,
  type SettingDefinition,
  type SettingName,
  settings,
} from './settings_schema.ts';

type Branch = Map<string, Branch | readonly [SettingName, SettingDefinition]>;

const knownKeys = buildTree();

/**
 * Reads one YAML file. Unknown keys, wrong values and broken YAML become faults with path, line and column.
 * @returns the values, or undefined when there is no such file.
 */
export async function readSettingsFile(path: string): Promise<GivenSettings | undefined> {
  const name = `${basename(dirname(path))}/${basename(path)}`;
  let content: string;
  try {
    content = await readFile(path, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') {
      return undefined;
    }
    return { values: new Map(), refused: new Set(), faults: [fileFault(name, path, error)] };
  }
  return parseSettings(content, name);
}

function parseSettings(content: string, fileName: string): GivenSettings {
  const lineCounter = new LineCounter();
  const document = parseDocument(content, { lineCounter, prettyErrors: false });
  const values = new Map<SettingName, GivenValue>();
  const refused = new Set<SettingName>();
  const faults: SettingsFault[] = document.errors.map((error) => ({
    setting: fileName,
    problem: `${error.message} (${place(error.pos[0])})`,
    fix: `Repair the YAML in ${fileName}.`,
  }));
  if (faults.length === 0 && document.contents !== null) {
    readBranch(document.contents, knownKeys, '');
  }
  return { values, refused, faults };

  function place(offset: number | undefined): string {
    const { line, col } = lineCounter.linePos(offset ?? 0);
    return `${fileName} line ${line}, column ${col}`;
  }

  function readBranch(node: unknown, branch: Branch, path: string): void {
    if (isScalar(node) && node.value === null) {
      return; // A group whose every line is commented out.
    }
    if (!isMap(node)) {
      faults.push({
        setting: path === '' ? fileName : path,
        problem: `a group of settings is expected here (${place(offsetOf(node))})`,
        fix: `Write ${namesIn(branch).join(', ')} below it, indented.`,
      });
      return;
    }
    for (const pair of (node as YAMLMap<unknown, unknown>).items) {
      readPair(pair.key, pair.value, branch, path);
    }
  }

  function readPair(keyNode: unknown, node: unknown, branch: Branch, path: string): void {
    const key = isScalar(keyNode) ? String(keyNode.value) : String(keyNode);
    const keyPath = path === '' ? key : `${path}.${key}`;
    const known = branch.get(key);
    if (known === undefined) {
      const meant = closestName(key, namesIn(branch));
      faults.push({
        setting: keyPath,
        problem: `there is no such setting (${place(offsetOf(keyNode))})`,
        fix:
          meant === undefined
            ? `Remove it. Known ${path === '' ? 'at the top' : `under ${path}`}: ${namesIn(branch).join(', ')}.`
            : `Did you mean ${path === '' ? meant : `${path}.${meant}`}?`,
      });
      return;
    }
    if (known instanceof Map) {
      readBranch(node, known, keyPath);
      return;
    }
    readSetting(known[0], known[1], node, offsetOf(node) ?? offsetOf(keyNode));
  }

  function readSetting(
    name: SettingName,
    definition: SettingDefinition,
    node: unknown,
    offset: number | undefined,
  ): void {
    const refuse = (problem: string, fix: string): void => {
      refused.add(name);
      faults.push({ setting: name, problem: `${problem} (${place(offset)})`, fix });
    };
    const variable = definition.variable ?? name;
    if (definition.secret === true) {
      refuse(
        'a secret does not belong in a YAML file',
        `Give it as ${variable}, or in a file named by ${variable}_FILE.`,
      );
      return;
    }
    if (definition.environmentOnly === true) {
      refuse('it chooses the YAML file, so it cannot stand in one', `Give it as the variable ${variable}.`);
      return;
    }
    const raw = isNode(node) && !isAlias(node) ? (node as Node).toJS(document) : undefined;
    if (raw === null || raw === undefined) {
      refuse('it has no value', `Set ${name} to ${definition.expected}, or remove the line.`);
      return;
    }
    const result = definition.value.safeParse(raw);
    if (!result.success) {
      refuse(result.error.issues[0]?.message ?? 'it is not valid', `Set ${name} to ${definition.expected}.`);
      return;
    }
    values.set(name, { value: result.data, source: fileName, writtenAs: name });
  }
}

function offsetOf(node: unknown): number | undefined {
  return isNode(node) ? node.range?.[0] : undefined;
}

/** The keys that may stand in a branch: without the secrets and the environment, which are known in order to be refused. */
function namesIn(branch: Branch): readonly string[] {
  return [...branch]
    .filter(([, known]) => known instanceof Map || (known[1].secret !== true && known[1].environmentOnly !== true))
    .map(([key]) => key);
}

function buildTree(): Branch {
  const root: Branch = new Map();
  for (const [name, definition] of settings) {
    const groups = name.split('.');
    const leaf = groups.pop() ?? name;
    let branch = root;
    for (const group of groups) {
      const existing = branch.get(group);
      const next: Branch = existing instanceof Map ? existing : new Map();
      branch.set(group, next);
      branch = next;
    }
    branch.set(leaf, [name, definition]);
  }
  return root;
}
