/** The gates that say no: each looks at one thing of a request and gives the problem, or nothing. Their order is in app.ts. */
import type { Config } from '#config/config.ts';
import { type Problem, problems } from '../problems.ts';
import type { HttpExchange } from './exchange.ts';

export type Gate = (exchange: HttpExchange) => Problem | undefined;

/** A path below /health says nothing about addresses, and probes ask by number. */
export function isHealthPath(path: string): boolean {
  return path.startsWith('/health/');
}

/** RFC 9110 §7.4: a host that is not ours is not answered. */
export function checkHost(config: Config['http']): Gate {
  const { host } = new URL(config.publicUrl);
  const problem = problems.misdirected(config.publicUrl);
  return ({ request, path }) => {
    if (isRepeated(request, 'host')) return problems.malformed('The request has more than one Host header.');
    const asked = request.headers.host;
    if (asked === host && path.startsWith('/')) return undefined;
    if (isHealthPath(path) || asked?.toLowerCase() === host) return path.startsWith('/') ? undefined : problem;
    return problem;
  };
}

/** A proxy of ours says that the person came without TLS: cookies and codes must not travel so. */
export function checkHttps(config: Config['http']): Gate {
  const secure = config.publicUrl.startsWith('https:');
  const problem = problems.insecure(config.publicUrl);
  return ({ forwardedProtocol, path }) =>
    secure && forwardedProtocol !== undefined && forwardedProtocol !== 'https' && !isHealthPath(path)
      ? problem
      : undefined;
}

/** Half a certificate is no certificate, and who shows one must not be served as if they had none. */
export const checkClientCertificate: Gate = ({ clientCertificate }) =>
  clientCertificate.outcome === 'unreadable' ? problems.malformed('The client certificate cannot be read.') : undefined;

/** RFC 9112 §3.2: a proxy may have chosen by the first, and Node reads only one. */
function isRepeated({ rawHeaders }: HttpExchange['request'], name: string): boolean {
  return rawHeaders.filter((text, index) => index % 2 === 0 && text.toLowerCase() === name).length > 1;
}

const methods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/** Twice what the longest authorization request has. */
const maximumParameters = 64;

/** NUL and what is not UTF-8 can neither be stored nor be shown; better said here than by a database. */
export const checkTarget: Gate = ({ request, path, search }) => {
  if (!methods.has(request.method ?? '')) return problems.methodNotAllowed([...methods]);
  const target = path + search;
  if (/%00|\0/.test(target)) return problems.malformed('The address contains a NUL byte.');
  if (search.split('&').length > maximumParameters) return problems.malformed('The address has too many parameters.');
  if (target.includes('%') && !isDecodable(target)) return problems.malformed('The address is not valid UTF-8.');
  return undefined;
};

function isDecodable(target: string): boolean {
  try {
    decodeURIComponent(target.replaceAll('+', ' '));
    return true;
  } catch {
    return false;
  }
}

/** What a body announces about itself; what it really has is counted where it is read. */
export function checkBodySize(config: Config['http']): Gate {
  const problem = problems.tooLarge(config.bodyLimitBytes);
  return ({ request }) => {
    const announced = request.headers['content-length'];
    return announced !== undefined && Number(announced) > config.bodyLimitBytes ? problem : undefined;
  };
}
