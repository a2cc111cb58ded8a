/** The tests of `../runs.test.ts` with the queue in PostgreSQL. */
import { usePostgres } from '../world.ts';

usePostgres();
await import('../runs.test.ts');
