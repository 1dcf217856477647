// Makes a process end with the one that started it, also when that was killed without a chance to say so.
// `runtime.mjs` preloads this file with `--import` and opens an IPC channel; the kernel closes the channel when the parent
// dies, whatever killed it. The handshake is POORT_FOLLOW_PARENT, the parent's process id: grandchildren that inherit the flag
// (test workers, cluster workers) see that it is not meant for them, and it is taken out of the environment.
// Ending means SIGTERM to ourselves, so that a server drains as usual; after a quarter of a minute the kernel is asked.

import { isMainThread } from 'node:worker_threads';

const patienceMilliseconds = 15_000;
const followed = process.env.POORT_FOLLOW_PARENT;

if (isMainThread && followed !== undefined) {
  delete process.env.POORT_FOLLOW_PARENT;
  if (process.channel && (followed === String(process.ppid) || !isAlive(Number(followed)))) {
    process.on('disconnect', endGracefully);
    // The channel is only there to be closed: it must not keep a finished program alive.
    process.channel.unref();
  }
}

function isAlive(processId) {
  try {
    process.kill(processId, 0);
    return true;
  } catch {
    return false;
  }
}

function endGracefully() {
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), patienceMilliseconds).unref();
  process.kill(process.pid, 'SIGTERM');
}
