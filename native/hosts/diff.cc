#include "diff.h"

#include <bit>
#include <cstring>

namespace ivshmem::hosts {

namespace {

enum Form : uint32_t { kRuns = 1, kMask = 2 };

struct Run {
  uint32_t at;
  uint32_t length;
};

template <class T>
T Load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

void Header(std::vector<std::byte>& diff, uint32_t form) {
  const uint32_t words[2] = {form, 0};
  std::memcpy(diff.data(), words, sizeof words);
}

// Whole words are compared first: most of a page is the same.
std::vector<Run> RunsOf(std::span<const std::byte> page, std::span<const std::byte> before, size_t& bytes) {
  std::vector<Run> runs;
  bytes = 0;
  for (size_t word = 0; word < page.size(); word += sizeof(uint64_t)) {
    if (Load<uint64_t>(&page[word]) == Load<uint64_t>(&before[word])) continue;
    for (size_t at = word; at < word + sizeof(uint64_t); at++) {
      if (page[at] == before[at]) continue;
      bytes++;
      if (!runs.empty() && runs.back().at + runs.back().length == at) {
        runs.back().length++;
      } else {
        runs.push_back({static_cast<uint32_t>(at), 1});
      }
    }
  }
  return runs;
}

// Each run of a sound difference; `take(at, bytes)`. False: it is not sound.
template <class Take>
bool WalkRuns(std::span<const std::byte> rest, uint64_t page_bytes, const Take& take) {
  uint64_t free = 0;
  while (!rest.empty()) {
    if (rest.size() <= sizeof(Run)) return false;
    const Run run = Load<Run>(rest.data());
    rest = rest.subspan(sizeof(Run));
    if (run.at < free || run.length == 0 || run.length > rest.size()) return false;
    if (run.at > page_bytes || run.length > page_bytes - run.at) return false;
    take(run.at, rest.first(run.length));
    free = uint64_t{run.at} + run.length;
    rest = rest.subspan(run.length);
  }
  return true;
}

}  // namespace

std::vector<std::byte> Difference(std::span<const std::byte> page, std::span<const std::byte> before) {
  size_t bytes = 0;
  const std::vector<Run> runs = RunsOf(page, before, bytes);
  if (runs.empty()) return {};
  const size_t as_runs = runs.size() * sizeof(Run);
  const size_t as_mask = page.size() / 8;
  const bool mask = as_mask < as_runs;
  std::vector<std::byte> diff(kDiffHeader + (mask ? as_mask : as_runs) + bytes);
  Header(diff, mask ? kMask : kRuns);
  std::byte* to = diff.data() + kDiffHeader + (mask ? as_mask : 0);
  for (const Run& run : runs) {
    if (mask) {
      for (uint32_t at = run.at; at < run.at + run.length; at++) {
        diff[kDiffHeader + at / 8] |= std::byte{1} << at % 8;
      }
    } else {
      std::memcpy(to, &run, sizeof run);
      to += sizeof run;
    }
    std::memcpy(to, &page[run.at], run.length);
    to += run.length;
  }
  return diff;
}

std::vector<std::byte> WholeDifference(std::span<const std::byte> page) {
  const Run run{0, static_cast<uint32_t>(page.size())};
  std::vector<std::byte> diff(kDiffHeader + sizeof run + page.size());
  Header(diff, kRuns);
  std::memcpy(&diff[kDiffHeader], &run, sizeof run);
  std::memcpy(&diff[kDiffHeader + sizeof run], page.data(), page.size());
  return diff;
}

bool IsDifference(std::span<const std::byte> diff, uint64_t page_bytes) {
  if (diff.size() <= kDiffHeader || diff.size() > MostDiff(page_bytes)) return false;
  if (Load<uint32_t>(&diff[4]) != 0) return false;
  const std::span<const std::byte> rest = diff.subspan(kDiffHeader);
  switch (Load<uint32_t>(diff.data())) {
    case kRuns:
      return WalkRuns(rest, page_bytes, [](uint32_t, std::span<const std::byte>) {});
    case kMask: {
      if (rest.size() <= page_bytes / 8) return false;
      uint64_t bytes = 0;
      for (size_t at = 0; at < page_bytes / 8; at++) {
        bytes += static_cast<uint64_t>(std::popcount(static_cast<uint8_t>(rest[at])));
      }
      return bytes == rest.size() - page_bytes / 8;
    }
    default:
      return false;
  }
}

void ApplyDifference(std::span<const std::byte> diff, std::span<std::byte> page) {
  const std::span<const std::byte> rest = diff.subspan(kDiffHeader);
  if (Load<uint32_t>(diff.data()) == kRuns) {
    WalkRuns(rest, page.size(), [&](uint32_t at, std::span<const std::byte> bytes) {
      std::memcpy(&page[at], bytes.data(), bytes.size());
    });
    return;
  }
  const std::byte* from = rest.data() + page.size() / 8;
  for (size_t at = 0; at < page.size(); at += 8) {
    for (auto bits = static_cast<uint8_t>(rest[at / 8]); bits != 0; bits &= static_cast<uint8_t>(bits - 1)) {
      page[at + static_cast<size_t>(std::countr_zero(bits))] = *from++;
    }
  }
}

}  // namespace ivshmem::hosts
