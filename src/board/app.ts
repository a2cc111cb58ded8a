import { createBullBoard } from '@bull-board/api';
import { ExpressAdapter } from '@bull-board/express';
import express from 'express';
import type { ErrorRequestHandler, Express, RequestHandler, Router } from 'express';
import type { Logger } from '../log.ts';
import { readLag } from '../queue/lag-record.ts';
import { answers, inTime } from '../queue/store.ts';
import type { Retrying, Steering } from '../queue/control.ts';
import { QUEUES } from '../queue/queues.ts';
import type { Queues } from '../queue/queues.ts';
import { authentication } from './authentication.ts';
import type { BoardConfig } from './authentication.ts';
import { createMetrics } from './metrics.ts';
import type { ReadClusters } from './metrics.ts';
import { policy } from './policy.ts';
import { refuse } from './refuse.ts';
import { ClusterHistory } from './runs/cluster-history.ts';
import { runRoutes } from './runs/routes.ts';
import { sameOrigin } from './same-origin.ts';
import { securityHeaders } from './security-headers.ts';
import { SteeredQueue } from './steered-queue.ts';

export interface BoardRequest {
  readonly config: BoardConfig;
  readonly queues: Queues;
  /** As for the commands that steer runs; `by` is who runs the board. */
  readonly steering: Steering;
  readonly readClusters: ReadClusters;
  readonly log: Logger;
}

const PATIENCE_MS = 2_000;

/** Everything that the board answers, in the order in which a request meets it. */
export function boardApp({ config, queues, steering, readClusters, log }: BoardRequest): Express {
  const app = express();
  app.disable('x-powered-by');
  // Whoever ends TLS for us stands on this machine or in this network; what others claim does not count.
  app.set('trust proxy', ['loopback', 'linklocal', 'uniquelocal']);
  app.use(securityHeaders);
  const history = new ClusterHistory(readClusters, () => inTime(readLag(queues), PATIENCE_MS));
  const metrics = createMetrics(queues, history.read);
  const routes = express.Router();
  routes.get('/healthz', (_request, response) => void response.json({ ok: true }));
  routes.get('/readyz', readiness(queues));
  routes.use(authentication(config), sameOrigin(config.basePath));
  routes.get('/metrics', async (_request, response) => {
    const text = await metrics.text();
    response.set('Content-Type', metrics.contentType).end(text);
  });
  const reachable = onlyWithQueue(queues);
  routes.use(runRoutes({ config, queues, steering, history, onlyWithQueue: reachable }));
  routes.use('/api', reachable);
  routes.use(bullBoard(config, queues, steering));
  app.use(config.basePath, routes);
  app.use((_request, response) => refuse(response, 404, `There is nothing here. The board is at ${config.basePath}`));
  app.use(lastResort(log));
  return app;
}

function bullBoard({ basePath }: BoardConfig, queues: Queues, steering: Retrying): Router {
  const adapter = new ExpressAdapter();
  adapter.setBasePath(basePath === '/' ? '' : basePath);
  createBullBoard({
    queues: QUEUES.map((name) => new SteeredQueue(name, queues, steering)),
    serverAdapter: adapter,
    options: {
      handlerHooks: policy,
      uiConfig: {
        boardTitle: 'pgconvoy',
        hideDocsLink: true,
        jobDetails: { defaultTab: 'Progress' },
        miscLinks: [{ text: 'Runs', url: `${basePath === '/' ? '' : basePath}/runs` }],
      },
    },
  });
  const app = adapter.getRouter() as Express;
  app.disable('x-powered-by');
  return app;
}

const readiness =
  (queues: Queues): RequestHandler =>
  async (_request, response) => {
    const queue = await answers(queues, PATIENCE_MS);
    response.status(queue ? 200 : 503).json({ ok: queue, queue: queue ? 'reachable' : 'unreachable' });
  };

/** Commands to a queue that is away would wait until it is back, and the page with them. */
const onlyWithQueue =
  (queues: Queues): RequestHandler =>
  async (_request, response, next) => {
    if (await answers(queues, PATIENCE_MS)) return next();
    return refuse(response, 503, 'The queue cannot be reached. Runs are not lost: this page goes on when it is back.');
  };

const lastResort =
  (log: Logger): ErrorRequestHandler =>
  (error: Error & { readonly statusCode?: number }, _request, response, next) => {
    log.warn({ error: error.message }, 'request');
    if (response.headersSent) return next(error);
    const status = error.statusCode ?? 500;
    return refuse(
      response,
      status,
      status < 500 ? 'This request is not understood.' : 'This went wrong; the log of the board says why.',
    );
  };
