#include <napi.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "arguments.h"
#include "error.h"
#include "exports.h"
#include "huge_pages.h"
#include "mapping.h"
#include "pinned.h"

// Linux 5.14 and 6.1; older C libraries do not know them.
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

namespace ivshmem {

void* MapAligned(size_t mapped, size_t unit, int protection, int fd, off_t offset) {
  if (mapped < kHugePage) return mmap(nullptr, mapped, protection, MAP_SHARED, fd, offset);
  const size_t alignment = std::max(unit, kHugePage);
  void* room = mmap(nullptr, mapped + alignment, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) return mmap(nullptr, mapped, protection, MAP_SHARED, fd, offset);
  const auto start = reinterpret_cast<uintptr_t>(room);
  const uintptr_t lead = (static_cast<uintptr_t>(offset) - start) % alignment;
  void* const address = static_cast<char*>(room) + lead;
  if (lead > 0) munmap(room, lead);
  munmap(static_cast<char*>(address) + mapped, alignment - lead);
  if (mmap(address, mapped, protection, MAP_SHARED | MAP_FIXED, fd, offset) != MAP_FAILED) return address;
  const int error = errno;
  munmap(address, mapped);
  errno = error;
  return MAP_FAILED;
}

namespace {

/** Returns 0 or an errno value. */
int Collapse(char* address, size_t length) {
  // A block without any page stays without one. Not by a load, which a file that somebody made shorter answers
  // with a signal.
  for (size_t at = 0; at < length; at += kHugePage) {
    if (madvise(address + at, 1, MADV_POPULATE_READ) != 0) return errno;
  }
  return madvise(address, length, MADV_COLLAPSE) == 0 ? 0 : errno;
}

class CollapseWorker : public Napi::AsyncWorker {
 public:
  CollapseWorker(Napi::Env env, std::shared_ptr<Region> region, char* address, size_t length)
      : AsyncWorker(env, "ivshmem.collapsePages"),
        promise_(env),
        region_(std::move(region)),
        address_(address),
        length_(length) {}

  Napi::Promise promise() const { return promise_.Promise(); }

  void Execute() override {
    error_ = Collapse(address_, length_);
    region_.reset();
  }
  void OnOK() override { promise_.Resolve(Napi::Number::New(Env(), error_)); }

 private:
  Napi::Promise::Deferred promise_;
  std::shared_ptr<Region> region_;  // mapped until this is done, whoever closes it
  char* address_;
  size_t length_;
  int error_ = 0;
};

Napi::Value CollapsePages(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Arguments arguments(info);
  Pinned memory = PinnedFrom(env, info[0], "buffer");
  const uint64_t offset = arguments.Size(1, "offset");
  const uint64_t length = arguments.Size(2, "length", kHugePage);
  if (offset % kHugePage != 0 || length % kHugePage != 0)
    ThrowRange(env, "offset and length must be multiples of 2 MiB");
  if (offset + length > memory.size) ThrowRange(env, "offset + length is beyond the end of the buffer");
  auto* const address = reinterpret_cast<char*>(memory.base) + offset;
  if (reinterpret_cast<uintptr_t>(address) % kHugePage != 0)
    ThrowRange(env, "the mapping does not begin at a multiple of 2 MiB of its file");
  auto* worker = new CollapseWorker(env, std::move(memory.region), address, length);
  const Napi::Promise promise = worker->promise();
  worker->Queue();
  return promise;
}

}  // namespace

void DefineHugePages(Napi::Env, Napi::Object exports) { Export<CollapsePages>(exports, "collapsePages"); }

}  // namespace ivshmem
