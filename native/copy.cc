#include <napi.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "arguments.h"
#include "error.h"
#include "exports.h"

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

namespace ivshmem {

namespace {

/** Below this the write-combining buffers cost more than the cache pollution they avoid (measured). */
constexpr uint64_t kNonTemporalFrom = 4096;

void CopyAround(char* target, const char* source, size_t length) {
#if defined(__x86_64__)
  const size_t head = -reinterpret_cast<uintptr_t>(target) & 63;
  std::memcpy(target, source, head);
  target += head;
  source += head;
  length -= head;
  for (; length >= 64; length -= 64, target += 64, source += 64) {
    const auto* from = reinterpret_cast<const __m128i*>(source);
    auto* to = reinterpret_cast<__m128i*>(target);
    const __m128i a = _mm_loadu_si128(from);
    const __m128i b = _mm_loadu_si128(from + 1);
    const __m128i c = _mm_loadu_si128(from + 2);
    const __m128i d = _mm_loadu_si128(from + 3);
    _mm_stream_si128(to, a);
    _mm_stream_si128(to + 1, b);
    _mm_stream_si128(to + 2, c);
    _mm_stream_si128(to + 3, d);
  }
  std::memcpy(target, source, length);
  // Streaming stores are outside x86's store order: without this a later publishing store could be seen
  // before them.
  _mm_sfence();
#else
  std::memcpy(target, source, length);  // arm64 cores switch to streaming by themselves on long copies.
#endif
}

Napi::Value CopyNonTemporal(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Arguments arguments(info);
  Napi::ArrayBuffer target = arguments.Buffer(0, "target");
  const uint64_t target_offset = arguments.Size(1, "targetOffset");
  Napi::ArrayBuffer source = arguments.Buffer(2, "source");
  const uint64_t source_offset = arguments.Size(3, "sourceOffset");
  const uint64_t length = arguments.Size(4, "length");
  // Each is below 2^53: the sums cannot wrap.
  if (target_offset + length > target.ByteLength()) ThrowRange(env, "the copy ends beyond the target");
  if (source_offset + length > source.ByteLength()) ThrowRange(env, "the copy ends beyond the source");
  if (length == 0) return env.Undefined();
  char* to = static_cast<char*>(target.Data()) + target_offset;
  const char* from = static_cast<const char*>(source.Data()) + source_offset;
  const bool overlapping = to < from + length && from < to + length;
  if (overlapping || length < kNonTemporalFrom) {
    std::memmove(to, from, length);
  } else {
    CopyAround(to, from, length);
  }
  return env.Undefined();
}

constexpr size_t kLine = 64;

void PrefetchLine(const char* line, bool for_write) {
#if defined(__x86_64__)
  // As assembly: without -mprfchw the builtin asks for a shared copy, which is the expensive kind to write to.
  if (for_write) {
    asm volatile("prefetchw (%0)" ::"r"(line));
    return;
  }
#endif
  if (for_write) {
    __builtin_prefetch(line, 1);
  } else {
    __builtin_prefetch(line, 0);
  }
}

Napi::Value Prefetch(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  Napi::ArrayBuffer buffer = arguments.Buffer(0, "buffer");
  const uint64_t offset = arguments.Size(1, "offset");
  const uint64_t length = arguments.Size(2, "length");
  // A hint: what lies outside is left alone.
  if (offset >= buffer.ByteLength()) return info.Env().Undefined();
  const uint64_t end = std::min<uint64_t>(offset + length, buffer.ByteLength());
  const bool for_write = arguments.Bool(3, "forWrite");
  const char* data = static_cast<const char*>(buffer.Data());
  for (uint64_t at = offset; at < end; at += kLine) PrefetchLine(data + at, for_write);
  return info.Env().Undefined();
}

}  // namespace

void DefineCopy(Napi::Env, Napi::Object exports) {
  Export<CopyNonTemporal>(exports, "copyNonTemporal");
  Export<Prefetch>(exports, "prefetch");
}

}  // namespace ivshmem
