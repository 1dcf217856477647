const clusterKey = Symbol.for('poort.test.cluster');

// biome-ignore lint/style/noDefaultExport: jest asks for one
export default async function tearDown(): Promise<void> {
  const stop = (globalThis as unknown as Record<symbol, (() => Promise<void>) | undefined>)[clusterKey];
  await stop?.();
}
