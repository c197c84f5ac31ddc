#ifndef IVSHMEM_CONTROL_MESSAGE_H_
#define IVSHMEM_CONTROL_MESSAGE_H_

#include <sys/socket.h>
#include <sys/types.h>

#include "unique_fd.h"

namespace ivshmem {

/** Room for one descriptor beside an outgoing message. The msghdr points into it: never moved once attached.
 */
struct DescriptorControl {
  alignas(cmsghdr) char bytes[CMSG_SPACE(sizeof(int))];

  void Attach(msghdr& header, int fd);
};

/**
 * recvmsg without waiting, restarted on EINTR; -1 with errno as it does. The first descriptor that came goes
 * into `kept` unless that has one, all others are closed. errno EMFILE: our table was full and descriptors
 * were lost, so what was read must not be believed. `sender`, if given, takes the credentials that came.
 */
ssize_t ReceiveWithDescriptor(int socket, void* bytes, size_t length, UniqueFd& kept,
                              ucred* sender = nullptr);

}  // namespace ivshmem

#endif  // IVSHMEM_CONTROL_MESSAGE_H_
