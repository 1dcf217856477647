/** Server of the fleet's benchmark: Poort as it serves, with room for two thousand codes at once. Prints one line when it is ready. */
import { loadConfig } from '#config/config.ts';
import { createLogger } from '#src/foundation/logger.ts';
import { startServer } from '#src/server.ts';

const { environment, directory } = JSON.parse(process.argv[2] ?? '{}') as {
  readonly environment: Readonly<Record<string, string>>;
  readonly directory: string;
};
const loaded = await loadConfig(environment, { workingDirectory: directory });
if (loaded.outcome === 'faulty') throw new Error(JSON.stringify(loaded.faults));
const deviceCodes = { ...loaded.config.deviceCodes, maximumPerClientAndAddress: 100_000, maximumPerTenant: 100_000 };
const server = await startServer(
  { ...loaded.config, deviceCodes },
  { logger: createLogger({ level: 'warn', format: 'json' }, process.stderr) },
);
process.stdout.write(`${JSON.stringify({ ready: true })}\n`);
for (const signal of ['SIGTERM', 'SIGINT'] as const)
  process.once(signal, () => void server.close().then(() => process.exit(0)));
