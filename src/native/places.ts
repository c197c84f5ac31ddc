/**
 * Where a compiled file may be, relative to the file that imports this: beside a bundle; in the two build folders of a checkout; inside
 * the published package. A checkout's own build comes before prebuilds/, which may be older than it; the package has no
 * native/build.
 * @param built its name where it is compiled
 * @param packed what follows `linux-ARCH` in its name in prebuilds/
 */
export function places(built: string, packed: string): string[] {
  return [
    `./${built}`,
    `../../native/build/Release/${built}`,
    `../../native/build/Debug/${built}`,
    `../../prebuilds/${process.platform}-${process.arch}${packed}`,
  ];
}
