#ifndef IVSHMEM_SPIN_BUDGET_H_
#define IVSHMEM_SPIN_BUDGET_H_

#include <algorithm>
#include <cstdint>

namespace ivshmem {

/**
 * How long the next spin may be, nanoseconds. Halves when a spin finds nothing, doubles when it finds work.
 * From 0 it comes back when a bell shows that a full spin would have found the work, and every kProbeEvery-th
 * time on trial: a wake-up from sleep can take longer than the longest spin, so bells alone would never show
 * it.
 */
class SpinBudget {
 public:
  explicit SpinBudget(uint64_t longest_ns) : longest_(longest_ns), current_(longest_ns) {}

  uint64_t Next() {
    if (current_ == 0 && longest_ > 0 && ++skipped_ % kProbeEvery == 0) return longest_;
    return current_;
  }
  void Found() { current_ = std::min(longest_, std::max(current_ * 2, kShortest)); }
  void FoundNothing() {
    current_ /= 2;
    if (current_ < kShortest) current_ = 0;
  }
  void BellAfter(uint64_t slept_ns) {
    if (slept_ns <= longest_) current_ = longest_;
  }

 private:
  static constexpr uint64_t kShortest = 1000;
  static constexpr uint32_t kProbeEvery = 64;

  uint64_t longest_;
  uint64_t current_;
  uint32_t skipped_ = 0;
};

}  // namespace ivshmem

#endif  // IVSHMEM_SPIN_BUDGET_H_
