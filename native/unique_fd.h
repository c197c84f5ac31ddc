#ifndef IVSHMEM_UNIQUE_FD_H_
#define IVSHMEM_UNIQUE_FD_H_

#include <fcntl.h>
#include <napi.h>
#include <unistd.h>

#include <utility>

#include "error.h"

namespace ivshmem {

/** Owning file descriptor. */
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.Release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    Reset(other.Release());
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { Reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int Release() { return std::exchange(fd_, -1); }
  void Reset(int fd = -1) {
    const int old = std::exchange(fd_, fd);
    if (old >= 0)
      close(old);  // Linux releases the number whatever close returns, EINTR included: never retried.
  }

 private:
  int fd_ = -1;
};

/**
 * A second number for the same open file. Watchers own one, because libuv aborts the process when a
 * descriptor it was told to watch is closed behind its back, and refuses two watchers on one number.
 */
inline UniqueFd Duplicate(Napi::Env env, int fd) {
  return UniqueFd(Checked(env, "fcntl", fcntl(fd, F_DUPFD_CLOEXEC, 3)));
}

}  // namespace ivshmem

#endif  // IVSHMEM_UNIQUE_FD_H_
