// c-packed-rtt: round trips of 64 bytes over two bare packed virtqueues, one each way, both ends polling:
// what a message costs beyond c-line, because descriptor and payload are two cache lines and each is
// invalidated before it is written again.
#include "packed_ring.h"

#define SIZE 256
#define WORDS 16
#define HOLD 64  // buffers used before they are given back, as in the product

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
  if (e->held == HOLD) {
    give_back(s, e->first, e->first_wrap, slot);
    e->held = 0;
  }
}

static void answer(void *context) {
  struct end *e = context;
  for (uint32_t sequence = 0;; sequence++) {
    receive_message(e, sequence);
    send_message(e, sequence);
  }
}

static void round_trips(void *context, uint64_t n) {
  static uint32_t sequence;
  for (uint64_t i = 0; i < n; i++, sequence++) {
    send_message(context, sequence);
    receive_message(context, sequence);
  }
}

int main(int argc, char **argv) {
  struct options o = parse_options(argc, argv);
  unsigned char *memory = share(65536);
  unsigned char *rings[2] = {memory, memory + 4096}, *data[2] = {memory + 16384, memory + 32768};
  struct end a = {0}, b = {0};
  a.out = b.in = make_side(rings[0], data[0], SIZE, CACHE_LINE);
  b.out = a.in = make_side(rings[1], data[1], SIZE, CACHE_LINE);
  pid_t child = begin_pair(&o, answer, &b);
  double batches[BATCHES];
  time_batches(o.ms, round_trips, &a, batches);
  print_batches("ns", batches, BATCHES);
  end_pair(child);
  return 0;
}
