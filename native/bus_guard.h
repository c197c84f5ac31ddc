#ifndef IVSHMEM_BUS_GUARD_H_
#define IVSHMEM_BUS_GUARD_H_

#include <cstddef>

namespace ivshmem {

/**
 * From now on a load or store in [address, address + length) that finds the memory gone (SIGBUS: an unplugged
 * device, a file that was cut short) puts private zero pages over the whole range and is tried again. False
 * with errno set when there is no place left for one more range.
 */
bool GuardRange(void* address, size_t length);

/** Before the range is unmapped. Ranges that are not guarded are ignored. */
void UnguardRange(void* address);

}  // namespace ivshmem

#endif  // IVSHMEM_BUS_GUARD_H_
