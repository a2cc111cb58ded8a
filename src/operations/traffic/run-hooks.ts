import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import { HookInput, HooksRan, hooksRan, runHooksAt } from './run-hooks-at.ts';

/** Commands of the operator have run for one database, which is switched over on its own. */
export const runHooks = defineOperation({
  name: 'run-hooks',
  title: 'Hooks have run for the database',
  scope: 'database',
  queue: 'cutover',
  input: HookInput,
  output: HooksRan,

  async check(context) {
    const { at } = context.input;
    const ran = await hooksRan(context, at, context.source.name);
    return ran ? holds(ran) : lacks([at]);
  },

  apply: (context) => runHooksAt(context, context.input.at, context.source.name),
});
