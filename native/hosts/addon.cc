// The addon of a server whose spaces span hosts: apart from the other one, because only such a server needs
// it.
#include <napi.h>

#include "../arguments.h"
#include "../dsm/shared_layout.h"
#include "../exports.h"
#include "exports.h"
#include "placement.h"

namespace ivshmem::hosts {

namespace {

Napi::Value LeastBytes(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const Napi::Env env = info.Env();
  if (!info[0].IsObject()) ThrowType(env, "the first argument must be an object");
  Placement place = PlacementFrom(env, info[0].As<Napi::Object>());
  place.self = static_cast<dsm::NodeId>(arguments.Integer(1, "node", 0, dsm::kMaxNodes - 1));
  place.slots = static_cast<uint32_t>(arguments.Integer(2, "slots", 2, dsm::shared::kMaxSlots));
  const auto cache = static_cast<uint64_t>(arguments.Integer(3, "cache", kLeastCache, UINT32_MAX));
  return Napi::Number::New(env, static_cast<double>(place.bytes(cache)));
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  DefineNodeEngine(env, exports);
  Export<LeastBytes>(exports, "leastBytes");
  Napi::Object abi = Napi::Object::New(env);
  for (const auto& number : dsm::shared::kSpreadAbi) {
    abi.Set(number.name, Napi::Number::New(env, static_cast<double>(number.value)));
  }
  exports.Set("abi", abi);
  return exports;
}

}  // namespace

Placement PlacementFrom(Napi::Env env, Napi::Object from) {
  const auto integer = [&](const char* name, double low, double high) {
    return IntegerFrom(env, from.Get(name), name, low, high);
  };
  Placement place;
  place.page_shift =
      static_cast<uint32_t>(integer("pageShift", dsm::shared::kMinPageShift, dsm::shared::kMaxPageShift));
  place.homes = static_cast<dsm::NodeId>(integer("homes", 1, dsm::kMaxNodes));
  place.pages = Uint64From(env, from.Get("pages"), "pages");
  if (const Napi::Value consistency = from.Get("consistency"); !consistency.IsUndefined()) {
    const std::string name = consistency.IsString() ? consistency.As<Napi::String>().Utf8Value() : "";
    if (name != "sequential" && name != "release")
      ThrowType(env, "consistency must be 'sequential' or 'release'");
    if (name == "release") place.consistency = dsm::Consistency::kRelease;
  }
  if (const Napi::Value replicas = from.Get("replicas"); !replicas.IsUndefined()) {
    place.replicas = static_cast<dsm::NodeId>(integer("replicas", 1, dsm::kMaxNodes));
    if (place.replicas > 1 && place.consistency != dsm::Consistency::kRelease)
      ThrowRange(env, "replicas are for release consistency");
  }
  if (place.pages == 0 || place.pages > kMostPages) ThrowRange(env, "pages is out of range");
  return place;
}

uint64_t Uint64From(Napi::Env env, Napi::Value value, const char* name) {
  bool lossless = false;
  if (!value.IsBigInt()) ThrowType(env, std::string(name) + " must be a bigint");
  const uint64_t number = value.As<Napi::BigInt>().Uint64Value(&lossless);
  if (!lossless) ThrowRange(env, std::string(name) + " is out of range");
  return number;
}

NODE_API_MODULE(hosts, Init)

}  // namespace ivshmem::hosts
