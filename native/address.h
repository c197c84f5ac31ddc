#ifndef IVSHMEM_ADDRESS_H_
#define IVSHMEM_ADDRESS_H_

#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>
#include <string>

#include "arguments.h"

namespace ivshmem {

/** Where a UNIX socket is. */
struct Address {
  sockaddr_un name{};
  socklen_t length = 0;
};

/** A path, or '@name' for the abstract namespace (sun_path starts with NUL and is not terminated). */
inline Address AddressFrom(const Arguments& arguments, size_t index) {
  Address address;
  address.name.sun_family = AF_UNIX;
  const std::string path = arguments.Name(index, "path", sizeof address.name.sun_path - 1);
  if (path == "@") ThrowRange(arguments.env(), "path must have a name after '@'");
  std::memcpy(address.name.sun_path, path.data(), path.size());
  const bool abstract = path[0] == '@';
  if (abstract) address.name.sun_path[0] = '\0';
  address.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (abstract ? 0 : 1));
  return address;
}

inline const sockaddr* Raw(const Address& address) {
  return reinterpret_cast<const sockaddr*>(&address.name);
}

}  // namespace ivshmem

#endif  // IVSHMEM_ADDRESS_H_
