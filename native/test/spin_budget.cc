// How long a spin may be, step by step.
#include "../spin_budget.h"

#include <cstdio>
#include <cstdlib>

using ivshmem::SpinBudget;

#define CHECK(condition)                                              \
  do {                                                                \
    if (!(condition)) {                                               \
      std::fprintf(stderr, "%d: not so: %s\n", __LINE__, #condition); \
      std::exit(1);                                                   \
    }                                                                 \
  } while (false)

namespace {

constexpr uint64_t kUs = 1000;
constexpr uint64_t kMs = 1'000'000;

// Until nothing is spun any more; how many spins that took.
int Tire(SpinBudget* budget) {
  for (int spins = 0;; spins++) {
    if (budget->Next(0) == 0) return spins;
    budget->FoundNothing();
  }
}

void Halves() {
  SpinBudget budget(50 * kUs);
  CHECK(budget.Next(0) == 50 * kUs);
  budget.FoundNothing();
  CHECK(budget.Next(0) == 25 * kUs);
  budget.Found(kUs);
  CHECK(budget.Next(0) == 50 * kUs);
  budget.Found(kUs);
  CHECK(budget.Next(0) == 50 * kUs);
}

void ComesBack() {
  SpinBudget budget(16 * kUs);
  // A trial follows the fifth at once, and the next comes later.
  CHECK(Tire(&budget) == 6);
  budget.BellAfter(17 * kUs);
  CHECK(budget.Next(0) == 4 * 16 * kUs);
  budget.Found(kUs);
  CHECK(budget.Next(0) == 16 * kUs);
  Tire(&budget);
  budget.BellAfter(16 * kUs);
  CHECK(budget.Next(0) == 16 * kUs);
}

void Never() {
  SpinBudget budget(0);
  budget.WakeUpTakes(kMs);
  budget.BellAfter(0);
  for (int i = 0; i < 200; i++) CHECK(budget.Next(0) == 0);
}

void FollowsTheWakeUp() {
  for (const auto& [takes, spins] : {std::pair{600 * kUs, 600 * kUs}, {3 * kUs, 50 * kUs}, {20 * kMs, kMs}}) {
    SpinBudget budget(50 * kUs);
    Tire(&budget);
    budget.WakeUpTakes(takes);
    CHECK(budget.Next(0) == spins);
    budget.FoundNothing();
    CHECK(budget.Next(0) == spins / 2);
    budget.BellAfter(spins);
    CHECK(budget.Next(0) == spins);
  }
  // Who polls for a second goes on with that.
  SpinBudget polling(1000 * kMs);
  polling.WakeUpTakes(kMs);
  CHECK(polling.Next(0) == 1000 * kMs);
}

void Crowded() {
  SpinBudget budget(50 * kUs);
  CHECK(budget.yields(0) && !budget.yield_first());
  for (int i = 0; i < 4; i++) budget.Yielded(10 * kUs, true, kMs);
  CHECK(budget.yield_first());
  budget.Yielded(kMs, false, kMs);
  CHECK(!budget.yields(2 * kMs));
  CHECK(budget.Next(2 * kMs) == 0);
  CHECK(budget.yields(51 * kMs));
  CHECK(budget.Next(51 * kMs) == 50 * kUs);
  budget.FoundLooking();
  CHECK(!budget.yield_first());
}

}  // namespace

int main() {
  Halves();
  ComesBack();
  Never();
  FollowsTheWakeUp();
  Crowded();
  std::puts("all as it should be");
}
