/** `poort config`: the settings as they came to be, secrets masked. Touches no database. */
import type { Command } from 'commander';
import { table } from './answers.ts';
import { answering } from './options.ts';
import type { CommonOptions, Runner } from './runner.ts';

export function addConfigCommand(program: Command, runner: Runner): void {
  answering(program.command('config').description('print the settings in force, with secrets masked'), [
    'config',
    'config --json',
  ]).action((options: CommonOptions) =>
    runner.withSettings(options, async ({ settings, warnings }) => {
      const rows = settings.map(({ name, value, source }) => [name, value, source]);
      const lines = [
        table(['SETTING', 'VALUE', 'SOURCE'], rows, ''),
        ...warnings.map((warning) => `warning: ${warning}`),
      ];
      return { json: { settings, warnings }, text: lines.join('\n') };
    }),
  );
}
