/**
 * Every way in which a call is not answered, one named function each, and nowhere else. They say no more than the caller may know;
 * what happened inside is in the log, under the same request id. A token that is not good is none of them.
 */
import { fileURLToPath } from 'node:url';
import { Metadata, type StatusObject, status } from '@grpc/grpc-js';
import { loadSync, type MessageTypeDefinition } from '@grpc/proto-loader';

export interface Refusal {
  readonly code: status;
  readonly details: string;
  readonly retryAfterSeconds?: number;
}

export const refusals = {
  /** Not given, made up, expired, revoked: whoever holds a key that is none learns nothing about it. */
  unauthenticated: (): Refusal => ({
    code: status.UNAUTHENTICATED,
    details: 'Send a valid API key in the metadata x-api-key.',
  }),
  tenantSuspended: (): Refusal => ({
    code: status.PERMISSION_DENIED,
    details: 'This organisation is suspended.',
  }),
  insufficientScope: (scope: string): Refusal => ({
    code: status.PERMISSION_DENIED,
    details: `The API key has not the scope ${scope}.`,
  }),
  invalid: (detail: string): Refusal => ({ code: status.INVALID_ARGUMENT, details: detail }),
  limited: (retryAfterSeconds: number): Refusal => ({
    code: status.RESOURCE_EXHAUSTED,
    details: 'The API key was used too often.',
    retryAfterSeconds,
  }),
  late: (limitSeconds: number): Refusal => ({
    code: status.DEADLINE_EXCEEDED,
    details: `A call may take ${limitSeconds} s.`,
  }),
  unavailable: (retryAfterSeconds: number): Refusal => ({
    code: status.UNAVAILABLE,
    details: 'The server cannot answer right now.',
    retryAfterSeconds,
  }),
  fault: (): Refusal => ({
    code: status.INTERNAL,
    details: 'Something went wrong on our side. It has been recorded; mention the request id.',
  }),
} as const;

const package_ = loadSync(fileURLToPath(new URL('./error_details.proto', import.meta.url)), { keepCase: true });
// The file beside this one names both.
const statusType = package_['google.rpc.Status'] as MessageTypeDefinition<object, object>;
const retryInfoType = package_['google.rpc.RetryInfo'] as MessageTypeDefinition<object, object>;

/** As it goes over the wire: with google.rpc.RetryInfo, and the pause that official clients keep by themselves when they retry. */
export function toStatus({ code, details, retryAfterSeconds }: Refusal, requestId: string): Partial<StatusObject> {
  const metadata = new Metadata();
  metadata.set('x-request-id', requestId);
  if (retryAfterSeconds !== undefined) {
    const retryInfo = {
      type_url: 'type.googleapis.com/google.rpc.RetryInfo',
      value: retryInfoType.serialize({ retry_delay: { seconds: retryAfterSeconds } }),
    };
    metadata.set('grpc-status-details-bin', statusType.serialize({ code, message: details, details: [retryInfo] }));
    metadata.set('grpc-retry-pushback-ms', String(retryAfterSeconds * 1000));
  }
  return { code, details, metadata };
}
