/** A board in front of a small world of the queue, and requests to it as a browser or a program sends them. */
import { Config } from '../../src/config/schema.ts';
import type { ConfigInput } from '../../src/config/schema.ts';
import { startBoard } from '../../src/board/board.ts';
import type { ReadClusters } from '../../src/board/metrics.ts';
import type { Workflow } from '../../src/engine/workflow.ts';
import { createLogger } from '../../src/log.ts';
import { BUDGETS, openWorld } from '../queue/world.ts';
import type { World } from '../queue/world.ts';

type WorldServer = Parameters<typeof openWorld>[0];

export interface Site extends AsyncDisposable {
  readonly world: World;
  /** Without a slash at its end. */
  readonly url: string;
  get(path: string, headers?: Record<string, string>): Promise<Response>;
  /** With cookie and header, as a page of the board sends it. */
  change(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Response>;
  /** Ends the board, and all that are connected to it. @returns what starts it again at the same address */
  stopBoard(): Promise<() => Promise<void>>;
}

const NOBODY_THERE: ReadClusters = async () => ({
  configuration: { role: { name: 'r' }, source: { address: 's' }, target: { address: 't' } },
  databases: [],
  unreachable: [
    { side: 'source', message: 'away' },
    { side: 'target', message: 'away' },
  ],
});

interface SiteOptions {
  readonly config?: ConfigInput['board'];
  readonly readClusters?: ReadClusters;
  readonly server?: WorldServer;
  readonly workflows?: readonly Workflow[];
}

export async function openSite(options: SiteOptions = {}): Promise<Site> {
  const world = await openWorld(options.server);
  const config = Config.shape.board.parse({ port: 0, ...options.config });
  const start = (port: number) =>
    startBoard({
      config: { ...config, port },
      queues: world.queues,
      steering: { workflows: options.workflows ?? [], budgets: BUDGETS, by: 'somebody@here', version: '0.0.1' },
      readClusters: options.readClusters ?? NOBODY_THERE,
      log: createLogger('debug', { write: (line: string) => void world.logged.push(line) }),
    });
  let board = await start(config.port);
  const url = board.url.replace(/\/$/, '');
  return {
    world,
    url,
    get: (path, headers = {}) => fetch(`${url}${path}`, { headers }),
    change: (method, path, body, headers = {}) =>
      fetch(`${url}${path}`, {
        method,
        headers: {
          Cookie: 'other=1; XSRF-TOKEN=word',
          'X-XSRF-TOKEN': 'word',
          'Sec-Fetch-Site': 'same-origin',
          'Content-Type': 'application/json',
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
    async stopBoard() {
      await board[Symbol.asyncDispose]();
      return async () => void (board = await start(Number(new URL(url).port)));
    },
    async [Symbol.asyncDispose]() {
      await board[Symbol.asyncDispose]();
      await world[Symbol.asyncDispose]();
    },
  };
}
