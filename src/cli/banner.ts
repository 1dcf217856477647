/** What `npm start` prints when it is ready: every address, and a first token to paste. All of it comes from the settings. */
import { relative } from 'node:path';
import type { Config } from '#config/config.ts';
import type { DemoTenant } from '#src/flows/tenants/seed_demo.ts';
import { demoFilePath, type RunningDemo } from './demo.ts';

export interface BannerInput {
  readonly config: Config;
  readonly url: string;
  readonly demo: RunningDemo | undefined;
  readonly grpcAddress: string | undefined;
  /** Since the process started. */
  readonly readyMilliseconds: number;
  /** Paths are shown from here. */
  readonly workingDirectory: string;
}

export function banner({ config, url, demo, grpcAddress, readyMilliseconds, workingDirectory }: BannerInput): string {
  const seconds = (readyMilliseconds / 1000).toFixed(1);
  const lines = [
    ...(demo === undefined ? [] : demoLines(demo)),
    // It is the server of one desk, never of production: without a mail server its mail is shown.
    ...(config.mail.smtpUrl === undefined && config.env !== 'production' ? [['Mailbox', `${url}/dev/mail`]] : []),
    ...(grpcAddress === undefined ? [] : [['gRPC', grpcAddress]]),
    ['Health', `${url}/health/ready`],
    ...(demo === undefined
      ? [['First steps', 'npx poort tenant create <slug> --name <name>']]
      : peopleLines(demo, shortest(demoFilePath(config), workingDirectory))),
  ];
  const width = Math.max(...lines.map(([label = '']) => label.length));
  const rows = lines.map(([label = '', text = '']) => `  ${label.padEnd(width)}  ${text}`);
  const title = `Poort is ready in ${seconds} s at ${url}`;
  const token = demo === undefined ? [] : ['', 'A first token, to paste:', '', firstToken(demo)];
  return `\n${[title, '', ...rows, ...token].join('\n')}\n\n`;
}

function demoLines({ demo, application }: RunningDemo): string[][] {
  return [
    [
      'Demo application',
      application === undefined
        ? '(did not start, see the log)'
        : `${application.origin}  sign in, and see your tokens`,
    ],
    ...demo.tenants.map(({ slug, issuer }) => [`Tenant ${slug}`, issuer]),
    ...demo.tenants.map(({ slug, issuer }) => [`Discovery ${slug}`, `${issuer}/.well-known/openid-configuration`]),
  ];
}

function peopleLines({ demo }: RunningDemo, file: string): string[][] {
  const { email, password } = demo.operator;
  return [
    ['Sign in as', `${email} with ${password}`],
    ['Everyone else', file],
  ];
}

function shortest(file: string, workingDirectory: string): string {
  const path = relative(workingDirectory, file);
  return path.startsWith('..') ? file : path;
}

/** Values are of the alphabet of base64url or are URIs without quotes: nothing in it means anything to a shell. */
function firstToken({ demo }: RunningDemo): string {
  const [tenant] = demo.tenants;
  return tenant === undefined ? '' : curl(tenant);
}

function curl({ issuer, clients, apis }: DemoTenant): string {
  const machine = clients.find((client) => client.type === 'machine');
  const api = apis.find((candidate) => candidate.token_format === 'jwt');
  const fields = [
    'grant_type=client_credentials',
    `resource=${api?.audience ?? ''}`,
    `scope=${api?.scopes[0] ?? ''}`,
  ].map((field) => `-d ${field}`);
  const credentials = `${machine?.client_id ?? ''}:${machine?.client_secret ?? ''}`;
  return `  curl -s -u '${credentials}' ${fields.join(' ')} ${issuer}/token`;
}
