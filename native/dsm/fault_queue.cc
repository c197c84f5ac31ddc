#include "fault_queue.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <climits>

namespace ivshmem::dsm {

namespace {

// A sleeper that Close has missed looks again after this.
constexpr int kRecheckMs = 100;

void Sleep(std::atomic<uint32_t>& word, uint32_t value, int timeout_ms) {
  static_assert(sizeof(word) == sizeof(uint32_t) && std::atomic<uint32_t>::is_always_lock_free);
  const timespec timeout{timeout_ms / 1000, timeout_ms % 1000 * 1'000'000L};
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, &timeout, nullptr, 0);
}

void WakeUp(std::atomic<uint32_t>& word, int count) {
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
}

}  // namespace

FaultQueue::Cell* FaultQueue::Claim() {
  while (!closed_.load()) {
    const uint32_t freed = freed_.load();
    for (Cell& cell : cells_) {
      uint32_t state = kFree;
      if (cell.state.load(std::memory_order_relaxed) != kFree) continue;
      // Acquire: pairs with the release in Release, so that the last user is done with the cell.
      if (cell.state.compare_exchange_strong(state, kClaimed, std::memory_order_acquire)) return &cell;
    }
    // Counted before the look at `freed_` that the kernel makes: Release sees the one or this the other.
    without_.fetch_add(1);
    Sleep(freed_, freed, kRecheckMs);
    without_.fetch_sub(1);
  }
  return nullptr;
}

void FaultQueue::Release(Cell& cell) {
  cell.state.store(kFree, std::memory_order_release);
  freed_.fetch_add(1);
  if (without_.load() != 0) WakeUp(freed_, 1);
}

// After Close nobody may be there to answer.
bool FaultQueue::Withdraw(Cell& cell) {
  uint32_t state = cell.state.load();
  while (state == kPosted || state == kTaken) {
    if (cell.state.compare_exchange_weak(state, kFailed)) return true;
  }
  return false;
}

Verdict FaultQueue::Ask(uintptr_t address, Access access) {
  Cell* cell = Claim();
  if (cell == nullptr) return Verdict::kFail;
  cell->address = address;
  cell->access = access;
  // Release: pairs with the acquire in Take.
  cell->state.store(kPosted, std::memory_order_release);
  Wake();
  uint32_t state = kPosted;
  for (;;) {
    // Acquire: pairs with the release in Answer; what was done before it has happened here too.
    state = cell->state.load(std::memory_order_acquire);
    if (state == kRetried || state == kFailed) break;
    if (closed_.load() && Withdraw(*cell)) continue;
    Sleep(cell->state, state, kRecheckMs);
  }
  Release(*cell);
  return state == kRetried ? Verdict::kRetry : Verdict::kFail;
}

bool FaultQueue::Take(FaultCall& call) {
  for (uint32_t tried = 0; tried < kCells; tried++) {
    const uint32_t index = next_++ % kCells;
    Cell& cell = cells_[index];
    uint32_t state = kPosted;
    // Acquire: pairs with the release in Ask.
    if (!cell.state.compare_exchange_strong(state, kTaken, std::memory_order_acquire)) continue;
    call = {index, cell.address, cell.access};
    return true;
  }
  return false;
}

void FaultQueue::Answer(uint32_t index, Verdict verdict) {
  Cell& cell = cells_[index % kCells];
  uint32_t state = kTaken;
  const uint32_t answer = verdict == Verdict::kRetry ? kRetried : kFailed;
  // Release: pairs with the acquire in Ask. Not taken any more: withdrawn after Close.
  if (cell.state.compare_exchange_strong(state, answer, std::memory_order_release))
    WakeUp(cell.state, INT_MAX);
}

void FaultQueue::Wait(int timeout_ms) {
  const uint32_t now = posted_.load();
  if (now == seen_ && !closed_.load()) Sleep(posted_, now, timeout_ms);
  seen_ = posted_.load();
}

void FaultQueue::Wake() {
  posted_.fetch_add(1);
  if (bell_ < 0) {
    WakeUp(posted_, INT_MAX);
    return;
  }
  // Sequentially consistent, as in Arm: this sees that the thread sleeps, or Arm sees `posted_`.
  if (!armed_.exchange(false)) return;
  const uint64_t one = 1;
  // Cannot block: the thread takes what is in it before it arms again.
  static_cast<void>(!write(bell_, &one, sizeof one));
}

bool FaultQueue::Arm() {
  armed_.store(true);
  if (posted_.load() == seen_ && !closed_.load()) return true;
  armed_.store(false);
  return false;
}

bool FaultQueue::Fresh() {
  const uint32_t now = posted_.load();
  const bool fresh = now != seen_;
  seen_ = now;
  return fresh;
}

void FaultQueue::Close() {
  closed_.store(true);
  for (Cell& cell : cells_) {
    if (Withdraw(cell)) WakeUp(cell.state, INT_MAX);
  }
  freed_.fetch_add(1);
  WakeUp(freed_, INT_MAX);
  Wake();
}

}  // namespace ivshmem::dsm
