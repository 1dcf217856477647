import { startCluster } from './cluster.ts';

export const clusterKey = Symbol.for('poort.test.cluster');

// biome-ignore lint/style/noDefaultExport: jest asks for one
export default async function setUp(): Promise<void> {
  Object.assign(globalThis, { [clusterKey]: await startCluster() });
}
