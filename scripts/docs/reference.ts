/** docs/reference.md: commands, workflows, operations, and which findings there are. */
import { isChanging } from '../../src/engine/in-one-job.ts';
import { planOf } from '../../src/engine/plan.ts';
import type { PlannedStep, Stage } from '../../src/engine/plan.ts';
import { optionsOf } from '../../src/engine/workflow.ts';
import type { Workflow } from '../../src/engine/workflow.ts';
import { buildProgram } from '../../src/cli/program.ts';
import { FINDINGS } from '../../src/operations/checks/findings.ts';
import { operations } from '../../src/operations/index.ts';
import { workflows } from '../../workflows/index.ts';
import { table } from './markdown.ts';

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
      `[\`${operation.name}\`](how-it-works.md#${operation.name})`,
      isChanging(operation) ? operation.title : `${operation.title} (only looks)`,
      operation.scope === 'cluster' ? 'once' : 'each database',
      operation.queue ?? 'operation',
      operation.undo ? 'yes' : '–',
    ]),
  );
}

const findingTable = (): string =>
  table(
    ['code', 'meaning'],
    FINDINGS.map(({ code, meaning }) => [`[\`${code}\`](findings.md#${code})`, meaning]),
  );

export const referencePage = async (): Promise<string> => `# Reference

Made by \`npm run docs\` from the program itself. The keys of the configuration are in [config.example.yaml](../config.example.yaml),
each with its meaning and default.

## Commands

\`pgconvoy COMMAND --help\` has options, examples and exit codes.

${await commands()}

## Workflows

What each command runs; a word in parentheses is an option of the run, without which the step is left out. Rows in one line are a lane: each database walks it at its own pace; the next line begins when all are through.

${workflowSections()}

## Operations

What each of them does, touches and takes back: [how-it-works.md](how-it-works.md#the-operations).

${operationTable()}

## Findings

What \`check\` and other looks can find. What to do: [findings.md](findings.md).

${findingTable()}
`;
