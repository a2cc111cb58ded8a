import type { Finding } from '../../engine/finding.ts';
import { duration, integer, plural } from '../render/text.ts';
import { databaseBlocks, stepBlocks } from './compose-database.ts';
import { predictionBlocks, rehearsalBlocks } from './compose-rehearsal.ts';
import { facts, heading, paragraph, table, warning } from './document.ts';
import type { Block, Document } from './document.ts';
import type { Report, ReportedDatabase, ReportedServer } from './report.ts';
import { APPROVALS, DATABASE_STATES, when, RUN_STATES, span } from './words.ts';

/** A report as a document: what it comes to first, each database in full at the end. Pure. */
export function documentOf(report: Report): Document {
  return {
    title: `pgconvoy report: ${report.run.id}`,
    blocks: [
      ...runBlocks(report),
      ...approvalBlocks(report),
      ...serverBlocks(report),
      ...resultBlocks(report),
      ...hookBlocks(report),
      ...(report.prediction ? predictionBlocks(report.prediction) : []),
      ...(report.rehearsal ? rehearsalBlocks(report.rehearsal) : []),
      ...checkBlocks(report),
      ...configurationBlocks(report),
      ...stageBlocks(report),
      ...report.databases.flatMap(databaseBlocks),
    ],
  };
}

function runBlocks({ run, engine, databases, written }: Report): Block[] {
  const options = Object.entries(run.options).flatMap(([name, value]) => (value ? [name] : []));
  return [
    ...(run.state === 'completed' ? [] : [warning(`This run is not completed: it is ${RUN_STATES[run.state]}.`)]),
    ...(run.error ? [warning(`${run.error.message}\n${run.error.hint}`)] : []),
    ...facts([
      ['run', run.id],
      ['workflow', `${run.workflow} (${run.title})`],
      ['state', RUN_STATES[run.state]],
      ['started by', `${run.by}, ${when(run.createdAt)}`],
      ['first step', when(run.startedAt)],
      ['end', when(run.finishedAt)],
      ['took', run.startedAt === null || run.finishedAt === null ? null : duration(run.finishedAt - run.startedAt)],
      ['databases', integer(databases.length)],
      ['engine', engine],
      ['options', options.join(', ')],
      ['cancelled by', run.cancelled && `${run.cancelled.by}, ${when(run.cancelled.at)}`],
      ['taken back by run', run.undoneBy],
      ['takes back run', run.undoes],
      ['pgconvoy', run.version],
      ['report written', `${when(written.at)} by ${written.by}, pgconvoy ${written.version}`],
    ]),
  ];
}

function approvalBlocks({ approvals }: Report): Block[] {
  return [
    heading(2, 'Approvals and sign-off'),
    ...(approvals.length === 0
      ? [paragraph('This workflow asks for no approval: whoever started it has decided.')]
      : table(
          ['approval', 'state', 'by', 'at'],
          approvals.map(({ title, state, by, at }) => [title, APPROVALS[state], by ?? '', when(at)]),
        )),
    ...table(['signed off by', 'date', 'signature'], [['', '', '']]),
  ];
}

function serverBlocks({ servers, clientTools }: Report): Block[] {
  const sides = [
    ['source', servers.source],
    ['target', servers.target],
  ] as const;
  return [
    heading(2, 'Servers'),
    ...table(
      ['', 'address', 'user', 'as the run saw it', 'when this was written', 'notes in its ledger'],
      sides.map(([side, server]) => [
        side,
        server.address,
        server.user,
        server.recorded ?? 'not recorded',
        ...nowOf(server),
      ]),
    ),
    ...sides.flatMap(([side, { unreachable }]) =>
      unreachable === null
        ? []
        : [
            warning(
              `The ${side} could not be asked (${unreachable}): this report is from the run's own records there.`,
            ),
          ],
    ),
    ...facts([['client tools', clientTools]]),
  ];
}

function nowOf({ version, ledger }: ReportedServer): [string, string] {
  const notes = Object.entries(ledger ?? {}).map(([kind, count]) => `${kind}: ${count}`);
  return [version === null ? 'could not be asked' : `PostgreSQL ${version}`, ledger ? notes.join(', ') || 'none' : '–'];
}

function resultBlocks({ outage, databases }: Report): Block[] {
  return [
    heading(2, 'Result'),
    ...facts([
      [
        'write outage',
        outage &&
          `median ${duration(outage.medianMs)}, worst ${duration(outage.worst.milliseconds)} (${outage.worst.database}), of ${plural(outage.databases, 'database')}`,
      ],
    ]),
    ...table(
      [
        'database',
        'state',
        { right: 'objects' },
        { right: 'rows compared' },
        { right: 'sequences' },
        'LSN of the fence',
        { right: 'outage' },
      ],
      databases.map(resultRow),
    ),
  ];
}

const resultRow = ({ name, state, objects, comparison, sequences, cutover }: ReportedDatabase): string[] => [
  name,
  DATABASE_STATES[state],
  objects.schema === null ? '' : integer(objects.schema),
  comparison === null || comparison.method === 'none' ? '' : integer(comparison.rows),
  sequences === null ? '' : integer(sequences.total),
  cutover?.lsn ?? '',
  span(cutover?.outageMs ?? null),
];

function hookBlocks({ hooks }: Report): Block[] {
  return [
    ...(hooks.length > 0 ? [heading(2, 'Hooks')] : []),
    ...table(
      ['at', 'for', 'program', { right: 'took' }, { right: 'attempts' }, 'result'],
      hooks.map(({ at, database, program, milliseconds, attempts, failure }) => [
        at,
        database ?? 'all databases',
        program,
        duration(milliseconds),
        String(attempts),
        failure ?? 'done',
      ]),
    ),
  ];
}

function checkBlocks({ checks, findings, waivers }: Report): Block[] {
  const count = (state: 'OK' | 'KO' | 'note') => checks.filter((point) => point.state === state).length;
  return [
    heading(2, 'Checks and findings'),
    paragraph(
      checks.length === 0
        ? 'This run recorded no checks.'
        : `${plural(checks.length, 'point')} looked at: ${count('OK')} OK, ${count('note')} with a note, ${count('KO')} KO. Points of databases that are OK are not listed.`,
    ),
    ...table(
      ['where', 'point', 'seen', ''],
      checks
        .filter((point) => point.state !== 'OK' || point.database === undefined)
        .map((point) => [place(point), point.title, point.detail ?? '', point.state]),
    ),
    ...(findings.length > 0 ? [heading(3, 'Findings')] : []),
    ...table(['', 'code', 'where', 'what was found'], findings.map(findingRow)),
    ...(waivers.length > 0 ? [heading(3, 'Waivers of the configuration')] : []),
    ...table(
      ['waived', 'where', 'why', { right: 'met by this run' }],
      waivers.map(({ waived, database, reason, met }) => [
        waived,
        database === null ? 'everywhere' : `database ${database}`,
        reason ?? 'no reason given',
        met === null ? '' : integer(met),
      ]),
    ),
  ];
}

const findingRow = (finding: Finding): string[] => [
  finding.accepted ? 'waived' : finding.severity === 'block' ? 'blocks' : 'warning',
  finding.code,
  place(finding),
  finding.message,
];

const place = ({ side, database }: { readonly side: string; readonly database?: string | undefined }): string =>
  database === undefined ? side : `${side}, database ${database}`;

function configurationBlocks({ configuration }: Report): Block[] {
  return [
    heading(2, 'Configuration'),
    paragraph('As it was when this was written, without secrets; durations in milliseconds, sizes in bytes.'),
    ...table(
      ['key', 'value'],
      flattened(configuration).map(([key, value]) => [key, value]),
    ),
  ];
}

/** Leaves with their path; what is empty or not set has none. */
function flattened(value: object, path: readonly string[] = []): [string, string][] {
  return Object.entries(value).flatMap(([key, one]: [string, unknown]): [string, string][] => {
    const name = [...path, key];
    if (one === undefined) return [];
    if (typeof one === 'object' && one !== null && !Array.isArray(one)) return flattened(one, name);
    return [[name.join('.'), Array.isArray(one) ? one.map(textOf).join(', ') : textOf(one)]];
  });
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

function stageBlocks({ stages, cluster }: Report): Block[] {
  return [
    heading(2, 'Stages'),
    ...table(
      [{ right: '' }, 'stage', 'state', 'began', { right: 'took' }],
      stages.map(({ index, title, state, startedAt, milliseconds }) => [
        String(index + 1),
        title,
        state === 'waiting-approval' ? 'waits for approval' : state,
        when(startedAt),
        span(milliseconds),
      ]),
    ),
    ...(cluster.length > 0 ? [heading(2, 'The cluster'), ...stepBlocks(cluster)] : []),
  ];
}
