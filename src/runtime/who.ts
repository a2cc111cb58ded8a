import { hostname, userInfo } from 'node:os';

/** Who gives a command, for the record of a run: `user@host`. */
export function whoAmI(): string {
  return `${userName()}@${hostname()}`;
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // A user id without an entry in the password file, as containers have them.
    return String(process.getuid?.() ?? 'unknown');
  }
}
