#include <errno.h>
#include <fcntl.h>
#include <napi.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arguments.h"
#include "error.h"
#include "exports.h"
#include "huge_pages.h"
#include "unique_fd.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25  // Linux 6.1; older C libraries do not know it.
#endif

namespace ivshmem {

void* MapAligned(size_t mapped, int protection, int fd, off_t offset) {
  if (mapped < kHugePage) return mmap(nullptr, mapped, protection, MAP_SHARED, fd, offset);
  void* room = mmap(nullptr, mapped + kHugePage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) return mmap(nullptr, mapped, protection, MAP_SHARED, fd, offset);
  const auto start = reinterpret_cast<uintptr_t>(room);
  const uintptr_t lead = (static_cast<uintptr_t>(offset) - start) % kHugePage;
  void* const address = static_cast<char*>(room) + lead;
  if (lead > 0) munmap(room, lead);
  munmap(static_cast<char*>(address) + mapped, kHugePage - lead);
  if (mmap(address, mapped, protection, MAP_SHARED | MAP_FIXED, fd, offset) != MAP_FAILED) return address;
  const int error = errno;
  munmap(address, mapped);
  errno = error;
  return MAP_FAILED;
}

namespace {

/** Returns 0 or an errno value. */
int Collapse(int fd, off_t offset, size_t length) {
  // A block without any page stays without one.
  for (size_t at = 0; at < length; at += kHugePage) {
    if (fallocate(fd, FALLOC_FL_KEEP_SIZE, offset + static_cast<off_t>(at), 1) != 0) return errno;
  }
  void* const address = MapAligned(length, PROT_READ | PROT_WRITE, fd, offset);
  if (address == MAP_FAILED) return errno;
  const int error = madvise(address, length, MADV_COLLAPSE) == 0 ? 0 : errno;
  munmap(address, length);
  return error;
}

class CollapseWorker : public Napi::AsyncWorker {
 public:
  CollapseWorker(Napi::Env env, UniqueFd fd, off_t offset, size_t length)
      : AsyncWorker(env, "ivshmem.collapsePages"),
        promise_(env),
        fd_(std::move(fd)),
        offset_(offset),
        length_(length) {}

  Napi::Promise promise() const { return promise_.Promise(); }

  void Execute() override { error_ = Collapse(fd_.get(), offset_, length_); }
  void OnOK() override { promise_.Resolve(Napi::Number::New(Env(), error_)); }

 private:
  Napi::Promise::Deferred promise_;
  UniqueFd fd_;
  off_t offset_;
  size_t length_;
  int error_ = 0;
};

Napi::Value CollapsePages(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Arguments arguments(info);
  const int fd = arguments.Fd(0);
  const uint64_t offset = arguments.Size(1, "offset");
  const uint64_t length = arguments.Size(2, "length", kHugePage);
  if (offset % kHugePage != 0 || length % kHugePage != 0)
    ThrowRange(env, "offset and length must be multiples of 2 MiB");
  struct stat status {};
  Checked(env, "fstat", fstat(fd, &status));
  if (offset + length > static_cast<uint64_t>(status.st_size))
    ThrowRange(env, "offset + length is beyond the end of the file");
  // Its own descriptor: the caller may close his while the work goes on.
  UniqueFd own(Checked(env, "fcntl", fcntl(fd, F_DUPFD_CLOEXEC, 0)));
  auto* worker = new CollapseWorker(env, std::move(own), static_cast<off_t>(offset), length);
  const Napi::Promise promise = worker->promise();
  worker->Queue();
  return promise;
}

}  // namespace

void DefineHugePages(Napi::Env, Napi::Object exports) { Export<CollapsePages>(exports, "collapsePages"); }

}  // namespace ivshmem
