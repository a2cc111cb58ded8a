/** A worker in a process of its own, to be killed: `worker-process URL PREFIX PLACE`. Says `ready` when it listens. */
import { openWorld, threeSteps } from './world.ts';

const [url = '', prefix = '', place = ''] = process.argv.slice(2);
const world = await openWorld({ url, prefix, place: JSON.parse(place) });
const workers = await world.work(threeSteps(world), { name: `process-${process.pid}` });
process.on('SIGTERM', () => {
  void workers.stop().then(async () => {
    await world[Symbol.asyncDispose]();
    process.exit(0);
  });
});
console.log('ready');
