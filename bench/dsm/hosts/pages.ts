import type { SpreadSpace } from '../../../src/dsm/index.ts';
import type { Pages } from '../apps/app.ts';

/** Pages of a spread space, as an application asks for them. */
export function pagesOf(space: SpreadSpace): Pages {
  return {
    ahead(view, from, to, access) {
      const size = view.BYTES_PER_ELEMENT;
      space.hint(
        view.byteOffset + from * size,
        (to - from) * size,
        access === 'read' ? 'will-read' : 'will-write',
      );
    },
    async bring(view, from, to, access) {
      const size = view.BYTES_PER_ELEMENT;
      (await space.acquire(view.byteOffset + from * size, (to - from) * size, access)).release();
    },
  };
}
