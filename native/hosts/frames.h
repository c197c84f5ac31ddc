// Which page each cache frame of a space holds. Home frames need no bookkeeping: page p of a home is in frame
// p / homes, and in no other.
#pragma once

#include <cstdint>
#include <vector>

#include "../dsm/messages.h"

namespace ivshmem::hosts {

inline constexpr uint32_t kNoFrame = UINT32_MAX;

class Frames {
 public:
  // Frames `first` to `first + count - 1`.
  Frames(uint32_t first, uint32_t count);

  uint32_t count() const { return static_cast<uint32_t>(cells_.size()); }
  uint32_t free() const { return static_cast<uint32_t>(free_.size()); }
  // On their way to be free, that is, asked to go.
  uint32_t leaving() const { return leaving_; }

  // kNoFrame: none is free.
  uint32_t Take(dsm::PageId page);
  void Give(uint32_t frame);
  // It was used: a second chance.
  void Touch(uint32_t frame);

  // The next that was not used for a whole turn of the clock; kNoFrame: none. Asking counts as a look at it.
  uint32_t Candidate();
  dsm::PageId page(uint32_t frame) const { return cells_[frame - first_].page; }
  void Leaving(uint32_t frame, bool leaving);
  void NoneLeaving();

  // A held frame is not given to another page though it was given back: its bytes wait to be sent.
  void Hold(uint32_t frame);
  void Unhold(uint32_t frame);

 private:
  struct Cell {
    dsm::PageId page = 0;
    uint32_t holds = 0;
    bool used = false;  // it has a page
    bool touched = false;
    bool leaving = false;
  };

  bool Ours(uint32_t frame) const { return frame >= first_ && frame - first_ < cells_.size(); }

  uint32_t first_;
  std::vector<Cell> cells_;
  std::vector<uint32_t> free_;
  uint32_t leaving_ = 0;
  uint32_t hand_ = 0;
};

}  // namespace ivshmem::hosts
