import type { Side } from '../../postgres/cluster.ts';
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

/** Which clusters a step sees as its source and target: on the way back rows travel from the target to the source. */
export interface Direction {
  readonly from: Side;
  readonly to: Side;
}

export const directionOf = ({ source, target }: Record<'source' | 'target', { readonly side: Side }>): Direction => ({
  from: source.side,
  to: target.side,
});

const onSide = (side: Side): string => `On the ${side}, in that database:`;

/** What makes on one side what is new on the other: a command, which knows one direction, or a person. */
export const resync = (database: string, { to }: Direction): string =>
  to === 'target'
    ? `pgconvoy resync ${shellWord(database)}`
    : `${onSide(to)} make alike by hand what is missing (pgconvoy resync is for the way to the target); or accept schema-drift in the configuration, with the reason: then it stays as it is, without the rows.`;

/** The same behind something else that is to be done. */
const thenResync = (database: string, direction: Direction): string =>
  `${direction.to === 'target' ? 'Then ' : ''}${resync(database, direction)}`;

export function describeDrift(drift: ObjectDrift, database: string, direction: Direction): DriftText {
  const { from, to } = direction;
  const object = nameOf(drift);
  const what = `${drift.kind} ${object}`;
  const made = { remedy: resync(database, direction), harmless: false };
  switch (drift.change) {
    case 'added':
      return { object, message: `${what} was made on the ${from}, and the ${to} lacks it`, ...made };
    case 'lost':
      return { object, message: `${what} was dropped on the ${to}`, ...made };
    case 'remade':
      return {
        object,
        message: `${what} was dropped and made again on the ${from}, so that the ${to} holds rows of the old one${also(drift, direction)}`,
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
        message: `table ${quoted(schema, name)} was renamed to ${object} on the ${from}`,
        remedy: `${onSide(to)}${moved}${renamed} ${thenResync(database, direction)}`,
        harmless: false,
      };
    }
    case 'dropped':
      return {
        object,
        message: `${what} was dropped on the ${from}, and the ${to} still has it`,
        remedy: `${onSide(to)} DROP ${wordOf(drift.kind)} ${object};`,
        harmless: false,
      };
    case 'extra':
      return {
        object,
        message: `${what} is on the ${to} alone`,
        remedy: `If nobody needs it, on the ${to}, in that database: DROP ${wordOf(drift.kind)} ${object};`,
        harmless: true,
      };
    case 'changed':
      return changed(drift, object, what, database, direction);
  }
}

function changed(drift: ObjectDrift, object: string, what: string, database: string, direction: Direction): DriftText {
  const parts = drift.parts.map((part) => describePart(drift, part, direction));
  const lines = parts.flatMap(({ statement }) => statement ?? []);
  const notes = parts.flatMap(({ note }) => note ?? []);
  const rest = parts.some(({ statement, note }) => statement === undefined && note === undefined);
  const steps = [
    ...(lines.length > 0 ? [`${onSide(direction.to)} ${lines.join(' ')}`] : []),
    ...notes,
    ...(rest ? [(lines.length + notes.length > 0 ? thenResync : resync)(database, direction)] : []),
  ];
  return {
    object,
    message: `${what}: ${parts.map(({ message }) => message).join('; ')}`,
    remedy: steps.join(' '),
    harmless: false,
  };
}

const also = (drift: ObjectDrift, direction: Direction): string => {
  const others = drift.parts
    .filter(({ part }) => part !== 'rows')
    .map((part) => describePart(drift, part, direction).message);
  return others.length > 0 ? `; ${others.join('; ')}` : '';
};

/** Where there is neither a statement for the target nor a note, resync does it. */
interface PartText {
  readonly message: string;
  readonly statement?: string;
  readonly note?: string;
}

function describePart(drift: ObjectDrift, part: PartDrift, direction: Direction): PartText {
  const message = partMessage(part, direction);
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
  return { message, ...settingRemedy(drift, part.part, wanted ?? '', direction) };
}

/** `index x` in words and name; `owner` has no name. */
function splitPart(part: string): readonly [word: string, name: string | undefined] {
  const match = /^(column|constraint|index|trigger|rule|policy|statistics) ([^]*)$/.exec(part);
  return match ? [match[1]!, match[2]] : [part, undefined];
}

function partMessage({ part, source, target, renamedFrom }: PartDrift, { from, to }: Direction): string {
  const [word, name] = splitPart(part);
  const what = name === undefined ? word : `${word} ${quoted(null, name)}`;
  if (renamedFrom !== undefined)
    return `column ${quoted(null, renamedFrom)} was renamed to ${quoted(null, name!)} on the ${from}`;
  const isSource = source.before !== source.now;
  const where = isSource ? from : to;
  const { before, now } = isSource ? source : target;
  if (part === 'definition' && oneLine(before ?? '') === oneLine(now ?? '')) return `it was replaced on the ${where}`;
  if (part.startsWith('privileges'))
    return `${part} were changed on the ${where}, from ${oneLine(before ?? '')} to ${oneLine(now ?? '')}`;
  if (before === undefined) return `${what} was added on the ${where}${now === '' ? '' : ` (${oneLine(now!)})`}`;
  if (now === undefined) return `${what} was dropped on the ${where}`;
  return `${what} was changed on the ${where}, from ${oneLine(before)} to ${oneLine(now)}`;
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
function settingRemedy(
  drift: ObjectDrift,
  part: string,
  wanted: string,
  { from, to }: Direction,
): Omit<PartText, 'message'> {
  const { kind } = drift;
  const object = nameOf(drift);
  if (part === 'owner') return { statement: `ALTER ${wordOf(kind)} ${object} OWNER TO ${quoted(null, wanted)};` };
  if (part === 'replica identity') return { statement: `ALTER TABLE ${object} REPLICA IDENTITY ${wanted};` };
  if (part === 'definition' && kind === 'sequence') return { statement: `ALTER SEQUENCE ${object} ${wanted};` };
  if (part === 'definition' && (kind === 'view' || kind === 'function')) return {};
  return {
    note: `Do to ${kind} ${object} on the ${to} what was done to it on the ${from}, where its ${part} ${part.startsWith('privileges') ? 'are' : 'is'}: ${oneLine(wanted)}.`,
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
