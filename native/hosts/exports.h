#pragma once

#include <napi.h>

#include <cstdint>

#include "placement.h"

namespace ivshmem::hosts {

// Of a space: with page_bytes() below no product of them overflows, and home frames have 32 bit numbers.
inline constexpr uint64_t kMostPages = uint64_t{1} << 31;

void DefineNodeEngine(Napi::Env env, Napi::Object exports);

// pageShift, pages, homes, consistency and replicas of an object, checked.
Placement PlacementFrom(Napi::Env env, Napi::Object from);
uint64_t Uint64From(Napi::Env env, Napi::Value value, const char* name);

}  // namespace ivshmem::hosts
