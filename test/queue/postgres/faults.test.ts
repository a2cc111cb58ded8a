/** The tests of `../faults.test.ts` with the queue in PostgreSQL. */
import { usePostgres } from '../world.ts';

usePostgres();
await import('../faults.test.ts');
