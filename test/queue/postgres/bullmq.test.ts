/** The tests of `../bullmq.test.ts` with the queue in PostgreSQL. */
import { usePostgres } from '../world.ts';

usePostgres();
await import('../bullmq.test.ts');
