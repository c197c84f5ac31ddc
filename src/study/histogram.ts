import {
  build,
  decodeFromCompressedBase64,
  encodeIntoCompressedBase64,
  type Histogram,
} from 'hdr-histogram-js';

/** A minute in nanoseconds: what takes longer is counted as that long. */
const MOST_NS = 60e9;

/** Times as an HdrHistogram of three digits: what each of them was, to a thousandth, in little room. Bundled into this file. */
export class Times {
  readonly #histogram: Histogram = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: MOST_NS,
    numberOfSignificantValueDigits: 3,
    useWebAssembly: false,
  });

  /** Nanoseconds. */
  add(ns: number): void {
    this.#histogram.recordValue(Math.min(MOST_NS, Math.max(1, Math.round(ns))));
  }

  get count(): number {
    return this.#histogram.totalCount;
  }

  /** Nanoseconds that a share of the times does not exceed. */
  quantile(share: number): number {
    return this.#histogram.getValueAtPercentile(share * 100);
  }

  /** What `Sample.histogram` holds. */
  encode(): string {
    return encodeIntoCompressedBase64(this.#histogram);
  }
}

/** The histogram of a sample. @throws Error when the text is none. */
export function decodeTimes(text: string): Histogram {
  return decodeFromCompressedBase64(text);
}
