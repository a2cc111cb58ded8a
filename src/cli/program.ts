import { Command, Option } from 'commander';
import { version } from '../runtime/version.ts';

type Commands = Readonly<Record<string, () => Promise<Command>>>;
/** Each is loaded when it is asked for: what commands need to do their work is large. In the order in which they are met. */
const ROAD: Commands = {
  config: async () => (await import('./commands/config.ts')).config(),
  check: async () => (await import('./commands/check.ts')).check(),
  fix: async () => (await import('./commands/fix.ts')).fix(),
  setup: async () => (await import('./commands/setup.ts')).setup(),
  start: async () => (await import('./commands/start.ts')).start(),
  status: async () => (await import('./commands/status.ts')).status(),
  rehearse: async () => (await import('./commands/rehearse.ts')).rehearse(),
  stop: async () => (await import('./commands/stop.ts')).stop(),
  rollback: async () => (await import('./commands/rollback.ts')).rollback(),
  finish: async () => (await import('./commands/finish.ts')).finish(),
  uninstall: async () => (await import('./commands/uninstall.ts')).uninstall(),
  upgrade: async () => (await import('./commands/upgrade.ts')).upgrade(),
};
const STREAMING: Commands = {
  compare: async () => (await import('./commands/compare.ts')).compare(),
  ddl: async () => (await import('./commands/ddl.ts')).ddl(),
  resync: async () => (await import('./commands/resync.ts')).resync(),
};
const STEERING: Commands = {
  plan: async () => (await import('./commands/plan.ts')).plan(),
  approve: async () => (await import('./commands/approve.ts')).approve(),
  retry: async () => (await import('./commands/retry.ts')).retry(),
  cancel: async () => (await import('./commands/cancel.ts')).cancel(),
  resume: async () => (await import('./commands/resume.ts')).resume(),
  runs: async () => (await import('./commands/runs.ts')).runs(),
  logs: async () => (await import('./commands/logs.ts')).logs(),
  report: async () => (await import('./commands/report.ts')).report(),
  notify: async () => (await import('./commands/notify.ts')).notify(),
  board: async () => (await import('./commands/board.ts')).board(),
  worker: async () => (await import('./commands/worker.ts')).worker(),
};

const EXIT_CODES = `
Exit codes:
  0  done, or nothing had to be done
  1  a step failed for good, or something unexpected happened
  2  wrong usage or configuration; nothing was touched
  3  the checks found something that blocks an upgrade, or rows differ
  4  a server or the queue cannot be reached, or refused us
  5  the run was cancelled
  6  the run waits for a person's approval`;

const collect = (value: string, before: readonly string[] | undefined): string[] => [...(before ?? []), value];

/** The commands with their options; nothing is run yet. Those that `words` (what the person typed) name, or all where it names none. */
export async function buildProgram(words: readonly string[] = []): Promise<Command> {
  const program = new Command('pgconvoy')
    .description(
      'Moves a whole PostgreSQL cluster to a newer major version while the applications keep writing.\n' +
        'The usual road: config, check, fix, setup, start, status, rehearse, stop, uninstall; or upgrade, which does fix to stop in one run.',
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
    .option('--queue <url>', 'redis://, rediss:// or postgres://; without any, a private redis-server is used')
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

  program.commandsGroup('The road:');
  await add(program, ROAD, words);
  program.commandsGroup('While rows stream:');
  await add(program, STREAMING, words);
  program.commandsGroup('Steering a run:');
  program.helpCommand('help [command]', 'show help for a command');
  await add(program, STEERING, words);
  return program;
}

const EVERY: Commands = { ...ROAD, ...STREAMING, ...STEERING };

async function add(program: Command, commands: Commands, words: readonly string[]): Promise<void> {
  const isAll = !words.some((word) => Object.hasOwn(EVERY, word));
  for (const [name, load] of Object.entries(commands)) {
    if (isAll || words.includes(name)) program.addCommand((await load()).copyInheritedSettings(program));
  }
}
