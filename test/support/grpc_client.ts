/** The official client of gRPC (grpc-js), as a service of another team would use it. */
import { readFileSync } from 'node:fs';
import {
  type ChannelCredentials,
  credentials as channelCredentials,
  type GrpcObject,
  loadPackageDefinition,
  Metadata,
  type ServiceClientConstructor,
  status,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { protoPath as healthProtoPath } from 'grpc-health-check';
import { protoOptions, protoPath } from '#src/grpc/grpc_server.ts';

type Message = Readonly<Record<string, unknown>>;
type Failure = Error & { readonly code: number; readonly details: string; readonly metadata: Metadata };
type Reply = (failure: Failure | null, response: Message) => void;
type UnaryMethod = (request: object, metadata: Metadata, options: object, reply: Reply) => { cancel(): void };

export interface GrpcAnswer {
  /** `OK`, or why not. */
  readonly status: string;
  readonly response: Message;
  readonly details: string;
  /** Trailers of a refusal. */
  readonly trailers: Readonly<Record<string, string | Buffer>>;
}

export interface GrpcCall {
  readonly key?: string | undefined;
  readonly metadata?: Readonly<Record<string, string | readonly string[]>>;
  readonly deadline?: Date;
}

export interface GrpcClient {
  call(method: string, request: object, call?: GrpcCall): Promise<GrpcAnswer>;
  close(): void;
}

export type GrpcServiceName = 'identity' | 'health';

function constructorOf(service: GrpcServiceName): ServiceClientConstructor {
  const loaded = loadPackageDefinition(loadSync(service === 'identity' ? protoPath : healthProtoPath, protoOptions));
  const path = service === 'identity' ? ['identity', 'v1', 'IdentityService'] : ['grpc', 'health', 'v1', 'Health'];
  return path.reduce<unknown>((node, name) => (node as GrpcObject)[name], loaded) as ServiceClientConstructor;
}

export function connectGrpc(
  address: string,
  {
    service = 'identity',
    credentials = channelCredentials.createInsecure(),
    name,
  }: { readonly service?: GrpcServiceName; readonly credentials?: ChannelCredentials; readonly name?: string } = {},
): GrpcClient {
  const Client = constructorOf(service);
  const options = name === undefined ? {} : { 'grpc.ssl_target_name_override': name };
  const client = new Client(address, credentials, options);
  return {
    call: (method, request, { key, metadata = {}, deadline } = {}) =>
      new Promise((resolve) => {
        const sent = new Metadata();
        for (const [header, values] of Object.entries(metadata))
          for (const value of [values].flat()) sent.add(header, value);
        if (key !== undefined) sent.add('x-api-key', key);
        const unary = client[method] as UnaryMethod;
        unary.call(client, request, sent, deadline === undefined ? {} : { deadline }, (failure, response) => {
          if (failure === null) return resolve({ status: 'OK', response, details: '', trailers: {} });
          const { code, details } = failure;
          resolve({ status: status[code] ?? '', response: {}, details, trailers: failure.metadata.getMap() });
        });
      }),
    close: () => client.close(),
  };
}

/** For a server that shows a certificate of this authority, and wants one. */
export function tlsCredentials(
  authority: string,
  own?: { readonly certificate: string; readonly key: string },
): ChannelCredentials {
  const root = Buffer.from(authority);
  if (own === undefined) return channelCredentials.createSsl(root);
  return channelCredentials.createSsl(root, Buffer.from(own.key), Buffer.from(own.certificate));
}

/** The contract, as it is handed to other teams. */
export function protoText(): string {
  return readFileSync(protoPath, 'utf8');
}
