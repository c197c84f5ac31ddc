// Which page each cache frame of a space holds. Home frames need no bookkeeping: page p of a home is in frame
// p / homes, and in no other. Where there is a frame for every page, page p is in frame p.
#pragma once

#include <cstdint>
#include <vector>

#include "../dsm/messages.h"

namespace ivshmem::hosts {

inline constexpr uint32_t kNoFrame = UINT32_MAX;

class Frames {
 public:
  // Frames `first` to `first + count - 1`, each for any page.
  Frames(uint32_t first, uint32_t count);
  // Frames of their own for all pages, `count` of which have another home: no page ever makes room for another.
  static Frames Whole(uint32_t count);

  bool whole() const { return whole_; }
  uint32_t count() const { return count_; }
  uint32_t free() const { return whole_ ? count_ - taken_ : static_cast<uint32_t>(free_.size()); }
  // On their way to be free, that is, asked to go.
  uint32_t leaving() const { return leaving_; }

  // For a page that has none. kNoFrame: none is free.
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
  uint32_t count_;
  bool whole_ = false;
  uint32_t taken_ = 0;       // if `whole_`
  std::vector<Cell> cells_;  // if not
  std::vector<uint32_t> free_;
  uint32_t leaving_ = 0;
  uint32_t hand_ = 0;
};

}  // namespace ivshmem::hosts
