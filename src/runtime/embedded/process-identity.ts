import { readFileSync } from 'node:fs';

/** A process, in a form that a later process with the same pid is not mistaken for. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks since the machine was started; '' where there is no /proc. */
  readonly startTime: string;
}

export const identityOf = (pid: number): ProcessIdentity => ({ pid, startTime: startTimeOf(pid) ?? '' });

export const nameOf = ({ pid, startTime }: ProcessIdentity): string => `${pid}-${startTime}`;

export function parseIdentity(name: string): ProcessIdentity | undefined {
  const [, pid, startTime] = /^(\d+)-(\d*)$/.exec(name.trim()) ?? [];
  return pid === undefined || startTime === undefined ? undefined : { pid: Number(pid), startTime };
}

export function isRunning({ pid, startTime }: ProcessIdentity): boolean {
  if (startTime !== '') return startTimeOf(pid) === startTime;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** @see https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html */
function startTimeOf(pid: number): string | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // The second field is the program's name in parentheses, which may hold anything. A zombie counts as gone.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
}
