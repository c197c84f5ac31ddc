#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arguments.h"
#include "error.h"
#include "exports.h"
#include "unique_fd.h"

namespace ivshmem {

namespace {

/** Waits on the process's descriptor and leaves its exit status to whoever started it (libuv). */
Napi::Value WaitForExit(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Arguments arguments(info);
  const auto pid = static_cast<pid_t>(arguments.Integer(0, "pid", 1, INT_MAX));
  const auto timeout = static_cast<int>(arguments.Integer(1, "timeoutMs", 0, INT_MAX));
  const UniqueFd process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (process.get() < 0) {
    if (errno == ESRCH) return Napi::Boolean::New(env, true);
    ThrowErrno(env, "pidfd_open");
  }
  pollfd ended{process.get(), POLLIN, 0};
  // A signal shortens the wait; the answer stays right.
  const int ready = poll(&ended, 1, timeout);
  if (ready < 0 && errno != EINTR) ThrowErrno(env, "poll");
  return Napi::Boolean::New(env, ready > 0);
}

}  // namespace

void DefineProcess(Napi::Env, Napi::Object exports) { Export<WaitForExit>(exports, "waitForExit"); }

}  // namespace ivshmem
