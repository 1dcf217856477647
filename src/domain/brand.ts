/**
 * This file owns how a tenant may look: one colour and one logo, and the colours that follow from the one. A colour that could not be
 * read on our pages is moved until it can be (WCAG 2.2 1.4.3 and 1.4.11), lighter in the dark and darker in the light; nobody can
 * choose it away. It does not own the picture's bytes (domain/logo.ts) or the rest of the stylesheet (views/assets/poort.css).
 */
import { clampChroma, formatHex, interpolate, type Oklch, oklch, parse, wcagContrast } from 'culori';
import { isStorableText } from './stored_text.ts';

export interface TenantLogo {
  readonly version: string;
  readonly width: number;
  readonly height: number;
  /** Said instead of the picture; empty when the tenant's name beside it says enough. */
  readonly alt: string;
}

export interface TenantBrand {
  /** `#rrggbb`, as the tenant chose it. */
  readonly color?: string | undefined;
  readonly logo?: TenantLogo | undefined;
}

/** The tokens of the stylesheet that follow the brand. */
export interface Palette {
  readonly accent: string;
  readonly accentDeep: string;
  readonly onAccent: string;
  readonly tint: string;
}

const colorPattern = /^#[0-9a-f]{6}$/;
const versionPattern = /^[0-9a-f]{32}$/;
const maximumAltCharacters = 120;
const forbiddenInAlt = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/u;

/** `#rrggbb` in lower case, or undefined: no names, no functions, nothing that a stylesheet could read differently. */
export function parseBrandColor(text: string): string | undefined {
  const color = text.toLowerCase();
  return colorPattern.test(color) ? color : undefined;
}

/** A line of text or nothing; undefined when it is neither. */
export function parseLogoAlt(text: string): string | undefined {
  const alt = text.trim().normalize('NFC');
  const fits = [...alt].length <= maximumAltCharacters && isStorableText(alt) && !forbiddenInAlt.test(alt);
  return fits ? alt : undefined;
}

/** Reads what is stored. What this version does not know or cannot read is left out, like an unknown setting. */
export function readBrand(stored: unknown): TenantBrand {
  const { color, logo } = fieldsOf(stored);
  const known = typeof color === 'string' ? parseBrandColor(color) : undefined;
  return { ...(known === undefined ? {} : { color: known }), ...logoOf(logo) };
}

function logoOf(stored: unknown): Pick<TenantBrand, 'logo'> {
  const { version, width, height, alt } = fieldsOf(stored);
  if (typeof version !== 'string' || !versionPattern.test(version)) return {};
  if (!isSize(width) || !isSize(height)) return {};
  return { logo: { version, width, height, alt: typeof alt === 'string' ? (parseLogoAlt(alt) ?? '') : '' } };
}

function isSize(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value > 0 && value <= 10_000;
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

/** What stands behind text and buttons in each scheme; the tokens of views/assets/poort.css, a test compares them. */
export const grounds = {
  light: { paper: '#f3f0e9', 'arch-far': '#ece7dd', 'arch-near': '#e4ddd0', card: '#fffefb', field: '#ffffff' },
  dark: { paper: '#0e1618', 'arch-far': '#121d20', 'arch-near': '#16252a', card: '#1d2d32', field: '#10191c' },
} as const;

export type Scheme = keyof typeof grounds;

/** The house's own colour, for who has none. */
export const houseColor = '#0d5560';

const readable = 4.5;
const lightnessStep = 0.01;
const darkInk = '#0e1618';

/** The colours of a scheme that follow from a brand's colour; every pair of text and ground can be read. */
export function paletteOf(color: string, scheme: Scheme): Palette {
  const chosen = oklch(parse(color));
  if (chosen === undefined) throw new TypeError('a brand colour is written #rrggbb');
  const { card, ...others } = grounds[scheme];
  const tint = formatHex(interpolate([card, color], 'rgb')(0.08));
  const behind = [card, ...Object.values(others), tint];
  const direction = scheme === 'light' ? -1 : 1;
  const accent = moved(chosen, direction, (candidate) => behind.every((ground) => reads(candidate, ground)));
  const onAccent = reads('#ffffff', accent) ? '#ffffff' : darkInk;
  const deep = moved({ ...toOklch(accent), l: toOklch(accent).l + direction * 0.08 }, direction, (candidate) =>
    reads(onAccent, candidate),
  );
  return { accent, accentDeep: deep, onAccent, tint };
}

/** Whether people will see another colour than the tenant chose, somewhere. */
export function isColorCorrected(color: string): boolean {
  return paletteOf(color, 'light').accent !== color;
}

/** The rules that a tenant's pages load after the stylesheet. Made of hexadecimal digits alone, whatever was stored. */
export function brandStylesheet(color: string): string {
  const rules = (scheme: Scheme): string => {
    const { accent, accentDeep, onAccent, tint } = paletteOf(color, scheme);
    return `:root { --accent: ${accent}; --accent-deep: ${accentDeep}; --on-accent: ${onAccent}; --tint: ${tint}; }`;
  };
  return `${rules('light')}\n@media (prefers-color-scheme: dark) {\n  ${rules('dark')}\n}\n`;
}

/** For a mail, which is read on white: its links and its button, and the text on that. */
export function mailColorsOf(brand: TenantBrand): { readonly accent: string; readonly onAccent: string } {
  const { accent, onAccent } = paletteOf(brand.color ?? houseColor, 'light');
  return { accent, onAccent };
}

function moved(from: Oklch, direction: number, isEnough: (candidate: string) => boolean): string {
  for (let step = 0; step <= 1 / lightnessStep; step += 1) {
    const l = Math.min(1, Math.max(0, from.l + direction * step * lightnessStep));
    // The strongest shade of that lightness that a screen can show.
    const candidate = formatHex(clampChroma({ ...from, l }, 'oklch'));
    if (isEnough(candidate)) return candidate;
  }
  return direction < 0 ? '#000000' : '#ffffff';
}

function reads(text: string, ground: string): boolean {
  return wcagContrast(text, ground) >= readable;
}

function toOklch(color: string): Oklch {
  const converted = oklch(parse(color));
  if (converted === undefined) throw new TypeError('not a colour');
  return converted;
}
