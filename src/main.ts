/** The process: hands its arguments, environment and streams to the command line, and ends with the exit code it gives back. */
import { runCommandLine } from './cli/program.ts';

// A reader that leaves early (`poort client list | head`) is no fault of ours.
process.stdout.on('error', (fault: NodeJS.ErrnoException) => {
  if (fault.code === 'EPIPE') process.exit(0);
  throw fault;
});

process.exitCode = await runCommandLine({
  arguments: process.argv.slice(2),
  environment: process.env,
  workingDirectory: process.cwd(),
  input: process.stdin,
  output: process.stdout,
  errors: process.stderr,
});
