#ifndef IVSHMEM_HUGE_PAGES_H_
#define IVSHMEM_HUGE_PAGES_H_

#include <sys/types.h>

#include <cstddef>

namespace ivshmem {

inline constexpr size_t kHugePage = size_t{2} << 20;

/**
 * mmap(MAP_SHARED), at an address that lies in its 2 MiB as `offset` lies in those of the file: only then can one
 * entry of the page tables show a huge page of it. `unit`: size of the file's own pages, which may be larger.
 * MAP_FAILED and errno when it cannot be mapped.
 */
void* MapAligned(size_t mapped, size_t unit, int protection, int fd, off_t offset);

}  // namespace ivshmem

#endif  // IVSHMEM_HUGE_PAGES_H_
