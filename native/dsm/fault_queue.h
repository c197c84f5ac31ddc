// How a thread that may not touch a page asks for it: from a signal handler too, hence without locks or
// memory allocation. One thread answers.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace ivshmem::dsm {

enum class Access : uint8_t { kRead, kWrite };

enum class Verdict : uint8_t {
  kRetry,  // the page is mapped now, or was a moment ago: try again
  kFail,   // it cannot be had
};

struct FaultCall {
  uint32_t cell = 0;  // names the call in Answer
  uintptr_t address = 0;
  Access access = Access::kRead;
};

class FaultQueue {
 public:
  // Calls under way at the same time; further ones wait for a cell.
  static constexpr uint32_t kCells = 64;

  // Any thread: returns when the call is answered. kFail at once after Close.
  Verdict Ask(uintptr_t address, Access access);

  // The answering thread: false when no call waits.
  bool Take(FaultCall& call);
  void Answer(uint32_t cell, Verdict verdict);
  // Until a call may be there, or `timeout_ms` passed, or Wake.
  void Wait(int timeout_ms);
  void Wake();

  // Instead of Wait, for an answering thread that sleeps for other things too: after Arm returned true, the
  // next Wake adds 1 to `bell`, an eventfd that nobody else writes to. Call RingWith before anybody asks.
  void RingWith(int bell) { bell_ = bell; }
  // False: a call may be there; look instead of sleeping.
  bool Arm();
  void Disarm() { armed_.store(false); }
  // Whether Wake was called since this was asked last.
  bool Fresh();
  // What Fresh would say.
  bool pending() const { return posted_.load() != seen_; }

  // Whoever waits fails, and so does whoever comes.
  void Close();

 private:
  enum State : uint32_t { kFree, kClaimed, kPosted, kTaken, kRetried, kFailed };

  struct alignas(64) Cell {
    std::atomic<uint32_t> state{kFree};
    Access access = Access::kRead;
    uintptr_t address = 0;
  };

  Cell* Claim();
  void Release(Cell& cell);
  bool Withdraw(Cell& cell);

  std::array<Cell, kCells> cells_;
  std::atomic<uint32_t> posted_{0};  // how often something was put into a cell: what Wait sleeps on
  std::atomic<uint32_t> freed_{0};   // how often a cell became free: what threads without one sleep on
  std::atomic<uint32_t> without_{0};
  std::atomic<bool> closed_{false};
  std::atomic<bool> armed_{false};  // the answering thread sleeps until `bell_` is rung
  int bell_ = -1;
  uint32_t seen_ = 0;  // of `posted_`, by the answering thread
  uint32_t next_ = 0;  // where Take goes on looking, so that no cell waits for ever
};

}  // namespace ivshmem::dsm
