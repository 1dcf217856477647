import { MAXIMUM_LOGO_BYTES, parseLogo } from '#src/domain/logo.ts';
import { pngChunk, pngWith, riffChunk, squarePng, webpWith } from '#test/support/logos.ts';

const script = '<script>alert(1)</script>';

describe('a logo', () => {
  it('is a PNG or a WebP, told by its bytes, with its size', () => {
    expect(parseLogo(squarePng(64))).toMatchObject({ outcome: 'valid', mediaType: 'image/png', width: 64, height: 64 });
    expect(parseLogo(webpWith())).toMatchObject({ outcome: 'valid', mediaType: 'image/webp', width: 64, height: 48 });
  });

  it('keeps every byte that draws it', () => {
    const png = squarePng();
    expect(parseLogo(png)).toMatchObject({ body: png });
  });

  it.each([
    ['an SVG', Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>')],
    ['an SVG behind a byte order mark', Buffer.from('\ufeff<?xml version="1.0"?><svg/>')],
    ['a GIF that is a script', Buffer.from('GIF89a/*\x01\x00*/=1;alert(1)')],
    ['a JPEG', Buffer.from([0xff, 0xd8, 0xff, 0xe0, 0, 16])],
    ['HTML', Buffer.from(`<!DOCTYPE html>${script}`)],
    ['a PNG behind something else', Buffer.concat([Buffer.from(script), squarePng()])],
    ['nothing', Buffer.alloc(0)],
  ])('is not %s (C24)', (_what, bytes) => {
    expect(parseLogo(bytes)).toEqual({ outcome: 'invalid', reason: 'not_png_or_webp' });
  });

  it('leaves behind what does not draw: text, places, and a second file behind its end (C24)', () => {
    const text = pngChunk('tEXt', Buffer.from(`Comment\0${script}`));
    const exif = pngChunk('eXIf', Buffer.from('52.0907 N 5.1214 E'));
    const png = parseLogo(pngWith({ chunks: [text, exif], after: `behind ${script}` }));
    const webp = parseLogo(
      Buffer.concat([
        webpWith({ extra: [riffChunk('EXIF', Buffer.from('52.0907 N')), riffChunk('XMP ', Buffer.from(script))] }),
        Buffer.from(script),
      ]),
    );
    for (const parsed of [png, webp]) {
      const body = parsed.outcome === 'valid' ? parsed.body.toString('latin1') : '';
      expect(body).not.toBe('');
      expect(body).not.toMatch(/script|52\.0907|behind/);
      expect(parseLogo(Buffer.from(body, 'latin1'))).toEqual(parsed);
    }
  });

  it('does not move', () => {
    expect(parseLogo(pngWith({ chunks: [pngChunk('acTL', Buffer.alloc(8))] }))).toMatchObject({ reason: 'animated' });
    expect(parseLogo(webpWith({ animated: true }))).toMatchObject({ reason: 'animated' });
  });

  it('is neither a dot nor a wall', () => {
    for (const [width, height] of [
      [15, 64],
      [64, 2001],
      [0, 64],
      [0xffffffff, 0xffffffff],
    ] as const)
      expect(parseLogo(pngWith({ width, height }))).toMatchObject({ reason: 'dimensions' });
    expect(parseLogo(webpWith({ width: 16_384 }))).toMatchObject({ reason: 'dimensions' });
    expect(parseLogo(Buffer.alloc(MAXIMUM_LOGO_BYTES + 1))).toMatchObject({ reason: 'too_large' });
  });

  it('is whole: cut anywhere, or changed anywhere, it is refused or still only a picture', () => {
    const png = squarePng(16);
    for (let length = 8; length < png.length; length += 1)
      expect(parseLogo(png.subarray(0, length))).toMatchObject({ outcome: 'invalid' });
    for (let at = 8; at < png.length; at += 1) {
      const changed = Buffer.from(png);
      changed[at] = (changed[at] ?? 0) ^ 0xff;
      expect(parseLogo(changed)).toMatchObject({ outcome: 'invalid' });
    }
    const webp = webpWith();
    for (let length = 0; length < webp.length; length += 1)
      expect(parseLogo(webp.subarray(0, length))).toMatchObject({ outcome: 'invalid' });
  });
});
