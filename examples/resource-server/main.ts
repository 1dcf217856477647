// Starts the example API from the environment: ISSUER, AUDIENCE, CLIENT_ID, CLIENT_SECRET and PORT (default 3300).
import { startResourceServer } from './resource_server.ts';

// biome-ignore lint/style/noProcessEnv: the one place where this example reads its settings
const { ISSUER, AUDIENCE, CLIENT_ID, CLIENT_SECRET, PORT = '3300' } = process.env;
if (!ISSUER || !AUDIENCE || !CLIENT_ID || !CLIENT_SECRET) {
  console.error('Set ISSUER, AUDIENCE, CLIENT_ID and CLIENT_SECRET (see README.md).');
  process.exit(78);
}

const { origin } = await startResourceServer({
  issuer: ISSUER,
  audience: AUDIENCE,
  clientId: CLIENT_ID,
  clientSecret: CLIENT_SECRET,
  port: Number(PORT),
});
console.log(`The API listens on ${origin}: try /local, /live and /admins-only.`);
