// What travels beside the bytes of a UNIX socket: descriptors (SCM_RIGHTS) and credentials.
#include "control_message.h"

#include <cerrno>
#include <cstring>
#include <utility>

namespace ivshmem {

namespace {

/** SCM_MAX_FD: no sender can attach more to one message. */
constexpr size_t kDescriptorLimit = 253;

void Take(msghdr& header, UniqueFd& kept, ucred* sender) {
  for (cmsghdr* item = CMSG_FIRSTHDR(&header); item != nullptr; item = CMSG_NXTHDR(&header, item)) {
    if (item->cmsg_level != SOL_SOCKET) continue;
    if (item->cmsg_type == SCM_CREDENTIALS && sender != nullptr)
      std::memcpy(sender, CMSG_DATA(item), sizeof *sender);
    if (item->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (item->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(item) + i * sizeof fd, sizeof fd);
      UniqueFd received(fd);
      if (!kept) kept = std::move(received);
    }
  }
}

}  // namespace

void DescriptorControl::Attach(msghdr& header, int fd) {
  std::memset(bytes, 0, sizeof bytes);
  header.msg_control = bytes;
  header.msg_controllen = sizeof bytes;
  cmsghdr* item = CMSG_FIRSTHDR(&header);
  item->cmsg_level = SOL_SOCKET;
  item->cmsg_type = SCM_RIGHTS;
  item->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(item), &fd, sizeof fd);
}

ssize_t ReceiveWithDescriptor(int socket, void* bytes, size_t length, UniqueFd& kept, ucred* sender) {
  // Room for every descriptor a peer can attach, and its credentials: a truncated control then means our
  // table is full.
  alignas(cmsghdr) char control[CMSG_SPACE(kDescriptorLimit * sizeof(int)) + CMSG_SPACE(sizeof(ucred))];
  iovec vector{bytes, length};
  msghdr header{};
  ssize_t got = -1;
  do {
    header = {};
    header.msg_iov = &vector;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    got = recvmsg(socket, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return got;
  Take(header, kept, sender);
  if ((header.msg_flags & MSG_CTRUNC) == 0) return got;
  errno = EMFILE;
  return -1;
}

}  // namespace ivshmem
