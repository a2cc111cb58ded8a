import type { Command } from 'commander';
import { ConfigError, errorText, ExitCode } from '../../errors.ts';
import { createDeliver } from '../../runtime/notifications/deliver.ts';
import { action, command } from '../command.ts';
import { configOf } from '../servers.ts';

export const notify = (): Command =>
  command({
    name: 'notify',
    summary: 'send a trial to the webhooks of the configuration',
    description:
      'Posts a trial message to each webhook of notifications.webhooks, or to the one that is named, from this machine, once, and says ' +
      'whether it has arrived. Workers post what happens by themselves.',
    examples: [
      ['pgconvoy notify', 'try all of them'],
      ['pgconvoy notify on-call', 'try one'],
    ],
  })
    .argument('[webhook]', 'name of one webhook')
    .action(
      action(async (invocation, named) => {
        const { terminal } = invocation;
        const { config } = await configOf(invocation);
        const all = config.notifications.webhooks.map(({ name }) => name);
        const names = named === undefined ? all : all.filter((name) => name === named);
        if (names.length === 0) throw nothingToTry(named, all);
        const deliver = createDeliver(config.notifications);
        const told = await Promise.all(names.map(async (name) => ({ name, ...(await trial(deliver, name)) })));
        const { style } = terminal;
        for (const { name, error } of told)
          terminal.print(error === undefined ? `${style.green('✓')} ${name}` : `${style.red('✗')} ${error}`);
        const code = told.every(({ ok }) => ok) ? ExitCode.ok : ExitCode.failed;
        terminal.document({ ok: code === ExitCode.ok, code, webhooks: told });
        return code;
      }),
    );

async function trial(deliver: ReturnType<typeof createDeliver>, name: string) {
  const at = Date.now();
  const what = 'a trial: notifications arrive here';
  const notice = { id: `trial.${at}`, event: 'trial' as const, what, next: 'Nothing is to be done.', at };
  return deliver(name, { id: notice.id, notices: [notice] }, new AbortController().signal).then(
    () => ({ ok: true as const, error: undefined }),
    (error: unknown) => ({ ok: false as const, error: errorText(error) }),
  );
}

const nothingToTry = (named: string | undefined, all: readonly string[]): ConfigError =>
  new ConfigError(
    named === undefined ? 'no webhook is configured' : `notifications.webhooks has none that is named "${named}"`,
    { hint: all.length === 0 ? 'See notifications in config.example.yaml.' : `There are ${all.join(', ')}.` },
  );
