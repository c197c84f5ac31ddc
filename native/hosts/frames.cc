#include "frames.h"

namespace ivshmem::hosts {

Frames::Frames(uint32_t first, uint32_t count) : first_(first), count_(count), cells_(count) {
  free_.reserve(count);
  // The lowest comes out first: pages that come one after the other lie so, too.
  for (uint32_t i = count; i-- > 0;) free_.push_back(first + i);
}

Frames Frames::Whole(uint32_t count) {
  Frames frames(0, 0);
  frames.whole_ = true;
  frames.count_ = count;
  return frames;
}

uint32_t Frames::Take(dsm::PageId page) {
  if (whole_) {
    taken_++;
    return static_cast<uint32_t>(page);
  }
  if (free_.empty()) return kNoFrame;
  const uint32_t frame = free_.back();
  free_.pop_back();
  Cell& cell = cells_[frame - first_];
  cell.page = page;
  cell.used = cell.touched = true;
  return frame;
}

void Frames::Give(uint32_t frame) {
  if (whole_) {
    taken_--;
    return;
  }
  if (!Ours(frame) || !cells_[frame - first_].used) return;
  Leaving(frame, false);
  Cell& cell = cells_[frame - first_];
  cell.used = false;
  if (cell.holds == 0) free_.push_back(frame);
}

void Frames::Touch(uint32_t frame) {
  if (Ours(frame)) cells_[frame - first_].touched = true;
}

uint32_t Frames::Candidate() {
  for (uint64_t step = 0; step < uint64_t{2} * count(); step++) {
    const uint32_t index = hand_;
    hand_ = (hand_ + 1) % count();
    Cell& cell = cells_[index];
    if (!cell.used || cell.leaving) continue;
    if (!cell.touched) return first_ + index;
    cell.touched = false;
  }
  return kNoFrame;
}

void Frames::Leaving(uint32_t frame, bool leaving) {
  if (!Ours(frame) || cells_[frame - first_].leaving == leaving) return;
  cells_[frame - first_].leaving = leaving;
  leaving ? leaving_++ : leaving_--;
}

void Frames::NoneLeaving() {
  for (Cell& cell : cells_) cell.leaving = false;
  leaving_ = 0;
}

void Frames::Hold(uint32_t frame) {
  if (Ours(frame)) cells_[frame - first_].holds++;
}

void Frames::Unhold(uint32_t frame) {
  if (!Ours(frame)) return;
  Cell& cell = cells_[frame - first_];
  if (--cell.holds == 0 && !cell.used) free_.push_back(frame);
}

}  // namespace ivshmem::hosts
