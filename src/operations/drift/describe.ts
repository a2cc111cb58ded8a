import { id } from '../../postgres/sql.ts';
import type { ObjectDrift, PartDrift } from './compare.ts';

/** What happened to an object, in a sentence, and what brings both sides together again. */
export interface DriftText {
  /** By its qualified name, quoted. */
  readonly object: string;
  readonly message: string;
  readonly remedy: string;
  /** Only the target has it, which hinders nothing. */
  readonly harmless: boolean;
}

const ON_TARGET = 'On the target, in that database:';

/** `resync` is the command that makes on the target what is new on the source. */
export function describeDrift(drift: ObjectDrift, database: string): DriftText {
  const object = nameOf(drift);
  const what = `${drift.kind} ${object}`;
  const resync = `pgconvoy resync ${shellWord(database)}`;
  const made = { remedy: `${resync}`, harmless: false };
  switch (drift.change) {
    case 'added':
      return { object, message: `${what} was made on the source, and the target lacks it`, ...made };
    case 'lost':
      return { object, message: `${what} was dropped on the target`, ...made };
    case 'remade':
      return {
        object,
        message: `${what} was dropped and made again on the source, so that the target holds rows of the old one${also(drift)}`,
        ...made,
      };
    case 'renamed': {
      const { schema, name } = drift.renamedFrom!;
      const moved =
        schema === drift.schema
          ? ''
          : ` ALTER TABLE ${quoted(schema, name)} SET SCHEMA ${quoted(null, drift.schema!)};`;
      const renamed =
        name === drift.name ? '' : ` ALTER TABLE ${quoted(drift.schema, name)} RENAME TO ${quoted(null, drift.name)};`;
      return {
        object,
        message: `table ${quoted(schema, name)} was renamed to ${object} on the source`,
        remedy: `${ON_TARGET}${moved}${renamed} Then ${resync}`,
        harmless: false,
      };
    }
    case 'dropped':
      return {
        object,
        message: `${what} was dropped on the source, and the target still has it`,
        remedy: `${ON_TARGET} DROP ${wordOf(drift.kind)} ${object};`,
        harmless: false,
      };
    case 'extra':
      return {
        object,
        message: `${what} is on the target alone`,
        remedy: `If nobody needs it, on the target, in that database: DROP ${wordOf(drift.kind)} ${object};`,
        harmless: true,
      };
    case 'changed':
      return changed(drift, object, what, resync);
  }
}

function changed(drift: ObjectDrift, object: string, what: string, resync: string): DriftText {
  const parts = drift.parts.map((part) => describePart(drift, part));
  const lines = parts.flatMap(({ statement }) => statement ?? []);
  const notes = parts.flatMap(({ note }) => note ?? []);
  const rest = parts.some(({ statement, note }) => statement === undefined && note === undefined);
  const steps = [
    ...(lines.length > 0 ? [`${ON_TARGET} ${lines.join(' ')}`] : []),
    ...notes,
    ...(rest ? [`${lines.length + notes.length > 0 ? 'Then ' : ''}${resync}`] : []),
  ];
  return {
    object,
    message: `${what}: ${parts.map(({ message }) => message).join('; ')}`,
    remedy: steps.join(' '),
    harmless: false,
  };
}

const also = (drift: ObjectDrift): string => {
  const others = drift.parts.filter(({ part }) => part !== 'rows').map((part) => describePart(drift, part).message);
  return others.length > 0 ? `; ${others.join('; ')}` : '';
};

/** Where there is neither a statement for the target nor a note, resync does it. */
interface PartText {
  readonly message: string;
  readonly statement?: string;
  readonly note?: string;
}

function describePart(drift: ObjectDrift, part: PartDrift): PartText {
  const message = partMessage(part);
  if (part.part.startsWith('column ')) return { message, statement: columnRemedy(drift, part) };
  const { now: wanted } = part.source;
  const { now: present } = part.target;
  const [word = '', name] = splitPart(part.part);
  if (name !== undefined && !part.part.startsWith('privileges of ')) {
    // What is missing on the target is made there; what it has otherwise goes first.
    const isCheck = word === 'constraint' && wanted?.startsWith('CHECK') && !wanted.includes('… ');
    const statements = [
      ...(present === undefined ? [] : [dropOf(drift, word, name)]),
      // A dump has these inside of CREATE TABLE alone.
      ...(isCheck
        ? [
            `ALTER ${wordOf(drift.kind)} ${quoted(drift.schema, drift.name)} ADD CONSTRAINT ${quoted(null, name)} ${wanted};`,
          ]
        : []),
    ];
    return { message, ...(statements.length === 0 ? {} : { statement: statements.join(' ') }) };
  }
  return { message, ...settingRemedy(drift, part.part, wanted ?? '') };
}

/** `index x` in words and name; `owner` has no name. */
function splitPart(part: string): readonly [word: string, name: string | undefined] {
  const match = /^(column|constraint|index|trigger|rule|policy|statistics) ([^]*)$/.exec(part);
  return match ? [match[1]!, match[2]] : [part, undefined];
}

function partMessage({ part, source, target, renamedFrom }: PartDrift): string {
  const [word, name] = splitPart(part);
  const what = name === undefined ? word : `${word} ${quoted(null, name)}`;
  if (renamedFrom !== undefined)
    return `column ${quoted(null, renamedFrom)} was renamed to ${quoted(null, name!)} on the source`;
  const on = source.before === source.now ? 'target' : 'source';
  const { before, now } = on === 'source' ? source : target;
  if (part === 'definition' && oneLine(before ?? '') === oneLine(now ?? '')) return `it was replaced on the ${on}`;
  if (part.startsWith('privileges'))
    return `${part} were changed on the ${on}, from ${oneLine(before ?? '')} to ${oneLine(now ?? '')}`;
  if (before === undefined) return `${what} was added on the ${on}${now === '' ? '' : ` (${oneLine(now!)})`}`;
  if (now === undefined) return `${what} was dropped on the ${on}`;
  return `${what} was changed on the ${on}, from ${oneLine(before)} to ${oneLine(now)}`;
}

const oneLine = (text: string): string => {
  const line = text.replaceAll(/\s+/g, ' ').trim();
  return line.length > 100 ? `${line.slice(0, 100)}…` : line === '' ? 'nothing' : line;
};

function dropOf({ kind, schema, name: table }: ObjectDrift, word: string, name: string): string {
  const on = quoted(schema, table);
  if (word === 'constraint') return `ALTER ${wordOf(kind)} ${on} DROP CONSTRAINT ${quoted(null, name)};`;
  if (word === 'index' || word === 'statistics') return `DROP ${word.toUpperCase()} ${quoted(schema, name)};`;
  return `DROP ${word.toUpperCase()} ${quoted(null, name)} ON ${on};`;
}

interface Column {
  readonly type: string;
  readonly notNull: boolean;
  /** `default …`, `generated …`. */
  readonly rest: string;
}

function columnOf(text: string): Column {
  const [, type = '', notNull, rest = ''] = /^(.*?)( not null)?((?: default | generated )[^]*)?$/.exec(text) ?? [];
  return { type, notNull: notNull !== undefined, rest: rest.trim() };
}

function columnRemedy(
  { kind, schema, name: table }: ObjectDrift,
  { part, source, target, renamedFrom }: PartDrift,
): string {
  const name = quoted(null, part.slice('column '.length));
  const alter = `ALTER ${wordOf(kind)} ${quoted(schema, table)}`;
  if (renamedFrom !== undefined) return `${alter} RENAME COLUMN ${quoted(null, renamedFrom)} TO ${name};`;
  if (source.now === undefined) return `${alter} DROP COLUMN ${name};`;
  const { type, notNull, rest } = columnOf(source.now);
  if (target.now === undefined)
    return `${alter} ADD COLUMN ${name} ${type}${notNull ? ' NOT NULL' : ''}${rest === '' ? '' : ` ${rest}`};`;
  const present = columnOf(target.now);
  const column = `ALTER COLUMN ${name}`;
  const changes = [
    ...(type === present.type ? [] : [`${column} TYPE ${type}`]),
    ...(notNull === present.notNull ? [] : [`${column} ${notNull ? 'SET' : 'DROP'} NOT NULL`]),
    ...(rest === present.rest ? [] : restChanges(column, present.rest, rest)),
  ];
  return `${alter} ${changes.join(', ')};`;
}

function restChanges(column: string, before: string, after: string): string[] {
  const isIdentity = (text: string) => text.endsWith('as identity');
  const isComputed = (text: string) => text.startsWith('generated ') && !isIdentity(text);
  const gone = isIdentity(before)
    ? [`${column} DROP IDENTITY`]
    : isComputed(before)
      ? [`${column} DROP EXPRESSION`]
      : after === ''
        ? [`${column} DROP DEFAULT`]
        : [];
  if (after === '') return gone;
  return [...gone, after.startsWith('default ') ? `${column} SET ${after}` : `${column} ADD ${after}`];
}

/** For what an object has itself: its definition, owner, privileges. */
function settingRemedy(drift: ObjectDrift, part: string, wanted: string): Omit<PartText, 'message'> {
  const { kind } = drift;
  const object = nameOf(drift);
  if (part === 'owner') return { statement: `ALTER ${wordOf(kind)} ${object} OWNER TO ${quoted(null, wanted)};` };
  if (part === 'replica identity') return { statement: `ALTER TABLE ${object} REPLICA IDENTITY ${wanted};` };
  if (part === 'definition' && kind === 'sequence') return { statement: `ALTER SEQUENCE ${object} ${wanted};` };
  if (part === 'definition' && (kind === 'view' || kind === 'function')) return {};
  return {
    note: `Do to ${kind} ${object} on the target what was done to it on the source, where its ${part} ${part.startsWith('privileges') ? 'are' : 'is'}: ${oneLine(wanted)}.`,
  };
}

/** As DROP and ALTER call it; a routine may be a function, a procedure or an aggregate. */
const wordOf = (kind: string): string => (kind === 'function' ? 'ROUTINE' : kind.toUpperCase());

function nameOf({ kind, schema, name }: Pick<ObjectDrift, 'kind' | 'schema' | 'name'>): string {
  if (kind === 'function') {
    const [, word = name, args = ''] = /^([^]*)(\([^]*\))$/.exec(name) ?? [];
    return `${quoted(schema, word)}${args}`;
  }
  // What has no schema of its own (operators, casts) is named by the server already.
  return schema === null && kind !== 'schema' && kind !== 'extension' ? name : quoted(schema, name);
}

const quoted = (schema: string | null, name: string): string => (schema === null ? id(name) : id(schema, name)).text;

/** As a shell takes it for one word. */
export const shellWord = (word: string): string =>
  /^[A-Za-z0-9_./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
