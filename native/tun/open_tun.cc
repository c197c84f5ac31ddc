#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <napi.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "arguments.h"
#include "exports.h"
#include "packet.h"
#include "unique_fd.h"

namespace ivshmem {

namespace {

// Of linux/if_tun.h since 6.2; newer than the headers this is compiled with.
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

// What every kernel with a virtio_net_hdr takes: TCP gives and gets up to 64
// KiB in one packet.
constexpr unsigned long kOffloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
constexpr unsigned long kUdpOffloads = TUN_F_USO4 | TUN_F_USO6;
constexpr double kMostQueues = 16;

int SetOffloads(int fd, bool udp) {
  return ioctl(fd, TUNSETOFFLOAD, udp ? kOffloads | kUdpOffloads : kOffloads);
}

// One queue of a TUN device, with a struct virtio_net_hdr before each packet.
// The name is given back as the kernel completed it.
UniqueFd OpenQueue(Napi::Env env, ifreq *request, int flags) {
  UniqueFd fd(Checked(env, "open", open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC)));
  request->ifr_flags = static_cast<short>(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | flags);
  Checked(env, "TUNSETIFF", ioctl(fd.get(), TUNSETIFF, request));
  int header_bytes = tun::kHeaderBytes;
  Checked(env, "TUNSETVNETHDRSZ", ioctl(fd.get(), TUNSETVNETHDRSZ, &header_bytes));
  int little_endian = 1;
  Checked(env, "TUNSETVNETLE", ioctl(fd.get(), TUNSETVNETLE, &little_endian));
  return fd;
}

/**
 * A new TUN device of the given number of queues, which lives as long as one
 * of the descriptors.
 *
 * With several queues each has a second descriptor for packets to the kernel,
 * whose own queue is detached: the kernel moves a flow to the queue that last
 * brought a packet of it, overtaking what it sent on the queue before
 * (tun_get_user: "a very small possibility of OOO"), but not to one that is
 * detached. So the flow's hash alone says which queue it leaves on.
 */
Napi::Value OpenTun(const Napi::CallbackInfo &info) {
  const Napi::Env env = info.Env();
  const std::string name = Arguments(info).Name(0, "name", IFNAMSIZ - 1);
  const auto count = static_cast<uint32_t>(Arguments(info).Integer(1, "queues", 1, kMostQueues));
  const int flags = count > 1 ? IFF_MULTI_QUEUE : 0;
  ifreq request{};
  std::memcpy(request.ifr_name, name.data(), name.size());
  std::vector<UniqueFd> in;
  std::vector<UniqueFd> out;
  for (uint32_t i = 0; i < count; i++)
    in.push_back(OpenQueue(env, &request, i == 0 ? flags | IFF_TUN_EXCL : flags));
  for (uint32_t i = 0; count > 1 && i < count; i++) {
    out.push_back(OpenQueue(env, &request, flags));
    ifreq detach{};
    detach.ifr_flags = IFF_DETACH_QUEUE;
    Checked(env, "TUNSETQUEUE", ioctl(out.back().get(), TUNSETQUEUE, &detach));
  }
  // Of the device, whichever queue it is asked of.
  const bool udp = SetOffloads(in[0].get(), true) == 0;
  if (!udp) Checked(env, "TUNSETOFFLOAD", errno == EINVAL ? SetOffloads(in[0].get(), false) : -1);
  Napi::Object result = Napi::Object::New(env);
  // The kernel's: a "%d" in the name asks for the next free number.
  result.Set("name", std::string(request.ifr_name, strnlen(request.ifr_name, IFNAMSIZ)));
  result.Set("udpSegmentation", Napi::Boolean::New(env, udp));
  Napi::Array queues = Napi::Array::New(env);
  for (uint32_t i = 0; i < count; i++) {
    Napi::Object queue = Napi::Object::New(env);
    const int fd = in[i].Release();
    queue.Set("in", Napi::Number::New(env, fd));
    queue.Set("out", Napi::Number::New(env, count > 1 ? out[i].Release() : fd));
    queues.Set(i, queue);
  }
  result.Set("queues", queues);
  return result;
}

/** Whether the kernel gives UDP in large packets, too, from now on. Of a device for which openTun says that
 * it can. */
Napi::Value SetTunUdpSegmentation(const Napi::CallbackInfo &info) {
  const Napi::Env env = info.Env();
  if (!info[1].IsBoolean()) ThrowType(env, "on must be a boolean");
  const bool on = info[1].As<Napi::Boolean>().Value();
  Checked(env, "TUNSETOFFLOAD", SetOffloads(Arguments(info).Fd(0), on));
  return env.Undefined();
}

}  // namespace

void DefineTun(Napi::Env, Napi::Object exports) {
  Export<OpenTun>(exports, "openTun");
  Export<SetTunUdpSegmentation>(exports, "setTunUdpSegmentation");
}

}  // namespace ivshmem
