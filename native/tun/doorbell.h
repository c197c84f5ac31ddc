// How a thread that has no JavaScript rings one vector of one peer.
#pragma once

#include <poll.h>
#include <unistd.h>

#include <cstdint>

#include "../ring/shared.h"

namespace ivshmem::tun {

// Either the Doorbell register of a device (BAR0) with the value that names
// peer and vector, or the eventfd of the peer's vector; or neither, for a peer
// that polls. Owns nothing.
struct Doorbell {
  volatile uint32_t *reg = nullptr;
  uint32_t value = 0;
  int eventfd = -1;

  void Ring() const {
    // What was stored before is visible to whom it wakes; a store to uncached
    // memory is not ordered by itself.
    ring::notification_fence();
    if (reg != nullptr) {
      *reg = value;
    } else if (eventfd >= 0) {
      // O_NONBLOCK and the counter belong to everybody who has the eventfd: a
      // peer that clears the one and fills the other would block us in write.
      // What is not writable is full, hence signalled already.
      pollfd writable{eventfd, POLLOUT, 0};
      const uint64_t one = 1;
      if (poll(&writable, 1, 0) == 1) static_cast<void>(!write(eventfd, &one, sizeof one));
    }
  }
};

}  // namespace ivshmem::tun
