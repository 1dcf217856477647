/** Milliseconds of processor time that something takes, which other programs on the machine disturb less than the time of day. */
export async function processorTime(work: () => unknown): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}
