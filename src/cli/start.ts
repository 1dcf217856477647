/** `poort start`, which is `npm start`: the whole system on this machine, and a banner that says where everything is. */
import type { Command } from 'commander';
import { startJobs, startServer } from '#src/server.ts';
import { banner } from './banner.ts';
import { seedDemoFirst, startDemo } from './demo.ts';
import type { Runner, Settings } from './runner.ts';
import { openLog } from './serve.ts';
import { untilAskedToStop } from './stop_signal.ts';
import type { World } from './world.ts';

export function addStartCommand(program: Command, runner: Runner): void {
  program
    .command('start')
    .description('the whole system on this machine: database, migrations, demo, server (npm start)')
    .addHelpText('after', '\nExample:\n  $ POORT_PORT=4000 npm start')
    .action(() => runner.withSettings({}, (settings) => start(runner.world, settings)));
}

async function start(world: World, settings: Settings): Promise<undefined> {
  const { config } = settings;
  const asked = untilAskedToStop();
  const logger = openLog(settings);
  const server = await startServer(config, { logger, prepare: seedDemoFirst });
  const jobs = startJobs(server.house);
  try {
    const demo = config.demo.enabled
      ? await startDemo(server.house, { environment: world.environment, logger })
      : undefined;
    try {
      world.output.write(
        banner({
          config,
          url: server.url,
          demo,
          grpcAddress: server.grpcAddress,
          readyMilliseconds: performance.now(),
          workingDirectory: world.workingDirectory,
        }),
      );
      await asked;
      logger.info('asked to stop: finishing the requests in flight');
    } finally {
      await demo?.application?.close();
    }
  } finally {
    await jobs.stop();
    await server.close();
  }
}
