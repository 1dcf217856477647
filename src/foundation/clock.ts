/**
 * This file owns the present moment: the only `new Date()` of the server. Everything that depends on time takes a
 * Clock (or a Date) as an argument, so a test can move time without sleeping. It owns no timers.
 */

/** Answers what time it is now. */
export type Clock = () => Date;

/** The clock of the machine. */
export const systemClock: Clock = () => new Date();
