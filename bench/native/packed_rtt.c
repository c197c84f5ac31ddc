// c-packed-rtt: round trips of 64 bytes over two bare packed virtqueues, one each way, both ends polling:
// what a message costs beyond c-line, because descriptor and payload are two cache lines and each is
// invalidated before it is written again. With `--mode N` over N such pairs of queues in turn, in an order that
// both ends know: what memory itself asks for when the lines of a queue have left the near caches.
#include "packed_ring.h"

#define SIZE 256
#define SIZE_OF_MANY 16  // as in the product, where a thousand channels share the same memory
#define WORDS 16

struct end {
  struct side out, in;
  uint32_t held, first;
  uint16_t first_wrap;
};

static void send_message(struct end *e, uint32_t sequence) {
  if (!e->out.free) reclaim(&e->out, 1);
  uint32_t *words = (uint32_t *)buffer(&e->out, e->out.next);
  for (uint32_t w = 0; w < WORDS; w++) words[w] = sequence + w;
  make_available(&e->out, 1);
}

static void receive_message(struct end *e, uint32_t sequence) {
  struct side *s = &e->in;
  wait_available(s);
  const uint32_t *words = (const uint32_t *)(s->data + s->ring[s->next].addr);
  uint32_t sum = 0, slot = s->next;
  for (uint32_t w = 0; w < WORDS; w++) sum += words[w];
  if (sum != sequence * WORDS + WORDS * (WORDS - 1) / 2) {
    fprintf(stderr, "message %u: wrong content\n", sequence);
    exit(1);
  }
  if (!e->held++) {
    e->first = slot;
    e->first_wrap = s->wrap;
  }
  step_device(s);
  if (e->held == s->size / 4) {  // held back until then, as in the product
    give_back(s, e->first, e->first_wrap, slot);
    e->held = 0;
  }
}

static uint32_t pairs = 1;

static void answer(void *context) {
  struct end *ends = context;
  for (uint32_t sequence = 0, turn = 0;; sequence++) {
    receive_message(&ends[turn], sequence);
    send_message(&ends[turn], sequence);
    if (++turn == pairs) turn = 0;
  }
}

static void round_trips(void *context, uint64_t n) {
  static uint32_t sequence, turn;
  struct end *ends = context;
  for (uint64_t i = 0; i < n; i++, sequence++) {
    send_message(&ends[turn], sequence);
    receive_message(&ends[turn], sequence);
    if (++turn == pairs) turn = 0;
  }
}

int main(int argc, char **argv) {
  struct options o = parse_options(argc, argv);
  if (*o.mode) pairs = (uint32_t)atoi(o.mode);
  if (!pairs) {
    fprintf(stderr, "--mode takes a number of pairs, and is '%s'\n", o.mode);
    exit(1);
  }
  const uint32_t size = pairs == 1 ? SIZE : SIZE_OF_MANY;
  const size_t ring_bytes = 4096, data_bytes = (size_t)(pairs == 1 ? SIZE : 64) * CACHE_LINE;
  unsigned char *memory = share(2 * pairs * (ring_bytes + data_bytes));
  struct end *a = calloc(pairs, sizeof *a), *b = calloc(pairs, sizeof *b);
  if (!a || !b) die("calloc");
  for (uint32_t i = 0; i < pairs; i++, memory += 2 * (ring_bytes + data_bytes)) {
    unsigned char *data = memory + 2 * ring_bytes;
    a[i].out = b[i].in = make_side(memory, data, size, CACHE_LINE);
    b[i].out = a[i].in = make_side(memory + ring_bytes, data + data_bytes, size, CACHE_LINE);
  }
  pid_t child = begin_pair(&o, answer, b);
  double batches[BATCHES];
  time_batches(o.ms, round_trips, a, batches);
  print_batches("ns", batches, BATCHES);
  end_pair(child);
  return 0;
}
