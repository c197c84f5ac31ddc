// The member's side of spread spaces against a node in the same process that gives and takes pages all the
// time: no store is lost, no thread waits for ever, whatever ends the space.
//
// dsm_member [ADDITIONS of each thread]
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "../dsm/member_service.h"
#include "expect.h"

// The sanitizers leave the signal to the process, as it is when there are none.
extern "C" const char* __asan_default_options();
extern "C" const char* __tsan_default_options();
const char* __asan_default_options() { return "handle_segv=0:allow_user_segv_handler=1:detect_leaks=0"; }
const char* __tsan_default_options() { return "handle_segv=0:allow_user_segv_handler=1"; }

namespace ivshmem::dsm {

namespace {

using namespace shared;

constexpr uint64_t kPages = 24, kPageBytes = 4096, kSlot = 1, kSlots = 2;
constexpr uint64_t kFramesOffset = kControlPage * (1 + kSlots);
constexpr uint64_t kBytes = kFramesOffset + kPages * kPageBytes;

uint32_t Get(uint32_t& word) { return std::atomic_ref(word).load(); }
void Set(uint32_t& word, uint32_t value) { std::atomic_ref(word).store(value); }

// Memory of an allocation, and a thread that is the node of its one member.
class Node {
 public:
  // Without a thread, for who plays the node himself.
  explicit Node(bool runs = true)
      : file(memfd_create("member", MFD_CLOEXEC)),
        bell(eventfd(0, EFD_NONBLOCK)),
        member(eventfd(0, EFD_NONBLOCK)) {
    EXPECT(ftruncate(file, kBytes) == 0);
    base = static_cast<std::byte*>(mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
    EXPECT(base != MAP_FAILED);
    control().magic = kMagic;
    control().version = kVersion;
    control().pageShift = 12;
    control().spacePages = kPages;
    control().framesOffset = kFramesOffset;
    control().frames = kPages;
    control().membersOffset = kControlPage;
    control().slots = kSlots;
    Set(control().state, kServing);
    if (runs) thread_ = std::thread([this] { Run(); });
  }
  ~Node() {
    stop_.store(true);
    if (thread_.joinable()) thread_.join();
    munmap(base, kBytes);
    for (int fd : {file, bell, member}) close(fd);
  }

  std::atomic<uint64_t>& word(uint64_t page) {
    return *reinterpret_cast<std::atomic<uint64_t>*>(base + kFramesOffset + page * kPageBytes);
  }
  Control& control() { return *reinterpret_cast<Control*>(base); }
  MemberPage& page() { return *reinterpret_cast<MemberPage*>(base + kControlPage * (1 + kSlot)); }

  int file, bell, member;
  std::byte* base;
  std::atomic<bool> taking{true};  // pages away
  std::atomic<uint64_t> taken{0};

 private:
  void Give(OrderOp op, uint64_t at, uint8_t right, uint16_t count) {
    while (given_ - Get(page().ackTail) >= kOrders && Get(page().opened) == served_)
      std::this_thread::yield();
    page().orders[given_ % kOrders] = {at, static_cast<uint32_t>(at), op, right, count};
    std::atomic_ref(page().orderHead).store(++given_, std::memory_order_release);
    Wake();
  }

  void Wake() {
    if (std::atomic_ref(page().memberArmed).exchange(0) == 0) return;
    const uint64_t one = 1;
    EXPECT(write(member, &one, sizeof one) == sizeof one);
  }

  // Looks all the time: it is the member that is tried.
  void Run() {
    std::minstd_rand random(7);
    while (!stop_.load()) {
      const uint32_t opened = Get(page().opened);
      if (opened != served_) {
        served_ = opened;
        given_ = taken_ = 0;
        Set(page().faultTail, 0);
        Set(page().orderHead, 0);
        lent_ = 0;
        std::atomic_ref(page().lease).store(0);
        Set(page().served, opened);
      }
      if (opened == 0) {
        std::this_thread::yield();
        continue;
      }
      if (const uint32_t asked = Get(page().leaseAsked); asked != lent_) {
        lent_ = asked;
        std::atomic_ref(page().lease).store(uint64_t{asked} << 32 | 20'000);
        Wake();
      }
      const uint32_t head = std::atomic_ref(page().faultHead).load(std::memory_order_acquire);
      EXPECT(head - taken_ <= kFaults || Get(page().opened) != served_);
      for (; taken_ != head && head - taken_ <= kFaults; taken_++) {
        const FaultEntry fault = page().faults[taken_ % kFaults];
        EXPECT(fault.page + fault.count <= kPages);
        Give(kMapOrder, fault.page, fault.access == kWriteAccess ? 2 : 1, static_cast<uint16_t>(fault.count));
      }
      Set(page().faultTail, taken_);
      if (taking.load()) {
        const uint64_t first = random() % kPages;
        Give(kRestrictOrder, first, random() % 2,
             static_cast<uint16_t>(1 + random() % std::min<uint64_t>(3, kPages - first)));
        taken.fetch_add(1);
      }
      std::this_thread::yield();
    }
  }

  uint32_t served_ = 0, given_ = 0, taken_ = 0, lent_ = 0;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

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
    options.report = [this](uint32_t ticket, Outcome outcome) {
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

// A lease, by a clock that the test sets: nothing is mapped without one or beyond it, whatever the node does.
void Leases() {
  constexpr uint64_t kMs = 1'000'000;
  Node node(false);
  MemberPage& page = node.page();
  FaultQueue queue;
  int pipe_ends[2];
  EXPECT(pipe(pipe_ends) == 0);
  auto* const base = static_cast<std::byte*>(
      mmap(nullptr, kPages * kPageBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  std::map<uint32_t, Outcome> reports;
  uint32_t orders = 0;
  const auto open = [&](uint64_t now) {
    const auto shape = MemberRings::Read(node.base, kBytes, kBytes, kSlot);
    EXPECT(shape);
    MemberSpace::Options options;
    options.base = base;
    options.length = kPages * kPageBytes;
    options.file = node.file;
    options.generation = 7;
    options.pin_ns = options.patience_ns = 60'000 * kMs;
    options.report = [&](uint32_t ticket, Outcome outcome) { reports[ticket] = outcome; };
    auto space = std::make_unique<MemberSpace>(
        options, *shape, MemberRings(node.base, *shape, kSlot, {nullptr, 0, node.bell}), queue);
    space->Open(now);
    Set(page.faultTail, 0);
    Set(page.orderHead, orders = 0);
    std::atomic_ref(page.lease).store(0);
    Set(page.served, 7);
    space->Pass(now);
    return space;
  };
  const auto lend = [&](uint32_t ms) {
    std::atomic_ref(page.lease).store(uint64_t{Get(page.leaseAsked)} << 32 | ms);
  };
  const auto order = [&](OrderOp op, uint8_t right) {
    page.orders[orders % kOrders] = {0, 0, op, right, 1};
    Set(page.orderHead, ++orders);
  };
  const auto mapped = [&] { return write(pipe_ends[1], base, 1) == 1; };

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
  munmap(base, kPages * kPageBytes);
  close(pipe_ends[0]);
  close(pipe_ends[1]);
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
  return 0;
}

}  // namespace ivshmem::dsm

int main(int argc, char** argv) { return ivshmem::dsm::Main(argc, argv); }
