// iceoryx: zero-copy publish/subscribe between two processes; its broker (RouDi) runs in a third, started
// here.
//   --mode rtt-poll: polling take();  --mode rtt-waitset: both ends asleep in a WaitSet;
//   --mode rate: 64-byte messages;  --mode in-place | copied: 64 KiB messages, as copy.c moves and checks
//   them.
#include <atomic>
#include <iceoryx_posh/iceoryx_posh_types.hpp>
#include <iceoryx_posh/internal/log/posh_logging.hpp>
#include <iceoryx_posh/internal/roudi/roudi.hpp>
#include <iceoryx_posh/popo/untyped_publisher.hpp>
#include <iceoryx_posh/popo/untyped_subscriber.hpp>
#include <iceoryx_posh/popo/wait_set.hpp>
#include <iceoryx_posh/roudi/iceoryx_roudi_components.hpp>
#include <iceoryx_posh/runtime/posh_runtime.hpp>
#include <memory>
#include <string>

#define _Atomic(T) std::atomic<T>
#include "pair.h"

namespace {

constexpr char kNameA[] = "ivshmem-bench-a", kNameB[] = "ivshmem-bench-b";
constexpr uint32_t kSmall = 64, kLarge = 65536, kLineWords = CACHE_LINE / 4;

struct Run {
  options o;
  std::string mode;
  bool large() const { return mode == "in-place" || mode == "copied"; }
  bool rtt() const { return mode.rfind("rtt", 0) == 0; }
  uint32_t bytes() const { return large() ? kLarge : kSmall; }
};

// One direction out, one direction in, over one service per direction.
struct Ends {
  iox::popo::UntypedPublisher out;
  iox::popo::UntypedSubscriber in;
  iox::popo::WaitSet<> waitset;
  bool sleeping;

  Ends(const char *to, const char *from, bool sleep)
      : out({"bench", "pair", iox::capro::IdString_t(iox::cxx::TruncateToCapacity, to)}, publisher()),
        in({"bench", "pair", iox::capro::IdString_t(iox::cxx::TruncateToCapacity, from)}, subscriber()),
        sleeping(sleep) {
    if (sleeping && waitset.attachState(in, iox::popo::SubscriberState::HAS_DATA).has_error())
      die("attachState");
  }

  static iox::popo::PublisherOptions publisher() {
    iox::popo::PublisherOptions options;
    options.subscriberTooSlowPolicy = iox::popo::ConsumerTooSlowPolicy::WAIT_FOR_CONSUMER;
    return options;
  }
  static iox::popo::SubscriberOptions subscriber() {
    iox::popo::SubscriberOptions options;
    options.queueCapacity = 128;
    options.queueFullPolicy = iox::popo::QueueFullPolicy::BLOCK_PRODUCER;
    return options;
  }

  void await_connection() {
    for (double end = now_ns() + 10e9;
         !out.hasSubscribers() || in.getSubscriptionState() != iox::SubscribeState::SUBSCRIBED;) {
      if (now_ns() > end) die("waiting 10 s for the other end");
      usleep(1000);
    }
  }

  uint32_t *loan(uint32_t bytes) {
    for (;;) {
      auto chunk = out.loan(bytes);
      if (!chunk.has_error()) return static_cast<uint32_t *>(chunk.value());
    }
  }

  const uint32_t *take() {
    for (;;) {
      auto chunk = in.take();
      if (!chunk.has_error()) return static_cast<const uint32_t *>(chunk.value());
      if (sleeping) waitset.wait();
    }
  }
};

uint32_t source[kLarge / 4], target[kLarge / 4], line_sum;
uint32_t expected;

void fill(uint32_t *words, uint32_t bytes, uint32_t sequence) {
  if (bytes == kLarge) {
    memcpy(words, source, bytes);
    words[0] = words[kLarge / 4 - 1] = sequence;
  } else {
    for (uint32_t w = 0; w < kSmall / 4; w++) words[w] = sequence + w;
  }
}

void verify(const uint32_t *words, const Run &run) {
  uint32_t sum = 0, last = run.bytes() / 4 - 1;
  bool right;
  if (run.mode == "copied") {
    memcpy(target, words, kLarge);
    right = target[0] == expected && target[last] == expected;
  } else if (run.large()) {
    for (uint32_t w = kLineWords; w <= last; w += kLineWords) sum += words[w];
    right = words[0] == expected && words[last] == expected && sum == line_sum;
  } else {
    for (uint32_t w = 0; w <= last; w++) sum += words[w];
    right = sum == expected * 16 + 120;
  }
  if (!right) {
    fprintf(stderr, "message %u: wrong content\n", expected);
    exit(1);
  }
  expected++;
}

// Returns on SIGTERM, so that the broker's destructors unlink its shared memory and locks.
void broker(void *) {
  sigset_t term;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  sigprocmask(SIG_BLOCK, &term, nullptr);
  iox::RouDiConfig_t config;
  iox::mepoo::MePooConfig pools;
  pools.addMemPool({128, 2048});
  pools.addMemPool({kLarge + 128, 512});
  auto group = iox::posix::PosixGroup::getGroupOfCurrentProcess();
  config.m_sharedMemorySegments.push_back({group.getName(), group.getName(), pools});
  iox::roudi::IceOryxRouDiComponents components(config);
  iox::roudi::RouDi roudi(components.rouDiMemoryManager, components.portManager,
                          iox::roudi::RouDi::RoudiStartupParameters(iox::roudi::MonitoringMode::OFF, false));
  int signal;
  sigwait(&term, &signal);
}

void answer(void *context) {
  const Run &run = *static_cast<Run *>(context);
  iox::runtime::PoshRuntime::initRuntime(kNameB);
  Ends ends("to-a", "to-b", run.mode == "rtt-waitset");
  ends.await_connection();
  for (uint32_t sequence = 0;; sequence++) {
    uint32_t *words;
    if (run.rtt()) {
      const uint32_t *got = ends.take();
      words = ends.loan(kSmall);
      memcpy(words, got, kSmall);
      ends.in.release(got);
    } else {
      words = ends.loan(run.bytes());
      fill(words, run.bytes(), sequence);
    }
    ends.out.publish(words);
  }
}

struct Measured {
  Run *run;
  Ends *ends;
};

void step(void *context, uint64_t n) {
  auto [run, ends] = *static_cast<Measured *>(context);
  for (uint64_t i = 0; i < n; i++) {
    if (run->rtt()) {
      uint32_t *words = ends->loan(kSmall);
      fill(words, kSmall, expected);
      ends->out.publish(words);
    }
    const uint32_t *words = ends->take();
    verify(words, *run);
    ends->in.release(words);
  }
}

}  // namespace

int main(int argc, char **argv) {
  Run run{parse_options(argc, argv), {}};
  run.mode = run.o.mode;
  for (uint32_t w = 0; w < kLarge / 4; w++) source[w] = w * 2654435761u;
  for (uint32_t w = kLineWords; w < kLarge / 4; w += kLineWords) line_sum += source[w];
  iox::log::LogManager::GetLogManager().SetDefaultLogLevel(iox::log::LogLevel::kFatal,
                                                           iox::log::LogLevelOutput::kHideLogLevel);
  pid_t roudi = begin_pair(&run.o, broker, nullptr);
  pid_t child = begin_pair(&run.o, answer, &run);
  iox::runtime::PoshRuntime::initRuntime(kNameA);
  auto ends = std::make_unique<Ends>("to-b", "to-a", run.mode == "rtt-waitset");
  ends->await_connection();
  Measured measured{&run, ends.get()};
  double batches[BATCHES];
  time_batches(run.o.ms, step, &measured, batches);
  if (!run.rtt()) {
    for (double &batch : batches) batch = (run.large() ? kLarge : 1) * 1e9 / batch;
  }
  print_batches(run.rtt() ? "ns" : run.large() ? "B/s" : "msg/s", batches, BATCHES);
  end_pair(child);
  ends.reset();
  kill(roudi, SIGTERM);
  waitpid(roudi, nullptr, 0);
  for (const char *left : {"/tmp/ivshmem-bench-a", "/tmp/ivshmem-bench-a.lock", "/tmp/ivshmem-bench-b",
                           "/tmp/ivshmem-bench-b.lock"}) {
    unlink(left);
  }
  _exit(0);  // The runtime's destructor would look for the broker, which is gone.
}
