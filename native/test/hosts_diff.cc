// Differences of pages (native/hosts/diff.h): what two hosts have written to one page survives both, whatever
// it was; nothing that is no difference is taken for one; none is longer than it may be. Everything comes
// from a seed.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "../hosts/diff.h"

namespace ivshmem::hosts {

namespace {

using Bytes = std::vector<std::byte>;

std::mt19937_64 rng(7);
size_t Below(size_t limit) { return static_cast<size_t>(rng() % limit); }
std::byte Any() { return static_cast<std::byte>(rng()); }

void Must(bool condition, const char* what) {
  if (condition) return;
  std::printf("not ok %s\n", what);
  std::exit(1);
}

// Of its own memory, so that a sanitizer sees a step beside it.
Bytes Exactly(const Bytes& bytes) { return Bytes(bytes.begin(), bytes.end()); }

// Stores of one host: `mine` says which bytes are its own.
template <class Mine>
void Store(Bytes& page, const Mine& mine) {
  const size_t runs = Below(40);
  for (size_t run = 0; run < runs; run++) {
    const size_t at = Below(page.size());
    const size_t length = 1 + (Below(4) == 0 ? Below(page.size()) : Below(12));
    for (size_t i = at; i < std::min(page.size(), at + length); i++) {
      if (mine(i)) page[i] = Any();
    }
  }
}

void Merges() {
  size_t masks = 0, runs = 0;
  for (int round = 0; round < 4000; round++) {
    const size_t size = size_t{4096} << Below(3);
    Bytes before(size);
    for (std::byte& byte : before) byte = Any();
    // Which bytes belong to whom: every other one, or by lines, or halves.
    const size_t grain = size_t{1} << Below(12);
    const auto first = [grain](size_t i) { return i / grain % 2 == 0; };
    const auto second = [grain](size_t i) { return i / grain % 2 == 1; };
    Bytes one = before, two = before, master = before;
    Store(one, first);
    Store(two, second);
    for (const Bytes& written : {one, two}) {
      const Bytes diff = Difference(written, before);
      Must(diff.empty() == (written == before), "nothing is told where nothing was written");
      if (diff.empty()) continue;
      Must(diff.size() <= MostDiff(size), "it is no longer than it may be");
      Must(IsDifference(Exactly(diff), size), "what was made can be read");
      (diff[0] == std::byte{2} ? masks : runs)++;
      ApplyDifference(Exactly(diff), master);
    }
    for (size_t i = 0; i < size; i++) Must(master[i] == (first(i) ? one[i] : two[i]), "each has its bytes");
  }
  Must(masks > 100 && runs > 1000, "both forms were tried");
}

void Nonsense() {
  size_t sound = 0, unsound = 0;
  for (int round = 0; round < 200'000; round++) {
    Bytes before(4096), page(4096);
    for (size_t i = Below(2) == 0 ? Below(20) : 0; i > 0; i--) page[Below(page.size())] = Any();
    if (Below(4) == 0) Store(page, [](size_t i) { return i % 3 == 0; });
    Bytes diff = Difference(page, before);
    for (size_t i = Below(4); i > 0 && !diff.empty(); i--)
      diff[Below(std::min<size_t>(diff.size(), 32))] = Any();
    if (Below(4) == 0) diff.resize(Below(diff.size() + 16));
    const Bytes exact = Exactly(diff);
    if (IsDifference(exact, page.size())) {
      sound++;
      ApplyDifference(exact, page);
    } else {
      unsound++;
    }
  }
  Must(sound > 10'000 && unsound > 10'000, "sound and unsound ones were both read");
}

void Limits() {
  Bytes before(4096), page(4096, std::byte{1});
  const Bytes whole = Difference(page, before);
  Must(whole.size() == kDiffHeader + 8 + 4096, "a whole page is one run");
  Must(WholeDifference(page) == whole, "which is also made without looking");
  const Bytes zeros = WholeDifference(before);
  Must(IsDifference(Exactly(zeros), 4096), "and of what was not written");
  Bytes other = page;
  ApplyDifference(Exactly(zeros), other);
  Must(other == before, "it is all of the page");
  for (size_t i = 0; i < page.size(); i += 2) page[i] = std::byte{0};
  const Bytes half = Difference(page, before);
  Must(half.size() == kDiffHeader + 512 + 2048, "scattered bytes have a mask");
  Must(!IsDifference(whole, 2048), "not of a smaller page");
  Must(!IsDifference({}, 4096), "nothing is none");
  Must(!IsDifference(std::span(whole).first(kDiffHeader), 4096), "nor is a header");
}

}  // namespace

}  // namespace ivshmem::hosts

int main() {
  ivshmem::hosts::Limits();
  std::puts("ok limits");
  ivshmem::hosts::Merges();
  std::puts("ok merges");
  ivshmem::hosts::Nonsense();
  std::puts("ok nonsense");
}
