// Where things are in a spread space's allocation on one host.
#pragma once

#include <algorithm>
#include <cstdint>

#include "../dsm/page_protocol.h"
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
  dsm::NodeId replicas = 1;  // with release consistency only

  uint64_t page_bytes() const { return uint64_t{1} << page_shift; }
  uint64_t members_offset() const { return dsm::shared::kControlPage; }
  uint64_t frames_offset() const {
    const uint64_t control = members_offset() + uint64_t{slots} * dsm::shared::kControlPage;
    return (control + page_bytes() - 1) / page_bytes() * page_bytes();
  }
  dsm::Shape shape() const { return {pages, homes, replicas}; }
  // Pages that have a frame here for good, those that this node keeps from the beginning: of its own class
  // (self, self + homes, self + 2 * homes and so on), then of the one before, and so on.
  uint64_t home_frames() const {
    uint64_t count = 0;
    for (dsm::NodeId cls = 0; cls < homes; cls++) count += FramesOf(cls);
    return count;
  }
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
  // Whether it has a frame for good, and which.
  bool HasFrame(dsm::PageId page) const {
    return shape().Forms(self, NaturalHome(page));
  }
  uint32_t HomeFrame(dsm::PageId page) const {
    uint64_t before = 0;
    for (dsm::NodeId cls = self; cls != NaturalHome(page);) {
      before += FramesOf(cls);
      cls = static_cast<dsm::NodeId>((cls == 0 ? homes : cls) - 1);
    }
    return static_cast<uint32_t>(before + page / homes);
  }

 private:
  uint64_t FramesOf(dsm::NodeId cls) const {
    return shape().Forms(self, cls) ? shape().PagesOf(cls) : 0;
  }
};

}  // namespace ivshmem::hosts
