import { randomBytes } from 'node:crypto';
import type { Request, RequestHandler } from 'express';
import { refuse } from './refuse.ts';

/** Bull Board's pages send this cookie back as that header, as axios does by itself; pages from elsewhere can read neither. */
const COOKIE = 'XSRF-TOKEN';
const HEADER = 'X-XSRF-TOKEN';

/**
 * What changes something must come from a page of ours, or from a program: cookie and header alike, and a browser must not say that it
 * comes from elsewhere.
 * @see https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
 */
export function sameOrigin(path: string): RequestHandler {
  return (request, response, next) => {
    const cookie = cookieOf(request);
    if (request.method === 'GET' || request.method === 'HEAD') {
      if (cookie === undefined) {
        const value = randomBytes(24).toString('base64url');
        response.cookie(COOKIE, value, { path, sameSite: 'strict', secure: request.secure });
      }
      return next();
    }
    if (isFromElsewhere(request)) {
      return refuse(response, 403, 'Not done: this request comes from a page that is not of this board.');
    }
    if (cookie === undefined || request.get(HEADER) !== cookie) {
      return refuse(
        response,
        403,
        `Not done: what changes something needs the cookie ${COOKIE} and the same text in the header ${HEADER}. Load the page again.`,
      );
    }
    return next();
  };
}

function cookieOf(request: Request): string | undefined {
  const pairs = (request.headers.cookie ?? '').split(/; */);
  const value = pairs.find((pair) => pair.startsWith(`${COOKIE}=`))?.slice(COOKIE.length + 1);
  return value === undefined || value === '' ? undefined : value;
}

/** Sec-Fetch-Site is the browser's own word; older ones send Origin alone. Programs send neither. */
function isFromElsewhere(request: Request): boolean {
  const site = request.get('Sec-Fetch-Site');
  if (site !== undefined) return site !== 'same-origin';
  const origin = request.get('Origin');
  if (origin === undefined) return false;
  return !URL.canParse(origin) || new URL(origin).host !== request.host;
}
