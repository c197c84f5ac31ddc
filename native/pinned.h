#ifndef IVSHMEM_PINNED_H_
#define IVSHMEM_PINNED_H_

#include <napi.h>

#include <climits>
#include <cstddef>
#include <memory>
#include <string>

#include "addon_data.h"
#include "arguments.h"
#include "eventfd.h"
#include "mapping.h"

namespace ivshmem {

/** Memory that stays mapped while somebody holds it. */
struct Pinned {
  std::shared_ptr<Region> region;
  std::byte* base = nullptr;
  uint64_t size = 0;
};

inline Pinned PinnedFrom(Napi::Env env, Napi::Value value, const char* name) {
  if (!value.IsArrayBuffer()) ThrowType(env, std::string(name) + " must be an ArrayBuffer");
  Napi::ArrayBuffer buffer = value.As<Napi::ArrayBuffer>();
  Pinned pinned{AddonData::From(env).FindRegion(buffer.Data()), static_cast<std::byte*>(buffer.Data()),
                buffer.ByteLength()};
  // Other memory could be collected under the thread.
  if (pinned.region == nullptr) ThrowType(env, std::string(name) + " must be the buffer of a Mapping");
  return pinned;
}

/** A DoorbellPlace of src/native/binding.ts, and what it needs to stay valid. */
struct HeldDoorbell {
  volatile uint32_t* word = nullptr;
  uint32_t value = 0;
  Pinned registers;
  UniqueFd eventfd;
};

/** null: nobody can be rung. */
inline HeldDoorbell DoorbellFrom(Napi::Env env, Napi::Value value) {
  HeldDoorbell held;
  if (value.IsNull()) return held;
  if (!value.IsObject()) ThrowType(env, "doorbell must be an object or null");
  const Napi::Object from = value.As<Napi::Object>();
  if (from.Has("eventfd")) {
    const double eventfd = IntegerFrom(env, from.Get("eventfd"), "eventfd", 0, INT_MAX);
    held.eventfd = DuplicateEventfd(env, static_cast<int>(eventfd));
    return held;
  }
  held.registers = PinnedFrom(env, from.Get("registers"), "registers");
  const auto offset =
      static_cast<uint64_t>(IntegerFrom(env, from.Get("offset"), "offset", 0, kMaxSafeInteger));
  if (offset % 4 != 0 || held.registers.size < 4 || offset > held.registers.size - 4)
    ThrowRange(env, "offset is not that of a register");
  held.word = reinterpret_cast<volatile uint32_t*>(held.registers.base + offset);
  held.value = static_cast<uint32_t>(IntegerFrom(env, from.Get("value"), "value", 0, UINT32_MAX));
  return held;
}

}  // namespace ivshmem

#endif  // IVSHMEM_PINNED_H_
