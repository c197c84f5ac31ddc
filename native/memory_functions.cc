#include <fcntl.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <napi.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "arguments.h"
#include "error.h"
#include "exports.h"
#include "huge_pages.h"
#include "mapping.h"
#include "unique_fd.h"

namespace ivshmem {

namespace {

constexpr int kMapHuge2Mb = 21 << 26;  // MAP_HUGE_2MB: log2 of the page size, shifted by MAP_HUGE_SHIFT.
constexpr size_t kMemfdNameLimit = 249;

uint64_t RoundUp(uint64_t value, uint64_t unit) { return (value + unit - 1) / unit * unit; }

/** What a mapping of this file is rounded up to: munmap and MAP_FIXED refuse part of a huge page. */
size_t MappingUnit(int fd) {
  struct statfs file_system {};
  if (fstatfs(fd, &file_system) == 0 && file_system.f_type == HUGETLBFS_MAGIC) {
    return static_cast<size_t>(file_system.f_bsize);
  }
  return static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

Napi::Value MapFile(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Arguments arguments(info);
  const int fd = arguments.Fd(0);
  const uint64_t offset = arguments.Size(1, "offset");
  const uint64_t length = arguments.Size(2, "length", 1);
  const bool writable = arguments.Bool(3, "writable");
  struct stat status {};
  Checked(env, "fstat", fstat(fd, &status));
  const size_t unit = MappingUnit(fd);
  // Beyond its last page a file reads as SIGBUS. Devices have no size here; their drivers check the range in
  // mmap.
  if (S_ISREG(status.st_mode) && offset + length > RoundUp(static_cast<uint64_t>(status.st_size), unit)) {
    ThrowRange(env, "offset + length is beyond the end of the file");
  }
  // A file on huge pages is mapped from the start of one; what lies before `offset` there is not shown. An
  // offset within a page is for mmap to refuse.
  const uint64_t lead = offset % static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) == 0 ? offset % unit : 0;
  const uint64_t mapped = RoundUp(lead + length, unit);
  void* address =
      MapAligned(mapped, unit, PROT_READ | (writable ? PROT_WRITE : 0), fd, static_cast<off_t>(offset - lead));
  if (address == MAP_FAILED) ThrowErrno(env, "mmap");
  return Mapping::Create(env, std::make_unique<Region>(address, mapped, length, lead));
}

Napi::Value MapAnonymous(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Arguments arguments(info);
  const uint64_t length = arguments.Size(0, "length", 1);
  const bool huge = arguments.Bool(1, "hugePages");
  const uint64_t mapped = RoundUp(length, huge ? kHugePage : static_cast<size_t>(sysconf(_SC_PAGESIZE)));
  void* address = mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | (huge ? MAP_HUGETLB | kMapHuge2Mb : 0), -1, 0);
  if (address == MAP_FAILED) ThrowErrno(env, "mmap");
  auto region = std::make_unique<Region>(address, mapped, length);
  // Best effort, both: VFIO pins what it maps for DMA itself; RLIMIT_MEMLOCK may forbid the lock.
  // Not inherited: after a fork copy-on-write would move the parent to other pages than the device sees.
  static_cast<void>(mlock(address, mapped));
  static_cast<void>(madvise(address, mapped, MADV_DONTFORK));
  return Mapping::Create(env, std::move(region));
}

Napi::Value CreateMemfd(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Arguments arguments(info);
  const std::string name = arguments.Name(0, "name", kMemfdNameLimit);
  const uint64_t length = arguments.Size(1, "length", 1);
  const bool sealed = arguments.Bool(2, "sealed");
  const bool huge = arguments.Bool(3, "hugePages");
  UniqueFd fd(Checked(env, "memfd_create",
                      memfd_create(name.c_str(), MFD_CLOEXEC | (sealed ? MFD_ALLOW_SEALING : 0) |
                                                     (huge ? MFD_HUGETLB | MFD_HUGE_2MB : 0))));
  Checked(env, "ftruncate", ftruncate(fd.get(), static_cast<off_t>(length)));
  if (sealed) Checked(env, "fcntl", fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
  return Napi::Number::New(env, fd.Release());
}

Napi::Value PunchHole(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Arguments arguments(info);
  const int fd = arguments.Fd(0);
  const auto offset = static_cast<off_t>(arguments.Size(1, "offset"));
  const auto length = static_cast<off_t>(arguments.Size(2, "length", 1));
  Checked(env, "fallocate", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length));
  return env.Undefined();
}

}  // namespace

void DefineMemory(Napi::Env, Napi::Object exports) {
  Export<MapFile>(exports, "mapFile");
  Export<MapAnonymous>(exports, "mapAnonymous");
  Export<CreateMemfd>(exports, "createMemfd");
  Export<PunchHole>(exports, "punchHole");
}

}  // namespace ivshmem
