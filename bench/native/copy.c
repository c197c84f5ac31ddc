// c-copy: 64 KiB messages through a packed ring with 8 MiB of buffers. The driver (cpu B) copies each message
// in and writes its sequence number into the first and last word. The device (cpu A)
//   --mode in-place: loads one word of every cache line of the message where it lies and checks first, last
//   and sum;
//   --mode copied:   copies it out to a buffer of its own and checks first and last.
#include "packed_ring.h"

#define MESSAGE 65536u
#define SIZE 128
#define WORDS (MESSAGE / 4)
#define LINE_WORDS (CACHE_LINE / 4)
#define BURST 2  // as performance of the same ring in JavaScript was best with

static uint32_t source[WORDS] __attribute__((aligned(4096)));
static uint32_t target[WORDS] __attribute__((aligned(4096)));
static uint32_t line_sum;  // of words 0, 16, 32, ... of the source, the first one left out

static void drive(void *context) {
  struct side s = *(struct side *)context;
  uint32_t sequence = 0;
  for (;;) {
    if (s.free < BURST) reclaim(&s, BURST);
    for (uint32_t i = 0; i < BURST; i++, sequence++) {
      uint32_t *words = (uint32_t *)buffer(&s, (s.next + i) & (SIZE - 1));
      memcpy(words, source, MESSAGE);
      words[0] = sequence;
      words[WORDS - 1] = sequence;
    }
    make_available(&s, BURST);
  }
}

static uint32_t expected;
static int copied;

static void wrong(void) {
  fprintf(stderr, "message %u: wrong content\n", expected);
  exit(1);
}

static void take(const uint32_t *words) {
  if (copied) {
    memcpy(target, words, MESSAGE);
    if (target[0] != expected || target[WORDS - 1] != expected) wrong();
  } else {
    uint32_t sum = 0;
    for (uint32_t w = LINE_WORDS; w < WORDS; w += LINE_WORDS) sum += words[w];
    if (words[0] != expected || words[WORDS - 1] != expected || sum != line_sum) wrong();
  }
  expected++;
}

static void consume(void *context, uint64_t n) {
  struct side *s = context;
  for (uint64_t i = 0; i < n; i++) {
    wait_available(s);
    take((const uint32_t *)(s->data + s->ring[s->next].addr));
    uint32_t slot = s->next;
    uint16_t wrap = s->wrap;
    step_device(s);
    give_back(s, slot, wrap, slot);
  }
}

int main(int argc, char **argv) {
  struct options o = parse_options(argc, argv);
  copied = !strcmp(o.mode, "copied");
  for (uint32_t w = 0; w < WORDS; w++) source[w] = w * 2654435761u;
  for (uint32_t w = LINE_WORDS; w < WORDS; w += LINE_WORDS) line_sum += source[w];
  unsigned char *memory = share(4096 + (size_t)SIZE * MESSAGE);
  struct side device = make_side(memory, memory + 4096, SIZE, MESSAGE);
  struct side driver = device;
  pid_t child = begin_pair(&o, drive, &driver);
  double batches[BATCHES];
  time_batches(o.ms, consume, &device, batches);
  for (int b = 0; b < BATCHES; b++) batches[b] = MESSAGE * 1e9 / batches[b];
  print_batches("B/s", batches, BATCHES);
  end_pair(child);
  return 0;
}
