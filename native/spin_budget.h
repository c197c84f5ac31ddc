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
 *
 * A spin gives its processor away now and then, and what comes of that tells who else wants it. The sender we
 * wait for: then it is let run before the next spin looks at all. Somebody who keeps it for long: then
 * nothing is given away for a while, and where the sender shares this processor nothing is spun either, for
 * who sleeps is woken into his turn, and who yielded waits for it.
 */
class SpinBudget {
 public:
  explicit SpinBudget(uint64_t longest_ns) : longest_(longest_ns), current_(longest_ns) {}

  uint64_t Next(uint64_t now) {
    if (yield_first_ && !yields(now)) return 0;
    if (current_ == 0 && longest_ > 0 && ++skipped_ % kProbeEvery == 0) return longest_;
    return current_;
  }
  void Found() { current_ = std::min(longest_, std::max(current_ * 2, kShortest)); }
  void FoundNothing() {
    current_ /= 2;
    if (current_ < kShortest) current_ = 0;
  }
  /** The processor was given away for `ns`; `found`: there was work right after that. */
  void Yielded(uint64_t ns, bool found, uint64_t now) {
    if (ns >= kLongYieldNs) crowded_until_ = now + kCrowdedNs;
    if (found && ns >= kSomebodyRanNs) yield_first_ = true;
  }
  /** Work came while this side kept its processor: the sender has another one. */
  void FoundLooking() { yield_first_ = false; }
  /** Whether the processor is to be given away now and then. */
  bool yields(uint64_t now) const { return now >= crowded_until_; }
  /** The sender was last seen to wait for this processor. */
  bool yield_first() const { return yield_first_; }
  void BellAfter(uint64_t slept_ns) {
    if (slept_ns <= longest_) current_ = longest_;
  }

 private:
  static constexpr uint64_t kShortest = 1000;
  static constexpr uint32_t kProbeEvery = 64;
  /** A yield with nobody else to run takes a fraction of this. */
  static constexpr uint64_t kSomebodyRanNs = 1'500;
  /** Longer than one that sends a message and waits for the next would keep the processor. */
  static constexpr uint64_t kLongYieldNs = 300'000;
  static constexpr uint64_t kCrowdedNs = 50'000'000;

  uint64_t longest_;
  uint64_t current_;
  uint32_t skipped_ = 0;
  bool yield_first_ = false;
  uint64_t crowded_until_ = 0;
};

}  // namespace ivshmem

#endif  // IVSHMEM_SPIN_BUDGET_H_
