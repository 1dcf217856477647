/**
 * Imported first by every server the benchmarks start: when the parent is gone, however it died, its end of our standard
 * input closes, and we end as on SIGTERM. Holds nothing open by itself.
 */
process.stdin.on('end', () => process.kill(process.pid, 'SIGTERM'));
process.stdin.on('error', () => process.kill(process.pid, 'SIGTERM'));
process.stdin.resume();
if ('unref' in process.stdin) process.stdin.unref();
