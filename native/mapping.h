#ifndef IVSHMEM_MAPPING_H_
#define IVSHMEM_MAPPING_H_

#include <napi.h>

#include <cstddef>
#include <memory>

#include "addon_data.h"
#include "wrapped.h"

namespace ivshmem {

/** Owning mmap: [address, address + mapped), of which `size` bytes from `lead` on are shown. Unmapped when its
 * last holder lets go. */
class Region {
 public:
  Region(void* address, size_t mapped, size_t size, size_t lead = 0)
      : address_(address), mapped_(mapped), size_(size), lead_(lead) {}
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;
  ~Region();

  char* address() const { return static_cast<char*>(address_) + lead_; }
  size_t size() const { return size_; }
  bool Contains(const void* pointer) const {
    const auto* byte = static_cast<const char*>(pointer);
    return byte >= address() && byte < address() + size_;
  }
  /** Private zero pages over the whole range. False with errno set when the kernel has none. */
  bool Revoke();
  /** What Revoke does, by itself, once the memory is gone (bus_guard.h). False with errno set when that
   * cannot be. */
  bool Guard();

 private:
  void* address_;
  size_t mapped_;
  size_t size_;
  size_t lead_;
  bool guarded_ = false;
};

/**
 * The JavaScript object of a Region. The Region is held by the finalizer of `buffer` and not by this object
 * alone, so a buffer (or a view of it) that outlives its collected Mapping keeps its memory.
 */
class Mapping {
 public:
  static constexpr const char* kName = "Mapping";
  static constexpr napi_type_tag kTag{0x69767368'6d656d01, 0x8f2d1c7a'53e0b946};

  /** Takes over AddonData::region_to_wrap. Not callable from JavaScript, which never finds one there. */
  explicit Mapping(const Napi::CallbackInfo& info);

  static void Define(Napi::Env env, AddonData& data);
  static Napi::Value Create(Napi::Env env, std::unique_ptr<Region> region);

  /** Null once closed. */
  std::shared_ptr<Region> region() const { return hold_ ? hold_->region : nullptr; }

 private:
  struct Share;
  struct Hold {
    std::shared_ptr<Region> region;
  };

  Napi::Value Buffer(const Napi::CallbackInfo& info);
  Napi::Value ByteLength(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);
  Napi::Value Revoke(const Napi::CallbackInfo& info);
  Napi::Value Guard(const Napi::CallbackInfo& info);

  std::shared_ptr<Hold> hold_;
  Napi::Reference<Napi::ArrayBuffer> buffer_;
};

}  // namespace ivshmem

#endif  // IVSHMEM_MAPPING_H_
