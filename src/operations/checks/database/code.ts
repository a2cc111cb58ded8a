import type { LooseFunction, Trigger } from '../../../postgres/catalog/contents.ts';
import { id } from '../../../postgres/sql.ts';
import type { Concern } from '../concern.ts';
import type { CheckFinding } from '../findings.ts';
import { answerTo } from './answers.ts';

/** Code of users that would run, or fail, while replicated rows are applied. */
export const code: Concern = {
  name: 'triggers and functions',
  side: 'source',
  async look(context) {
    const { name } = context.source;
    return [
      ...judgeTriggers(name, await answerTo(context, 'triggers')),
      ...judgeEventTriggers(name, await answerTo(context, 'eventTriggers')),
      ...judgeFunctions(name, await answerTo(context, 'looseFunctions')),
    ];
  },
};

export const judgeTriggers = (database: string, triggers: readonly Trigger[]): CheckFinding[] =>
  triggers.map(({ table, name, mode }) => ({
    code: 'always-trigger',
    severity: 'warning',
    side: 'source',
    database,
    object: `${table}.${id(name).text}`,
    message: `Trigger ${id(name).text} on ${table} in database "${database}" is ENABLE ${mode}: it would fire for replicated rows and do its work twice. It is made on the target only at the switch.`,
    remedy: `Nothing to do. If it need not fire in replication: ALTER TABLE ${table} ENABLE TRIGGER ${id(name).text};`,
  }));

export const judgeEventTriggers = (database: string, triggers: readonly { readonly name: string }[]): CheckFinding[] =>
  triggers.map(({ name }) => ({
    code: 'event-trigger',
    severity: 'warning',
    side: 'source',
    database,
    object: name,
    message: `Event trigger ${id(name).text} in database "${database}" would fire while the schema is built; it is made on the target only at the switch.`,
    remedy: `Nothing to do on the target. If it forbids ALTER TABLE or CREATE PUBLICATION on the source: ALTER EVENT TRIGGER ${id(name).text} DISABLE; for the time of the upgrade.`,
  }));

export const judgeFunctions = (database: string, functions: readonly LooseFunction[]): CheckFinding[] =>
  functions.map(({ signature, schema, users }) => ({
    code: 'function-without-search-path',
    severity: 'warning',
    side: 'source',
    database,
    object: signature,
    message: `Function ${signature} in database "${database}", called by ${users.join(', ')}, sets no search_path: where rows are applied the search_path is empty, so names that it does not qualify are not found and replication stops.`,
    remedy: `If its body has unqualified names, on the source: ALTER FUNCTION ${signature} SET search_path = ${[...new Set([schema, 'public'])].map((name) => id(name).text).join(', ')}, pg_temp;`,
  }));

/** Publications of others. Their subscribers keep following the source. */
export const publications: Concern = {
  name: 'publications of others',
  side: 'source',
  async look(context) {
    return judgePublications(context.source.name, await answerTo(context, 'publications'));
  },
};

export const judgePublications = (database: string, names: readonly { readonly name: string }[]): CheckFinding[] =>
  names.map(({ name }) => ({
    code: 'source-publication',
    severity: 'warning',
    side: 'source',
    database,
    object: name,
    message: `Database "${database}" has the publication ${id(name).text}; publications are not moved, and its subscribers keep following the source.`,
    remedy:
      'After the switch, make it on the target and point its subscribers there (ALTER SUBSCRIPTION … CONNECTION, or anew with copy_data = false).',
  }));
