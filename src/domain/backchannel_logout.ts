/** This file owns what an application's answer to a logout token means. */

/** Back-Channel Logout 1.0 §2.8: 200, and 204 because some frameworks say it so. Undefined when the application has heard. */
export function problemWithStatus(status: number): string | undefined {
  return status === 200 || status === 204 ? undefined : `answered ${status}`;
}
