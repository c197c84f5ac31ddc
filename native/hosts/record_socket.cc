#include "record_socket.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstring>

namespace ivshmem::hosts {

// TLS asks for the header of a record, then for the rest of it, to where it is decrypted. What else is there
// comes along, and goes to ahead_.
ssize_t RecordSocket::Read(std::byte* to, size_t room) {
  if (from_ < to_) {
    const size_t count = std::min(room, to_ - from_);
    std::memcpy(to, &ahead_[from_], count);
    from_ += count;
    return static_cast<ssize_t>(count);
  }
  iovec parts[2]{{to, room}, {ahead_.data(), ahead_.size()}};
  const ssize_t got = readv(fd_, parts, 2);
  if (got <= 0) {
    ended_ = got == 0;
    return got;
  }
  const size_t count = std::min(room, static_cast<size_t>(got));
  from_ = 0;
  to_ = static_cast<size_t>(got) - count;
  return static_cast<ssize_t>(count);
}

ssize_t RecordSocket::Write(const std::byte* from, size_t count) {
  return send(fd_, from, count, MSG_NOSIGNAL);
}

}  // namespace ivshmem::hosts
