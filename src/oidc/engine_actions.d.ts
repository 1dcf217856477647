/** As much as we use of a part of the engine that has no types of its own. */
declare module 'oidc-provider/lib/actions/introspection.js' {
  const steps: readonly ((ctx: object, next: () => Promise<void>) => Promise<void> | void)[];
  // biome-ignore lint/style/noDefaultExport: it is how the engine exports it.
  export default steps;
}
