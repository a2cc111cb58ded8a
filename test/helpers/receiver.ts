import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';

interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: any;
}

export interface Receiver extends AsyncDisposable {
  readonly url: string;
  /** What has arrived and was taken, in order. */
  readonly taken: readonly Received[];
  /** How many messages were refused. */
  refused(): number;
  /** The next ones are answered with this status; 200 at first. */
  answer(status: number): void;
}

/** Something that webhooks lead to. */
export async function startReceiver(): Promise<Receiver> {
  const taken: Received[] = [];
  let status = 200;
  let refused = 0;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => void chunks.push(chunk));
    request.on('end', () => {
      const { url: path = '', headers } = request;
      if (status < 300) taken.push({ path, headers, body: JSON.parse(Buffer.concat(chunks).toString()) as unknown });
      else refused += 1;
      response.writeHead(status, { location: '/elsewhere' }).end('an answer');
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    taken,
    refused: () => refused,
    answer: (next) => void (status = next),
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
