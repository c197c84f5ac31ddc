// c-packed-ring: 64-byte messages per second, burst 32, 256 descriptors. The driver (cpu B) writes all 64
// bytes in place, the device (cpu A) reads all of them in place and checks their sum. With PREFETCH both
// sides ask for the cache lines of messages to come, which more than doubles the rate where the hardware does
// not guess; without it is the plain loop.
#include "packed_ring.h"

#define SIZE 256
#define BURST 32
#define WORDS 16
#ifndef PREFETCH
#define PREFETCH 1
#endif
#define AHEAD_DRIVER 12
#define AHEAD_DEVICE 16

static struct side device_side;

static void drive(void *context) {
  struct side s = *(struct side *)context;
  uint32_t sequence = 0;
  for (;;) {
    if (s.free < BURST) reclaim(&s, BURST);
    for (uint32_t i = 0; i < BURST; i++, sequence++) {
      if (PREFETCH) __builtin_prefetch(buffer(&s, (s.next + i + AHEAD_DRIVER) & (SIZE - 1)), 1);
      uint32_t *words = (uint32_t *)buffer(&s, (s.next + i) & (SIZE - 1));
      for (uint32_t w = 0; w < WORDS; w++) words[w] = sequence + w;
    }
    make_available(&s, BURST);
  }
}

static uint32_t expected;

static void consume(void *context, uint64_t n) {
  struct side *s = context;
  for (uint64_t left = n / BURST * BURST + BURST; left;) {
    wait_available(s);
    uint32_t first = s->next, last = first, count = 0;
    uint16_t first_wrap = s->wrap;
    do {
      if (PREFETCH) __builtin_prefetch(buffer(s, (s->next + AHEAD_DEVICE) & (SIZE - 1)));
      const uint32_t *words = (const uint32_t *)(s->data + s->ring[s->next].addr);
      uint32_t sum = 0;
      for (uint32_t w = 0; w < WORDS; w++) sum += words[w];
      if (sum != expected * WORDS + WORDS * (WORDS - 1) / 2) {
        fprintf(stderr, "message %u: wrong content\n", expected);
        exit(1);
      }
      expected++;
      last = s->next;
      step_device(s);
    } while (++count < BURST && peek_available(s));
    give_back(s, first, first_wrap, last);
    left -= count < left ? count : left;
  }
}

int main(int argc, char **argv) {
  struct options o = parse_options(argc, argv);
  unsigned char *memory = share(SIZE * sizeof(struct desc) + SIZE * CACHE_LINE);
  device_side = make_side(memory, memory + SIZE * sizeof(struct desc), SIZE, CACHE_LINE);
  struct side driver_side = device_side;
  pid_t child = begin_pair(&o, drive, &driver_side);
  double batches[BATCHES];
  time_batches(o.ms, consume, &device_side, batches);
  for (int b = 0; b < BATCHES; b++) batches[b] = 1e9 / batches[b];
  print_batches("msg/s", batches, BATCHES);
  end_pair(child);
  return 0;
}
