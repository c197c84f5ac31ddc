// Where things are in a spread space's allocation on one host.
#pragma once

#include <algorithm>
#include <cstdint>

#include "../dsm/messages.h"
#include "../dsm/shared_layout.h"

namespace ivshmem::hosts {

// Fewer could keep an instruction that touches several pages from ever having them all.
inline constexpr uint32_t kLeastCache = 8;

struct Placement {
  uint32_t page_shift = 0;
  uint64_t pages = 0;  // of the space
  dsm::NodeId homes = 1;
  dsm::NodeId self = 0;
  uint32_t slots = 0;
  dsm::Consistency consistency = dsm::Consistency::kSequential;

  uint64_t page_bytes() const { return uint64_t{1} << page_shift; }
  uint64_t members_offset() const { return dsm::shared::kControlPage; }
  uint64_t frames_offset() const {
    const uint64_t control = members_offset() + uint64_t{slots} * dsm::shared::kControlPage;
    return (control + page_bytes() - 1) / page_bytes() * page_bytes();
  }
  // Pages whose home this node is: self, self + homes, self + 2 * homes and so on.
  uint64_t home_frames() const { return self < homes && self < pages ? (pages - self - 1) / homes + 1 : 0; }
  uint64_t bytes(uint64_t cache) const {
    return frames_offset() + std::min(home_frames() + cache, pages) * page_bytes();
  }
  // Frames that fit.
  uint64_t frames(uint64_t allocation) const {
    return allocation < frames_offset() ? 0 : (allocation - frames_offset()) >> page_shift;
  }
  // All pages have room. Then page p is in frame p, whatever its home: what are neighbours in the space are
  // neighbours in memory too, and a member has them by one mapping.
  bool whole(uint64_t allocation) const { return frames(allocation) >= pages; }

  dsm::NodeId NaturalHome(dsm::PageId page) const { return static_cast<dsm::NodeId>(page % homes); }
  bool AtHome(dsm::PageId page) const { return NaturalHome(page) == self; }
};

}  // namespace ivshmem::hosts
