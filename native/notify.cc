// Datagrams of UNIX sockets: a text and at most one descriptor, the way sd_notify(3) tells and sends things.
#include <napi.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cstring>
#include <string>

#include "address.h"
#include "arguments.h"
#include "error.h"
#include "exports.h"
#include "unique_fd.h"

namespace ivshmem {

namespace {

constexpr size_t kTextLimit = 4096;
/** SCM_MAX_FD: no sender can attach more to one message. */
constexpr size_t kDescriptorLimit = 253;
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
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  if (pass >= 0) {
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    cmsghdr* item = CMSG_FIRSTHDR(&header);
    item->cmsg_level = SOL_SOCKET;
    item->cmsg_type = SCM_RIGHTS;
    item->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(item), &pass, sizeof pass);
  }
  ssize_t sent = 0;
  do {
    sent = sendmsg(fd.get(), &header, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  Checked(env, "sendmsg", sent);
  return env.Undefined();
}

/** What came beside the text. */
struct Ancillary {
  UniqueFd fd;
  ucred sender{0, static_cast<uid_t>(-1), static_cast<gid_t>(-1)};

  void Take(msghdr& header) {
    for (cmsghdr* item = CMSG_FIRSTHDR(&header); item != nullptr; item = CMSG_NXTHDR(&header, item)) {
      if (item->cmsg_level != SOL_SOCKET) continue;
      if (item->cmsg_type == SCM_CREDENTIALS) std::memcpy(&sender, CMSG_DATA(item), sizeof sender);
      if (item->cmsg_type != SCM_RIGHTS) continue;
      const size_t count = (item->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (size_t i = 0; i < count; ++i) {
        int number = -1;
        std::memcpy(&number, CMSG_DATA(item) + i * sizeof number, sizeof number);
        UniqueFd received(number);
        if (!fd) fd = std::move(received);
      }
    }
  }
};

Napi::Value DatagramReceive(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const int fd = Arguments(info).Fd(0);
  char text[kTextLimit];
  alignas(cmsghdr) char control[CMSG_SPACE(kDescriptorLimit * sizeof(int)) + CMSG_SPACE(sizeof(ucred))];
  iovec vector{text, sizeof text};
  msghdr header{};
  header.msg_iov = &vector;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  ssize_t got = 0;
  do {
    got = recvmsg(fd, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  if (got < 0 && errno == EAGAIN) return env.Null();
  Checked(env, "recvmsg", got);
  Ancillary beside;
  beside.Take(header);
  // Our table was full: the descriptor is lost, and the text that names it must not be believed.
  if ((header.msg_flags & MSG_CTRUNC) != 0) ThrowErrno(env, "recvmsg", EMFILE);
  Napi::Object result = Napi::Object::New(env);
  result.Set("text", Napi::String::New(env, text, static_cast<size_t>(got)));
  result.Set("pid", Napi::Number::New(env, beside.sender.pid));
  result.Set("uid", Napi::Number::New(env, beside.sender.uid));
  result.Set("fd", Napi::Number::New(env, beside.fd.get()));
  beside.fd.Release();
  return result;
}

}  // namespace

void DefineNotify(Napi::Env, Napi::Object exports) {
  Export<DatagramBind>(exports, "datagramBind");
  Export<DatagramSend>(exports, "datagramSend");
  Export<DatagramReceive>(exports, "datagramReceive");
}

}  // namespace ivshmem
