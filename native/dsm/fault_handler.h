// Accesses to memory that is protected on purpose: the thread that makes one waits in a SIGSEGV handler until
// the page is mapped, and tries again. All other faults go to whoever had the signal before. The handler
// stays for the life of the process, so the library it is in must never be unloaded (link with -z nodelete).
#pragma once

#include <cstddef>

#include "fault_queue.h"

namespace ivshmem::dsm {

// From now on a load or store in [address, address + length) that the mapping's protection forbids is asked
// for in `queue`, which must live until UnwatchRange returned. False with errno set when that is not
// possible. The kernel does not come here: a system call on protected memory ends with EFAULT, so ask in the
// queue before.
bool WatchRange(void* address, size_t length, FaultQueue* queue);

// Returns when no thread is on its way into the queue any more: close the queue first, or keep answering.
void UnwatchRange(void* address);

}  // namespace ivshmem::dsm
