#ifndef IVSHMEM_SPIN_BUDGET_H_
#define IVSHMEM_SPIN_BUDGET_H_

#include <algorithm>
#include <cstdint>

namespace ivshmem {

/**
 * How long the next spin may be, nanoseconds. Halves when a spin finds nothing, doubles when it finds work.
 * From 0 it comes back when a bell shows that a full spin would have found the work, and on trial: a wake-up
 * from sleep can take longer than the longest spin, so that two who sleep while the other one works would
 * never find out that neither needs to. A trial is longer, for the other one may have to wake up; the more of
 * them find nothing, or not in time, the fewer there are.
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
    if (yield_first() && !yields(now)) return 0;
    trial_ = current_ == 0 && longest_ > 0 && ++skipped_ >= trial_every_;
    if (!trial_) return current_;
    skipped_ = 0;
    trial_every_ = std::min(2 * trial_every_, kMostSkipped);
    return kTrial * longest_;
  }
  /** There was work after `ns` of the spin. */
  void Found(uint64_t ns) {
    // The other one is awake now, and may have had to be woken.
    current_ = trial_ ? longest_ : std::min(longest_, std::max(current_ * 2, kShortest));
    if (ns <= longest_) trial_every_ = 1;
  }
  void FoundNothing() {
    current_ /= 2;
    if (current_ < kShortest) current_ = 0;
  }
  /** The processor was given away for `ns`; `found`: there was work right after that. */
  void Yielded(uint64_t ns, bool found, uint64_t now) {
    if (ns >= kLongYieldNs) crowded_until_ = now + kCrowdedNs;
    if (found && ns >= kSomebodyRanNs) ++after_yields_;
  }
  /** Work came while this side kept its processor: the sender has another one. */
  void FoundLooking() { after_yields_ = 0; }
  /** Whether the processor is to be given away now and then. */
  bool yields(uint64_t now) const { return now >= crowded_until_; }
  /** The sender was last seen to wait for this processor. */
  bool yield_first() const { return after_yields_ >= kMeansShared; }
  void BellAfter(uint64_t slept_ns) {
    if (slept_ns <= longest_) current_ = longest_;
  }
  /** A wake-up of this machine was seen to take so long: spins that are as long pay. */
  void WakeUpTakes(uint64_t ns) {
    if (longest_ == 0) return;
    longest_ = current_ = std::max(longest_, std::min(ns, kMostLongest));
  }

 private:
  static constexpr uint64_t kShortest = 1000;
  /** However long wake-ups take. */
  static constexpr uint64_t kMostLongest = 1'000'000;
  /** Of `longest`: wake-ups take that long on a machine with other things to do. */
  static constexpr uint64_t kTrial = 4;
  static constexpr uint32_t kMostSkipped = 64;
  /** A yield with nobody else to run takes a fraction of this. */
  static constexpr uint64_t kSomebodyRanNs = 1'500;
  /** Fewer of them are chance: others run here too, while the sender has a processor of its own. */
  static constexpr uint32_t kMeansShared = 4;
  /** Longer than one that sends a message and waits for the next would keep the processor. */
  static constexpr uint64_t kLongYieldNs = 300'000;
  static constexpr uint64_t kCrowdedNs = 50'000'000;

  uint64_t longest_;
  uint64_t current_;
  bool trial_ = false;
  uint32_t trial_every_ = 1;
  uint32_t skipped_ = 0;
  /** Finds in a row that came right after somebody else ran here. */
  uint32_t after_yields_ = 0;
  uint64_t crowded_until_ = 0;
};

}  // namespace ivshmem

#endif  // IVSHMEM_SPIN_BUDGET_H_
