import * as z from 'zod';
import { Config } from './schema.ts';
import type { Path } from './yaml-file.ts';

/** One key of the configuration, as the schema knows it. */
export interface KnownKey {
  readonly path: readonly string[];
  readonly schema: z.ZodType;
}

/** Every key, sections included, in the order of the schema. Keys of the objects in a list follow the list. */
export function knownKeys(schema: z.ZodType = Config, path: readonly string[] = []): KnownKey[] {
  return Object.entries(shapeOf(schema)).flatMap(([key, inner]) => {
    const here = [...path, key];
    return [{ path: here, schema: inner }, ...knownKeys(inner, here)];
  });
}

/** The keys that may stand in a section. */
export function keysAt(path: Path): string[] {
  const names = path.filter((part): part is string => typeof part === 'string');
  return Object.keys(names.reduce<Record<string, z.ZodType>>((shape, name) => shapeOf(shape[name]), shapeOf(Config)));
}

/** The sections that have a key of this name. */
export function placesOfKey(key: string): string[] {
  return knownKeys()
    .filter(({ path }) => path.at(-1) === key && path.length > 1)
    .map(({ path }) => path.slice(0, -1).join('.'));
}

/** The shape of an object behind defaults, options and lists; nothing for other values. */
function shapeOf(schema: z.ZodType | undefined): Record<string, z.ZodType> {
  let inner: unknown = schema;
  for (;;) {
    if (inner instanceof z.ZodObject) return inner.shape as Record<string, z.ZodType>;
    if (inner instanceof z.ZodArray) inner = inner.element;
    else if (inner instanceof z.ZodOptional || inner instanceof z.ZodDefault || inner instanceof z.ZodPrefault)
      inner = inner.unwrap();
    else return {};
  }
}
