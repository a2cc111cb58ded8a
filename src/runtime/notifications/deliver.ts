import type { Config } from '../../config/schema.ts';
import { PgconvoyError } from '../../errors.ts';
import type { Deliver, Message, Notifying } from '../../queue/notices.ts';
import { jsonBody, slackBody } from './compose.ts';

type Notifications = Config['notifications'];
type Webhook = Notifications['webhooks'][number];

/** Who of a configuration is told of what, and how: nothing where there is nobody. Addresses and headers stay in here. */
export function toldBy(notifications: Notifications): Notifying | undefined {
  const listeners = notifications.webhooks.map(({ name, on }) => ({ name, on }));
  return listeners.length === 0 ? undefined : { listeners, deliver: createDeliver(notifications) };
}

/** Posts messages to the webhooks of a configuration. No redirect is followed: secrets go where the configuration says, and nowhere else. */
export function createDeliver({ webhooks, board }: Notifications): Deliver {
  return async (name, message, signal) => {
    const webhook = webhooks.find((one) => one.name === name);
    if (webhook?.url === undefined) {
      throw new PgconvoyError(`the configuration of this worker has no webhook "${name}"`, {
        hint: 'Give all workers the same configuration; those that were told last know it.',
      });
    }
    const status = await post(webhook, webhook.url, message, linkOf(board, message), signal);
    if (status >= 200 && status < 300) return;
    throw failure(name, `it answers with status ${status}`);
  };
}

async function post(
  { name, format, headers, timeout }: Webhook,
  url: string,
  message: Message,
  link: string | undefined,
  signal: AbortSignal,
): Promise<number> {
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': message.id, ...headers },
      body: JSON.stringify(format === 'slack' ? slackBody(message, link) : jsonBody(message, link)),
      redirect: 'manual',
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeout)]),
    });
    await response.body?.cancel();
    return response.status;
  } catch (error) {
    throw failure(name, reasonOf(error, timeout));
  }
}

function linkOf(board: string | undefined, { notices: [first] }: Message): string | undefined {
  if (board === undefined) return undefined;
  const base = board.replace(/\/$/, '');
  return first?.run === undefined ? base : `${base}/runs/${encodeURIComponent(first.run)}`;
}

const failure = (name: string, reason: string): PgconvoyError =>
  new PgconvoyError(`the webhook "${name}" cannot be told: ${reason}`, {
    hint: 'See its url and headers in notifications.webhooks of the configuration. pgconvoy notify sends a trial.',
  });

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nobody listens there',
  ECONNRESET: 'the connection was broken off',
  UND_ERR_SOCKET: 'the connection was broken off',
  UND_ERR_CONNECT_TIMEOUT: 'the connection takes too long',
  ENOTFOUND: 'its name has no address',
  EAI_AGAIN: 'its name cannot be looked up',
  EHOSTUNREACH: 'there is no way to it',
  ENETUNREACH: 'there is no way to it',
};

/** Never the message of what was thrown: it names the address. */
function reasonOf(error: unknown, timeout: number): string {
  if (!(error instanceof Error)) return 'unknown';
  if (error.name === 'TimeoutError') return `no answer within ${timeout / 1_000} s`;
  if (error.name === 'AbortError') return 'the worker stops';
  const { code } = (error.cause ?? {}) as NodeJS.ErrnoException;
  if (code === undefined) return 'its address or headers cannot be used';
  const isTls = /CERT|SSL|TLS|SIGNATURE/.test(code);
  return REASONS[code] ?? (isTls ? `its certificate is not trusted (${code})` : code);
}
