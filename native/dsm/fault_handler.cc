#include "fault_handler.h"

#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>

namespace ivshmem::dsm {

namespace {

// One for each space that is open in the process.
constexpr size_t kRanges = 256;

// Read by a signal handler, hence without a lock: a range counts while `start` is not 0, and the rest is
// there before. `users` keeps the queue alive for threads that are in it.
struct Range {
  std::atomic<uintptr_t> start{0};
  std::atomic<size_t> length{0};
  std::atomic<FaultQueue*> queue{nullptr};
  std::atomic<uint32_t> users{0};
};
static_assert(std::atomic<uintptr_t>::is_always_lock_free && std::atomic<FaultQueue*>::is_always_lock_free);

// Ranges that were given up a moment ago: a thread may have faulted before that and come here only now. Its
// access is tried again, for what is there now decides; for a while, as a thread may come late to a
// processor.
struct Ended {
  std::atomic<uintptr_t> start{0};
  std::atomic<size_t> length{0};
  std::atomic<int64_t> until{0};
};
constexpr int64_t kEndedSeconds = 10;

enum class Kind : uint8_t { kNotOurs, kRead, kWrite };

std::array<Range, kRanges> ranges;
std::array<Ended, kRanges> ended;
size_t next_ended = 0;
std::mutex writers;
bool installed = false;
struct sigaction previous {};
// A child of fork(2) has the ranges but nobody who answers: there a fault is a crash, not a wait without end.
std::atomic<pid_t> owner{0};

#if defined(__x86_64__)

// Intel SDM 3A §4.7: the error code of a page fault (vector 14). Read-modify-write counts as a write.
Kind KindOf(const ucontext_t& context) {
  constexpr greg_t kPageFault = 14, kWriteBit = 1 << 1, kFetchBit = 1 << 4;
  if (context.uc_mcontext.gregs[REG_TRAPNO] != kPageFault) return Kind::kNotOurs;
  const greg_t error = context.uc_mcontext.gregs[REG_ERR];
  if ((error & kFetchBit) != 0) return Kind::kNotOurs;
  return (error & kWriteBit) != 0 ? Kind::kWrite : Kind::kRead;
}

#elif defined(__aarch64__)

// Arm ARM D24.2.40 (ESR_ELx): EC 0x24 is a data abort from EL0, WnR tells a write; cache maintenance sets WnR
// without being one. The kernel leaves the register in a record of the signal frame.
Kind KindOf(const ucontext_t& context) {
  constexpr uint64_t kDataAbort = 0x24, kWnR = 1 << 6, kCacheMaintenance = 1 << 8;
  const auto* at = reinterpret_cast<const unsigned char*>(context.uc_mcontext.__reserved);
  const auto* end = at + sizeof(context.uc_mcontext.__reserved);
  while (at + sizeof(_aarch64_ctx) <= end) {
    _aarch64_ctx head;
    std::memcpy(&head, at, sizeof(head));
    if (head.magic == 0 || head.size < sizeof(head)) break;
    if (head.magic == ESR_MAGIC) {
      esr_context record;
      std::memcpy(&record, at, sizeof(record));
      if (record.esr >> 26 != kDataAbort) return Kind::kNotOurs;
      return (record.esr & kWnR) != 0 && (record.esr & kCacheMaintenance) == 0 ? Kind::kWrite : Kind::kRead;
    }
    at += head.size;
  }
  // An old kernel: the stronger right is always enough.
  return Kind::kWrite;
}

#else
#error "how a page fault tells reads from writes is not known for this processor"
#endif

int64_t Seconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec;
}

// What is read in pieces may be of two ranges: then an access is tried once too often, or not at all in
// memory that was watched many times in these seconds.
bool JustEnded(uintptr_t address) {
  for (const Ended& range : ended) {
    const uintptr_t start = range.start.load();
    if (start != 0 && address - start < range.length.load() && Seconds() < range.until.load()) return true;
  }
  return false;
}

// True: try the access again.
bool Ask(uintptr_t address, Kind kind) {
  for (Range& range : ranges) {
    // Acquire: pairs with the release in WatchRange.
    uintptr_t start = range.start.load(std::memory_order_acquire);
    if (start == 0 || address - start >= range.length.load(std::memory_order_relaxed)) continue;
    // Sequentially consistent, as in UnwatchRange: it sees the user, or this sees that the range is gone.
    range.users.fetch_add(1);
    bool again = range.start.load() == start;
    if (again) {
      const Access access = kind == Kind::kWrite ? Access::kWrite : Access::kRead;
      again = range.queue.load(std::memory_order_relaxed)->Ask(address, access) == Verdict::kRetry;
    }
    range.users.fetch_sub(1);
    // False: it failed, unless the range was given up meanwhile.
    return again || (range.start.load() != start && JustEnded(address));
  }
  return JustEnded(address);
}

// As the kernel would have called it, with the mask that it asked for.
void CallPrevious(int number, siginfo_t* info, void* context) {
  sigset_t mask = previous.sa_mask;
  if ((previous.sa_flags & SA_NODEFER) == 0) sigaddset(&mask, number);
  sigset_t before;
  pthread_sigmask(SIG_BLOCK, &mask, &before);
  if ((previous.sa_flags & SA_SIGINFO) != 0) {
    previous.sa_sigaction(number, info, context);
  } else {
    previous.sa_handler(number);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void OnFault(int number, siginfo_t* info, void* context) {
  const int saved = errno;
  // SEGV_ACCERR: mapped, but protected. Unmapped memory is nobody's, whatever the range says, and a signal
  // that somebody sent has no address.
  if (info->si_code == SEGV_ACCERR && owner.load() == getpid()) {
    const Kind kind = KindOf(*static_cast<ucontext_t*>(context));
    if (kind != Kind::kNotOurs && Ask(reinterpret_cast<uintptr_t>(info->si_addr), kind)) {
      errno = saved;
      return;
    }
  }
  errno = saved;
  const bool siginfo = (previous.sa_flags & SA_SIGINFO) != 0;
  if (siginfo || (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN)) {
    CallPrevious(number, info, context);
    return;
  }
  const bool sent = info->si_code <= 0;
  if (sent && previous.sa_handler == SIG_IGN) return;
  // Nobody else wants it: the access is repeated with the default action, which ends the process where it
  // happened, with the stack it happened on.
  signal(number, SIG_DFL);
  if (sent) syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), number);
}

// Once, when the first range is watched. SA_NODEFER: while a thread waits, a handler of another signal may
// run on it and touch such memory too.
bool Install() {
  if (installed) return true;
  // The handler reads `previous` as soon as it is there.
  if (sigaction(SIGSEGV, nullptr, &previous) != 0) return false;
  struct sigaction action {};
  action.sa_sigaction = OnFault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_NODEFER;
  sigemptyset(&action.sa_mask);
  owner.store(getpid());
  installed = sigaction(SIGSEGV, &action, nullptr) == 0;
  return installed;
}

}  // namespace

bool WatchRange(void* address, size_t length, FaultQueue* queue) {
  const std::lock_guard lock(writers);
  if (address == nullptr || length == 0 || queue == nullptr) {
    errno = EINVAL;
    return false;
  }
  if (!Install()) return false;
  const auto start = reinterpret_cast<uintptr_t>(address);
  for (Range& range : ranges) {
    if (range.start.load(std::memory_order_relaxed) != 0) continue;
    range.length.store(length, std::memory_order_relaxed);
    range.queue.store(queue, std::memory_order_relaxed);
    // Release: pairs with the acquire in Ask.
    range.start.store(start, std::memory_order_release);
    return true;
  }
  errno = ENOSPC;
  return false;
}

void UnwatchRange(void* address) {
  const auto start = reinterpret_cast<uintptr_t>(address);
  const std::lock_guard lock(writers);
  for (Range& range : ranges) {
    if (range.start.load(std::memory_order_relaxed) != start) continue;
    // Before it is not watched any more: whoever does not find it there finds it here.
    Ended& end = ended[next_ended++ % kRanges];
    end.start.store(0);
    end.length.store(range.length.load());
    end.until.store(Seconds() + kEndedSeconds);
    end.start.store(start);
    range.start.store(0);
    while (range.users.load() != 0) sched_yield();
  }
}

}  // namespace ivshmem::dsm
