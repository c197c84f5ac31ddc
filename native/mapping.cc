#include "mapping.h"

#include <sys/mman.h>

#include <utility>

#include "bus_guard.h"
#include "error.h"

namespace ivshmem {

namespace {

/** Newer ones end the process when the count is ever below zero. */
constexpr uint32_t kLastNodeWithAnyCount = 22;

/** Corrects what V8 believes to be held by JavaScript objects outside its heap, where it can be corrected. */
void Adjust(napi_env env, int64_t bytes) {
  const napi_node_version* version = nullptr;
  if (napi_get_node_version(env, &version) != napi_ok || version->major > kLastNodeWithAnyCount) return;
  int64_t now = 0;
  napi_adjust_external_memory(env, bytes, &now);
}

}  // namespace

Region::~Region() {
  if (guarded_) UnguardRange(address_);
  munmap(address_, mapped_);
}

bool Region::Guard() {
  guarded_ = GuardRange(address_, mapped_);
  return guarded_;
}

bool Region::Revoke() {
  return mmap(address_, mapped_, PROT_READ | PROT_WRITE,
              MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != MAP_FAILED;
}

/** What the buffer's finalizer needs. */
struct Mapping::Share {
  std::shared_ptr<Hold> hold;
  int64_t bytes;
};

Mapping::Mapping(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto region = std::exchange(AddonData::From(env).region_to_wrap, nullptr);
  if (!region) ThrowType(env, "Illegal constructor");
  hold_ = std::make_shared<Hold>(Hold{region});
  // Freed by the finalizer. After a failure Node may or may not call it, so it is left alone then; the Region
  // is not.
  auto* share = new Share{hold_, static_cast<int64_t>(region->size())};
  // V8 takes the memory for garbage-to-be and starts a collection of the whole heap for each 64 MiB, though
  // collecting could free none of it. What it is about to count is taken off before, and put back when it
  // counts it as freed.
  Adjust(env, -share->bytes);
  napi_value buffer = nullptr;
  const napi_status status = napi_create_external_arraybuffer(
      env, region->address(), region->size(),
      [](napi_env env, void*, void* hint) {
        const std::unique_ptr<Share> freed(static_cast<Share*>(hint));
        Adjust(env, freed->bytes);
      },
      share, &buffer);
  if (status != napi_ok) {
    Adjust(env, share->bytes);
    hold_->region.reset();
    throw Napi::Error::New(env);
  }
  buffer_ = Napi::Persistent(Napi::ArrayBuffer(env, buffer));
}

void Mapping::Define(Napi::Env env, AddonData& data) {
  using W = Wrapped<Mapping>;
  data.mapping_constructor = Napi::Persistent(
      W::Define(env, {W::Getter<&Mapping::Buffer>("buffer"), W::Getter<&Mapping::ByteLength>("byteLength"),
                      W::Method<&Mapping::Close>("close"), W::Method<&Mapping::Revoke>("revoke"),
                      W::Method<&Mapping::Guard>("guard")}));
}

Napi::Value Mapping::Create(Napi::Env env, std::unique_ptr<Region> region) {
  AddonData& data = AddonData::From(env);
  data.region_to_wrap = std::move(region);
  data.AddRegion(data.region_to_wrap);
  try {
    return data.mapping_constructor.New(std::initializer_list<napi_value>{});
  } catch (...) {
    data.region_to_wrap.reset();
    throw;
  }
}

Napi::Value Mapping::Buffer(const Napi::CallbackInfo&) { return buffer_.Value(); }

Napi::Value Mapping::ByteLength(const Napi::CallbackInfo& info) {
  const auto region = this->region();
  return Napi::Number::New(info.Env(), region ? static_cast<double>(region->size()) : 0);
}

Napi::Value Mapping::Close(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto hold = std::exchange(hold_, nullptr);
  if (!hold) return env.Undefined();
  Napi::ArrayBuffer buffer = buffer_.Value();
  // Detached by somebody else (ArrayBuffer.prototype.transfer): another buffer shows this memory now, and its
  // finalizer will free it. What it shows from here on are zero pages.
  bool moved = buffer.IsDetached();
  if (!moved) moved = napi_detach_arraybuffer(env, buffer) != napi_ok;
  if (!moved) {
    hold->region.reset();  // Unmaps here, unless a LoopWaiter still looks at it.
  } else if (hold->region && !hold->region->Revoke()) {
    ThrowErrno(env, "mmap");
  }
  return env.Undefined();
}

Napi::Value Mapping::Revoke(const Napi::CallbackInfo& info) {
  if (const auto region = this->region(); region && !region->Revoke()) ThrowErrno(info.Env(), "mmap");
  return info.Env().Undefined();
}

Napi::Value Mapping::Guard(const Napi::CallbackInfo& info) {
  if (const auto region = this->region(); region && !region->Guard()) ThrowErrno(info.Env(), "sigaction");
  return info.Env().Undefined();
}

}  // namespace ivshmem
