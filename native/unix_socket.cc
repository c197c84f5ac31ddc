#include <napi.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "address.h"
#include "arguments.h"
#include "error.h"
#include "exports.h"
#include "unique_fd.h"

namespace ivshmem {

namespace {

Napi::Value SocketListen(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Arguments arguments(info);
  const Address address = AddressFrom(arguments, 0);
  const int backlog = static_cast<int>(arguments.Integer(1, "backlog", 0, 65535));
  UniqueFd fd(Checked(env, "socket", socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)));
  Checked(env, "bind", bind(fd.get(), Raw(address), address.length));
  Checked(env, "listen", listen(fd.get(), backlog));
  return Napi::Number::New(env, fd.Release());
}

Napi::Value SocketAccept(const Napi::CallbackInfo& info) {
  const int listener = Arguments(info).Fd(0);
  int fd = -1;
  do {
    fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  } while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
  if (fd < 0 && errno != EAGAIN) ThrowErrno(info.Env(), "accept4");
  return Napi::Number::New(info.Env(), fd);
}

/** How long a connect waits for a listener whose backlog is full before it fails with EAGAIN. */
constexpr timeval kConnectTimeout{5, 0};

Napi::Value SocketConnect(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Address address = AddressFrom(Arguments(info), 0);
  UniqueFd fd(Checked(env, "socket", socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)));
  const timeval none{};
  Checked(env, "setsockopt",
          setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &kConnectTimeout, sizeof kConnectTimeout));
  int status = 0;
  do {
    status = connect(fd.get(), Raw(address), address.length);
  } while (status < 0 && errno == EINTR);
  Checked(env, "connect", status);
  Checked(env, "setsockopt", setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &none, sizeof none));
  Checked(env, "fcntl", fcntl(fd.get(), F_SETFL, O_NONBLOCK));
  return Napi::Number::New(env, fd.Release());
}

Napi::Value SocketCredentials(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  ucred credentials{};
  socklen_t length = sizeof credentials;
  Checked(env, "getsockopt",
          getsockopt(Arguments(info).Fd(0), SOL_SOCKET, SO_PEERCRED, &credentials, &length));
  Napi::Object result = Napi::Object::New(env);
  result.Set("pid", Napi::Number::New(env, credentials.pid));
  result.Set("uid", Napi::Number::New(env, credentials.uid));
  result.Set("gid", Napi::Number::New(env, credentials.gid));
  return result;
}

/** The peer reads an end of stream after what it has not read yet; it is heard on. */
Napi::Value SocketEnd(const Napi::CallbackInfo& info) {
  // ENOTCONN: it is gone already, which its reader finds out.
  if (shutdown(Arguments(info).Fd(0), SHUT_WR) < 0 && errno != ENOTCONN) {
    ThrowErrno(info.Env(), "shutdown");
  }
  return info.Env().Undefined();
}

Napi::Value SocketSendBuffer(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const int fd = arguments.Fd(0);
  const int bytes = static_cast<int>(arguments.Integer(1, "bytes", 1, INT_MAX));
  Checked(info.Env(), "setsockopt", setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes));
  return info.Env().Undefined();
}

}  // namespace

void DefineUnixSocket(Napi::Env, Napi::Object exports) {
  Export<SocketListen>(exports, "socketListen");
  Export<SocketAccept>(exports, "socketAccept");
  Export<SocketConnect>(exports, "socketConnect");
  Export<SocketCredentials>(exports, "socketCredentials");
  Export<SocketEnd>(exports, "socketEnd");
  Export<SocketSendBuffer>(exports, "socketSendBuffer");
}

}  // namespace ivshmem
