import express from 'express';
import type { Router } from 'express';
import * as z from 'zod';
import { approveRun, cancelRun, resumeRun, retrySteps } from '../../queue/control.ts';
import type { RetryResult, Steering } from '../../queue/control.ts';
import type { Queues } from '../../queue/queues.ts';
import { readRun } from '../../queue/read-run.ts';
import { refuse } from '../refuse.ts';
import { whoAsks } from '../who.ts';

const Retry = z.strictObject({ database: z.string().optional(), step: z.string().optional() });
/** The gate that the person has seen: another one is not approved by mistake. */
const Approve = z.strictObject({ stage: z.int() });

/** What a person may do to a run from its page, by the code of the commands of the same names. */
export function steerRoutes(queues: Queues, steering: Steering): Router {
  const routes = express.Router();
  routes.use(express.json({ limit: '10kb' }));

  routes.post('/:run/retry', async (request, response) => {
    const { database, step } = Retry.safeParse(request.body).data ?? {};
    const { run } = request.params;
    const filter = { ...(database === undefined ? {} : { database }), ...(step === undefined ? {} : { step }) };
    response.json({ said: triedAgain(await retrySteps(queues, run, steering, filter)) });
  });

  routes.post('/:run/approve', async (request, response) => {
    const { run } = request.params;
    const seen = Approve.safeParse(request.body).data?.stage;
    const waits = (await readRun(queues, run)).stages.find(({ state }) => state === 'waiting-approval');
    if (waits && waits.index !== seen)
      return refuse(response, 409, `Not done: the run now waits for another approval, "${waits.title}".`);
    const { title } = await approveRun(queues, run, whoAsks(response, steering.by));
    return void response.json({ said: `Approved: ${title}` });
  });

  routes.post('/:run/cancel', async (request, response) => {
    const by = whoAsks(response, steering.by);
    const { already, stopping } = await cancelRun(queues, request.params.run, { ...steering, by });
    const said = already === undefined ? 'Cancelled.' : `It was cancelled before, by ${already}.`;
    response.json({
      said: stopping.length === 0 ? said : `${said} Steps in work are being stopped: ${stopping.length}.`,
    });
  });

  routes.post('/:run/resume', async (request, response) => {
    const by = whoAsks(response, steering.by);
    response.json({ said: triedAgain(await resumeRun(queues, request.params.run, { ...steering, by })) });
  });
  return routes;
}

function triedAgain({ retried, restored, run }: RetryResult): string {
  const steps = retried.length + restored.length;
  if (steps === 0) return run ? 'The run goes on.' : 'Nothing had failed.';
  return steps === 1 ? 'One step is tried again.' : `${steps} steps are tried again.`;
}
