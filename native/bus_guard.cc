#include "bus_guard.h"

#include <signal.h>
#include <sys/mman.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <mutex>

namespace ivshmem {

namespace {

/** A process drives a few devices of two BARs each, and maps each space twice. */
constexpr size_t kRanges = 1024;

/** Read by a signal handler, hence without a lock: a range counts while `start` is not 0, and its length is
 * there before. */
struct Range {
  std::atomic<uintptr_t> start{0};
  std::atomic<size_t> length{0};
};
static_assert(std::atomic<uintptr_t>::is_always_lock_free && std::atomic<size_t>::is_always_lock_free);

std::array<Range, kRanges> ranges;
std::mutex writers;
bool installed = false;
struct sigaction previous {};

/** In a signal handler: mmap(2) is a system call and nothing else. */
bool CoverWithZeros(uintptr_t address) {
  for (const Range& range : ranges) {
    // Acquire: pairs with the release in GuardRange.
    const uintptr_t start = range.start.load(std::memory_order_acquire);
    const size_t length = range.length.load(std::memory_order_relaxed);
    if (start == 0 || address - start >= length) continue;
    return mmap(reinterpret_cast<void*>(start), length, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != MAP_FAILED;
  }
  return false;
}

void OnBusError(int number, siginfo_t* info, void* context) {
  const int saved = errno;
  // Not above 0: somebody sent it with kill(2), and si_addr is not an address.
  if (info->si_code > 0 && CoverWithZeros(reinterpret_cast<uintptr_t>(info->si_addr))) {
    errno = saved;
    return;
  }
  if ((previous.sa_flags & SA_SIGINFO) != 0) {
    previous.sa_sigaction(number, info, context);
  } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    previous.sa_handler(number);
  } else {
    // Nobody else wants it: the access is repeated with the default action, which ends the process where it
    // happened.
    signal(number, SIG_DFL);
    if (info->si_code <= 0) raise(number);
  }
}

/** Once, when the first range is guarded: a process without one keeps its signals as they are. */
bool Install() {
  if (installed) return true;
  struct sigaction action {};
  action.sa_sigaction = OnBusError;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
  sigemptyset(&action.sa_mask);
  installed = sigaction(SIGBUS, &action, &previous) == 0;
  return installed;
}

}  // namespace

bool GuardRange(void* address, size_t length) {
  const auto start = reinterpret_cast<uintptr_t>(address);
  const std::lock_guard lock(writers);
  if (!Install()) return false;
  Range* free = nullptr;
  for (Range& range : ranges) {
    const uintptr_t taken = range.start.load(std::memory_order_relaxed);
    if (taken == start) return true;
    if (taken == 0 && free == nullptr) free = &range;
  }
  if (free == nullptr) {
    errno = ENOSPC;
    return false;
  }
  free->length.store(length, std::memory_order_relaxed);
  // Release: pairs with the acquire in CoverWithZeros.
  free->start.store(start, std::memory_order_release);
  return true;
}

void UnguardRange(void* address) {
  const auto start = reinterpret_cast<uintptr_t>(address);
  const std::lock_guard lock(writers);
  for (Range& range : ranges) {
    if (range.start.load(std::memory_order_relaxed) == start) range.start.store(0, std::memory_order_release);
  }
}

}  // namespace ivshmem
