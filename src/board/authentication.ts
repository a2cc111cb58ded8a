import { createHash, timingSafeEqual } from 'node:crypto';
import type { RequestHandler } from 'express';
import type { Config } from '../config/schema.ts';
import { ConfigError } from '../errors.ts';
import { isLoopback, nameOf } from './loopback.ts';
import { refuse } from './refuse.ts';
import { rememberWho } from './who.ts';

export type BoardConfig = Config['board'];

const isProtected = ({ password, token }: BoardConfig): boolean => password !== undefined || token !== undefined;

/**
 * Whoever reaches the board can retry steps, so beyond this machine it asks who that is.
 * @throws ConfigError where it would listen beyond loopback and let in anybody
 */
export function requireProtection(config: BoardConfig): void {
  if (isLoopback(config.host) || isProtected(config)) return;
  throw new ConfigError(
    `board.host is ${config.host}: the board would listen beyond this machine and let in anybody who reaches it`,
    {
      hint: 'Set board.password or board.passwordFile (for people), board.token or board.tokenFile (for programs), or board.host: 127.0.0.1.',
    },
  );
}

/** Basic for people, Bearer for programs, whatever of the two is configured; neither: whoever is on this machine. */
export function authentication(config: BoardConfig): RequestHandler {
  if (!isProtected(config)) return fromThisMachine;
  const { user, password, token } = config;
  const accepted = [
    ...(password === undefined
      ? []
      : [{ who: user, words: `basic ${Buffer.from(`${user}:${password}`).toString('base64')}` }]),
    ...(token === undefined ? [] : [{ who: 'token', words: `bearer ${token}` }]),
  ];
  const asks = password === undefined ? 'Bearer realm="pgconvoy"' : 'Basic realm="pgconvoy", charset="UTF-8"';
  return (request, response, next) => {
    const [scheme = '', ...rest] = (request.headers.authorization ?? '').split(' ');
    const given = `${scheme.toLowerCase()} ${rest.join(' ')}`;
    // All are compared, each in the same time whatever is given.
    const known = accepted.filter(({ words }) => isSame(words, given));
    if (known.length > 0) {
      rememberWho(response, known[0]!.who);
      return next();
    }
    response.set('WWW-Authenticate', asks);
    return refuse(
      response,
      401,
      'Who are you? Give user and password, or a token, as the configuration has it (board).',
    );
  };
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
const isSame = (one: string, other: string): boolean => timingSafeEqual(digest(one), digest(other));

/** A page elsewhere can give its own name the address of this machine; then the browser says that name. */
const fromThisMachine: RequestHandler = (request, response, next) => {
  const name = nameOf(request.headers.host ?? '');
  if (isLoopback(name)) return next();
  return refuse(
    response,
    403,
    `Without password or token the board answers to localhost only, not to ${name === '' ? 'no name' : JSON.stringify(name)}. Set board.password (or passwordFile) in the configuration.`,
  );
};
