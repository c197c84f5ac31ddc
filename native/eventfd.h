#ifndef IVSHMEM_EVENTFD_H_
#define IVSHMEM_EVENTFD_H_

#include <napi.h>

#include <cstdint>

#include "unique_fd.h"

namespace ivshmem {

/** Reads and resets the counter without ever blocking, whatever the flags of `fd`: the counter, 0 when it is
 * not signalled, -1 with errno set. */
int64_t DrainEventfd(int fd);

/** A new eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC). */
UniqueFd CreateEventfd(Napi::Env env);

/** An owned duplicate of `fd`, after TypeError when the kernel knows it to be something else than an eventfd.
 */
UniqueFd DuplicateEventfd(Napi::Env env, int fd);

}  // namespace ivshmem

#endif  // IVSHMEM_EVENTFD_H_
