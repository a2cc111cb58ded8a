import { expect, test } from 'vitest';
import { buildProgram } from '../../../src/cli/program.ts';

const names = (await buildProgram()).commands.map((command) => command.name());

test('the commands are those that the documentation names', () => {
  expect(names.toSorted()).toEqual(
    'approve board cancel check compare config ddl finish fix logs notify plan rehearse report resume resync retry rollback runs setup start status stop uninstall upgrade worker'.split(
      ' ',
    ),
  );
});

test.each(names)('pgconvoy %s --help: usage, an example, global options, exit codes', async (name) => {
  const command = (await buildProgram([name])).commands.find((each) => each.name() === name)!;
  let help = '';
  command.configureOutput({ writeOut: (text) => (help += text), getOutHelpWidth: () => 80 });
  command.outputHelp();
  expect(help).toMatch(new RegExp(`^Usage: pgconvoy ${name} `));
  expect(help).toMatch(new RegExp(`Examples:\n(.*\n)*  pgconvoy ${name}`));
  expect(help).toContain('--json');
  expect(help).toContain("6  the run waits for a person's approval");
});
