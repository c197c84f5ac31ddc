#include "eventfd.h"

#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "arguments.h"
#include "error.h"
#include "exports.h"

namespace ivshmem {

int64_t DrainEventfd(int fd) {
  uint64_t counter = 0;
  iovec vector{&counter, sizeof counter};
  // RWF_NOWAIT: an eventfd that another process made may be a blocking one, and O_NONBLOCK belongs to
  // everybody who has it.
  ssize_t got = preadv2(fd, &vector, 1, -1, RWF_NOWAIT);
  if (got < 0 && (errno == EOPNOTSUPP || errno == ENOSYS)) {
    pollfd readable{fd, POLLIN, 0};
    if (poll(&readable, 1, 0) == 0) return 0;
    got = read(fd, &counter, sizeof counter);
  }
  if (got < 0) return errno == EAGAIN || errno == EINTR ? 0 : -1;
  if (got != sizeof counter) {
    errno = EINVAL;
    return -1;
  }
  return static_cast<int64_t>(std::min<uint64_t>(counter, INT64_MAX));
}

UniqueFd CreateEventfd(Napi::Env env) {
  return UniqueFd(Checked(env, "eventfd", eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)));
}

UniqueFd DuplicateEventfd(Napi::Env env, int fd) {
  UniqueFd duplicate = Duplicate(env, fd);
  char name[64];
  const std::string link = "/proc/self/fd/" + std::to_string(duplicate.get());
  const ssize_t length = readlink(link.c_str(), name, sizeof name);
  if (length > 0 && std::string_view(name, static_cast<size_t>(length)) != "anon_inode:[eventfd]") {
    ThrowType(env, "descriptor " + std::to_string(fd) + " is not an eventfd");
  }
  return duplicate;
}

namespace {

Napi::Value EventfdCreate(const Napi::CallbackInfo& info) {
  UniqueFd fd = CreateEventfd(info.Env());
  return Napi::Number::New(info.Env(), fd.Release());
}

Napi::Value YieldProcessor(const Napi::CallbackInfo& info) {
  sched_yield();
  return info.Env().Undefined();
}

Napi::Value EventfdSignal(const Napi::CallbackInfo& info) {
  const uint64_t one = 1;
  const int fd = Arguments(info).Fd(0);
  // O_NONBLOCK belongs to everybody who has the eventfd, and so does the counter: a peer that clears the one and fills
  // the other would block us in write. What is not writable is full, hence signalled already.
  pollfd writable{fd, POLLOUT, 0};
  if (poll(&writable, 1, 0) == 0) return info.Env().Undefined();
  // EAGAIN: the counter is at its end, so the other side has a signal pending anyway.
  if (write(fd, &one, sizeof one) < 0 && errno != EAGAIN) ThrowErrno(info.Env(), "write");
  return info.Env().Undefined();
}

Napi::Value EventfdDrain(const Napi::CallbackInfo& info) {
  const int64_t counter = DrainEventfd(Arguments(info).Fd(0));
  if (counter < 0) ThrowErrno(info.Env(), "read");
  return Napi::Number::New(info.Env(), static_cast<double>(counter));
}

}  // namespace

void DefineEventfd(Napi::Env, Napi::Object exports) {
  Export<EventfdCreate>(exports, "eventfdCreate");
  Export<YieldProcessor>(exports, "yieldProcessor");
  Export<EventfdSignal>(exports, "eventfdSignal");
  Export<EventfdDrain>(exports, "eventfdDrain");
}

}  // namespace ivshmem
