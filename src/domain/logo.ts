/**
 * This file owns which pictures may be a logo: PNG and WebP, told by their own bytes and never by a name or a type that somebody said.
 * A picture is taken apart and put together again from the parts that draw it, so that nothing else travels in it: no text, no
 * place where it was made, no second file behind its end. It decodes no pixels.
 */
import { crc32 } from 'node:zlib';

export const MAXIMUM_LOGO_BYTES = 204_800;
const sides = { least: 16, most: 2_000 } as const;

export type LogoRefusal = 'too_large' | 'not_png_or_webp' | 'damaged' | 'animated' | 'dimensions';

export type ParsedLogo =
  | {
      readonly outcome: 'valid';
      readonly mediaType: 'image/png' | 'image/webp';
      readonly width: number;
      readonly height: number;
      /** Only what draws the picture. */
      readonly body: Buffer;
    }
  | { readonly outcome: 'invalid'; readonly reason: LogoRefusal };

const pngSignature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

export function parseLogo(input: Buffer): ParsedLogo {
  if (input.length > MAXIMUM_LOGO_BYTES) return refused('too_large');
  if (input.subarray(0, 8).equals(pngSignature)) return parsePng(input);
  if (input.toString('latin1', 0, 4) === 'RIFF' && input.toString('latin1', 8, 12) === 'WEBP') return parseWebp(input);
  return refused('not_png_or_webp');
}

interface Chunk {
  readonly type: string;
  readonly data: Buffer;
  /** With its length, and its check where it has one. */
  readonly whole: Buffer;
}

// ISO 15948 §5: what draws, and what says in which colours.
const drawing: ReadonlySet<string> = new Set(['IHDR', 'PLTE', 'tRNS', 'gAMA', 'cHRM', 'sRGB', 'IDAT', 'IEND']);

function parsePng(input: Buffer): ParsedLogo {
  const chunks = pngChunks(input.subarray(8));
  const header = chunks?.[0];
  if (chunks === undefined || header?.type !== 'IHDR' || header.data.length !== 13) return refused('damaged');
  const types = chunks.map(({ type }) => type);
  if (types.includes('acTL')) return refused('animated');
  if (!types.includes('IDAT') || types.indexOf('IEND') !== types.length - 1) return refused('damaged');
  if (types.lastIndexOf('IHDR') !== 0) return refused('damaged');
  const size = { width: header.data.readUInt32BE(0), height: header.data.readUInt32BE(4) };
  const kept = chunks.filter(({ type }) => drawing.has(type)).map(({ whole }) => whole);
  return sized(size, { mediaType: 'image/png', body: Buffer.concat([pngSignature, ...kept]) });
}

/** Undefined when a length leads past the end, a check is wrong, or the picture has no end. */
function pngChunks(bytes: Buffer): readonly Chunk[] | undefined {
  const chunks: Chunk[] = [];
  for (let at = 0; at + 12 <= bytes.length; ) {
    const length = bytes.readUInt32BE(at);
    const end = at + 12 + length;
    if (end > bytes.length) return undefined;
    const type = bytes.toString('latin1', at + 4, at + 8);
    if (crc32(bytes.subarray(at + 4, end - 4)) !== bytes.readUInt32BE(end - 4)) return undefined;
    chunks.push({ type, data: bytes.subarray(at + 8, end - 4), whole: bytes.subarray(at, end) });
    // What comes behind the end is no part of the picture.
    if (type === 'IEND') return chunks;
    at = end;
  }
  return undefined;
}

const webpDrawing: ReadonlySet<string> = new Set(['VP8X', 'VP8 ', 'VP8L', 'ALPH']);
/** RFC 9649 §2.7.1: flags of the extended header. */
const flags = { animation: 0x02, alpha: 0x10 } as const;

function parseWebp(input: Buffer): ParsedLogo {
  const end = 8 + input.readUInt32LE(4);
  if (end > input.length) return refused('damaged');
  const chunks = riffChunks(input.subarray(12, end));
  const first = chunks?.[0];
  if (chunks === undefined || first === undefined) return refused('damaged');
  const types = chunks.map(({ type }) => type);
  if (types.includes('ANIM') || types.includes('ANMF')) return refused('animated');
  const picture = chunks.filter(({ type }) => type === 'VP8 ' || type === 'VP8L');
  const [drawn] = picture;
  if (drawn === undefined || picture.length !== 1) return refused('damaged');
  const size = webpSize(drawn);
  if (size === undefined) return refused('damaged');
  const kept = chunks.filter(({ type }) => webpDrawing.has(type)).map(withoutPromises);
  const body = Buffer.concat([Buffer.from('RIFF\0\0\0\0WEBP', 'latin1'), ...kept]);
  body.writeUInt32LE(body.length - 8, 4);
  return sized(size, { mediaType: 'image/webp', body });
}

function riffChunks(bytes: Buffer): readonly Chunk[] | undefined {
  const chunks: Chunk[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (at + 8 > bytes.length) return undefined;
    const length = bytes.readUInt32LE(at + 4);
    const padded = at + 8 + length + (length % 2);
    if (padded > bytes.length) return undefined;
    const type = bytes.toString('latin1', at, at + 4);
    chunks.push({ type, data: bytes.subarray(at + 8, at + 8 + length), whole: bytes.subarray(at, padded) });
    at = padded;
  }
  return chunks;
}

/** The extended header without the flags of parts that were left out. */
function withoutPromises({ type, data, whole }: Chunk): Buffer {
  if (type !== 'VP8X') return whole;
  const header = Buffer.from(whole);
  header[8] = (data[0] ?? 0) & flags.alpha;
  return header;
}

/** RFC 6386 §9.1 and RFC 9649 §3.4. */
function webpSize({ type, data }: Chunk): { readonly width: number; readonly height: number } | undefined {
  if (data.length < 10) return undefined;
  if (type === 'VP8L') {
    if (data[0] !== 0x2f) return undefined;
    const bits = data.readUInt32LE(1);
    return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 };
  }
  if (data.readUIntBE(3, 3) !== 0x9d012a) return undefined;
  return { width: data.readUInt16LE(6) & 0x3fff, height: data.readUInt16LE(8) & 0x3fff };
}

function sized(
  { width, height }: { readonly width: number; readonly height: number },
  picture: { readonly mediaType: 'image/png' | 'image/webp'; readonly body: Buffer },
): ParsedLogo {
  const fits = [width, height].every((side) => side >= sides.least && side <= sides.most);
  return fits ? { outcome: 'valid', width, height, ...picture } : refused('dimensions');
}

function refused(reason: LogoRefusal): ParsedLogo {
  return { outcome: 'invalid', reason };
}
