// Copies to memory that is in no cache.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>

namespace ivshmem::hosts {

// As long as `to`. A loop of stores reads each line of `to` before it is overwritten, and memcpy is one below
// some pages; the processor's own copy does not: 6 % of a stream of pages of 4 KiB.
inline void CopyPage(std::span<std::byte> to, std::span<const std::byte> from) {
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  std::byte* at = to.data();
  const std::byte* source = from.data();
  size_t left = to.size();
  asm volatile("rep movsb" : "+D"(at), "+S"(source), "+c"(left) : : "memory");
#else
  std::memcpy(to.data(), from.data(), to.size());
#endif
}

}  // namespace ivshmem::hosts
