import type { Response } from 'express';

/** Notes who has come in, once that is known. */
export const rememberWho = (response: Response, name: string): void => {
  response.locals['who'] = name;
};

/**
 * Who does something here, for the record of a run: `user@host (board)`, with the name that was given at the door. Without a door it is
 * whoever runs the board.
 * @param by who that is, as `user@host`
 */
export function whoAsks({ locals }: Response, by: string): string {
  const name: unknown = locals['who'];
  const host = by.slice(by.lastIndexOf('@') + 1);
  return `${typeof name === 'string' ? `${name}@${host}` : by} (board)`;
}
