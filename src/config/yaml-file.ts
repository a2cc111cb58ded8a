import { isMap, isNode, isScalar, LineCounter, parseDocument, visit } from 'yaml';
import type { Document } from 'yaml';
import { readText, variable } from './environment.ts';
import type { Environment } from './environment.ts';
import type { Problem } from './problems.ts';

export type Path = readonly (string | number)[];

/** A YAML file with its variables put in, which still knows where each value stands. */
export interface YamlFile {
  readonly value: unknown;
  readonly problems: readonly Problem[];
  /** Values that were `${VAR}`: text, also where a number is expected. */
  readonly expanded: ReadonlySet<string>;
  /** `FILE:LINE:COLUMN` of the value at the path, or of its nearest parent that is there. */
  placeOf(path: Path): string;
  /** The place of a key itself. */
  placeOfKey(path: Path, key: string): string;
}

/** Reads and expands; problems are collected, not thrown. */
export function readYamlFile(file: string, env: Environment): YamlFile {
  const read = readText(file);
  if ('failure' in read) {
    const problem = {
      place: file,
      message: `the configuration cannot be read: ${read.failure}`,
      remedy: 'Name a readable file by --config or PGCONVOY_CONFIG; config.example.yaml is one to start from.',
    };
    return { value: {}, problems: [problem], expanded: new Set(), placeOf: () => file, placeOfKey: () => file };
  }
  const counter = new LineCounter();
  const document = parseDocument(read.text, { lineCounter: counter, prettyErrors: false });
  const at = (offset: number) => {
    const { line, col } = counter.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  const problems: Problem[] = document.errors.map((error) => ({
    place: at(error.pos[0]),
    message: `this is not YAML: ${error.message}`,
    remedy: 'See the indentation (spaces, no tabs), the colon after each key, and quotes around special characters.',
  }));
  const expanded = new Set<string>();
  if (problems.length === 0) problems.push(...expandVariables(document, env, at, expanded));
  return {
    value: problems.length > 0 ? {} : (valueOf(document, problems, file) ?? {}),
    problems,
    expanded,
    placeOf: (path) => at(offsetOf(document, path)),
    placeOfKey(path, key) {
      const map = path.length === 0 ? document.contents : document.getIn(path, true);
      const pair = isMap(map) ? map.items.find((item) => isScalar(item.key) && item.key.value === key) : undefined;
      return at((isNode(pair?.key) ? pair.key.range?.[0] : undefined) ?? offsetOf(document, path));
    },
  };
}

/** An alias without its anchor is found only here. */
function valueOf(document: Document, problems: Problem[], file: string): unknown {
  try {
    return document.toJS();
  } catch (error) {
    problems.push({
      place: file,
      message: (error as Error).message,
      remedy: 'Define the anchor (&name) before its alias (*name).',
    });
    return {};
  }
}

function offsetOf(document: Document, path: Path): number {
  for (let length = path.length; length > 0; length--) {
    const node = document.getIn(path.slice(0, length), true);
    if (isNode(node) && node.range) return node.range[0];
  }
  return document.contents?.range?.[0] ?? 0;
}

/** `${VAR}` in any value; `$${` is a literal `${`, and a `$` without a brace means itself. */
function expandVariables(
  document: Document,
  env: Environment,
  at: (offset: number) => string,
  expanded: Set<string>,
): Problem[] {
  const problems: Problem[] = [];
  visit(document, {
    Scalar(key, node, ancestors) {
      if (typeof node.value !== 'string' || key === 'key' || !node.value.includes('${')) return;
      const place = at(node.range?.[0] ?? 0);
      node.value = node.value.replaceAll(/\$\$\{|\$\{([^}]*)\}?/g, (whole, name: string | undefined) => {
        if (name === undefined) return '${';
        if (!whole.endsWith('}') || !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
          problems.push({
            place,
            message: 'what stands after ${ is not the name of a variable followed by }',
            remedy: 'Write ${NAME}; a ${ that means itself is written $${.',
          });
          return '';
        }
        const value = variable(env, name);
        if (value === undefined) {
          problems.push({
            place,
            message: `the environment variable ${name} is not set`,
            remedy: `Set it (export ${name}=…) before the command; a \${ that means itself is written $\${.`,
          });
        }
        return value ?? '';
      });
      expanded.add(JSON.stringify(pathOf(node, ancestors)));
    },
  });
  return problems;
}

function pathOf(node: unknown, ancestors: readonly unknown[]): Path {
  const path: (string | number)[] = [];
  const chain = [...ancestors, node];
  for (const [index, ancestor] of chain.entries()) {
    const child = chain[index + 1];
    const keyed = ancestor as { items?: unknown[]; key?: { value?: unknown }; value?: unknown };
    if (child !== undefined && Array.isArray(keyed.items) && !isMap(ancestor)) path.push(keyed.items.indexOf(child));
    else if (child !== undefined && keyed.value === child && keyed.key) path.push(String(keyed.key.value));
  }
  return path;
}
