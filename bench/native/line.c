// c-line: one 64-bit word in one cache line bounces between two processes. The least any message can cost
// here. Both ways of spinning are measured (tight, and with PAUSE); the better one is the floor.
#include <immintrin.h>

#include "pair.h"

struct line {
  _Alignas(CACHE_LINE) _Atomic uint64_t word;
  _Alignas(CACHE_LINE) _Atomic int use_pause;
};

// acquire: pairs with the release store of the other process in answer() or bounce().
static inline void await(struct line *line, uint64_t value, int use_pause) {
  if (use_pause) {
    while (atomic_load_explicit(&line->word, memory_order_acquire) != value) _mm_pause();
  } else {
    while (atomic_load_explicit(&line->word, memory_order_acquire) != value) {
    }
  }
}

static uint64_t sequence;

static void bounce(void *context, uint64_t n) {
  struct line *line = context;
  int use_pause = line->use_pause;
  for (uint64_t i = 0; i < n; i++) {
    atomic_store_explicit(&line->word, ++sequence, memory_order_release);
    await(line, ++sequence, use_pause);
  }
}

static void answer(void *context) {
  struct line *line = context;
  for (uint64_t s = 1;; s += 2) {
    await(line, s, atomic_load_explicit(&line->use_pause, memory_order_relaxed));
    atomic_store_explicit(&line->word, s + 1, memory_order_release);
  }
}

int main(int argc, char **argv) {
  struct options o = parse_options(argc, argv);
  struct line *line = share(4096);
  pid_t child = begin_pair(&o, answer, line);
  double tight[BATCHES], paused[BATCHES];
  time_batches(o.ms / 2, bounce, line, tight);
  line->use_pause = 1;
  time_batches(o.ms / 2, bounce, line, paused);
  print_batches("ns", median(tight, BATCHES) <= median(paused, BATCHES) ? tight : paused, BATCHES);
  end_pair(child);
  return 0;
}
