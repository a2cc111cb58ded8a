import { Command, Option } from 'commander';
import { approve } from './commands/approve.ts';
import { cancel } from './commands/cancel.ts';
import { check } from './commands/check.ts';
import { config } from './commands/config.ts';
import { ddl } from './commands/ddl.ts';
import { fix } from './commands/fix.ts';
import { logs } from './commands/logs.ts';
import { plan } from './commands/plan.ts';
import { resume } from './commands/resume.ts';
import { resync } from './commands/resync.ts';
import { retry } from './commands/retry.ts';
import { runs } from './commands/runs.ts';
import { setup } from './commands/setup.ts';
import { start } from './commands/start.ts';
import { status } from './commands/status.ts';
import { stop } from './commands/stop.ts';
import { uninstall } from './commands/uninstall.ts';
import { upgrade } from './commands/upgrade.ts';
import { worker } from './commands/worker.ts';
import { version } from './version.ts';

const EXIT_CODES = `
Exit codes:
  0  done, or nothing had to be done
  1  a step failed for good, or something unexpected happened
  2  wrong usage or configuration; nothing was touched
  3  the checks found something that blocks an upgrade
  4  a server or the queue cannot be reached, or refused us
  5  the run was cancelled
  6  the run waits for a person's approval`;

const collect = (value: string, before: readonly string[] | undefined): string[] => [...(before ?? []), value];

/** All commands with their options; nothing is run yet. */
export function buildProgram(): Command {
  const program = new Command('pgconvoy')
    .description(
      'Moves a whole PostgreSQL cluster to a newer major version while the applications keep writing.\n' +
        'The usual road: config, check, fix, setup, start, status, stop, uninstall; or upgrade, which does fix to stop in one run.',
    )
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .configureHelp({ showGlobalOptions: true, subcommandTerm: (each) => each.name() })
    .showHelpAfterError('Add --help to the command for its options, examples and exit codes.')
    .addHelpText('afterAll', EXIT_CODES);

  program
    .option('-c, --config <file>', 'configuration (else $PGCONVOY_CONFIG, else ./pgconvoy.yaml)')
    .option('--config-password-file <file>', 'password of an encrypted configuration (else $PGCONVOY_CONFIG_PASSWORD)')
    .option('--source <connection>', 'cluster to leave: a URL or key=value pairs, as psql takes them')
    .option('--target <connection>', 'cluster to move to')
    .option('--queue <url>', 'redis:// or rediss://; without any, a private redis-server is used')
    .addOption(
      new Option('--engine <engine>', 'how rows travel; auto: native from source 10 on').choices([
        'auto',
        'native',
        'pglogical',
      ]),
    )
    .option('--databases <pattern>', 'only these databases, with * and ?; may be repeated', collect)
    .option('--exclude <pattern>', 'not these databases; may be repeated', collect)
    .option('--json', 'print one JSON document')
    .option('--no-color', 'no colours (also: NO_COLOR)')
    .addOption(
      new Option('--log-level <level>', 'how much is logged').choices([
        'trace',
        'debug',
        'info',
        'warn',
        'error',
        'silent',
      ]),
    );

  // One line per command, in the order in which they are met.
  program.commandsGroup('The road:');
  for (const make of [config, check, fix, setup, start, status, stop, uninstall, upgrade]) add(program, make());
  program.commandsGroup('While rows stream:');
  for (const make of [ddl, resync]) add(program, make());
  program.commandsGroup('Steering a run:');
  program.helpCommand('help [command]', 'show help for a command');
  for (const make of [plan, approve, retry, cancel, resume, runs, logs, worker]) add(program, make());
  return program;
}

function add(program: Command, made: Command): void {
  program.addCommand(made.copyInheritedSettings(program));
}
