// The ivshmem client-server protocol's unit: one little-endian int64 and at most one descriptor (SCM_RIGHTS).
#include <endian.h>
#include <napi.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "addon_data.h"
#include "arguments.h"
#include "control_message.h"
#include "error.h"
#include "exports.h"

namespace ivshmem {

namespace {

constexpr size_t kBurst = 64;
constexpr size_t kBurstLimit = 65536;

/** The buffers of one outgoing message; its msghdr points into it, so it is filled in place and never moved.
 */
struct Outgoing {
  uint64_t bytes;
  iovec vector;
  DescriptorControl control;

  void Fill(msghdr& header, double value, int fd) {
    bytes = htole64(static_cast<uint64_t>(static_cast<int64_t>(value)));
    vector = {&bytes, sizeof bytes};
    header = {};
    header.msg_iov = &vector;
    header.msg_iovlen = 1;
    if (fd >= 0) control.Attach(header, fd);
  }
};

/** How many of the messages the socket took. Throws when the first fails with anything but EAGAIN. */
size_t Send(Napi::Env env, int fd, const double* values, const int* fds, size_t count) {
  std::array<Outgoing, kBurst> outgoing;
  std::array<mmsghdr, kBurst> headers;
  size_t sent = 0;
  while (sent < count) {
    const size_t burst = std::min(count - sent, kBurst);
    for (size_t i = 0; i < burst; ++i) {
      outgoing[i].Fill(headers[i].msg_hdr, values[sent + i], fds[sent + i]);
      headers[i].msg_len = 0;
    }
    const int taken = sendmmsg(fd, headers.data(), static_cast<unsigned>(burst), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (taken < 0) {
      if (errno == EINTR) continue;
      // A later call meets the error again; what was taken so far must be told.
      if (errno == EAGAIN || sent > 0) return sent;
      ThrowErrno(env, "sendmsg");
    }
    for (int i = 0; i < taken; ++i) {
      if (headers[static_cast<size_t>(i)].msg_len != sizeof(uint64_t)) ThrowErrno(env, "sendmsg", EIO);
    }
    sent += static_cast<size_t>(taken);
    if (static_cast<size_t>(taken) < burst) return sent;
  }
  return sent;
}

Napi::Value SendMessage(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const int fd = arguments.Fd(0);
  const double value = arguments.Integer(1, "value", -kMaxSafeInteger, kMaxSafeInteger);
  const int pass = arguments.OptionalFd(2, "passFd");
  return Napi::Boolean::New(info.Env(), Send(info.Env(), fd, &value, &pass, 1) == 1);
}

Napi::Value SendMessages(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const int fd = arguments.Fd(0);
  const std::vector<double> values =
      arguments.Integers(1, "values", kBurstLimit, -kMaxSafeInteger, kMaxSafeInteger);
  const std::vector<int> fds = arguments.Fds(2, "fds", kBurstLimit, -1);
  if (values.size() != fds.size()) ThrowRange(info.Env(), "values and fds must have the same length");
  return Napi::Number::New(
      info.Env(), static_cast<double>(Send(info.Env(), fd, values.data(), fds.data(), values.size())));
}

enum class Outcome { kComplete, kNothing, kEnd };

/** Adds to `message` what the stream has; errno is set and -1 thrown by the caller through `failed`. */
Outcome Receive(int fd, PartialMessage& message, bool& failed) {
  while (message.length < message.bytes.size()) {
    const ssize_t got = ReceiveWithDescriptor(fd, message.bytes.data() + message.length,
                                              message.bytes.size() - message.length, message.fd);
    if (got < 0) {
      failed = errno != EAGAIN;
      return Outcome::kNothing;
    }
    if (got == 0) return Outcome::kEnd;
    message.length += static_cast<size_t>(got);
  }
  return Outcome::kComplete;
}

/** Takes what an earlier call left of a message, unless the number names another socket by now. */
PartialMessage TakePartial(AddonData& data, int fd) {
  const auto found = data.partial_messages.find(fd);
  if (found == data.partial_messages.end()) return {};
  PartialMessage message = std::move(found->second);
  data.partial_messages.erase(found);
  struct stat status {};
  if (fstat(fd, &status) != 0 || status.st_ino != message.inode) return {};
  return message;
}

Napi::Value ReceiveMessage(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const int fd = Arguments(info).Fd(0);
  AddonData& data = AddonData::From(env);
  PartialMessage message = TakePartial(data, fd);
  bool failed = false;
  const Outcome outcome = Receive(fd, message, failed);
  if (failed) ThrowErrno(env, "recvmsg");
  if (outcome == Outcome::kEnd) return env.Undefined();
  if (outcome == Outcome::kNothing) {
    if (message.length > 0) {
      struct stat status {};
      Checked(env, "fstat", fstat(fd, &status));
      message.inode = status.st_ino;
      data.partial_messages[fd] = std::move(message);
    }
    return env.Null();
  }
  uint64_t bytes = 0;
  std::memcpy(&bytes, message.bytes.data(), sizeof bytes);
  Napi::Object result = Napi::Object::New(env);
  // Beyond 2^53 a Number is inexact. No valid message is there, and the protocol's checks refuse it either
  // way.
  result.Set("value", Napi::Number::New(env, static_cast<double>(static_cast<int64_t>(le64toh(bytes)))));
  result.Set("fd", Napi::Number::New(env, message.fd.get()));
  message.fd.Release();
  return result;
}

}  // namespace

void DefineMessages(Napi::Env, Napi::Object exports) {
  Export<SendMessage>(exports, "sendMessage");
  Export<SendMessages>(exports, "sendMessages");
  Export<ReceiveMessage>(exports, "receiveMessage");
}

}  // namespace ivshmem
