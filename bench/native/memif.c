// memif: DPDK's shared-memory packet interface (net_memif), two processes without huge pages, polling.
//   --mode rtt:  one 64-byte packet there and back;   --mode rate: 64-byte packets, bursts of 32.
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "pair.h"

#define BYTES 64
#define WORDS 16
#define BURST 32

static char socket_path[64];
static struct rte_mempool *pool;
static int rate;

static void check(int failed, const char *what) {
  if (failed) {
    fprintf(stderr, "%s failed: %s\n", what, rte_strerror(rte_errno));
    exit(1);
  }
}

static void open_port(const char *role, int cpu) {
  char prefix[64], lcores[32], vdev[160];
  snprintf(prefix, sizeof prefix, "--file-prefix=bench-%s-%d", role, (int)getpid());
  snprintf(lcores, sizeof lcores, "--lcores=0@%d", cpu);
  snprintf(vdev, sizeof vdev, "--vdev=net_memif0,role=%s,id=0,socket=%s,socket-abstract=no,rsize=10", role,
           socket_path);
  char *args[] = {"memif",       "--no-huge",         "-m",   "64",   "--no-pci", "--no-telemetry",
                  "--no-shconf", "--log-level=error", prefix, lcores, vdev};
  check(rte_eal_init(sizeof args / sizeof *args, args) < 0, "rte_eal_init");
  pool = rte_pktmbuf_pool_create("bench", 8191, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
  check(!pool, "rte_pktmbuf_pool_create");
  struct rte_eth_conf conf = {0};
  check(rte_eth_dev_configure(0, 1, 1, &conf) < 0, "rte_eth_dev_configure");
  check(rte_eth_rx_queue_setup(0, 0, 1024, SOCKET_ID_ANY, NULL, pool) < 0, "rte_eth_rx_queue_setup");
  check(rte_eth_tx_queue_setup(0, 0, 1024, SOCKET_ID_ANY, NULL) < 0, "rte_eth_tx_queue_setup");
  // The client's start fails as long as the server does not listen yet.
  double end = now_ns() + 10e9;
  while (rte_eth_dev_start(0) < 0) {
    check(now_ns() > end, "rte_eth_dev_start");
    usleep(1000);
  }
}

static void await_link(void) {
  struct rte_eth_link link;
  for (double end = now_ns() + 10e9;;) {
    check(rte_eth_link_get_nowait(0, &link) < 0, "rte_eth_link_get");
    if (link.link_status) return;
    check(now_ns() > end, "waiting 10 s for the link");
    usleep(1000);
  }
}

static void send_all(struct rte_mbuf **packets, uint16_t n) {
  for (uint16_t sent = 0; sent < n;) sent += rte_eth_tx_burst(0, 0, packets + sent, n - sent);
}

static void answer(void *context) {
  while (access(socket_path, F_OK)) usleep(1000);
  open_port("client", ((struct options *)context)->cpu_b);
  await_link();
  struct rte_mbuf *packets[BURST];
  if (!rate) {
    for (;;) send_all(packets, rte_eth_rx_burst(0, 0, packets, BURST));
  }
  for (uint32_t sequence = 0;;) {
    if (rte_pktmbuf_alloc_bulk(pool, packets, BURST)) continue;
    for (int i = 0; i < BURST; i++, sequence++) {
      uint32_t *words = (uint32_t *)rte_pktmbuf_append(packets[i], BYTES);
      for (uint32_t w = 0; w < WORDS; w++) words[w] = sequence + w;
    }
    send_all(packets, BURST);
  }
}

static uint32_t expected;

static void verify(struct rte_mbuf *packet) {
  const uint32_t *words = rte_pktmbuf_mtod(packet, const uint32_t *);
  uint32_t sum = 0;
  for (uint32_t w = 0; w < WORDS; w++) sum += words[w];
  check(packet->pkt_len != BYTES || sum != expected * WORDS + WORDS * (WORDS - 1) / 2,
        "the content of a packet");
  expected++;
}

static void round_trips(void *context, uint64_t n) {
  (void)context;
  struct rte_mbuf *packets[BURST];
  for (uint64_t i = 0; i < n; i++) {
    struct rte_mbuf *packet = rte_pktmbuf_alloc(pool);
    uint32_t *words = (uint32_t *)rte_pktmbuf_append(packet, BYTES);
    for (uint32_t w = 0; w < WORDS; w++) words[w] = expected + w;
    send_all(&packet, 1);
    while (!rte_eth_rx_burst(0, 0, packets, BURST)) {
    }
    verify(packets[0]);
    rte_pktmbuf_free(packets[0]);
  }
}

static void consume(void *context, uint64_t n) {
  (void)context;
  struct rte_mbuf *packets[BURST];
  for (uint64_t got = 0; got < n;) {
    uint16_t count = rte_eth_rx_burst(0, 0, packets, BURST);
    for (uint16_t i = 0; i < count; i++) verify(packets[i]);
    if (count) rte_pktmbuf_free_bulk(packets, count);
    got += count;
  }
}

int main(int argc, char **argv) {
  struct options o = parse_options(argc, argv);
  rate = !strcmp(o.mode, "rate");
  snprintf(socket_path, sizeof socket_path, "/tmp/bench-memif-%d.sock", (int)getpid());
  pid_t child = begin_pair(&o, answer, &o);
  open_port("server", o.cpu_a);
  await_link();
  double batches[BATCHES];
  time_batches(o.ms, rate ? consume : round_trips, NULL, batches);
  if (rate) {
    for (int b = 0; b < BATCHES; b++) batches[b] = 1e9 / batches[b];
  }
  print_batches(rate ? "msg/s" : "ns", batches, BATCHES);
  end_pair(child);
  unlink(socket_path);
  return 0;
}
