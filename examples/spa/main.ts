// Starts the single page application from the environment: ISSUER, CLIENT_ID and PORT (default 3200).
import { startSinglePageApplication } from './server.ts';

// biome-ignore lint/style/noProcessEnv: the one place where this example reads its settings
const { ISSUER, CLIENT_ID, PORT = '3200' } = process.env;
if (!ISSUER || !CLIENT_ID) {
  console.error('Set ISSUER and CLIENT_ID (see README.md).');
  process.exit(78);
}

const { origin } = await startSinglePageApplication({ issuer: ISSUER, clientId: CLIENT_ID, port: Number(PORT) });
console.log(`The single page application is at ${origin}`);
