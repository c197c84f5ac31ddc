#ifndef IVSHMEM_WATCHED_WORDS_H_
#define IVSHMEM_WATCHED_WORDS_H_

#include <napi.h>

#include <memory>

#include "mapping.h"
#include "mmio.h"

namespace ivshmem {

/**
 * The memory under an Int32Array, looked at from native code for as long as this object lives.
 * Memory of a Mapping is pinned: closing that Mapping first unmaps nothing yet. Any other memory can be
 * detached or shrunk by JavaScript, so Refresh() must be called after JavaScript ran and before the next
 * look.
 */
class WatchedWords {
 public:
  explicit WatchedWords(Napi::Int32Array array);

  void Refresh();
  bool empty() const { return length_ == 0; }
  bool pinned() const { return region_ != nullptr; }

  bool AnyNonZero() const {
    for (size_t i = 0; i < length_; ++i) {
      if (LoadAcquire(words_ + i) != 0) return true;
    }
    return false;
  }
  void StoreFirst(int32_t value) {
    if (length_ > 0) StoreSequential(words_, value);
  }

  /** Lets the memory go; no word is seen from then on. */
  void Reset();

 private:
  std::shared_ptr<Region> region_;
  Napi::ObjectReference array_;
  int32_t* words_ = nullptr;
  size_t length_ = 0;
};

}  // namespace ivshmem

#endif  // IVSHMEM_WATCHED_WORDS_H_
