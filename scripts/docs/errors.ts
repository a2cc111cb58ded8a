/** docs/errors.md: exit codes, what a job does with an error, SQLSTATEs, and every message. */
import { ExitCode } from '../../src/errors.ts';
import type { Disposition } from '../../src/errors.ts';
import { RULES } from '../../src/postgres/errors.ts';
import { table } from './markdown.ts';
import { thrownErrors } from './thrown.ts';
import type { Thrown } from './thrown.ts';

const EXIT_CODES: Readonly<Record<keyof typeof ExitCode, readonly [meaning: string, next: string]>> = {
  ok: ['Done, or nothing had to be done.', 'The next command.'],
  failed: [
    'A step failed for good, or something unexpected happened. Other databases go on.',
    '`pgconvoy status` says which step, why, and what to do. Then `pgconvoy retry`.',
  ],
  usage: [
    'The command line or the configuration is wrong, or what was asked for does not fit the state of the run. Nothing was touched.',
    'Correct it and run the command again.',
  ],
  findings: [
    'The checks found something that blocks an upgrade, or a comparison found rows that differ.',
    'Each finding has its remedy: [findings.md](findings.md). Mend it, run the command again.',
  ],
  unreachable: [
    'A server or the queue could not be reached, or refused us.',
    'See that it is up, and what the message says. Then the same command, or `pgconvoy retry`.',
  ],
  cancelled: [
    'The run was cancelled. What was done stays done; what was fenced and not decided was given back.',
    '`pgconvoy resume` goes on with it.',
  ],
  waiting: ["The run waits for a person's approval.", '`pgconvoy approve`, or `pgconvoy cancel`.'],
};

const DISPOSITIONS: Readonly<Record<Disposition, readonly [who: string, what: string]>> = {
  retry: [
    'The cause may pass by itself: a connection lost, a deadlock.',
    'It is tried again after 1 s, then later and later, up to 30 s. After five attempts (some steps have twenty) it has failed.',
  ],
  wait: [
    'Somebody holds what is needed: a lock, a slot.',
    'It is asked again until `deadlines.lock`. That uses up no attempt. Then it has failed.',
  ],
  'give-up': ['Trying again cannot help before a person does something.', 'It has failed at once.'],
};

/** Where an error comes from, in the words of who meets it. Others keep the name of their folder. */
const AREAS: Readonly<Record<string, string>> = {
  board: 'The board',
  cli: 'Commands',
  config: 'The configuration',
  queue: 'The queue and its runs',
  runtime: 'Servers and processes',
  postgres: 'PostgreSQL, PgBouncer and the client tools',
  replication: 'The engines',
  engine: 'Any step',
  checks: 'The checks',
};

const BY: Readonly<Record<string, string>> = { retry: 'again', wait: 'waits', 'give-up': 'fails' };

const codeOf = (exit: string): string => String(ExitCode[exit as keyof typeof ExitCode]);

const row = ({ message, disposition, exit, hint }: Thrown): string[] => [
  message,
  `${BY[disposition]}, ${codeOf(exit)}`,
  hint === '' || hint === '…' ? 'What stands behind the arrow.' : hint,
];

function messages(): string {
  const all = thrownErrors();
  return [...new Set(all.map(({ area }) => area))]
    .map((area) => [AREAS[area] ?? `Steps: ${area}`, all.filter((thrown) => thrown.area === area)] as const)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([title, thrown]) => `### ${title}\n\n${table(['message', 'then', 'what to do'], thrown.map(row))}`)
    .join('\n\n');
}

export const errorsPage = (): string => `# Errors and exit codes

Made by \`npm run docs\` from the program itself.

An error tells three things: what happened and where (side, database, object), why, and, behind an arrow, what to do next. In \`pgconvoy status\`,
\`pgconvoy logs\` and the board it stands as it was thrown.

## Exit codes

${table(
  ['code', 'meaning', 'next'],
  Object.entries(EXIT_CODES).map(([name, texts]) => [codeOf(name), ...texts]),
)}

Where databases failed for different reasons the code is 1. A command that was left by Ctrl-C ends by that signal; its run goes on.

## What a job does with an error

${table(
  ['', 'when', 'what happens'],
  Object.entries(DISPOSITIONS).map(([name, texts]) => [`\`${name}\``, ...texts]),
)}

A step that has failed holds up its own database alone, until \`pgconvoy retry\`. Behind a fence the database is given back to the applications
first ([cutover.md](cutover.md#what-happens-when)).

## What PostgreSQL refuses

Each SQLSTATE, or the class that it begins with; the longest one counts.
The [appendix of PostgreSQL's documentation](https://www.postgresql.org/docs/current/errcodes-appendix.html) names them all.

${table(
  ['SQLSTATE', 'then', 'what to do'],
  Object.entries(RULES)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([code, { disposition, hint }]) => [`\`${code}\``, BY[disposition] ?? disposition, hint]),
)}

Any other one fails at once: see the server's log, mend the cause, retry the step.

## Messages

\`…\` stands for a name or a value; where a message has several forms they are divided by \`/\`. *Then*: \`again\`, \`waits\` and \`fails\` are the three ways above; the number
is the exit code of a run that ends with it.

${messages()}
`;
