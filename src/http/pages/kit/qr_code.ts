/** A QR code as the `d` of one SVG path: nothing inline but numbers, so that no policy has to allow anything for it. */
import { create } from 'qrcode';

export interface QrCode {
  /** Of the side, in modules, with the quiet zone around (ISO 18004 §5.3.8: four modules). */
  readonly size: number;
  readonly path: string;
}

const QUIET_MODULES = 4;

/** Each row's dark modules in runs. Throws when the text is too long for one. */
export function qrCodeOf(text: string): QrCode {
  const { modules } = create(text, { errorCorrectionLevel: 'M' });
  const { size } = modules;
  const runs: string[] = [];
  for (let row = 0; row < size; row += 1) {
    let length = 0;
    for (let column = 0; column <= size; column += 1) {
      if (column < size && modules.get(row, column) === 1) {
        length += 1;
        continue;
      }
      if (length > 0) runs.push(`M${column - length + QUIET_MODULES} ${row + QUIET_MODULES}h${length}v1h-${length}z`);
      length = 0;
    }
  }
  return { size: size + 2 * QUIET_MODULES, path: runs.join('') };
}
