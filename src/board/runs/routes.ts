import { join } from 'node:path';
import express from 'express';
import type { ErrorRequestHandler, RequestHandler, Response, Router } from 'express';
import { ExitCode, PgconvoyError, UnreachableError, errorText } from '../../errors.ts';
import type { Steering } from '../../queue/control.ts';
import type { Queues } from '../../queue/queues.ts';
import type { BoardConfig } from '../authentication.ts';
import { refuse } from '../refuse.ts';
import type { ClusterHistory } from './cluster-history.ts';
import { sendEvents } from './events.ts';
import { pageFile, PAGES } from './page-file.ts';
import { steerRoutes } from './steer.ts';
import { createWatches } from './watches.ts';

export interface RunRoutesRequest {
  readonly config: BoardConfig;
  readonly queues: Queues;
  readonly steering: Steering;
  readonly history: ClusterHistory;
  /** Refuses while the queue is away. */
  readonly onlyWithQueue: RequestHandler;
}

/** The list of runs and the page of each of them, what they show, and what they may do. */
export function runRoutes({ config, queues, steering, history, onlyWithQueue }: RunRoutesRequest): Router {
  const routes = express.Router();
  const watches = createWatches(queues, history);
  const [listPage, runPage] = [pageFile('runs.html', config.basePath), pageFile('run.html', config.basePath)];
  const html = (response: Response, text: string) => response.type('html').send(text);

  // Small, and asked for again only when they have changed.
  routes.use(
    '/assets',
    express.static(join(PAGES, 'assets'), { index: false, cacheControl: false, setHeaders: revalidate }),
  );
  routes.get('/runs', (_request, response) => void html(response, listPage));
  routes.get('/runs/events', (request, response) => sendEvents(request, response, [watches.list]));
  routes.get('/runs/:run', (_request, response) => void html(response, runPage));
  routes.get('/runs/:run/events', (request, response) =>
    sendEvents(request, response, [watches.run(request.params.run), watches.clusters]),
  );
  routes.use('/runs/:run/lane', onlyWithQueue);
  routes.get('/runs/:run/lane', async (request, response) => {
    const { database } = request.query;
    const lane = await watches.lane(request.params.run, typeof database === 'string' ? database : null);
    if (lane) return void response.json(lane);
    return refuse(response, 404, 'This run has no such database.');
  });
  routes.use('/runs', onlyWithQueue, steerRoutes(queues, steering));
  routes.use('/runs', told);
  return routes;
}

const revalidate = (response: Response) => void response.set('Cache-Control', 'no-cache');

/** What a person can cause is said as the command line says it. */
const told: ErrorRequestHandler = (error: unknown, _request, response, next) => {
  if (!(error instanceof PgconvoyError)) return next(error);
  const status = error instanceof UnreachableError ? 503 : error.exitCode === ExitCode.usage ? 409 : 500;
  return refuse(response, status, errorText(error));
};
