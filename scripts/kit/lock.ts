import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Runs `work` while no other process on this machine is inside `withLock` for the same name.
 * The lock is a listening socket in Linux's abstract namespace: the kernel hands it to one process and takes it back
 * when that process ends, however it ends, so there is no such thing as a stale lock.
 * `onWait` is called once, when another process holds it.
 */
export async function withLock<T>(name: string, work: () => Promise<T>, onWait: () => void = () => {}): Promise<T> {
  const address = `\0pgconvoy-${createHash('sha256').update(name).digest('hex').slice(0, 32)}`;
  let server = await tryListen(address);
  if (!server) onWait();
  while (!server) {
    await sleep(50);
    server = await tryListen(address);
  }
  try {
    return await work();
  } finally {
    server.close();
  }
}

function tryListen(address: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((connection) => connection.destroy());
    server.unref();
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(undefined);
      else reject(error);
    });
    server.listen(address, () => resolve(server));
  });
}
