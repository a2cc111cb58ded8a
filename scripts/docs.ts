/**
 * npm run docs [-- --check]
 * Writes docs/reference.md from the program itself: commands, workflows, operations, findings. With --check it only compares, so
 * that CI sees a page that has fallen behind.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { planOf } from '../src/engine/plan.ts';
import type { PlannedStep, Stage } from '../src/engine/plan.ts';
import { optionsOf } from '../src/engine/workflow.ts';
import type { Workflow } from '../src/engine/workflow.ts';
import { buildProgram } from '../src/cli/program.ts';
import { FINDINGS } from '../src/operations/checks/findings.ts';
import { operations } from '../src/operations/index.ts';
import { workflows } from '../workflows/index.ts';

const PAGE = join(import.meta.dirname, '..', 'docs', 'reference.md');

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows].map((row) => `| ${row.map(cell).join(' | ')} |`).join('\n');

async function commands(): Promise<string> {
  return table(
    ['command', 'what it does'],
    (await buildProgram()).commands.map((command) => [
      `\`pgconvoy ${command.name()}\``,
      command.summary() || command.description(),
    ]),
  );
}

function stageLine(stage: Stage): string {
  if (stage.kind === 'gate') return `${stage.index + 1}. a person's approval: ${stage.title}`;
  const who = stage.kind === 'cluster' ? 'once' : 'each database';
  return `${stage.index + 1}. ${who}: ${stage.steps.map(stepText).join(' → ')} (*${stage.title}*)`;
}

/** Whatever may be configured; in which direction a workflow goes is its own. */
const everyOption = (workflow: Workflow) => ({
  ...Object.fromEntries([...optionsOf(workflow)].map((name) => [name, true])),
  back: false,
  ...workflow.options,
});

const stepText = ({ key, policy }: PlannedStep): string =>
  policy.when === undefined ? `\`${key}\`` : `\`${key}\` (${[policy.when].flat().join(', ')})`;

function workflowSections(): string {
  return Object.values(workflows)
    .map(
      (workflow) =>
        `### ${workflow.name}\n\n${workflow.title}.\n\n${planOf(workflow, [], everyOption(workflow)).stages.map(stageLine).join('\n')}`,
    )
    .join('\n\n');
}

function operationTable(): string {
  return table(
    ['operation', 'what holds afterwards', 'runs', 'queue', 'can be taken back'],
    [...operations.values()].map((operation) => [
      `\`${operation.name}\``,
      operation.apply ? operation.title : `${operation.title} (only looks)`,
      operation.scope === 'cluster' ? 'once' : 'each database',
      operation.queue ?? 'operation',
      operation.undo ? 'yes' : '–',
    ]),
  );
}

function findingTable(): string {
  return table(
    ['code', 'meaning', 'remedy'],
    FINDINGS.map((finding) => [`\`${finding.code}\``, finding.meaning, finding.remedy]),
  );
}

const page = `# Reference

Made by \`npm run docs\` from the program itself. The keys of the configuration are in [config.example.yaml](../config.example.yaml),
each with its meaning and default.

## Commands

\`pgconvoy COMMAND --help\` has options, examples and exit codes.

${await commands()}

## Workflows

What each command runs; a word in parentheses is an option of the run, without which the step is left out. Rows in one line are a lane: each database walks it at its own pace; the next line begins when all are through.

${workflowSections()}

## Operations

${operationTable()}

## Findings

What \`check\` can find. A code in \`accept:\` of the configuration no longer blocks; it stays visible as a warning.

${findingTable()}
`;

if (process.argv.includes('--check')) {
  if (readFileSync(PAGE, 'utf8') !== page) {
    console.error('docs/reference.md has fallen behind the program: run npm run docs and commit it.');
    process.exitCode = 1;
  }
} else {
  mkdirSync(join(PAGE, '..'), { recursive: true });
  writeFileSync(PAGE, page);
}
