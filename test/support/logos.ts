/** Pictures that a tenant might bring: honest ones, made here, and parts to make others of. */
import { crc32, deflateSync } from 'node:zlib';
import type { TenantBrand } from '#src/domain/brand.ts';
import { smallPng } from './small_png.ts';

/** A square of a colour, as a PNG. */
export function squarePng(side = 64, [red, green, blue]: readonly [number, number, number] = [12, 84, 96]): Buffer {
  const pixels = new Uint8Array(side * side * 4);
  for (let at = 0; at < pixels.length; at += 4) pixels.set([red, green, blue, 255], at);
  return smallPng({ width: side, height: side, pixels });
}

export const testLogo = squarePng();

export const testBrand: TenantBrand = {
  color: '#7a1fa2',
  logo: { version: '0123456789abcdef0123456789abcdef', width: 64, height: 64, alt: 'De linde' },
};

/** ISO 15948 §5.3. */
export function pngChunk(type: string, data: Buffer): Buffer {
  const typed = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  check.writeUInt32BE(crc32(typed));
  return Buffer.concat([length, typed, check]);
}

/** With more chunks before its picture, and more bytes behind its end. */
export function pngWith({ chunks = [], after = '', width = 64, height = 64 }: PngParts = {}): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 0, 0, 0, 0], 8);
  const picture = deflateSync(Buffer.alloc((Math.min(width, 64) + 1) * Math.min(height, 64)));
  return Buffer.concat([
    testLogo.subarray(0, 8),
    pngChunk('IHDR', header),
    ...chunks,
    pngChunk('IDAT', picture),
    pngChunk('IEND', Buffer.alloc(0)),
    Buffer.from(after, 'latin1'),
  ]);
}

interface PngParts {
  readonly chunks?: readonly Buffer[];
  readonly after?: string;
  readonly width?: number;
  readonly height?: number;
}

/** RFC 9649: a lossless picture of this size, as far as its header goes. */
export function webpWith({ extra = [], animated = false, width = 64, height = 48 }: WebpParts = {}): Buffer {
  const bits = Buffer.alloc(16);
  bits[0] = 0x2f;
  bits.writeUInt32LE((width - 1) | ((height - 1) << 14), 1);
  const extended = Buffer.alloc(10);
  extended[0] = animated ? 0x02 : 0x1c;
  extended.writeUIntLE(width - 1, 4, 3);
  extended.writeUIntLE(height - 1, 7, 3);
  const parts = [riffChunk('VP8X', extended), ...(animated ? [riffChunk('ANIM', Buffer.alloc(6))] : [])];
  const body = Buffer.concat([Buffer.from('WEBP'), ...parts, riffChunk('VP8L', bits), ...extra]);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(body.length);
  return Buffer.concat([Buffer.from('RIFF'), length, body]);
}

export function riffChunk(type: string, data: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(data.length);
  return Buffer.concat([Buffer.from(type, 'latin1'), length, data, Buffer.alloc(data.length % 2)]);
}

interface WebpParts {
  readonly extra?: readonly Buffer[];
  readonly animated?: boolean;
  readonly width?: number;
  readonly height?: number;
}
