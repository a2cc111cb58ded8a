/**
 * npm run demo [-- --databases N] [-- --engine pglogical] [-- --keep]
 * A whole upgrade on real servers while applications write, from nothing to the proof that nothing was lost.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { padEnd, widthOf } from '../src/cli/render/text.ts';
import { pictureCatalog } from '../test/helpers/workload/catalog.ts';
import { createWorkload } from '../test/helpers/workload/create.ts';
import { workloadDatabases } from '../test/helpers/workload/databases/index.ts';
import { startWriters } from '../test/helpers/workload/writers.ts';
import type { Writers } from '../test/helpers/workload/writers.ts';
import type { WorkloadDatabase } from '../test/helpers/workload/workload.ts';
import { join } from 'node:path';
import { Commands, outagesIn } from './demo/commands.ts';
import { HELP, readOptions } from './demo/options.ts';
import type { DemoOptions } from './demo/options.ts';
import { prove } from './demo/proof.ts';
import { count, failure, heading, line, seconds, verdicts } from './demo/say.ts';
import { endPrivateQueue, keepUp, majorsOf, openWorld, sizeOf } from './demo/world.ts';
import type { World } from './demo/world.ts';
import { setUpKit } from './kit/setup.ts';

try {
  const options = readOptions(process.argv.slice(2));
  if (options.help) console.log(HELP);
  else process.exit((await demo(options)) ? 0 : 1);
} catch (error) {
  failure((error as Error).message);
  process.exit(1);
}

async function demo(options: DemoOptions): Promise<boolean> {
  heading('Servers of two majors');
  await setUpKit('demo', majorsOf(options.engine));
  const world = await openWorld(options.engine);
  const commands = await Commands.open(world);
  const { source, target } = world;
  line(
    `source: PostgreSQL ${source.version}, port ${source.port}; target: PostgreSQL ${target.version}, port ${target.port}`,
  );
  line(`pgconvoy.yaml names both; no queue is configured, so pgconvoy brings its own`);
  let holds = false;
  try {
    holds = await upgrade(world, commands, workloadDatabases(source.major, options.databases, options.engine));
  } catch (error) {
    failure((error as Error).message);
  }
  if (options.keep) {
    heading('Look around');
    await keepUp(world, commands.program);
  }
  return holds;
}

async function upgrade(world: World, commands: Commands, databases: readonly WorkloadDatabase[]): Promise<boolean> {
  const { source, target } = world;

  heading(`${databases.length} databases with data`);
  await createWorkload(source, databases);
  const width = Math.max(...databases.map(({ name }) => widthOf(name)));
  for (const { name, about } of distinct(databases)) line(`${padEnd(name, width)}  ${about}`);
  line(`${count(await sizeOf(source))} MB in all`);
  const before = { source: await pictureCatalog(source), target: await pictureCatalog(target) };

  heading('Applications that write, from now on until the end');
  await using writers = startWriters({
    source,
    target,
    databases,
    journalFile: join(world.folder, 'writes.jsonl'),
    // A few hundred writes a second in all.
    pauseMs: Math.max(20, databases.length),
  });
  await writers.everywhere();
  line('each inserts, updates and deletes over a connection of its own and notes what was acknowledged');
  tally(writers);

  heading('What would an upgrade do?');
  await commands.run(['plan'], 0);
  heading('Is anything in the way?');
  await commands.run(['check'], 3);
  heading('Mend it: every table gets a replica identity');
  await commands.run(world.engine === 'native' ? ['fix'] : ['fix', '--yes'], 0);
  heading('Is anything in the way now?');
  await commands.run(['check'], 0);
  heading('Upgrade, up to the point where a person decides');
  await commands.run(['upgrade'], 6);
  tally(writers);
  const { id } = await commands.latest('upgrade');
  heading('Look at it');
  await commands.run(['status', id], 6);
  heading('The person says yes: the cutover');
  await commands.run(['approve', id], 0);
  await commands.run(['status', id, '--watch'], 0);
  await writers.onTarget(databases.length);
  line('');
  line('every application writes on the target now');
  const measured = outagesIn(await commands.latest('upgrade'));

  heading('The same once more: nothing is left to do');
  await commands.run(['upgrade', '--yes'], 0);

  heading('Take pgconvoy away, and open the old cluster again');
  await commands.run(['uninstall', '--open-source'], 0);
  await sleep(1_000);
  tally(writers);
  const journal = await writers.stop();
  await endPrivateQueue(world);

  heading('The proof');
  line("by code that is not pgconvoy's, from the record of the applications");
  const proved = await prove({ world, databases, journal, before, measured });
  line('');
  verdicts(proved);
  const holds = proved.every((verdict) => verdict.holds);
  line('');
  line(
    `${holds ? 'Everything holds' : 'Not everything holds'}: ${databases.length} databases, PostgreSQL ${source.version} → ${target.version}, ${seconds()} s in all`,
  );
  return holds;
}

function tally(writers: Writers): void {
  const { writes = 0, errors = 0, onTarget = 0 } = writers.report ?? {};
  line(
    `applications: ${count(writes)} transactions acknowledged, ${errors} errors; ${onTarget} have moved to the target`,
  );
}

/** The first of those that are alike speaks for all. */
function distinct(databases: readonly WorkloadDatabase[]): WorkloadDatabase[] {
  const seen = new Set<string>();
  return databases.filter(({ about }) => seen.size !== seen.add(about).size);
}
