/** The tests of `../control.test.ts` with the queue in PostgreSQL. */
import { usePostgres } from '../world.ts';

usePostgres();
await import('../control.test.ts');
