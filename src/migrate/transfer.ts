import type { MigrationState, QemuVm } from './vm.ts';

const PROGRESS_MS = 2000;
/** A cancelled migration ends at once, but for what is being sent. */
const CANCEL_MS = 30_000;
const ENDS = ['completed', 'failed', 'cancelled'];

/**
 * Has QEMU send the guest to `uri`. Throws an Error when the guest is still at the source, after it was cancelled if it took longer
 * than `ms` or the signal was aborted.
 */
export async function transfer(
  source: QemuVm,
  destination: QemuVm,
  uri: string,
  { ms, signal }: { readonly ms: number; readonly signal: AbortSignal },
  progress: (text: string) => void,
): Promise<MigrationState> {
  const end = (within: number, signal: AbortSignal | null) =>
    source.event(
      ({ event, data }) => {
        const status = event === 'MIGRATION' ? String(data?.status) : '';
        return ENDS.includes(status) ? status : null;
      },
      within,
      signal,
    );
  for (const vm of [source, destination]) await vm.prepareMigration();
  const over = end(ms, signal);
  let how: string | null;
  const timer = setInterval(() => void tellProgress(source, progress), PROGRESS_MS);
  try {
    await source.ask('migrate', { uri });
    how = await over.came;
  } finally {
    over.stop();
    clearInterval(timer);
  }
  const late = how === null;
  if (how === null) {
    const cancelled = end(CANCEL_MS, null);
    try {
      await source.ask('migrate_cancel');
    } catch (error) {
      cancelled.stop();
      throw error;
    }
    // It may have completed before it was cancelled.
    how = await cancelled.came;
  }
  const state = await source.migration();
  if (how === 'completed') return state;
  if (late) throw new Error(`it took longer than ${ms / 1000} s`);
  throw new Error(state['error-desc'] ?? `QEMU says ${how}, and nothing more`);
}

async function tellProgress(source: QemuVm, progress: (text: string) => void): Promise<void> {
  try {
    const { status, ram } = await source.migration();
    if (ram === undefined) return;
    const mebibytes = (bytes: number): number => Math.round(bytes / 2 ** 20);
    progress(`${status}: ${mebibytes(ram.transferred)} MiB sent, ${mebibytes(ram.remaining)} MiB left`);
  } catch (error) {
    // The migration itself hears of it as well.
    progress((error as Error).message);
  }
}
