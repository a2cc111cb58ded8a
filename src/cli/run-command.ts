import type { Command } from 'commander';
import type { RunOptions } from '../engine/workflow.ts';
import { action, command } from './command.ts';
import type { CommandText } from './command.ts';
import { startRun } from './start-run.ts';
import type { SelectedForRun, StartRequest } from './start-run.ts';
import type { Terminal } from './render/terminal.ts';
import type { Servers } from './servers.ts';

interface StartOptions {
  readonly detach?: boolean;
  readonly yes?: boolean;
}

interface RunCommand<O extends object> extends CommandText {
  /** Options of this command alone. */
  readonly options?: (made: Command) => Command;
  /** The workflow to run; the command's own name unless said otherwise. */
  readonly workflow?: (options: O) => string;
  readonly runOptions?: (options: O) => RunOptions;
  /** What is asked before anything is started, where something needs a person's word; `databases` is "12 databases". */
  readonly confirm?: (databases: string, options: O) => string | undefined;
  /** What is shown before it begins, and asked then. */
  readonly preview?: StartRequest['preview'];
  /** How databases are selected, where it is not by meeting both servers; gets the command's own words. */
  readonly select?: (servers: Servers, terminal: Terminal, word: string | undefined) => Promise<SelectedForRun>;
  /** The workflow has an approval in the middle, which --yes gives. */
  readonly approves?: boolean;
}

/** A command that starts a run and follows it. */
export function runCommand<O extends object = {}>(definition: RunCommand<O>): Command {
  const made = command(definition).option('-d, --detach', 'print the id of the run and return at once');
  if (definition.confirm || (definition.preview && !definition.approves)) made.option('-y, --yes', 'do not ask');
  if (definition.approves) made.option('-y, --yes', 'approve by itself');
  definition.options?.(made);
  return made.action(
    action<O & StartOptions>(async (invocation, word) => {
      const { options, terminal } = invocation;
      const { select } = definition;
      return startRun(invocation, {
        workflow: definition.workflow?.(options) ?? definition.name,
        options: definition.runOptions?.(options) ?? {},
        question: definition.confirm && ((databases) => definition.confirm?.(databases, options)),
        preview: definition.preview,
        select: select && ((servers) => select(servers, terminal, word)),
        detach: options.detach === true,
        yes: options.yes === true,
      });
    }),
  );
}
