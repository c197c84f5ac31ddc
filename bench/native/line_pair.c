// c-line-pair: c-line with a line for each direction, as any two queues have. Where the hardware hands a line
// over with its ownership, one shared line is cheaper than two, because a polled line must be invalidated
// before each write.
#include "pair.h"

struct lines {
  _Alignas(CACHE_LINE) _Atomic uint64_t there;
  _Alignas(CACHE_LINE) _Atomic uint64_t back;
};

// acquire: pairs with the release store of the other process.
static void await(_Atomic uint64_t *word, uint64_t value) {
  while (atomic_load_explicit(word, memory_order_acquire) != value) {
  }
}

static void round_trips(void *context, uint64_t n) {
  static uint64_t sequence;
  struct lines *lines = context;
  for (uint64_t i = 0; i < n; i++) {
    atomic_store_explicit(&lines->there, ++sequence, memory_order_release);
    await(&lines->back, sequence);
  }
}

static void answer(void *context) {
  struct lines *lines = context;
  for (uint64_t sequence = 1;; sequence++) {
    await(&lines->there, sequence);
    atomic_store_explicit(&lines->back, sequence, memory_order_release);
  }
}

int main(int argc, char **argv) {
  struct options o = parse_options(argc, argv);
  struct lines *lines = share(4096);
  pid_t child = begin_pair(&o, answer, lines);
  double batches[BATCHES];
  time_batches(o.ms, round_trips, lines, batches);
  print_batches("ns", batches, BATCHES);
  end_pair(child);
  return 0;
}
