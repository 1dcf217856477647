/**
 * The command line as a whole: which commands there are, in the order in which help lists them, and what the parser's own
 * verdicts mean as exit codes. What a command does is in the file of its noun.
 */
import { Command, CommanderError } from 'commander';
import { version } from '#src/foundation/version.ts';
import { addApiKeyCommands } from './api_keys.ts';
import { addApiCommands } from './apis.ts';
import { addAuditCommands } from './audit.ts';
import { addBackupCommands } from './backup.ts';
import { addClientCommands } from './clients.ts';
import { addConfigCommand } from './config.ts';
import { addConfigurationCommands } from './configuration.ts';
import { addDatabaseCommands } from './database.ts';
import { addDeviceCommands } from './devices.ts';
import { addDoctorCommand } from './doctor.ts';
import { addInvitationCommands } from './invitations.ts';
import { addKeyCommands } from './keys.ts';
import { addMailCommands } from './mails.ts';
import { addOperatorCommands } from './operators.ts';
import { addRoleCommands } from './roles.ts';
import { createRunner, type Runner } from './runner.ts';
import { addServeCommands } from './serve.ts';
import { addSessionCommands } from './sessions.ts';
import { addStartCommand } from './start.ts';
import { addTenantCommands } from './tenants.ts';
import { addUserCommands } from './users.ts';
import type { World } from './world.ts';

const exitCodeWrongUsage = 2;

/** Runs the command that the arguments name and resolves to the exit code. Never rejects for anything a person typed. */
export async function runCommandLine(world: World): Promise<number> {
  const runner = createRunner(world);
  const program = createProgram(runner);
  try {
    await program.parseAsync([...world.arguments], { from: 'user' });
    return runner.exitCode();
  } catch (fault) {
    if (!(fault instanceof CommanderError)) throw fault;
    // Help that was asked for; help in place of a missing command is a usage error.
    if (fault.exitCode === 0) return 0;
    if (world.arguments.includes('--json')) {
      const message = fault.message.replace(/^error: /, '');
      world.output.write(`${JSON.stringify({ error: { code: 'wrong_usage', message } })}\n`);
    }
    return exitCodeWrongUsage;
  }
}

function createProgram(runner: Runner): Command {
  const { output, errors } = runner.world;
  const program = new Command('poort')
    .description('An OpenID Connect authorization server for many tenants.')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand(false)
    .exitOverride()
    .configureOutput({ writeOut: (text) => output.write(text), writeErr: (text) => errors.write(text) })
    .showHelpAfterError('(--help after any command tells its options)')
    .addHelpText(
      'after',
      [
        '',
        'Every command but start, serve and worker takes --json and prints one JSON object.',
        'Exit codes: 0 done, 1 refused with the reason, 2 wrong usage, 3 a plan with something to do, 78 faulty settings.',
        'Settings come from the environment; `poort config` prints them.',
      ].join('\n'),
    );

  addStartCommand(program, runner);
  addServeCommands(program, runner);
  addDatabaseCommands(program, runner);
  addBackupCommands(program, runner);
  addDoctorCommand(program, runner);
  addConfigCommand(program, runner);
  addTenantCommands(program, runner);
  addAuditCommands(program, runner);
  addConfigurationCommands(program, runner);
  addOperatorCommands(program, runner);
  addUserCommands(program, runner);
  addInvitationCommands(program, runner);
  addClientCommands(program, runner);
  addApiCommands(program, runner);
  addRoleCommands(program, runner);
  addApiKeyCommands(program, runner);
  addKeyCommands(program, runner);
  addSessionCommands(program, runner);
  addDeviceCommands(program, runner);
  addMailCommands(program, runner);
  return program;
}
