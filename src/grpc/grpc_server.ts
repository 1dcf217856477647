/**
 * The third door: where it listens, by which certificates, within which limits, and how it closes. What is behind it is
 * identity_service.ts; what is said of a call, calls.ts.
 */
import { createSecureContext } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { logVerbosity, Server, ServerCredentials, type ServiceDefinition, setLogVerbosity } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { ReflectionService } from '@grpc/reflection';
import type { Config } from '#config/config.ts';
import { createHealthService } from './health_service.ts';
import { createIdentityService, type IdentityServices, serviceName } from './identity_service.ts';

export interface GrpcOptions extends Omit<IdentityServices, 'maximumCallSeconds'> {
  readonly config: Pick<Config, 'env' | 'grpc' | 'http'>;
  readonly isReady: () => Promise<boolean>;
}

export interface GrpcServer {
  /** As it is dialled. */
  readonly address: string;
  /** Stops accepting, lets calls in flight finish for as long as the settings allow. */
  close(): Promise<void>;
}

export type GrpcStarted =
  | { readonly outcome: 'listening'; readonly server: GrpcServer }
  | { readonly outcome: 'refused'; readonly setting: string; readonly problem: string; readonly fix: string };

export const protoPath = fileURLToPath(new URL('./identity.proto', import.meta.url));
/** Seconds fit into a number, and names are those of the file. */
export const protoOptions = { keepCase: true, longs: Number, enums: String, arrays: true } as const;

/** A connection that says nothing for so long is asked whether anybody is there. */
const keepaliveMilliseconds = { time: 60_000, timeout: 20_000 };
const idleConnectionMilliseconds = 30 * 60_000;

export async function startGrpcServer(options: GrpcOptions): Promise<GrpcStarted> {
  const { config } = options;
  const { grpc, http } = config;
  const credentials = credentialsOf(grpc);
  if (credentials === undefined) {
    const problem = 'the certificate, its key or the authority cannot be read, or do not belong together';
    const fix = 'Give the certificate chain and its private key as PEM, without a passphrase';
    return { outcome: 'refused', setting: 'POORT_GRPC_TLS_CERTIFICATE', problem, fix };
  }
  // What it has to say it says to us; its own log goes to standard error, past ours.
  setLogVerbosity(logVerbosity.NONE);
  const server = new Server({
    'grpc.max_receive_message_length': grpc.maximumMessageBytes,
    'grpc.max_concurrent_streams': grpc.maximumStreams,
    'grpc.max_connection_idle_ms': idleConnectionMilliseconds,
    'grpc.keepalive_time_ms': keepaliveMilliseconds.time,
    'grpc.keepalive_timeout_ms': keepaliveMilliseconds.timeout,
    // Nobody reads those tables, and each call would write into them.
    'grpc.enable_channelz': 0,
  });
  const definition = loadSync(protoPath, protoOptions);
  const services = { ...options, maximumCallSeconds: grpc.maximumCallSeconds };
  // The file names it as a service.
  server.addService(definition[serviceName] as ServiceDefinition, createIdentityService(services));
  const health = createHealthService(options.isReady);
  health.addTo(server);
  if (config.env === 'development') new ReflectionService(definition).addToServer(server);

  const address = `${grpc.host.includes(':') ? `[${grpc.host}]` : grpc.host}:${grpc.port}`;
  const fault = await listen(server, address, credentials);
  if (fault !== undefined) {
    server.forceShutdown();
    const problem = fault.includes('EADDRINUSE') ? `port ${grpc.port} is in use` : fault;
    const fix = 'Stop what uses it, choose another port, or 0 to do without gRPC';
    return { outcome: 'refused', setting: 'POORT_GRPC_PORT', problem, fix };
  }
  return {
    outcome: 'listening',
    server: {
      address,
      async close() {
        health.drain();
        await drain(server, http.drainSeconds);
      },
    },
  };
}

/** Undefined when they are no use. Without certificates nothing is encrypted: where that is refused, the settings have done it. */
function credentialsOf({ tls }: Config['grpc']): ServerCredentials | undefined {
  if (tls === undefined) return ServerCredentials.createInsecure();
  const { certificate: cert, clientAuthority: ca } = tls;
  const key = tls.key.reveal();
  try {
    createSecureContext({ cert, key, ...(ca === undefined ? {} : { ca }) });
  } catch {
    return undefined;
  }
  const pair = { cert_chain: Buffer.from(cert), private_key: Buffer.from(key) };
  return ServerCredentials.createSsl(ca === undefined ? null : Buffer.from(ca), [pair], ca !== undefined);
}

function listen(server: Server, address: string, credentials: ServerCredentials): Promise<string | undefined> {
  return new Promise((resolve) => {
    server.bindAsync(address, credentials, (fault) => resolve(fault === null ? undefined : fault.message));
  });
}

function drain(server: Server, seconds: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => server.forceShutdown(), seconds * 1000);
    server.tryShutdown(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
