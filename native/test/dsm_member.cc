// The member's side of spread spaces against a node in the same process that gives and takes pages all the
// time: no store is lost, no thread waits for ever, whatever ends the space.
//
// dsm_member [ADDITIONS of each thread]
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "../dsm/member_service.h"
#include "expect.h"
#include "member_node.h"

// The sanitizers leave the signal to the process, as it is when there are none.
extern "C" const char* __asan_default_options();
extern "C" const char* __tsan_default_options();
const char* __asan_default_options() { return "handle_segv=0:allow_user_segv_handler=1:detect_leaks=0"; }
const char* __tsan_default_options() { return "handle_segv=0:allow_user_segv_handler=1"; }

namespace ivshmem::dsm {

namespace {

// The space as the member has it.
class Member {
 public:
  explicit Member(Node& node, uint64_t pin_ms = 50) : node_(node) {
    base = static_cast<std::byte*>(
        mmap(nullptr, kPages * kPageBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    const auto shape = MemberRings::Read(node.base, kBytes, kBytes, kSlot);
    EXPECT(shape);
    MemberSpace::Options options;
    options.base = base;
    options.length = kPages * kPageBytes;
    options.file = node.file;
    options.generation = ++generations;
    options.pin_ns = pin_ms * 1'000'000;
    options.patience_ns = 60'000'000'000;
    options.report = [this](uint32_t ticket, Outcome outcome, PageId) {
      const std::lock_guard lock(mutex_);
      reports_[ticket] = outcome;
    };
    space = std::make_shared<MemberSpace>(
        options, *shape, MemberRings(node.base, *shape, kSlot, {nullptr, 0, node.bell}), service().queue());
    EXPECT(service().Add(space, base, options.length, node.member) == 0);
    EXPECT(Wait(0) == Outcome::kDone);
  }

  static MemberService& service() { return MemberService::Instance(); }
  bool Close() { return service().Remove(space, base); }
  Outcome Wait(uint32_t ticket) {
    for (;; std::this_thread::yield()) {
      const std::lock_guard lock(mutex_);
      if (const auto found = reports_.find(ticket); found != reports_.end()) return found->second;
    }
  }
  std::atomic<uint64_t>& word(uint64_t page) {
    return *reinterpret_cast<std::atomic<uint64_t>*>(base + page * kPageBytes);
  }

  std::byte* base;
  std::shared_ptr<MemberSpace> space;

 private:
  static inline uint32_t generations = 0;
  Node& node_;
  std::mutex mutex_;
  std::map<uint32_t, Outcome> reports_;
};

// Threads add, pages go, programs pin: every addition counts.
void Counts(uint64_t rounds) {
  Node node;
  Member member(node);
  constexpr uint64_t kThreads = 3;
  std::vector<std::thread> threads;
  for (uint64_t seed = 0; seed < kThreads; seed++) {
    threads.emplace_back([&, seed] {
      for (uint64_t i = 0; i < rounds; i++) member.word((seed * 5 + i) % kPages).fetch_add(1);
    });
  }
  for (uint32_t ticket = 1; ticket <= 20; ticket++) {
    const uint64_t first = ticket % (kPages - 4);
    Member::service().With(
        [&] { member.space->Acquire(ticket, first, 4, Right::kWrite, MemberService::Now()); });
    EXPECT(member.Wait(ticket) != Outcome::kNonsense);
    Member::service().With([&] { member.space->Release(ticket, MemberService::Now()); });
  }
  for (std::thread& thread : threads) thread.join();
  while (node.taken.load() == 0) std::this_thread::yield();
  uint64_t sum = 0;
  for (uint64_t page = 0; page < kPages; page++) sum += node.word(page).load();
  EXPECT(sum == kThreads * rounds);
  member.Close();
  munmap(member.base, kPages * kPageBytes);
}

// Closed and opened again, while threads are in it: they find zeros and go on.
void Closes() {
  Node node;
  node.taking.store(false);
  for (int round = 0; round < 30; round++) {
    Member member(node);
    std::atomic<int> running{0};
    std::vector<std::thread> threads;
    for (uint64_t i = 0; i < 3; i++) {
      threads.emplace_back([&, i] {
        running++;
        for (uint64_t page = i; page < kPages; page += 3) member.word(page).fetch_add(1);
      });
    }
    while (running.load() < 3) std::this_thread::yield();
    member.Close();
    for (std::thread& thread : threads) thread.join();
    munmap(member.base, kPages * kPageBytes);
  }
}

constexpr uint64_t kMs = 1'000'000;

// A space whose node and clock are the test's.
struct Played {
  Played() { EXPECT(pipe(pipe_ends) == 0); }
  ~Played() {
    munmap(base, kPages * kPageBytes);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
  }

  std::unique_ptr<MemberSpace> Open(uint64_t now, uint64_t patience_ms = 60'000) {
    const auto shape = MemberRings::Read(node.base, kBytes, kBytes, kSlot);
    EXPECT(shape);
    MemberSpace::Options options;
    options.base = base;
    options.length = kPages * kPageBytes;
    options.file = node.file;
    options.generation = 7;
    options.pin_ns = 60'000 * kMs;
    options.patience_ns = patience_ms * kMs;
    options.report = [this](uint32_t ticket, Outcome outcome, PageId) { reports[ticket] = outcome; };
    auto space = std::make_unique<MemberSpace>(
        options, *shape, MemberRings(node.base, *shape, kSlot, {nullptr, 0, node.bell}), queue);
    space->Open(now);
    Set(page.faultTail, 0);
    Set(page.orderHead, orders = 0);
    std::atomic_ref(page.lease).store(0);
    Set(page.served, 7);
    space->Pass(now);
    return space;
  }
  void Lend(uint32_t ms) { std::atomic_ref(page.lease).store(uint64_t{Get(page.leaseAsked)} << 32 | ms); }
  void Order(OrderOp op, uint8_t right, uint64_t about = 0, uint16_t count = 1) {
    page.orders[orders % kOrders] = {about, 0, op, right, count};
    Set(page.orderHead, ++orders);
  }
  bool Mapped() const { return write(pipe_ends[1], base, 1) == 1; }

  Node node{false};
  MemberPage& page = node.page();
  FaultQueue queue;
  int pipe_ends[2];
  std::byte* base = static_cast<std::byte*>(
      mmap(nullptr, kPages * kPageBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  std::map<uint32_t, Outcome> reports;
  uint32_t orders = 0;
};

// Flushes and refreshes: each is asked for once, and ends once, whatever the node answers.
void Syncs() {
  Played played;
  MemberPage& page = played.page;
  std::vector<Outcome> ended;
  const auto ends = [&](Outcome outcome) { ended.push_back(outcome); };
  auto space = played.Open(1 * kMs, 100);
  space->Sync(SyncKind::kFlush, ends, 2 * kMs);
  space->Sync(SyncKind::kRefresh, ends, 2 * kMs);
  EXPECT(Get(page.faultHead) == 2 && ended.empty());
  EXPECT(page.faults[0].access == kFlushCall && page.faults[1].access == kRefreshCall);
  // In any order, and one that nobody asked for.
  played.Order(kSyncedOrder, 1, page.faults[1].page);
  played.Order(kSyncedOrder, 0, 99);
  played.Order(kSyncedOrder, 0, page.faults[0].page);
  space->Pass(3 * kMs);
  EXPECT((ended == std::vector{Outcome::kLost, Outcome::kDone}) && Get(page.ackTail) == 3);
  // More than the ring has room for.
  for (uint32_t i = 0; i < kFaults + 2; i++) space->Sync(SyncKind::kFlush, ends, 4 * kMs);
  EXPECT(Get(page.faultHead) == kFaults);
  Set(page.faultTail, kFaults);
  space->Pass(5 * kMs);
  EXPECT(Get(page.faultHead) == kFaults + 4);
  ended.clear();
  space->Pass(103 * kMs);
  EXPECT(ended.empty());
  space->Pass(104 * kMs);
  EXPECT(ended == std::vector(kFaults + 2, Outcome::kSilent));
  // Its answer comes after all.
  played.Order(kSyncedOrder, 0, page.faults[2].page);
  space->Pass(105 * kMs);
  EXPECT(!space->stopped() && ended.size() == kFaults + 2);
  ended.clear();
  space->Sync(SyncKind::kFlush, ends, 106 * kMs);
  played.Order(kSyncedOrder, 3, 1);
  space->Pass(107 * kMs);
  EXPECT(space->stopped() && ended == std::vector{Outcome::kNonsense});
  space->Sync(SyncKind::kFlush, ends, 108 * kMs);
  EXPECT(ended.size() == 2 && ended[1] == Outcome::kNonsense);
  // Asked for before it is open; then the node has ended.
  space = played.Open(200 * kMs);
  ended.clear();
  space->Sync(SyncKind::kFlush, ends, 201 * kMs);
  played.Order(kSyncedOrder, 2, page.faults[0].page);
  space->Pass(202 * kMs);
  EXPECT(ended == std::vector{Outcome::kFenced});
}

// A lease, by a clock that the test sets: nothing is mapped without one or beyond it, whatever the node does.
void Leases() {
  Played played;
  Node& node = played.node;
  MemberPage& page = played.page;
  std::map<uint32_t, Outcome>& reports = played.reports;
  const auto open = [&](uint64_t now) { return played.Open(now); };
  const auto lend = [&](uint32_t ms) { played.Lend(ms); };
  const auto order = [&](OrderOp op, uint8_t right) { played.Order(op, right); };
  const auto mapped = [&] { return played.Mapped(); };

  auto space = open(1 * kMs);
  EXPECT(reports.at(0) == Outcome::kDone && Get(page.leaseAsked) == 0);
  space->Acquire(1, 0, 1, Right::kWrite, 2 * kMs);
  EXPECT(Get(page.faultHead) == 1 && Get(page.leaseAsked) == 1);
  order(kMapOrder, 2);
  space->Pass(3 * kMs);
  EXPECT(!mapped() && Get(page.ackTail) == 0 && !reports.contains(1));
  lend(100);
  space->Pass(50 * kMs);
  EXPECT(mapped() && Get(page.ackTail) == 1 && reports.at(1) == Outcome::kDone);
  // A third has passed since it was asked for, at 2.
  EXPECT(Get(page.leaseAsked) == 2 && space->deadline() == 102 * kMs);
  space->Pass(101 * kMs);
  EXPECT(mapped());
  space->Pass(102 * kMs);
  EXPECT(!mapped() && !space->Release(1, 102 * kMs));
  // What comes late is good for what is left of it, counted from 50.
  lend(100);
  space->Acquire(2, 0, 1, Right::kWrite, 110 * kMs);
  order(kMapOrder, 2);
  space->Pass(111 * kMs);
  EXPECT(mapped() && Get(page.ackTail) == 2 && reports.at(2) == Outcome::kDone && Get(page.leaseAsked) == 3);
  // No answer any more: as long again it may come.
  space->Pass(150 * kMs);
  EXPECT(!mapped() && !space->stopped());
  order(kRestrictOrder, 0);
  space->Pass(151 * kMs);
  EXPECT(Get(page.ackTail) == 3 && space->deadline() <= 250 * kMs);
  space->Pass(249 * kMs);
  EXPECT(!space->stopped() && Get(page.opened) == 7);
  space->Pass(250 * kMs);
  EXPECT(space->stopped() && Get(page.opened) == 0);
  space->Acquire(3, 0, 1, Right::kRead, 251 * kMs);
  EXPECT(reports.at(3) == Outcome::kFenced);

  // Nothing mapped: nothing is asked for, and nothing ends.
  space = open(1000 * kMs);
  space->Pass(9000 * kMs);
  EXPECT(Get(page.leaseAsked) == 0 && space->deadline() == UINT64_MAX && !space->stopped());
  // The node says that it has ended.
  space->Acquire(4, 0, 1, Right::kWrite, 9001 * kMs);
  lend(100);
  order(kMapOrder, 2);
  space->Pass(9002 * kMs);
  EXPECT(mapped() && !space->news());
  Set(node.control().state, kFencedState);
  EXPECT(space->news());
  space->Pass(9003 * kMs);
  EXPECT(!mapped() && space->stopped() && Get(page.opened) == 0);
}

}  // namespace

int Main(int argc, char** argv) {
  alarm(240);
  Counts(argc > 1 ? static_cast<uint64_t>(std::atoll(argv[1])) : 2000);
  std::printf("ok counts\n");
  Closes();
  std::printf("ok closes\n");
  Leases();
  std::printf("ok leases\n");
  Syncs();
  std::printf("ok syncs\n");
  return 0;
}

}  // namespace ivshmem::dsm

int main(int argc, char** argv) { return ivshmem::dsm::Main(argc, argv); }
