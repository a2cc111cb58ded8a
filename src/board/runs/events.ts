import type { Request, Response } from 'express';
import type { Watched } from './feed.ts';

/** Proxies close what is silent for long. */
const SILENCE_MS = 20_000;

/**
 * Answers with server-sent events until the page goes away.
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html
 */
export function sendEvents(request: Request, response: Response, feeds: readonly Watched[]): void {
  response.set({ 'Content-Type': 'text/event-stream', 'X-Accel-Buffering': 'no' });
  response.flushHeaders();
  response.write('retry: 1000\n\n');
  const send = (event: string, data: unknown) => response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  const alive = setInterval(() => response.write(':\n\n'), SILENCE_MS).unref();
  const ends = feeds.map((feed) => feed.watch(send));
  request.once('close', () => {
    clearInterval(alive);
    for (const end of ends) end();
  });
}
