import { portOf } from '../../config/connection-string.ts';
import { variable } from '../../config/environment.ts';
import type { ConfigInput } from '../../config/schema.ts';
import { PgconvoyError } from '../../errors.ts';
import { notEmpty } from '../config-password.ts';
import { failureOf } from '../render/error.ts';
import type { Prompts } from '../render/prompts.ts';
import { plural } from '../render/text.ts';
import type { Given } from './given.ts';
import { tryQueue, tryServer, tryTogether } from './try-out.ts';
import type { MetQueue, MetServer, Place, ServerInput, Side } from './try-out.ts';

export interface Answered {
  readonly config: ConfigInput;
  readonly source: MetServer;
  readonly target: MetServer;
  readonly queue: MetQueue;
}

const HEADINGS = { source: 'The cluster to leave (source)', target: 'The cluster to move to (target)' } as const;

/**
 * Asks for everything a configuration needs, and tries each answer before it goes on. What the command line has said is tried before
 * it is asked for.
 */
export async function askConfig(prompts: Prompts, given: Given, place: Place): Promise<Answered> {
  const { source, target } = await askServers(prompts, given, place);
  const fromTarget = await askFromTarget(prompts, source, target);
  const servers: ConfigInput = {
    source: { ...source.input, ...(fromTarget ? { fromTarget } : {}) },
    target: target.input,
    ...given.others,
  };
  const { config, queue } = await askQueue(prompts, servers, given, place);
  return { config, source, target, queue };
}

async function askServers(prompts: Prompts, given: Given, place: Place): Promise<Pick<Answered, Side>> {
  let source = await askServer(prompts, 'source', given.source, given.source === undefined, place);
  let target = await askServer(prompts, 'target', given.target, given.target === undefined, place);
  for (;;) {
    const both: ConfigInput = { source: source.input, target: target.input, ...given.others };
    const warnings = await attempt(prompts, () => tryTogether(both, place));
    if (warnings) {
      for (const warning of warnings) prompts.warn(warning);
      return { source, target };
    }
    const wrong = await prompts.choose<Side>(
      'Which of the two shall be corrected?',
      [
        { value: 'source', label: HEADINGS.source },
        { value: 'target', label: HEADINGS.target },
      ],
      'target',
    );
    if (wrong === 'source') source = await askServer(prompts, 'source', source.input, true, place);
    else target = await askServer(prompts, 'target', target.input, true, place);
  }
}

async function askServer(
  prompts: Prompts,
  side: Side,
  before: ServerInput | undefined,
  ask: boolean,
  place: Place,
): Promise<MetServer> {
  prompts.heading(HEADINGS[side]);
  let answers = ask ? await serverQuestions(prompts, before ?? {}, place) : (before ?? {});
  for (;;) {
    const said = answers;
    const met = await attempt(prompts, () => tryServer(side, said, place));
    if (met) {
      prompts.good(`Connected: PostgreSQL ${met.version}, ${plural(met.databases, 'database')}, ${whoWeAre(met)}`);
      if (!met.superuser) {
        prompts.warn(
          `${met.input.user} is no superuser: roles with their passwords and the settings of databases cannot be read or written. check will say so.`,
        );
      }
      return met;
    }
    answers = await serverQuestions(prompts, answers, place);
  }
}

const whoWeAre = ({ input, superuser }: MetServer): string =>
  `${input.user} is ${superuser ? 'a superuser' : 'no superuser'}`;

async function serverQuestions(prompts: Prompts, before: ServerInput, { env }: Place): Promise<ServerInput> {
  const host = await prompts.text({
    message: 'Host name, address, or folder of a unix socket',
    initial: before.host ?? 'localhost',
  });
  const port = await prompts.text({ message: 'Port', initial: String(before.port ?? 5432), wrong: wrongPort });
  const database = await prompts.text({ message: 'Maintenance database', initial: before.database ?? 'postgres' });
  const user = await prompts.text({
    message: 'User, a superuser',
    initial: before.user ?? variable(env, 'PGUSER') ?? 'postgres',
    wrong: notEmpty,
  });
  const password = await prompts.secret('Password (nothing: PGPASSWORD, .pgpass, or none is needed)');
  const { password: _, ...kept } = before;
  return { ...kept, host, port: portOf(port), database, user, ...(password === '' ? {} : { password }) };
}

function wrongPort(answer: string): string | undefined {
  try {
    portOf(answer);
    return undefined;
  } catch {
    return 'a number from 1 to 65535';
  }
}

type FromTarget = NonNullable<NonNullable<ConfigInput['source']>['fromTarget']>;

const isLocal = (host: string): boolean => /^(\/|localhost$|127\.|::1$)/.test(host);

async function askFromTarget(
  prompts: Prompts,
  { input: source }: MetServer,
  { input: target }: MetServer,
): Promise<FromTarget | undefined> {
  prompts.heading('How the target reaches the source');
  const same = await prompts.confirm(
    `The server of the target connects to the source: at ${source.host}, port ${source.port}, as this machine does?`,
    !isLocal(source.host) || isLocal(target.host),
  );
  if (same) return undefined;
  const host = await prompts.text({
    message: 'Host name or address of the source, seen from the target',
    wrong: notEmpty,
  });
  const port = await prompts.text({ message: 'Port', initial: String(source.port), wrong: wrongPort });
  prompts.warn('This machine cannot try that way; pgconvoy check does, from the target.');
  return { host, port: portOf(port) };
}

async function askQueue(
  prompts: Prompts,
  servers: ConfigInput,
  given: Given,
  place: Place,
): Promise<Pick<Answered, 'config' | 'queue'>> {
  prompts.heading('Where jobs are kept (queue)');
  let config: ConfigInput = { ...servers, ...(given.queue ? { queue: given.queue } : await queueQuestions(prompts)) };
  for (;;) {
    const tried = config;
    const queue = await attempt(prompts, () => tryQueue(tried, place));
    if (queue) {
      prompts.good(
        `${queue.address === undefined ? 'A private redis-server works here' : `Connected: ${queue.address}`}`,
      );
      for (const warning of queue.warnings) prompts.warn(warning);
      return { config, queue };
    }
    config = { ...servers, ...(await queueQuestions(prompts)) };
  }
}

async function queueQuestions(prompts: Prompts): Promise<Pick<ConfigInput, 'queue' | 'state'>> {
  const kind = await prompts.choose<'private' | 'own' | 'postgres'>(
    'Which queue?',
    [
      { value: 'private', label: 'A private redis-server on this machine', hint: 'started and stopped by pgconvoy' },
      { value: 'own', label: 'A Redis or Valkey server of yours', hint: 'workers on any number of machines' },
      {
        value: 'postgres',
        label: 'A PostgreSQL server (13 or later) that is not being upgraded',
        hint: 'no Redis; workers on any number of machines',
      },
    ],
    'private',
  );
  if (kind === 'private') {
    const state = await prompts.text({
      message: 'Folder for its state and logs (nothing: the usual one, ~/.local/state/pgconvoy)',
    });
    return state === '' ? {} : { state };
  }
  const initial = kind === 'postgres' ? 'postgres://user@host:5432/postgres' : 'redis://localhost:6379';
  const url = await prompts.text({ message: 'Address', initial });
  const password = await prompts.secret('Password (nothing: none is needed)');
  return { queue: { url, ...(password === '' ? {} : { password }) } };
}

/** What a person can correct is told, and undefined returned. */
async function attempt<T>(prompts: Prompts, body: () => Promise<T>): Promise<T | undefined> {
  try {
    return await body();
  } catch (error) {
    if (!(error instanceof PgconvoyError)) throw error;
    const { message, hint } = failureOf(error);
    prompts.bad(`${message}\n→ ${hint}`);
    return undefined;
  }
}
