#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <napi.h>
#include <sys/ioctl.h>

#include <cstring>
#include <string>

#include "arguments.h"
#include "exports.h"
#include "packet.h"
#include "unique_fd.h"

namespace ivshmem {

namespace {

/**
 * A new TUN device, which lives as long as the descriptor: with a struct
 * virtio_net_hdr before each packet, and with the offloads that every kernel
 * with that header takes, so that TCP gives and gets up to 64 KiB in one
 * packet.
 */
Napi::Value OpenTun(const Napi::CallbackInfo &info) {
  const Napi::Env env = info.Env();
  const std::string name = Arguments(info).Name(0, "name", IFNAMSIZ - 1);
  UniqueFd fd(Checked(env, "open", open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC)));
  ifreq request{};
  request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL;
  std::memcpy(request.ifr_name, name.data(), name.size());
  Checked(env, "TUNSETIFF", ioctl(fd.get(), TUNSETIFF, &request));
  int header_bytes = tun::kHeaderBytes;
  Checked(env, "TUNSETVNETHDRSZ", ioctl(fd.get(), TUNSETVNETHDRSZ, &header_bytes));
  int little_endian = 1;
  Checked(env, "TUNSETVNETLE", ioctl(fd.get(), TUNSETVNETLE, &little_endian));
  const unsigned long offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
  Checked(env, "TUNSETOFFLOAD", ioctl(fd.get(), TUNSETOFFLOAD, offloads));
  Napi::Object result = Napi::Object::New(env);
  // The kernel's: a "%d" in the name asks for the next free number.
  result.Set("name", std::string(request.ifr_name, strnlen(request.ifr_name, IFNAMSIZ)));
  result.Set("fd", Napi::Number::New(env, fd.Release()));
  return result;
}

}  // namespace

void DefineTun(Napi::Env, Napi::Object exports) { Export<OpenTun>(exports, "openTun"); }

}  // namespace ivshmem
