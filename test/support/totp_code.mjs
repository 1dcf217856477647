// Prints the code for a secret, as an authenticator app would show it; with `next`, the one after it.
import { generateSync } from 'otplib';

const [secret, which] = process.argv.slice(2);
const seconds = Math.floor(Date.now() / 1000) + (which === 'next' ? 30 : 0);
process.stdout.write(generateSync({ secret, epoch: seconds }));
