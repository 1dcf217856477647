// The process around the demo application: settings in, signals and the parent's channel, exit codes. Started by
// `npm start` as a child process, or by hand: `node examples/web-app/main.ts`.
import { startDemoApplication } from './application.ts';
import { readSettings } from './settings.ts';

// biome-ignore lint/style/noProcessEnv: the one place where this example reads its settings
const settings = readSettings(process.env);
if (settings.outcome === 'invalid') {
  console.error(`The demo application cannot start (see examples/web-app/README.md):`);
  for (const problem of settings.problems) console.error(`  ${problem}`);
  process.exit(78);
}

try {
  const application = await startDemoApplication(settings.options);
  async function stop(): Promise<never> {
    await application.close();
    process.exit(0);
  }
  // The child must not outlive its parent: 'disconnect' also comes when the parent is killed.
  for (const event of ['disconnect', 'SIGTERM', 'SIGINT']) process.once(event, () => void stop());
  process.send?.({ type: 'listening', port: application.port, origin: application.origin });
  if (process.send === undefined) console.log(`The demo application listens on ${application.origin}`);
} catch (error) {
  if (!(error instanceof Error && 'code' in error && error.code === 'EADDRINUSE')) throw error;
  if (process.send === undefined) {
    console.error(`Port ${settings.options.port} is in use. Choose another with DEMO_PORT.`);
    process.exit(78);
  }
  // Exit only after the message has left, or the parent may never see it.
  process.send({ type: 'port_in_use', port: settings.options.port }, () => process.exit(78));
}
