// c-eventfd: two processes wake each other with blocking reads of an eventfd. The least a sleeping round trip
// can cost.
#include <sys/eventfd.h>

#include "pair.h"

struct bells {
  int to_b, to_a;
};

static void wait_bell(int fd) {
  uint64_t count;
  if (read(fd, &count, sizeof count) != sizeof count) die("read");
}

static void ring_bell(int fd) {
  uint64_t one = 1;
  if (write(fd, &one, sizeof one) != sizeof one) die("write");
}

static void round_trips(void *context, uint64_t n) {
  struct bells *bells = context;
  for (uint64_t i = 0; i < n; i++) {
    ring_bell(bells->to_b);
    wait_bell(bells->to_a);
  }
}

static void answer(void *context) {
  struct bells *bells = context;
  for (;;) {
    wait_bell(bells->to_b);
    ring_bell(bells->to_a);
  }
}

int main(int argc, char **argv) {
  struct options o = parse_options(argc, argv);
  struct bells bells = {eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC)};
  if (bells.to_a < 0 || bells.to_b < 0) die("eventfd");
  pid_t child = begin_pair(&o, answer, &bells);
  double batches[BATCHES];
  time_batches(o.ms, round_trips, &bells, batches);
  print_batches("ns", batches, BATCHES);
  end_pair(child);
  return 0;
}
