// Datagrams of UNIX sockets: a text and at most one descriptor, the way sd_notify(3) tells and sends things.
#include <napi.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cstring>
#include <string>

#include "address.h"
#include "arguments.h"
#include "control_message.h"
#include "error.h"
#include "exports.h"
#include "unique_fd.h"

namespace ivshmem {

namespace {

constexpr size_t kTextLimit = 4096;
/** How long a full receiver may keep a sender waiting: its queue holds net.unix.max_dgram_qlen datagrams,
 * often 10. */
constexpr timeval kSendTimeout{5, 0};

Napi::Value DatagramBind(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Address address = AddressFrom(Arguments(info), 0);
  UniqueFd fd(Checked(env, "socket", socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)));
  // Before bind: no datagram may be queued without its sender's credentials.
  const int on = 1;
  Checked(env, "setsockopt", setsockopt(fd.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
  Checked(env, "bind", bind(fd.get(), Raw(address), address.length));
  return Napi::Number::New(env, fd.Release());
}

Napi::Value DatagramSend(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Arguments arguments(info);
  const Address address = AddressFrom(arguments, 0);
  std::string text = arguments.Name(1, "text", kTextLimit);
  const int pass = arguments.OptionalFd(2, "passFd");
  UniqueFd fd(Checked(env, "socket", socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)));
  Checked(env, "setsockopt",
          setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &kSendTimeout, sizeof kSendTimeout));
  sockaddr_un name = address.name;
  iovec vector{text.data(), text.size()};
  msghdr header{};
  header.msg_name = &name;
  header.msg_namelen = address.length;
  header.msg_iov = &vector;
  header.msg_iovlen = 1;
  DescriptorControl control;
  if (pass >= 0) control.Attach(header, pass);
  ssize_t sent = 0;
  do {
    sent = sendmsg(fd.get(), &header, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  Checked(env, "sendmsg", sent);
  return env.Undefined();
}

Napi::Value DatagramReceive(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const int fd = Arguments(info).Fd(0);
  char text[kTextLimit];
  UniqueFd came;
  ucred sender{0, static_cast<uid_t>(-1), static_cast<gid_t>(-1)};
  const ssize_t got = ReceiveWithDescriptor(fd, text, sizeof text, came, &sender);
  if (got < 0 && errno == EAGAIN) return env.Null();
  Checked(env, "recvmsg", got);
  Napi::Object result = Napi::Object::New(env);
  result.Set("text", Napi::String::New(env, text, static_cast<size_t>(got)));
  result.Set("pid", Napi::Number::New(env, sender.pid));
  result.Set("uid", Napi::Number::New(env, sender.uid));
  result.Set("fd", Napi::Number::New(env, came.get()));
  came.Release();
  return result;
}

}  // namespace

void DefineNotify(Napi::Env, Napi::Object exports) {
  Export<DatagramBind>(exports, "datagramBind");
  Export<DatagramSend>(exports, "datagramSend");
  Export<DatagramReceive>(exports, "datagramReceive");
}

}  // namespace ivshmem
