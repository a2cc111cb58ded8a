import { closeRunFolder, openRunFolder } from './run-folder.ts';

/**
 * vitest's globalSetup for the projects that need servers. It starts none: the first test that asks for one does
 * (servers.ts), in the run's folder, which the test processes find in their environment.
 */
export default function setup(): () => void {
  const folder = openRunFolder();
  return () => closeRunFolder(folder);
}
