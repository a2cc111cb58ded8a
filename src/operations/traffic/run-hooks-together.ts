import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import { HookInput, HooksRan, hooksRan, runHooksAt } from './run-hooks-at.ts';

/** Commands of the operator have run once for all databases, which are switched over together. */
export const runHooksTogether = defineOperation({
  name: 'run-hooks-together',
  title: 'Hooks have run for all databases',
  scope: 'cluster',
  queue: 'cutover',
  input: HookInput,
  output: HooksRan,

  async check(context) {
    const ran = await hooksRan(context, context.input.at);
    return ran ? holds(ran) : lacks([context.input.at]);
  },

  apply: (context) => runHooksAt(context, context.input.at),
});
