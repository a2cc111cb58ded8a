import { once } from 'node:events';
import { createServer } from 'node:http';
import type { RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { isIPv6 } from 'node:net';
import { ConfigError, errorText } from '../errors.ts';
import type { BoardRequest } from './app.ts';
import { requireProtection } from './authentication.ts';

export interface Board extends AsyncDisposable {
  /** For a browser on this machine, or for the proxy. */
  readonly url: string;
}

/**
 * Serves the board until it is closed; what it needs for that is loaded when somebody comes for the first time. The queues stay open: who opened them closes them.
 * @throws ConfigError when it may not, or cannot, listen where the configuration says
 */
export async function startBoard(request: BoardRequest): Promise<Board> {
  const { config } = request;
  requireProtection(config);
  const server = createServer(whenAsked(request));
  try {
    await once(server.listen(config.port, config.host), 'listening');
  } catch (error) {
    throw cannotListen(config.host, config.port, error);
  }
  const { port } = server.address() as AddressInfo;
  const host = isIPv6(config.host) ? `[${config.host}]` : config.host;
  return {
    url: `http://${host}:${port}${config.basePath}`,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function whenAsked(request: BoardRequest): RequestListener {
  let app: Promise<RequestListener> | undefined;
  return async (message, response) => {
    try {
      app ??= import('./app.ts').then(({ boardApp }) => boardApp(request));
      (await app)(message, response);
    } catch (error) {
      request.log.error({ error: errorText(error) }, 'the board cannot be loaded');
      response.writeHead(500).end();
    }
  };
}

function cannotListen(host: string, port: number, error: unknown): ConfigError {
  const reasons: Readonly<Record<string, string>> = {
    EADDRINUSE: 'somebody else listens there',
    EACCES: 'this port needs more rights',
    EADDRNOTAVAIL: 'this machine has no such address',
    ENOTFOUND: 'this name has no address',
  };
  const { code = '', message } = error as NodeJS.ErrnoException;
  return new ConfigError(`the board cannot listen on ${host}, port ${port}: ${reasons[code] ?? message}`, {
    hint: 'Set board.port (0: any that is free) or board.host in the configuration.',
    cause: error,
  });
}
