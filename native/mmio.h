#ifndef IVSHMEM_MMIO_H_
#define IVSHMEM_MMIO_H_

#include <atomic>
#include <cstdint>

namespace ivshmem {

/** One 32-bit access that the compiler neither tears nor repeats; acquire. x86: a plain load. arm64: ldar. */
inline int32_t LoadAcquire(int32_t* word) {
  return std::atomic_ref<int32_t>(*word).load(std::memory_order_acquire);
}

/** seq_cst store. x86: xchg, which drains the store buffer. arm64: stlr. */
inline void StoreSequential(int32_t* word, int32_t value) {
  std::atomic_ref<int32_t>(*word).store(value, std::memory_order_seq_cst);
}

/** Orders earlier stores before later loads, the one order neither x86 nor arm64 gives. x86: mfence or a
 * locked add. arm64: dmb ish. */
inline void FullFence() { std::atomic_thread_fence(std::memory_order_seq_cst); }

/** Tells the core that this is a spin: saves power and yields to the sibling hyperthread. */
inline void CpuRelax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile(
      "isb" ::
          : "memory");  // yield is a no-op on cores without SMT; isb waits about as long as PAUSE does.
#else
#error "only x86-64 and arm64 are supported"
#endif
}

}  // namespace ivshmem

#endif  // IVSHMEM_MMIO_H_
