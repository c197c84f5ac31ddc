import { array, pointer, type Space, struct, text } from 'ivshmem/dsm';

// What both programs agree on: structs in the heap of one space, found from its root.
export const Job = struct({ id: 'u32', name: text(24), size: 'u32', next: pointer });
export const Queue = struct({
  first: pointer,
  last: pointer,
  waiting: 'u32',
  closed: 'u8',
  done: array('u32', 8),
});

/** A list of jobs, first in, first out. The mutex guards every word of it; whoever waits for a job sleeps on the condition. */
export function queueIn(space: Space) {
  const [heap, mutex, filled] = [space.heap(), space.mutex('queue'), space.condition('filled')];
  if (heap.root === 0) heap.root = Queue.alloc(heap)!.offset;
  const queue = Queue.at(heap, heap.root);

  /** After the death of one who was changing the list: its end may be out of date, and the count. */
  function repair(): void {
    queue.waiting = 0;
    queue.last = 0;
    for (let at = queue.first; at !== 0; at = Job.at(heap, at).next) {
      queue.waiting++;
      queue.last = at;
    }
  }

  return {
    queue,
    async push(id: number, name: string, size: number): Promise<void> {
      using held = await mutex.lock();
      if (held.abandoned) repair();
      const job = Job.alloc(heap);
      if (job === null) throw new Error('the heap is full');
      Object.assign(job, { id, name, size });
      if (queue.last === 0) queue.first = job.offset;
      else Job.at(heap, queue.last).next = job.offset;
      queue.last = job.offset;
      queue.waiting++;
      filled.notify();
    },
    /** The next job, which is no longer in memory then; null when there will be none. */
    async take(): Promise<{ id: number; name: string; size: number } | null> {
      using held = await mutex.lock();
      if (held.abandoned) repair();
      while (queue.first === 0 && queue.closed === 0) {
        await filled.wait(mutex);
        if (mutex.abandoned) repair();
      }
      if (queue.first === 0) return null;
      const job = Job.at(heap, queue.first);
      const { id, name, size, offset } = job;
      queue.first = job.next;
      if (queue.first === 0) queue.last = 0;
      queue.waiting--;
      heap.free(offset);
      return { id, name, size };
    },
    async close(): Promise<void> {
      using held = await mutex.lock();
      if (held.abandoned) repair();
      queue.closed = 1;
      filled.notifyAll();
    },
  };
}
