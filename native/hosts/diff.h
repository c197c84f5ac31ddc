// What was written of a page since a copy of it was made, as bytes for another host: which bytes, and what
// they are now. Bytes that are the same are never in it, since another host may have written them.
//
// A difference begins with 8 bytes: its form, and 0. Runs: for each run of bytes, where it starts in the page
// and how long it is (4 bytes each), and the bytes; in order, apart from each other. A mask: a bit for each
// byte of the page, the lowest first, and then the bytes. The shorter one is taken, so that none is longer
// than MostDiff.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace ivshmem::hosts {

inline constexpr uint32_t kDiffHeader = 8;

constexpr uint64_t MostDiff(uint64_t page_bytes) { return kDiffHeader + page_bytes / 8 + page_bytes; }

// Empty: nothing was written. Both have the same length, a multiple of 64; nobody changes them meanwhile.
std::vector<std::byte> Difference(std::span<const std::byte> page, std::span<const std::byte> before);

// One of all bytes, whether written or not.
std::vector<std::byte> WholeDifference(std::span<const std::byte> page);

// Whether it is one of a page of this length.
bool IsDifference(std::span<const std::byte> diff, uint64_t page_bytes);

// Precondition: IsDifference(diff, page.size()). Only the bytes that are in it are stored to.
void ApplyDifference(std::span<const std::byte> diff, std::span<std::byte> page);

}  // namespace ivshmem::hosts
